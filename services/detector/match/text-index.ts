/**
 * Many texts looked for inside one value at once, at a cost that goes with the value's length and
 * hardly with the number of texts: each text is filed under one of its runs of three characters,
 * the value's own runs are looked up, and where one is found the text is compared in its place.
 */

import { RUN_FILTER_BYTES, runHash } from '../../../schemas/byte-words.ts';

interface Filed<T> {
  text: string;
  /** Where in the text the run is that it is filed under. */
  offset: number;
  entry: T;
}

/** The more often a character comes in names, paths, commands and queries, the higher. */
function commonness(character: string): number {
  if (/[etaoinsrl]/.test(character)) return 4;
  if (/[cdumphgb ._/=-]/.test(character)) return 3;
  return /[0-9fywvkx]/.test(character) ? 2 : 1;
}

/** Words that commands, queries and paths are full of: a run of one of them tells little. */
const USUAL_WORDS = `account count create data default delete display drop event file from function
  group having import insert into join left limit merge name null order outer partition print
  python read region return schema select session set source spark system table text time union
  update users using values version view where with workspace write ation ing ter ver est`;
const USUAL_RUNS: ReadonlySet<string> = new Set(
  USUAL_WORDS.split(/\s+/).flatMap((word) =>
    Array.from({ length: word.length - 2 }, (_, at) => word.slice(at, at + 3)),
  ),
);
/** What a run of a usual word costs more. */
const USUAL = 8;
/** Texts under one run before another run is worth looking for. */
const BUCKET_MAX = 4;

/** Keeps from runs that escapes may hide. */
const NOT_AS_IT_IS = 1_000;
/** What stands in JSON text, and in lower case, as it is. */
const AS_IT_IS = /^[a-z0-9 _.:;,(){}<>=$&|@#%*+~!?'-]{3}$/;

export class TextIndex<T> {
  readonly #filter = new Uint8Array(RUN_FILTER_BYTES);
  readonly #buckets = new Map<number, Filed<T>[]>();
  #isAsItIs = true;

  /** For values in bytes: without one of its runs none of the texts is there. Null: not to be told. */
  get filter(): Uint8Array | null {
    return this.#isAsItIs ? this.#filter : null;
  }

  /** `text` has three characters or more. */
  add(text: string, entry: T): void {
    let hash = -1;
    let offset = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let at = 0; at + 3 <= text.length; at += 1) {
      const here = runHash(text.charCodeAt(at), text.charCodeAt(at + 1), text.charCodeAt(at + 2));
      const load = this.#buckets.get(here)?.length ?? 0;
      const run = text.slice(at, at + 3);
      const common = [...run].reduce((sum, one) => sum + commonness(one), 0);
      const cost =
        common +
        (load < BUCKET_MAX ? 0 : load) +
        (USUAL_RUNS.has(run) ? USUAL : 0) +
        (AS_IT_IS.test(run) ? 0 : NOT_AS_IT_IS);
      // Of equals the last: starts are often alike.
      if (cost > least) continue;
      least = cost;
      hash = here;
      offset = at;
    }
    if (!AS_IT_IS.test(text.slice(offset, offset + 3))) this.#isAsItIs = false;
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
      const hash = runHash(first, second, third);
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
