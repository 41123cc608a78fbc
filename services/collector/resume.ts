/**
 * Databricks overwrites a delivered object with the same lines and more behind them. What of such
 * an object was collected before is recognised here by its hash and left out. Pure.
 *
 * Where the hash does not match, the object counts as new from its first byte: sending a line twice
 * is harmless, because everything downstream knows an event by its id; leaving one out is not.
 */
import { createHash } from 'node:crypto';
import type { LedgerEntry } from './ledger.ts';

/** How far an object was collected. */
export type Done = Pick<LedgerEntry, 'doneBytes' | 'doneLines' | 'doneHash'>;

export const NOTHING_DONE: Done = {
  doneBytes: 0,
  doneLines: 0,
  doneHash: createHash('sha256').digest('hex'),
};

const LF = 0x0a;

export class DoneTracker {
  readonly #before: Done;
  readonly #hash = createHash('sha256');
  #position = 0;
  #done: Done;

  constructor(before: Done) {
    this.#before = before;
    this.#done = before;
  }

  /** How far the object is collected when every line that has ended is. */
  get done(): Done {
    return this.#done;
  }

  /**
   * Takes the next decompressed bytes; gives those not collected before, or `changed` where what
   * was collected is not what is there now.
   */
  take(chunk: Buffer): Buffer | 'changed' {
    const inside = Math.min(chunk.length, Math.max(0, this.#before.doneBytes - this.#position));
    if (inside > 0) {
      this.#hash.update(chunk.subarray(0, inside));
      this.#position += inside;
      const complete = this.#position === this.#before.doneBytes;
      if (complete && this.#hash.copy().digest('hex') !== this.#before.doneHash) return 'changed';
    }
    const fresh = chunk.subarray(inside);
    this.#advance(fresh);
    return fresh;
  }

  /** At the end of the input: false where it is shorter than what was collected. */
  reachedBefore(): boolean {
    return this.#position >= this.#before.doneBytes;
  }

  #advance(fresh: Buffer): void {
    const end = fresh.lastIndexOf(LF) + 1;
    if (end > 0) {
      this.#hash.update(fresh.subarray(0, end));
      this.#done = {
        doneBytes: this.#position + end,
        doneLines: this.#done.doneLines + countLineEnds(fresh, end),
        doneHash: this.#hash.copy().digest('hex'),
      };
    }
    this.#hash.update(fresh.subarray(end));
    this.#position += fresh.length;
  }
}

function countLineEnds(bytes: Buffer, end: number): number {
  let count = 0;
  for (let at = bytes.indexOf(LF); at >= 0 && at < end; at = bytes.indexOf(LF, at + 1)) count += 1;
  return count;
}
