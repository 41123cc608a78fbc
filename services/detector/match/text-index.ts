/**
 * Many texts looked for inside one value at once, at a cost that goes with the value's length and
 * hardly with the number of texts: each text is filed under one of its runs of three characters,
 * and the value's own runs are looked up. What is found may be more than what is there.
 */

const HASH_BITS = 16;
const HASH_MASK = (1 << HASH_BITS) - 1;
function hashOf(first: number, second: number, third: number): number {
  return (Math.imul(first, 961) + Math.imul(second, 31) + third) & HASH_MASK;
}

export class TextIndex<T> {
  readonly #filter = new Uint8Array(1 << (HASH_BITS - 3));
  readonly #buckets = new Map<number, T[]>();

  /** `text` has three characters or more. */
  add(text: string, entry: T): void {
    let best = -1;
    let bestSize = Number.POSITIVE_INFINITY;
    for (let at = 2; at < text.length; at += 1) {
      const hash = hashOf(text.charCodeAt(at - 2), text.charCodeAt(at - 1), text.charCodeAt(at));
      const size = this.#buckets.get(hash)?.length ?? 0;
      // The emptiest keeps what is found in vain small; of equals the last, starts are often alike.
      if (size > bestSize) continue;
      best = hash;
      bestSize = size;
    }
    const bucket = this.#buckets.get(best);
    if (bucket === undefined) this.#buckets.set(best, [entry]);
    else bucket.push(entry);
    this.#filter[best >> 3]! |= 1 << (best & 7);
  }

  /** Adds the entries whose text may be inside the value; an entry may be added more than once. */
  find(value: string, found: T[]): void {
    const filter = this.#filter;
    let first = value.charCodeAt(0);
    let second = value.charCodeAt(1);
    for (let at = 2; at < value.length; at += 1) {
      const third = value.charCodeAt(at);
      const hash = hashOf(first, second, third);
      if ((filter[hash >> 3]! & (1 << (hash & 7))) !== 0) {
        for (const entry of this.#buckets.get(hash)!) found.push(entry);
      }
      first = second;
      second = third;
    }
  }
}
