/**
 * How far a partition may be committed (promise A2): up to the first record that still waits for
 * OpenSearch or the dead-letter topic. Pure bookkeeping, no I/O.
 */
import { strict as assert } from 'node:assert';

export interface Pending {
  readonly offset: bigint;
  settled: boolean;
}

export class PartitionProgress {
  /** In offset order. */
  #pending: Pending[] = [];
  #next: bigint | null = null;

  /** Something that must be durable before `offset` is passed. Call in offset order. */
  begin(offset: bigint): Pending {
    const last = this.#pending.at(-1);
    assert(last === undefined || last.offset <= offset, 'records are taken in offset order');
    const pending = { offset, settled: false };
    this.#pending.push(pending);
    return pending;
  }

  /** Every record before `nextOffset` was judged, and what could not be read is dead-lettered. */
  passed(nextOffset: bigint): void {
    assert(this.#next === null || nextOffset >= this.#next, 'a partition only moves on');
    this.#next = nextOffset;
  }

  /** The offset to commit, or null where nothing was passed yet. */
  committable(): bigint | null {
    let done = 0;
    while (done < this.#pending.length && this.#pending[done]!.settled) done += 1;
    if (done > 0) this.#pending = this.#pending.slice(done);
    const waiting = this.#pending[0]?.offset;
    if (waiting === undefined || this.#next === null) return this.#next;
    // An alert may wait in a batch whose earlier records are not all passed yet.
    return waiting < this.#next ? waiting : this.#next;
  }
}
