/**
 * Many texts looked for inside one value at once, at a cost that goes with the value's length and
 * hardly with the number of texts: each text is filed under one of its runs of three characters,
 * the value's own runs are looked up, and where one is found the text is compared in its place.
 */

const HASH_BITS = 16;
const HASH_MASK = (1 << HASH_BITS) - 1;

interface Filed<T> {
  text: string;
  /** Where in the text the run is that it is filed under. */
  offset: number;
  entry: T;
}

function hashOf(first: number, second: number, third: number): number {
  return (Math.imul(first, 961) + Math.imul(second, 31) + third) & HASH_MASK;
}

/** The more often a character comes in names, paths, commands and queries, the higher. */
function commonness(character: string): number {
  if (/[etaoinsrl]/.test(character)) return 4;
  if (/[cdumphgb ._/=-]/.test(character)) return 3;
  return /[0-9fywvkx]/.test(character) ? 2 : 1;
}

export class TextIndex<T> {
  readonly #filter = new Uint8Array(1 << (HASH_BITS - 3));
  readonly #buckets = new Map<number, Filed<T>[]>();

  /** `text` has three characters or more. */
  add(text: string, entry: T): void {
    let hash = -1;
    let offset = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let at = 0; at + 3 <= text.length; at += 1) {
      const here = hashOf(text.charCodeAt(at), text.charCodeAt(at + 1), text.charCodeAt(at + 2));
      const load = this.#buckets.get(here)?.length ?? 0;
      const common = [...text.slice(at, at + 3)].reduce((sum, one) => sum + commonness(one), 0);
      // Of equals the last: starts are often alike.
      if (load * 2 + common > least) continue;
      least = load * 2 + common;
      hash = here;
      offset = at;
    }
    const filed = { text, offset, entry };
    const bucket = this.#buckets.get(hash);
    if (bucket === undefined) this.#buckets.set(hash, [filed]);
    else bucket.push(filed);
    this.#filter[hash >> 3]! |= 1 << (hash & 7);
  }

  /** Adds the entries whose text is inside the value; an entry may be added more than once. */
  find(value: string, found: T[]): void {
    const filter = this.#filter;
    let first = value.charCodeAt(0);
    let second = value.charCodeAt(1);
    for (let at = 2; at < value.length; at += 1) {
      const third = value.charCodeAt(at);
      const hash = hashOf(first, second, third);
      if ((filter[hash >> 3]! & (1 << (hash & 7))) !== 0) {
        for (const { text, offset, entry } of this.#buckets.get(hash)!) {
          const from = at - 2 - offset;
          // A place before the start would be taken for the start.
          if (from >= 0 && value.startsWith(text, from)) found.push(entry);
        }
      }
      first = second;
      second = third;
    }
  }
}
