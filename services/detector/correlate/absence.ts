/**
 * `absence`: an event of the first rule at t that no event of the second follows in [t, t + within].
 * The same millisecond is soon enough, but an event does not follow itself. Judged when the watermark
 * has passed t + within.
 */
import type { Reader, Writer } from './bytes.ts';
import { type Entry, readEntries, writeEntries } from './entry.ts';
import { bare, type Fire, firing, type NodeKind, type NodeState } from './node-state.ts';
import type { PlanNode } from './plan.ts';
import { spanText } from './thresholds.ts';

const FOLLOWER = 1;

export function absence(node: PlanNode): NodeKind {
  return {
    open: () => new Unfollowed(node, []),
    read: (reader: Reader) => new Unfollowed(node, readEntries(reader, node.children.length)),
  };
}

class Unfollowed implements NodeState {
  readonly #node: PlanNode;
  /** In order, with values and context, because one of them will decide. */
  #waiting: Entry[];

  constructor(node: PlanNode, waiting: Entry[]) {
    this.#node = node;
    this.#waiting = waiting;
  }

  step(at: number, events: readonly Entry[], fire: Fire): void {
    const { timespanMs } = this.#node;
    for (const event of events) if (event.leaf !== FOLLOWER) this.#waiting.push(event);
    for (const { leaf, id } of events) {
      if (leaf !== FOLLOWER || this.#waiting.length === 0) continue;
      // All that waits is within the span: what is older was judged at its deadline.
      this.#waiting = this.#waiting.filter((waiting) => waiting.id === id);
    }
    while (this.#waiting.length > 0 && this.#waiting[0]!.time + timespanMs <= at) {
      const event = this.#waiting.shift()!;
      fire(firing(event, [bare(event)], `nothing followed within ${spanText(timespanMs)}`));
    }
  }

  deadline(): number {
    const [oldest] = this.#waiting;
    return oldest === undefined ? Number.POSITIVE_INFINITY : oldest.time + this.#node.timespanMs;
  }

  forgetAfter(): number {
    return (this.#waiting.at(-1)?.time ?? Number.NEGATIVE_INFINITY) + this.#node.timespanMs;
  }

  size(): number {
    return this.#waiting.length;
  }

  write(writer: Writer): void {
    writeEntries(writer, this.#waiting);
  }
}
