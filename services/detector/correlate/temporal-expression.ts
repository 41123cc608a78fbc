/**
 * `temporal` and `temporal_ordered` with an expression that waits: one with `not`, or in order.
 *
 * Each event of a rule that stands without `not` opens a window [t, t + timespan]. It is judged once
 * the watermark has passed its end: which of the rules occurred in it, put into the expression. The
 * event that opened it decides, so what is negated must be absent for a timespan from there.
 * In order: some of the rules without `not`, the first of them at the opening, must have occurred in
 * their order (each a later millisecond) and make the expression true; those with `not` count
 * wherever in the window they are.
 */
import type { Reader, Writer } from './bytes.ts';
import { type Entry, lowerBound, readEntries, upperBound, writeEntries } from './entry.ts';
import { type Fire, firing, type NodeKind, type NodeState } from './node-state.ts';
import type { PlanNode } from './plan.ts';
import { expressionTest } from './temporal.ts';
import { spanText } from './thresholds.ts';

type Test = (occurred: readonly boolean[]) => boolean;

export function temporalExpression(node: PlanNode): NodeKind {
  const { stateful } = node;
  if (stateful.kind !== 'temporal_expression') throw new Error('no expression');
  const test = expressionTest(node, stateful.expression);
  const make = (entries: Entry[]): ExpressionWindows =>
    new ExpressionWindows(node, test, stateful.ordered, entries);
  return {
    open: () => make([]),
    read: (reader: Reader) => {
      const state = make(readEntries(reader, node.children.length));
      state.judged = reader.since();
      return state;
    },
  };
}

class ExpressionWindows implements NodeState {
  /** Windows that opened up to here were judged. */
  judged = Number.NEGATIVE_INFINITY;
  readonly #node: PlanNode;
  readonly #test: Test;
  readonly #ordered: boolean;
  #entries: Entry[];

  constructor(node: PlanNode, test: Test, ordered: boolean, entries: Entry[]) {
    this.#node = node;
    this.#test = test;
    this.#ordered = ordered;
    this.#entries = entries;
  }

  step(at: number, events: readonly Entry[], fire: Fire): void {
    for (const event of events) this.#entries.push({ ...event, key: '' });
    for (let due = this.deadline(); due <= at; due = this.deadline()) {
      this.#judge(due - this.#node.timespanMs, fire);
    }
    const opened = this.deadline() - this.#node.timespanMs;
    // Of the opening's own instant everything is in the window, whatever its order.
    const kept = lowerBound(this.#entries, opened);
    if (kept > 0) this.#entries = this.#entries.slice(kept);
  }

  #judge(opened: number, fire: Fire): void {
    const { timespanMs } = this.#node;
    const start = lowerBound(this.#entries, opened);
    const window = this.#entries.slice(start, upperBound(this.#entries, opened + timespanMs));
    const opener = window.find((entry) => this.#opens(entry))!;
    const isTrue = this.#ordered ? this.#holdsInOrder(window) : this.#test(this.#occurred(window));
    if (isTrue) {
      const reason = `the rules of the condition within ${spanText(timespanMs)}`;
      fire(firing(opener, window, reason));
    }
    this.judged = opened;
  }

  #opens({ leaf }: Entry): boolean {
    return this.#node.positive[leaf] === true;
  }

  #occurred(window: readonly Entry[]): boolean[] {
    const occurred = new Array<boolean>(this.#node.children.length).fill(false);
    for (const { leaf } of window) occurred[leaf] = true;
    return occurred;
  }

  /** Every choice of rules that begins with one that occurred at the opening. */
  #holdsInOrder(window: readonly Entry[]): boolean {
    const { positive } = this.#node;
    const rules = positive.flatMap((wanted, leaf) => (wanted ? [leaf] : []));
    const negated = this.#occurred(window).map((there, leaf) => there && positive[leaf] !== true);
    for (let choice = 1; choice < 2 ** rules.length; choice += 1) {
      const chosen = rules.filter((_, bit) => ((choice >> bit) & 1) === 1);
      const occurred = negated.slice();
      for (const leaf of chosen) occurred[leaf] = true;
      if (this.#test(occurred) && isSequence(window, chosen)) return true;
    }
    return false;
  }

  deadline(): number {
    const opener = this.#entries.find((entry) => entry.time > this.judged && this.#opens(entry));
    return opener === undefined ? Number.POSITIVE_INFINITY : opener.time + this.#node.timespanMs;
  }

  forgetAfter(): number {
    return (this.#entries.at(-1)?.time ?? Number.NEGATIVE_INFINITY) + this.#node.timespanMs;
  }

  size(): number {
    return this.#entries.length;
  }

  write(writer: Writer): void {
    writeEntries(writer, this.#entries);
    writer.since(this.judged);
  }
}

/** The first at the instant of the window's opening, each other one later than the one before. */
function isSequence(window: readonly Entry[], leaves: readonly number[]): boolean {
  let from = window[0]!.time;
  for (const [place, leaf] of leaves.entries()) {
    const found = window.find(
      (entry) => entry.leaf === leaf && (place === 0 ? entry.time === from : entry.time > from),
    );
    if (found === undefined) return false;
    from = found.time;
  }
  return true;
}
