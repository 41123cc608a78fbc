/**
 * Bytes four at a time, and texts that come again and again in them (names, user agents): the
 * second time, the string of the first is given, so that nothing is decoded, hashed or thrown
 * away. ASCII only; any other text is decoded each time. Memory is bounded by slots and length.
 */

const NO_BYTES = Buffer.alloc(0);

/** The bytes of one record, and the same bytes as 32-bit numbers, little endian. */
export class WideBytes {
  bytes: Buffer = NO_BYTES;
  /** All of the memory that the bytes are a part of. */
  fours: DataView = new DataView(NO_BYTES.buffer);
  /** Where in `fours` the bytes start. */
  offset = 0;

  /** The bytes, and the memory they are a part of, are held until the next start. */
  start(bytes: Buffer): void {
    this.bytes = bytes;
    this.offset = bytes.byteOffset;
    // Records of one fetch share their memory.
    if (this.fours.buffer !== bytes.buffer) this.fours = new DataView(bytes.buffer);
  }

  /** Whether all of these bytes are ASCII. */
  isAscii(from: number, to: number): boolean {
    const { fours, bytes, offset } = this;
    let bits = 0;
    let at = from;
    for (; at + 4 <= to; at += 4) bits |= fours.getInt32(offset + at, true);
    for (; at < to; at += 1) bits |= bytes[at]!;
    return (bits & HIGH_BITS) === 0;
  }

  /**
   * Whether three bytes in a row, upper case taken for lower, may be a run of the filter (a bit for
   * each `runHash`), or whether that cannot be told: there are bytes that are not ASCII, or
   * characters written as `\\u` and their number.
   */
  mayHaveRun(from: number, to: number, filter: Uint8Array): boolean {
    const { bytes } = this;
    let first = 0;
    let second = 0;
    for (let at = from; at < to; at += 1) {
      const third = LOWER[bytes[at]!]!;
      if (third >= 0x80 || (third === LETTER_U && second === BACKSLASH)) return true;
      const hash = runHash(first, second, third);
      if ((filter[hash >> 3]! & (1 << (hash & 7))) !== 0) return true;
      first = second;
      second = third;
    }
    return false;
  }

  /**
   * Whether the bytes may be a text of one of these lengths and first characters (a bit for each,
   * modulo 32; upper case and lower case of a letter have one bit), or are not all ASCII.
   */
  mayBeShaped(from: number, to: number, lengths: number, firsts: number): boolean {
    const isLength = (lengths & (1 << ((to - from) & 31))) !== 0;
    if (isLength && (from === to || (firsts & (1 << (this.bytes[from]! & 31))) !== 0)) return true;
    return !this.isAscii(from, to);
  }

  /** Whether the word stands at `from`; its last byte is within the bytes. */
  isWord(from: number, word: WideWord): boolean {
    const { fours, offset } = this;
    const last = word.fours.length - 1;
    for (let index = 0; index < last; index += 1) {
      if (fours.getInt32(offset + from + index * 4, true) !== word.fours[index]) return false;
    }
    return fours.getInt32(offset + from + word.size - 4, true) === word.fours[last];
  }
}

const HIGH_BITS = 0x80808080 | 0;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const LOWER = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte,
);

const RUN_HASH_BITS = 16;
/** Bytes of a filter of runs. */
export const RUN_FILTER_BYTES = 1 << (RUN_HASH_BITS - 3);

/** Of three characters in a row. */
export function runHash(first: number, second: number, third: number): number {
  return (Math.imul(first, 961) + Math.imul(second, 31) + third) & ((1 << RUN_HASH_BITS) - 1);
}

export const WORD_UNITS_MIN = 4;

/** An ASCII text of four characters or more; its last four may overlap those before. */
export interface WideWord {
  readonly fours: Int32Array;
  readonly size: number;
}

export function wideWord(text: string): WideWord {
  const bytes = Buffer.from(text);
  const fours: number[] = [];
  for (let at = 0; at + 4 < bytes.length; at += 4) fours.push(bytes.readInt32LE(at));
  fours.push(bytes.readInt32LE(bytes.length - 4));
  return { fours: Int32Array.from(fours), size: bytes.length };
}

export class ByteWords {
  readonly #texts: string[];
  /** The bytes of each slot's text. */
  readonly #slab: DataView;
  readonly #mask: number;
  readonly #bytesMax: number;

  /** `slots` is a power of two; longer texts than `bytesMax` are not remembered. */
  constructor(slots: number, bytesMax: number) {
    this.#texts = new Array<string>(slots).fill('');
    this.#slab = new DataView(new ArrayBuffer(slots * bytesMax));
    this.#mask = slots - 1;
    this.#bytesMax = bytesMax;
  }

  /** The text of bytes that are known to be UTF-8. */
  text(wide: WideBytes, from: number, to: number): string {
    const size = to - from;
    if (size === 0) return '';
    if (size > this.#bytesMax) return wide.bytes.toString('utf8', from, to);
    const slot = hashOf(wide, from, to) & this.#mask;
    const known = this.#texts[slot]!;
    if (known.length === size && this.#isSame(slot, wide, from, size)) return known;
    return this.#learn(slot, wide, from, to);
  }

  #isSame(slot: number, wide: WideBytes, from: number, size: number): boolean {
    const slab = this.#slab;
    const base = slot * this.#bytesMax;
    const { fours } = wide;
    const start = wide.offset + from;
    let at = 0;
    for (; at + 4 <= size; at += 4) {
      if (slab.getInt32(base + at, true) !== fours.getInt32(start + at, true)) return false;
    }
    for (; at < size; at += 1) {
      if (slab.getUint8(base + at) !== fours.getUint8(start + at)) return false;
    }
    return true;
  }

  #learn(slot: number, wide: WideBytes, from: number, to: number): string {
    const text = wide.bytes.toString('utf8', from, to);
    // One character a byte: ASCII.
    if (text.length === to - from) {
      this.#texts[slot] = text;
      const base = slot * this.#bytesMax;
      for (let at = from; at < to; at += 1) this.#slab.setUint8(base + at - from, wide.bytes[at]!);
    }
    return text;
  }
}

/** Up to here every byte goes into the hash; of longer texts the ends and the middle. */
const WHOLE_BYTES = 8;

function hashOf(wide: WideBytes, from: number, to: number): number {
  const { fours, bytes } = wide;
  const start = wide.offset + from;
  const size = to - from;
  let hash = size;
  if (size < WHOLE_BYTES) {
    for (let at = from; at < to; at += 1) hash = (Math.imul(hash, 31) + bytes[at]!) | 0;
  } else {
    const middle = start + (size >> 1) - 2;
    hash = Math.imul(hash ^ fours.getInt32(start, true), 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ fours.getInt32(middle, true), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13) ^ fours.getInt32(start + size - 4, true), 0xc2b2ae35);
  }
  return hash ^ (hash >>> 15);
}
