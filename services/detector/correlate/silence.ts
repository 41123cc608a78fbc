/**
 * `silence`: a group that was there, and from which nothing came for the timespan after its last
 * event. An event exactly a timespan later still breaks it. Once for each silence; the last event
 * before it decides.
 */
import type { Reader, Writer } from './bytes.ts';
import { type Entry, readEntries, writeEntries } from './entry.ts';
import { bare, type Fire, firing, type NodeKind, type NodeState } from './node-state.ts';
import type { PlanNode } from './plan.ts';
import { spanText } from './thresholds.ts';

export function silence(node: PlanNode): NodeKind {
  return {
    open: () => new LastEvent(node, null),
    read: (reader: Reader) =>
      new LastEvent(node, readEntries(reader, node.children.length)[0] ?? null),
  };
}

class LastEvent implements NodeState {
  readonly #node: PlanNode;
  #last: Entry | null;

  constructor(node: PlanNode, last: Entry | null) {
    this.#node = node;
    this.#last = last;
  }

  step(at: number, events: readonly Entry[], fire: Fire): void {
    const newest = events.at(-1);
    if (newest !== undefined) this.#last = newest;
    const last = this.#last;
    if (last === null || at < last.time + this.#node.timespanMs) return;
    this.#last = null;
    fire(firing(last, [bare(last)], `nothing came for ${spanText(this.#node.timespanMs)}`));
  }

  deadline(): number {
    const last = this.#last;
    return last === null ? Number.POSITIVE_INFINITY : last.time + this.#node.timespanMs;
  }

  forgetAfter(): number {
    return (this.#last?.time ?? Number.NEGATIVE_INFINITY) + this.#node.timespanMs;
  }

  size(): number {
    return this.#last === null ? 0 : 1;
  }

  write(writer: Writer): void {
    writeEntries(writer, this.#last === null ? [] : [this.#last]);
  }
}
