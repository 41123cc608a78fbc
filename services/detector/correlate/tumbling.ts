/**
 * Conditions that more events can make false (`lt`, `lte`, `eq`, `neq`, and ranges with them) are
 * judged when a window is over: windows of one timespan, aligned to the epoch, of groups from which
 * at least one event came in it. Counting stops where the verdict cannot change any more, so a busy
 * group holds no more than a quiet one.
 */
import type { Reader, Writer } from './bytes.ts';
import { type Entry, readAddedRank, readEntries, writeEntries, writeRank } from './entry.ts';
import { tupleKey } from './figures.ts';
import { bare, type Fire, firing, type NodeKind, type NodeState } from './node-state.ts';
import type { PlanNode } from './plan.ts';
import { aggregateOf, figureOf, figureReason } from './sliding.ts';
import { countOfInterest, holds, spanText, thresholdText } from './thresholds.ts';
import { EVIDENCE_MAX, NO_RANK } from './types.ts';

const HALF = EVIDENCE_MAX / 2;

export function tumbling(node: PlanNode): NodeKind {
  return {
    open: () => new TumblingWindow(node),
    read: (reader) => TumblingWindow.read(node, reader),
  };
}

class TumblingWindow implements NodeState {
  readonly #node: PlanNode;
  readonly #interesting: number;
  /** Start of the window; null where no event is in it yet. */
  #start: number | null = null;
  #events = 0;
  #sum = 0;
  /** Distinct ids or values, as far as they are of interest; figures of a percentile. */
  #distinct = new Set<string>();
  #figures: number[] = [];
  /** By rule: whether it occurred, or how long a sequence ends with it. */
  #reach: number[];
  #first: Entry[] = [];
  #newest: Entry[] = [];
  #last: Entry | null = null;
  /** The highest rank of all of them. */
  #rank = NO_RANK;

  constructor(node: PlanNode) {
    this.#node = node;
    this.#reach = new Array<number>(node.children.length).fill(0);
    const { stateful } = node;
    this.#interesting = 'thresholds' in stateful ? countOfInterest(stateful.thresholds) : 1;
  }

  step(at: number, events: readonly Entry[], fire: Fire): void {
    const { timespanMs } = this.#node;
    const reach = this.#reach.slice();
    let last: Entry | null = null;
    for (const event of events) {
      const isAgain = last?.id === event.id && this.#node.stateful.kind === 'aggregate';
      if (isAgain && event.refs === null) continue;
      if (!this.#take(event, reach)) continue;
      last = event;
      this.#start ??= Math.floor(at / timespanMs) * timespanMs;
      this.#events += 1;
      this.#rank = Math.max(this.#rank, event.rank);
      if (this.#first.length < HALF) this.#first.push(bare(event));
      else this.#newest.push(bare(event));
      if (this.#newest.length > EVIDENCE_MAX) this.#newest = this.#newest.slice(-HALF);
    }
    this.#reach = reach;
    if (last !== null) this.#last = last;
    if (at >= this.deadline()) this.#close(fire);
  }

  /** Whether the event counts. `reach` is of this instant, `this.#reach` of those before it. */
  #take(event: Entry, reach: number[]): boolean {
    const { stateful, fieldsAt } = this.#node;
    if (stateful.kind === 'temporal') {
      const before = stateful.ordered ? Math.max(0, ...this.#reach.slice(0, event.leaf)) : 0;
      reach[event.leaf] = Math.max(reach[event.leaf]!, before + 1);
      return true;
    }
    if (stateful.kind !== 'aggregate') return false;
    if (stateful.aggregate === 'event_count') return this.#note(event.id);
    if (stateful.aggregate === 'value_count') {
      const key = tupleKey(event.values, fieldsAt);
      return key !== null && this.#note(key);
    }
    const figure = figureOf(this.#node, event);
    if (Number.isNaN(figure)) return false;
    if (event.refs !== null && this.#distinct.has(event.id)) return false;
    if (event.refs !== null) this.#note(event.id);
    this.#sum += figure;
    if (stateful.aggregate === 'value_percentile') this.#figures.push(figure);
    return true;
  }

  #note(key: string): true {
    if (this.#distinct.size < this.#interesting) this.#distinct.add(key);
    return true;
  }

  #figure(): number {
    const { stateful } = this.#node;
    if (stateful.kind === 'temporal') {
      return stateful.ordered
        ? Math.max(0, ...this.#reach)
        : this.#reach.filter((reached) => reached > 0).length;
    }
    if (stateful.kind !== 'aggregate') return 0;
    if (stateful.aggregate === 'value_sum') return this.#sum;
    if (stateful.aggregate === 'value_avg') return this.#sum / this.#events;
    if (stateful.aggregate === 'value_percentile') return aggregateOf(stateful, this.#figures);
    return this.#distinct.size;
  }

  #close(fire: Fire): void {
    const node = this.#node;
    const { stateful } = node;
    const figure = this.#figure();
    const thresholds = 'thresholds' in stateful ? stateful.thresholds : [];
    if (this.#last !== null && holds(thresholds, figure)) {
      const reason =
        stateful.kind === 'aggregate'
          ? figureReason(node, figure)
          : `${figure} of the rules, asked for is ${thresholdText(thresholds)} within ${spanText(node.timespanMs)}`;
      const entries = [...this.#first, ...this.#newest.slice(-HALF)];
      fire({ ...firing(this.#last, entries, reason), total: this.#events, rank: this.#rank });
    }
    this.#start = null;
    this.#events = 0;
    this.#sum = 0;
    this.#distinct.clear();
    this.#figures = [];
    this.#reach.fill(0);
    this.#first = [];
    this.#newest = [];
    this.#last = null;
    this.#rank = NO_RANK;
  }

  /** The last millisecond of the window: event times are whole. */
  deadline(): number {
    if (this.#start === null) return Number.POSITIVE_INFINITY;
    return this.#start + this.#node.timespanMs - 1;
  }

  forgetAfter(): number {
    return this.#start === null ? Number.NEGATIVE_INFINITY : this.deadline();
  }

  size(): number {
    return this.#distinct.size + this.#figures.length;
  }

  write(writer: Writer): void {
    writer.byte(this.#start === null ? 0 : 1);
    if (this.#start === null) return;
    writer.whole(this.#start);
    writer.count(this.#events);
    writer.double(this.#sum);
    writer.count(this.#distinct.size);
    for (const key of this.#distinct) writer.text(key);
    writer.count(this.#figures.length);
    for (const figure of this.#figures) writer.double(figure);
    for (const reached of this.#reach) writer.count(reached);
    writeEntries(writer, this.#first);
    writeEntries(writer, this.#newest);
    writeEntries(writer, this.#last === null ? [] : [this.#last]);
    writeRank(writer, this.#rank);
  }

  static read(node: PlanNode, reader: Reader): TumblingWindow {
    const made = new TumblingWindow(node);
    if (reader.byte() === 0) return made;
    const leaves = node.children.length;
    made.#start = reader.whole();
    made.#events = reader.count();
    made.#sum = reader.double();
    for (let n = reader.length(); n > 0 && !reader.failed; n -= 1)
      made.#distinct.add(reader.text());
    made.#figures = Array.from({ length: reader.length() }, () => reader.double());
    made.#reach = made.#reach.map(() => reader.count());
    made.#first = readEntries(reader, leaves);
    made.#newest = readEntries(reader, leaves);
    made.#last = readEntries(reader, leaves)[0] ?? null;
    made.#rank = readAddedRank(reader);
    if (made.#start % node.timespanMs !== 0) reader.refuse();
    return made;
  }
}
