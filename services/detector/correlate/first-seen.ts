/**
 * `first_seen`: values that the group has not had within the timespan before, once the group is known
 * for the learning time. In strict order of event time; several fields are one tuple. A group from
 * which nothing came for a whole timespan is learnt anew.
 */
import type { Reader, Writer } from './bytes.ts';
import type { Entry } from './entry.ts';
import { tupleKey, tupleOf } from './figures.ts';
import { bare, type Fire, firing, type NodeKind, type NodeState } from './node-state.ts';
import type { PlanNode } from './plan.ts';
import { spanText } from './thresholds.ts';

export function firstSeen(node: PlanNode): NodeKind {
  return {
    open: () => new KnownValues(node),
    read: (reader) => KnownValues.read(node, reader),
  };
}

class KnownValues implements NodeState {
  readonly #node: PlanNode;
  readonly #learnMs: number;
  readonly #fields: readonly string[];
  /** Since when the group is known, and its newest event. */
  #since = 0;
  #newest = Number.NEGATIVE_INFINITY;
  /** When each was last seen, oldest first. */
  #seen = new Map<string, number>();

  constructor(node: PlanNode) {
    const { stateful } = node;
    if (stateful.kind !== 'first_seen') throw new Error('not first_seen');
    this.#node = node;
    this.#learnMs = stateful.learnMs;
    this.#fields = stateful.fields;
  }

  step(at: number, events: readonly Entry[], fire: Fire): void {
    const { timespanMs, fieldsAt } = this.#node;
    for (const event of events) {
      const key = tupleKey(event.values, fieldsAt);
      if (key === null) continue;
      if (at - this.#newest > timespanMs) this.#since = at;
      this.#newest = at;
      const last = this.#seen.get(key);
      const isNew = last === undefined || at - last > timespanMs;
      this.#seen.delete(key);
      this.#seen.set(key, at);
      if (at - this.#since >= this.#learnMs) this.#tell(event, isNew, fire);
    }
    for (const [key, last] of this.#seen) {
      if (at - last <= timespanMs) break;
      this.#seen.delete(key);
    }
  }

  #tell(event: Entry, isNew: boolean, fire: Fire): void {
    const values = tupleOf(event.values, this.#node.fieldsAt)!;
    const shown = this.#fields.map((field, n) => `${field} ${values[n]}`).join(', ');
    const reason = `${shown} for the first time in ${spanText(this.#node.timespanMs)}`;
    fire({
      ...firing(event, [bare(event)], reason),
      value: JSON.stringify(values),
      isUpdate: !isNew,
    });
  }

  deadline(): number {
    return Number.POSITIVE_INFINITY;
  }

  forgetAfter(): number {
    return this.#newest + this.#node.timespanMs;
  }

  size(): number {
    return this.#seen.size;
  }

  write(writer: Writer): void {
    writer.whole(this.#since);
    writer.since(this.#newest);
    writer.count(this.#seen.size);
    let time = this.#since;
    for (const [key, last] of this.#seen) {
      writer.text(key);
      writer.whole(last - time);
      time = last;
    }
  }

  static read(node: PlanNode, reader: Reader): KnownValues {
    const made = new KnownValues(node);
    made.#since = reader.whole();
    made.#newest = reader.since();
    let time = made.#since;
    for (let n = reader.length(); n > 0 && !reader.failed; n -= 1) {
      const key = reader.text();
      time += reader.whole();
      made.#seen.set(key, time);
    }
    return made;
  }
}
