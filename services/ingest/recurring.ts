/**
 * Parts of events that recur together: the same client from the same address as the same user does
 * the same with the same outcome thousands of times. Each such combination gets a number when it is first
 * met, by which answers about it can be kept. A number stands for one combination for good; a
 * combination may get several, for its place is given to another that needs it.
 */
import type { WideBytes } from '../../schemas/byte-words.ts';

/** With their bytes some 5 MB: in half as many the combinations of a busy hour drive each other out. */
const SLOTS = 16_384;
/** Slots that a combination may be in: with two, a few that come all the time drive each other out. */
const WAYS = 4;
/** Bytes of one combination, at most. */
const BYTES_MAX = 256;
/** Spans of one combination, at most. */
export const SPANS_MAX = 7;
/** A span that is not there. */
export const NO_SPAN = -1;

/** Of all tables: a number of one never stands for a combination of another. */
let nextId = 0;

export class Recurring {
  /** From and to of each span of the combination that is asked about; from is `NO_SPAN` for none. */
  readonly spans = new Int32Array(SPANS_MAX * 2);
  readonly #ids = new Float64Array(SLOTS).fill(-1);
  readonly #hashes = new Int32Array(SLOTS);
  readonly #sizes = new Int32Array(SLOTS * SPANS_MAX);
  readonly #slab = new DataView(new ArrayBuffer(SLOTS * BYTES_MAX));

  /** The number of the combination of the first `count` spans, or -1 where they are too long. */
  id(wide: WideBytes, count: number): number {
    const { spans } = this;
    let total = 0;
    let hash = 0;
    for (let index = 0; index < count; index += 1) {
      const from = spans[index * 2]!;
      if (from === NO_SPAN) {
        hash = Math.imul(hash, 31) + 1;
        continue;
      }
      const to = spans[index * 2 + 1]!;
      total += to - from;
      hash = Math.imul(hash ^ spanHash(wide, from, to), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    if (total > BYTES_MAX) return -1;
    const first = hash & (SLOTS - 1) & -WAYS;
    let oldest = first;
    for (let slot = first; slot < first + WAYS; slot += 1) {
      const id = this.#ids[slot]!;
      if (this.#hashes[slot] === hash && id !== -1 && this.#isSame(slot, wide, count)) return id;
      if (id < this.#ids[oldest]!) oldest = slot;
    }
    this.#hashes[oldest] = hash;
    return this.#learn(oldest, wide, count);
  }

  #isSame(slot: number, wide: WideBytes, count: number): boolean {
    const { spans } = this;
    const slab = this.#slab;
    const { fours, offset } = wide;
    let base = slot * BYTES_MAX;
    for (let index = 0; index < count; index += 1) {
      const from = spans[index * 2]!;
      const size = from === NO_SPAN ? NO_SPAN : spans[index * 2 + 1]! - from;
      if (this.#sizes[slot * SPANS_MAX + index] !== size) return false;
      const start = offset + from;
      let at = 0;
      // As numbers of eight bytes. The two zeros, which are equal, cannot both be UTF-8; what is not
      // a number equals nothing, and is learnt again.
      for (; at + 8 <= size; at += 8) {
        if (slab.getFloat64(base + at, true) !== fours.getFloat64(start + at, true)) return false;
      }
      for (; at < size; at += 1) {
        if (slab.getUint8(base + at) !== fours.getUint8(start + at)) return false;
      }
      if (size > 0) base += size;
    }
    return true;
  }

  #learn(slot: number, wide: WideBytes, count: number): number {
    const { spans } = this;
    let base = slot * BYTES_MAX;
    for (let index = 0; index < count; index += 1) {
      const from = spans[index * 2]!;
      const to = spans[index * 2 + 1]!;
      this.#sizes[slot * SPANS_MAX + index] = from === NO_SPAN ? NO_SPAN : to - from;
      if (from === NO_SPAN) continue;
      for (let at = from; at < to; at += 1) this.#slab.setUint8(base + at - from, wide.bytes[at]!);
      base += to - from;
    }
    const id = nextId;
    nextId += 1;
    this.#ids[slot] = id;
    return id;
  }
}

function spanHash({ fours, bytes, offset }: WideBytes, from: number, to: number): number {
  const size = to - from;
  if (size < 4) {
    let hash = size;
    for (let at = from; at < to; at += 1) hash = (Math.imul(hash, 31) + bytes[at]!) | 0;
    return hash;
  }
  const start = offset + from;
  const ends = fours.getInt32(start, true) ^ Math.imul(fours.getInt32(start + size - 4, true), 31);
  return ends ^ Math.imul(fours.getInt32(start + ((size - 4) >> 1), true), 0x85ebca6b) ^ size;
}
