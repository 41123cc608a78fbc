/**
 * Bytes of kept state: a writer into one growing buffer, and a reader that never throws. After
 * `failed` everything it gives is zero or empty, so the caller asks once, at the end.
 *
 * Numbers are LEB128 varints, zigzag where they can be negative. Text is its length and UTF-8. Ids
 * in the two forms that event ids mostly have (UUID, SHA-256 in base64url) take 17 and 33 bytes.
 */

const START_BYTES = 4_096;
/** Varints up to here are read without bigint. */
const SAFE = Number.MAX_SAFE_INTEGER;
const INT_MAX = 0x7fff_ffff;
/** Four bytes of a varint. */
const LOW_BITS = 28;
const LOW_UNIT = 2 ** LOW_BITS;
/** Texts up to here have a length of one byte, and are written by hand. */
const SHORT_CHARS = 32;

const HASH = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const UUID_BYTES = 16;
const UUID_CHARS = 36;
const HYPHEN = 0x2d;
const HASH_BYTES = 32;
/** Value of a hexadecimal digit in lower case, by its code; `NO_DIGIT` for all else. */
const NO_DIGIT = 16;
const DIGITS = Uint8Array.from({ length: 128 }, (_, unit) => {
  const digit = '0123456789abcdef'.indexOf(String.fromCharCode(unit));
  return digit < 0 ? NO_DIGIT : digit;
});
const ID_TEXT = 0;
const ID_UUID = 1;
const ID_HASH = 2;

export class Writer {
  #bytes = Buffer.allocUnsafe(START_BYTES);
  #length = 0;
  readonly #known = new Map<string, number>();

  get length(): number {
    return this.#length;
  }

  reset(): void {
    this.#length = 0;
    this.#known.clear();
  }

  /** What was written, until more is. */
  written(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** The same as one-byte characters: the smallest thing that a heap can keep it in. */
  latin1(): string {
    return this.#bytes.toString('latin1', 0, this.#length);
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }

  /** From 0 to 2^53 - 1. */
  count(value: number): void {
    this.#room(8);
    const bytes = this.#bytes;
    let at = this.#length;
    let rest = value;
    if (rest > INT_MAX) {
      // The low four bytes apart: everything else is then small enough for integer arithmetic.
      const low = rest % LOW_UNIT;
      rest = (rest - low) / LOW_UNIT;
      for (let shift = 0; shift < LOW_BITS; shift += 7) bytes[at++] = (low >>> shift) | 0x80;
    }
    while (rest >= 0x80) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#length = at;
  }

  /** A whole number of at most 2^52 either way. */
  whole(value: number): void {
    this.count(value < 0 ? -2 * value - 1 : 2 * value);
  }

  double(value: number): void {
    this.#room(8);
    this.#length = this.#bytes.writeDoubleLE(value, this.#length);
  }

  /** 64 bits. */
  offset(value: bigint): void {
    if (value >= 0n && value <= SAFE) {
      this.count(Number(value));
      return;
    }
    this.#room(10);
    let rest = BigInt.asUintN(64, value);
    while (rest >= 0x80n) {
      this.#bytes[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#length++] = Number(rest);
  }

  text(value: string): void {
    const most = value.length * 3;
    this.#room(most + 8);
    if (value.length <= SHORT_CHARS && this.#ascii(value)) return;
    // The length comes first: known without looking where the text is short and plain.
    const length = Buffer.byteLength(value);
    this.count(length);
    this.#length += this.#bytes.write(value, this.#length, length, 'utf8');
  }

  /** Writes a short text behind the end, where it is ASCII: quicker than to ask the runtime to. */
  #ascii(value: string): boolean {
    const bytes = this.#bytes;
    const { length } = value;
    let to = this.#length;
    bytes[to++] = length;
    for (let at = 0; at < length; at += 1) {
      const unit = value.charCodeAt(at);
      if (unit > 0x7f) return false;
      bytes[to++] = unit;
    }
    this.#length = to;
    return true;
  }

  optional(value: string | null): void {
    if (value === null) this.byte(0);
    else {
      this.byte(1);
      this.text(value);
    }
  }

  /** An event's id. */
  id(value: string): void {
    if (value.length === UUID_CHARS && this.#uuid(value)) {
      this.#length += 1 + UUID_BYTES;
    } else if (value.length === 43 && HASH.test(value)) {
      this.byte(ID_HASH);
      this.#room(HASH_BYTES);
      this.#length += this.#bytes.write(value, this.#length, HASH_BYTES, 'base64url');
    } else {
      this.byte(ID_TEXT);
      this.text(value);
    }
  }

  /** Writes a UUID behind the end, where it is one in lower case. */
  #uuid(value: string): boolean {
    this.#room(1 + UUID_BYTES);
    const bytes = this.#bytes;
    let to = this.#length;
    bytes[to++] = ID_UUID;
    for (let at = 0; at < UUID_CHARS; at += 2) {
      if (at === 8 || at === 13 || at === 18 || at === 23) {
        if (value.charCodeAt(at) !== HYPHEN) return false;
        at += 1;
      }
      const high = DIGITS[value.charCodeAt(at)] ?? NO_DIGIT;
      const low = DIGITS[value.charCodeAt(at + 1)] ?? NO_DIGIT;
      if ((high | low) >= NO_DIGIT) return false;
      bytes[to++] = high * 16 + low;
    }
    return true;
  }

  /** A text that comes again and again: after the first time its number stands for it. */
  repeated(value: string): void {
    const known = this.#known.get(value);
    if (known !== undefined) {
      this.count(known + 1);
      return;
    }
    this.#known.set(value, this.#known.size);
    this.byte(0);
    this.text(value);
  }

  /** A time, or -Infinity for none. */
  since(time: number): void {
    this.byte(time === Number.NEGATIVE_INFINITY ? 0 : 1);
    if (time !== Number.NEGATIVE_INFINITY) this.double(time);
  }

  #room(wanted: number): void {
    if (this.#length + wanted <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + wanted));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

export class Reader {
  failed = false;
  /** Of the layout of what is read. */
  readonly version: number;
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;
  readonly #known: string[] = [];

  constructor(bytes: Buffer, version: number, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.version = version;
    this.#at = start;
    this.#end = end;
  }

  /** Whether exactly everything was read, and nothing was missing. */
  get complete(): boolean {
    return !this.failed && this.#at === this.#end;
  }

  byte(): number {
    if (this.failed || this.#at >= this.#end) return this.#fail();
    return this.#bytes[this.#at++]!;
  }

  /** At most `max`. */
  count(max = SAFE): number {
    let value = 0;
    let unit = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * unit;
      if (this.failed || value > max) return this.#fail();
      if (byte < 0x80) return value;
      unit *= 0x80;
      if (unit > SAFE) return this.#fail();
    }
  }

  /** A number of things each of which takes a byte at least. */
  length(): number {
    return this.count(this.#end - this.#at);
  }

  whole(): number {
    const value = this.count();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  }

  double(): number {
    if (this.failed || this.#at + 8 > this.#end) return this.#fail();
    const value = this.#bytes.readDoubleLE(this.#at);
    this.#at += 8;
    return value;
  }

  since(): number {
    const present = this.byte();
    if (present > 1) this.#fail();
    if (present !== 1) return Number.NEGATIVE_INFINITY;
    const time = this.double();
    return Number.isFinite(time) ? time : this.#fail();
  }

  offset(): bigint {
    let value = 0;
    let unit = 1;
    const start = this.#at;
    for (;;) {
      const byte = this.byte();
      if (this.failed) return 0n;
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) break;
      unit *= 0x80;
    }
    if (this.#at - start > 10) return BigInt(this.#fail());
    if (value <= SAFE) return BigInt(value);
    let whole = 0n;
    for (let at = this.#at - 1; at >= start; at -= 1) {
      whole = (whole << 7n) | BigInt(this.#bytes[at]! & 0x7f);
    }
    return BigInt.asIntN(64, whole);
  }

  text(): string {
    const length = this.length();
    if (this.failed) return '';
    const text = this.#bytes.toString('utf8', this.#at, this.#at + length);
    this.#at += length;
    return text;
  }

  optional(): string | null {
    const present = this.byte();
    if (present > 1) this.#fail();
    return present === 1 ? this.text() : null;
  }

  id(): string {
    const form = this.byte();
    if (form === ID_TEXT) return this.text();
    const length = form === ID_UUID ? UUID_BYTES : HASH_BYTES;
    if (form > ID_HASH || this.#at + length > this.#end) return this.#none();
    const start = this.#at;
    this.#at += length;
    if (form === ID_HASH) return this.#bytes.toString('base64url', start, this.#at);
    const hex = this.#bytes.toString('hex', start, this.#at);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }

  repeated(): string {
    const number = this.count();
    if (number > 0) return this.#known[number - 1] ?? this.#none();
    const text = this.text();
    this.#known.push(text);
    return text;
  }

  /** What was read cannot be: everything from here on is nothing. */
  refuse(): void {
    this.failed = true;
  }

  #fail(): 0 {
    this.failed = true;
    return 0;
  }

  #none(): '' {
    this.failed = true;
    return '';
  }
}
