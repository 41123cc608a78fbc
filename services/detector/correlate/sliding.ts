/**
 * Sliding windows in order: conditions that grow (inside chains), ordered sequences, and computed
 * values (sum, average, percentile) compared from below. Judged once at each instant that has
 * events, over the closed window [t − timespan, t].
 */
import type { Reader, Writer } from './bytes.ts';
import { compareEntries, type Entry, lowerBound, readEntries, writeEntries } from './entry.ts';
import { decimalOf, percentileOf, sumOf, tupleKey } from './figures.ts';
import { bare, type Fire, firing, type NodeKind, type NodeState } from './node-state.ts';
import type { PlanNode } from './plan.ts';
import { holds, spanText, thresholdText } from './thresholds.ts';
import { type WindowCondition, windowCondition } from './window-condition.ts';

type AggregateKind = Extract<PlanNode['stateful'], { kind: 'aggregate' }>;

/** Conditions of `windowCondition`. */
export function slidingCondition(node: PlanNode, entriesMax: number): NodeKind {
  const condition = windowCondition(node);
  const make = (entries: Entry[]): NodeState =>
    new ConditionWindow(node, condition, entriesMax, entries);
  return {
    open: () => make([]),
    read: (reader) => make(readEntries(reader, node.children.length)),
  };
}

/** `value_sum`, `value_avg`, `value_percentile` with `gt` and `gte`. */
export function slidingFigures(node: PlanNode): NodeKind {
  const make = (entries: Entry[]): NodeState => new FigureWindow(node, entries);
  return {
    open: () => make([]),
    read: (reader: Reader) => make(readEntries(reader, node.children.length)),
  };
}

abstract class SlidingWindow implements NodeState {
  protected readonly node: PlanNode;
  protected entries: Entry[];

  constructor(node: PlanNode, entries: Entry[]) {
    this.node = node;
    this.entries = entries;
  }

  abstract step(at: number, events: readonly Entry[], fire: Fire): void;

  /** What is left of the window at this instant. */
  protected slide(at: number): void {
    const kept = lowerBound(this.entries, at - this.node.timespanMs);
    if (kept > 0) this.entries = this.entries.slice(kept);
  }

  /**
   * The firings of one inner alert are one event, at its latest time; save in a sequence, where an
   * earlier one may be what came before.
   */
  protected add(entry: Entry, isOne = true): void {
    if (isOne && entry.refs !== null) {
      const { id, leaf, key } = entry;
      this.entries = this.entries.filter(
        (known) => known.id !== id || known.leaf !== leaf || known.key !== key,
      );
    }
    this.entries.push(entry);
  }

  deadline(): number {
    return Number.POSITIVE_INFINITY;
  }

  forgetAfter(): number {
    return (this.entries.at(-1)?.time ?? Number.NEGATIVE_INFINITY) + this.node.timespanMs;
  }

  size(): number {
    return this.entries.length;
  }

  write(writer: Writer): void {
    writeEntries(writer, this.entries);
  }
}

class ConditionWindow extends SlidingWindow {
  readonly #condition: WindowCondition;
  readonly #entriesMax: number;

  constructor(node: PlanNode, condition: WindowCondition, entriesMax: number, entries: Entry[]) {
    super(node, entries);
    this.#condition = condition;
    this.#entriesMax = entriesMax;
  }

  step(at: number, events: readonly Entry[], fire: Fire): void {
    this.slide(at);
    const { node } = this;
    let last: Entry | null = null;
    const added: Entry[] = [];
    for (const event of events) {
      const entry = bare(event);
      if (node.fieldsAt.length > 0) {
        const key = tupleKey(event.values, node.fieldsAt);
        if (key === null) continue;
        entry.key = key;
      }
      this.#condition.identify(entry);
      added.push(entry);
      last = event;
    }
    if (last === null) return;
    added.sort(compareEntries);
    for (const [n, entry] of added.entries()) {
      // Of two of the rules, and the condition counts it once.
      if (n === 0 || compareEntries(added[n - 1]!, entry) !== 0) {
        this.add(entry, this.#condition.settledAnywhere);
      }
    }
    const { entries } = this;
    if (this.#condition.holds(entries, 0, entries.length)) {
      fire(firing(last, entries, this.#condition.reason(entries.length)));
    }
    if (entries.length > this.#entriesMax) this.entries = this.#condition.settled(entries);
  }
}

class FigureWindow extends SlidingWindow {
  step(at: number, events: readonly Entry[], fire: Fire): void {
    this.slide(at);
    const { node } = this;
    let last: Entry | null = null;
    for (const event of events) {
      const figure = figureOf(node, event);
      if (Number.isNaN(figure) || last?.id === event.id) continue;
      this.add({ ...bare(event), leaf: 0, figure });
      last = event;
    }
    if (last === null) return;
    const stateful = node.stateful as AggregateKind;
    const figure = aggregateOf(
      stateful,
      this.entries.map((entry) => entry.figure),
    );
    if (!holds(stateful.thresholds, figure)) return;
    fire(firing(last, this.entries, figureReason(node, figure)));
  }
}

export function figureOf({ fieldsAt }: PlanNode, { values }: Entry): number {
  return decimalOf(values?.[fieldsAt[0]!]);
}

/** @param figures one at least */
export function aggregateOf(
  { aggregate, percentile }: AggregateKind,
  figures: readonly number[],
): number {
  if (aggregate === 'value_sum') return sumOf(figures);
  if (aggregate === 'value_avg') return sumOf(figures) / figures.length;
  return percentileOf(figures, percentile ?? 50);
}

/** `the sum of requestParams.rows is 1200, the limit is at least 1000 within 1h`. */
export function figureReason(node: PlanNode, figure: number): string {
  const stateful = node.stateful as AggregateKind;
  const what: Record<string, string> = {
    event_count: 'the number of events',
    value_count: `the number of different values of ${stateful.fields.join(', ')}`,
    value_sum: `the sum of ${stateful.fields[0]}`,
    value_avg: `the average of ${stateful.fields[0]}`,
    value_percentile: `the ${stateful.percentile}th percentile of ${stateful.fields[0]}`,
  };
  const limit = `${thresholdText(stateful.thresholds)} within ${spanText(node.timespanMs)}`;
  return `${what[stateful.aggregate]} is ${figure}, asked for is ${limit}`;
}
