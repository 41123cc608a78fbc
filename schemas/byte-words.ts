/**
 * Texts that come again and again in bytes (names, user agents): the second time, the string of
 * the first is given, so that nothing is decoded, hashed or thrown away. ASCII only; any other text
 * is decoded each time. Memory is bounded by slots and length.
 */

/** Up to here every byte goes into the hash; of longer texts some from each end and the middle. */
const WHOLE_BYTES = 16;

export class ByteWords {
  readonly #words: string[];
  readonly #mask: number;
  readonly #bytesMax: number;

  /** `slots` is a power of two; longer texts than `bytesMax` are not remembered. */
  constructor(slots: number, bytesMax: number) {
    this.#words = new Array<string>(slots).fill('');
    this.#mask = slots - 1;
    this.#bytesMax = bytesMax;
  }

  /** The text of bytes that are known to be UTF-8. */
  text(bytes: Buffer, from: number, to: number): string {
    const size = to - from;
    if (size === 0) return '';
    if (size > this.#bytesMax) return bytes.toString('utf8', from, to);
    const slot = hashOf(bytes, from, to) & this.#mask;
    const known = this.#words[slot]!;
    if (known.length === size && isSame(known, bytes, from)) return known;
    const text = bytes.toString('utf8', from, to);
    // One character a byte: ASCII.
    if (text.length === size) this.#words[slot] = text;
    return text;
  }
}

function hashOf(bytes: Buffer, from: number, to: number): number {
  let hash = to - from;
  if (to - from <= WHOLE_BYTES) {
    for (let at = from; at < to; at += 1) hash = (Math.imul(hash, 31) + bytes[at]!) | 0;
  } else {
    const middle = (from + to) >> 1;
    for (let index = 0; index < 5; index += 1) {
      hash = (Math.imul(hash, 31) + bytes[from + index * 3]!) | 0;
      hash = (Math.imul(hash, 31) + bytes[middle + index]!) | 0;
      hash = (Math.imul(hash, 31) + bytes[to - 1 - index]!) | 0;
    }
  }
  return hash ^ (hash >>> 15);
}

function isSame(text: string, bytes: Buffer, from: number): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (bytes[from + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}
