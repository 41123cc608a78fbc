/**
 * Avro strings to and from bytes, fast: what the codecs of fixed schemas spend their time on.
 *
 * `DatumWriter` fills one buffer that it keeps, so one writer serves one datum at a time.
 * `DatumReader` never reads past its end, refuses bytes that are no UTF-8, and gives the same
 * string object for words that come again and again.
 */
import { isUtf8 } from 'node:buffer';
import { VARINT_BYTES_MAX, writeInteger } from './varint.ts';

const WRITER_BYTES_MIN = 16_384;
/** A buffer that one huge datum made is given back. */
const WRITER_BYTES_KEPT = 1_048_576;
/** UTF-8 bytes of one UTF-16 unit, at most. */
const UNIT_BYTES_MAX = 3;
/** Up to here a loop over the characters is faster than a call into the engine. */
const SHORT_UNITS = 24;

export class DatumWriter {
  #bytes = Buffer.allocUnsafeSlow(WRITER_BYTES_MIN);
  #at = 0;

  /** A copy of what was written, and the writer is empty again. */
  take(): Buffer {
    const datum = Buffer.allocUnsafe(this.#at);
    this.#bytes.copy(datum, 0, 0, this.#at);
    this.#at = 0;
    if (this.#bytes.length > WRITER_BYTES_KEPT) {
      this.#bytes = Buffer.allocUnsafeSlow(WRITER_BYTES_MIN);
    }
    return datum;
  }

  /** Forgets what was written. */
  clear(): void {
    this.#at = 0;
  }

  #room(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }

  /** An int or a long, within ± 2^51. */
  integer(value: number): void {
    this.#room(VARINT_BYTES_MAX);
    if (value >= 0 && value < 64) this.#bytes[this.#at++] = value * 2;
    else this.#at = writeInteger(this.#bytes, this.#at, value);
  }

  boolean(value: boolean): void {
    this.#room(1);
    this.#bytes[this.#at++] = value ? 1 : 0;
  }

  text(value: string): void {
    const units = value.length;
    this.#room(units * UNIT_BYTES_MAX + VARINT_BYTES_MAX);
    if (units > SHORT_UNITS || !this.#ascii(value)) this.#utf8(value);
  }

  /** Branch 0 of `["null", "string"]` for null, else branch 1. */
  optionalText(value: string | null): void {
    if (value === null) {
      this.integer(0);
      return;
    }
    this.integer(1);
    this.text(value);
  }

  /** A short text of ASCII, or false and nothing written. */
  #ascii(value: string): boolean {
    const bytes = this.#bytes;
    let at = this.#at;
    bytes[at++] = value.length * 2;
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index);
      if (code >= 0x80) return false;
      bytes[at++] = code;
    }
    this.#at = at;
    return true;
  }

  /** Guesses the size of the length from the characters, and moves the text where it was wrong. */
  #utf8(value: string): void {
    const bytes = this.#bytes;
    const start = writeInteger(bytes, this.#at, value.length);
    const size = bytes.write(value, start, 'utf8');
    if (size === value.length) {
      this.#at = start + size;
      return;
    }
    const moved = writeInteger(bytes, this.#at, size);
    if (moved !== start) bytes.write(value, moved, 'utf8');
    this.#at = moved + size;
  }

  optionalInteger(value: number | null): void {
    if (value === null) {
      this.integer(0);
      return;
    }
    this.integer(1);
    this.integer(value);
  }

  /** `map<string>`, keys in the order of the object, in one block as avsc writes it. */
  textMap(map: Record<string, string>): void {
    const keys = Object.keys(map);
    if (keys.length > 0) {
      this.integer(keys.length);
      for (let index = 0; index < keys.length; index++) {
        const key = keys[index]!;
        this.text(key);
        this.text(map[key]!);
      }
    }
    this.integer(0);
  }

  /** `array<string>`. */
  textList(list: readonly string[]): void {
    if (list.length > 0) {
      this.integer(list.length);
      for (const item of list) this.text(item);
    }
    this.integer(0);
  }
}

/** Words that are remembered: as many slots, and no longer than. */
const WORD_SLOTS = 4_096;
const WORD_BYTES_MAX = 40;
const words: string[] = new Array<string>(WORD_SLOTS).fill('');

const INT_MAX = 0x7fffffff;
const NO_BYTES = Buffer.alloc(0);

export class DatumReader {
  #bytes: Buffer = NO_BYTES;
  #at = 0;
  #end = 0;
  #isBroken = false;
  /** Where the current block has to end by its own size, or -1. */
  #blockEnd = -1;

  /** Starts on a datum; `finish` lets it go. */
  start(bytes: Buffer, from: number): void {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = bytes.length;
    this.#isBroken = false;
    this.#blockEnd = -1;
  }

  /** True when nothing was wrong and every byte was read. */
  finish(): boolean {
    const isWhole = !this.#isBroken && this.#at === this.#end;
    this.#bytes = NO_BYTES;
    return isWhole;
  }

  /** True once something was wrong; what is read from then on means nothing. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  #break(): number {
    this.#isBroken = true;
    this.#at = this.#end;
    return 0;
  }

  /** A long, exact within ± 2^52 and rounded beyond. 0 where broken. */
  integer(): number {
    const bytes = this.#bytes;
    if (this.#at >= this.#end) return this.#break();
    const first = bytes[this.#at]!;
    if (first < 0x80) {
      this.#at++;
      return (first & 1) === 0 ? first >>> 1 : -((first + 1) >>> 1);
    }
    return this.#longInteger(first);
  }

  #longInteger(first: number): number {
    const bytes = this.#bytes;
    const limit = Math.min(this.#end, this.#at + VARINT_BYTES_MAX);
    let at = this.#at + 1;
    let value = first & 0x7f;
    let scale = 128;
    for (;;) {
      if (at >= limit) return this.#break();
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    // The tenth byte holds the one bit that is left of 64.
    if (at - this.#at === VARINT_BYTES_MAX && bytes[at - 1]! > 1) return this.#break();
    this.#at = at;
    return (first & 1) === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** An int, which is a long of 32 bits. */
  int(): number {
    const value = this.integer();
    return value >= -INT_MAX - 1 && value <= INT_MAX ? value : this.#break();
  }

  optionalInt(): number | null {
    return this.isPresent() ? this.int() : null;
  }

  boolean(): boolean {
    const byte = this.#at < this.#end ? this.#bytes[this.#at++]! : 2;
    if (byte > 1) this.#break();
    return byte === 1;
  }

  /** The branch of a union of null and one other: true for the other. */
  isPresent(): boolean {
    const byte = this.#at < this.#end ? this.#bytes[this.#at]! : 0xff;
    if (byte !== 0 && byte !== 2) return this.#longBranch();
    this.#at++;
    return byte === 2;
  }

  /** A branch number may be padded with empty groups of seven bits. */
  #longBranch(): boolean {
    const branch = this.integer();
    if (branch !== 0 && branch !== 1) this.#break();
    return branch === 1;
  }

  /** The size of a text whose bytes are all there; 0 where broken. */
  #size(): number {
    const size = this.integer();
    return size >= 0 && size <= this.#end - this.#at ? size : this.#break();
  }

  text(): string {
    const size = this.#size();
    if (size === 0) return '';
    return this.#slice(size);
  }

  #slice(size: number): string {
    const from = this.#at;
    this.#at = from + size;
    const text = this.#bytes.toString('utf8', from, from + size);
    // What is no UTF-8 is read as this character, but so is the character itself.
    if (text.includes('\ufffd') && !isUtf8(this.#bytes.subarray(from, from + size))) this.#break();
    return text;
  }

  optionalText(): string | null {
    return this.isPresent() ? this.text() : null;
  }

  optionalWord(): string | null {
    return this.isPresent() ? this.word() : null;
  }

  /** A text that likely comes again: a name, a key. */
  word(): string {
    const size = this.#size();
    if (size === 0) return '';
    if (size > WORD_BYTES_MAX) return this.#slice(size);
    const bytes = this.#bytes;
    const from = this.#at;
    const to = from + size;
    let hash = size;
    for (let at = from; at < to; at++) hash = (Math.imul(hash, 31) + bytes[at]!) | 0;
    const slot = (hash ^ (hash >>> 15)) & (WORD_SLOTS - 1);
    const known = words[slot]!;
    if (known.length === size && this.#isAscii(known, from)) {
      this.#at = to;
      return known;
    }
    const text = this.#slice(size);
    if (text.length === size) words[slot] = text;
    return text;
  }

  /** Whether the bytes from `from` are the characters of an ASCII text. */
  #isAscii(text: string, from: number): boolean {
    const bytes = this.#bytes;
    for (let index = 0; index < text.length; index++) {
      if (bytes[from + index] !== text.charCodeAt(index)) return false;
    }
    return true;
  }

  /**
   * Entries of the next block of a map or list of texts, 0 at its end. Each takes `entryBytes` at
   * least: a larger count is a lie.
   */
  #block(entryBytes: number): number {
    if (this.#blockEnd >= 0 && this.#blockEnd !== this.#at) return this.#break();
    this.#blockEnd = -1;
    let count = this.integer();
    if (count < 0) {
      count = -count;
      const size = this.integer();
      if (!(size >= 0 && size <= this.#end - this.#at)) return this.#break();
      this.#blockEnd = this.#at + size;
    }
    return count * entryBytes <= this.#end - this.#at ? count : this.#break();
  }

  /** `map<string>`, without prototype. Of a key that comes twice, the last value. */
  textMap(): Record<string, string> {
    const map: Record<string, string> = Object.create(null);
    for (let left = this.#block(2); left > 0; left = this.#block(2)) {
      while (left-- > 0) {
        const key = this.word();
        map[key] = this.text();
      }
    }
    return map;
  }

  /** `array<string>`. */
  textList(): string[] {
    const list: string[] = [];
    for (let left = this.#block(1); left > 0; left = this.#block(1)) {
      while (left-- > 0) list.push(this.text());
    }
    return list;
  }
}
