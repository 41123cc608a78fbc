/**
 * `baseline`: a period of the group that stands out from its own history. Periods are aligned to the
 * epoch. The history of a period that begins at p are the periods with activity that begin in
 * [p − history, p − exclude): what is newest is left out, so that an attack that goes on for days does
 * not make itself normal. Days without activity are no part of it.
 *
 * Judged at each instant of the running period, with all that came in it up to then, as soon as the
 * figure is above the fence: mean + factor × standard deviation (of the population), or third
 * quartile + factor × interquartile range, which is taken as `spreadMin` at least. A figure below
 * `floor` is never one; with too few active periods `coldStart` alone decides.
 */
import type { Reader, Writer } from './bytes.ts';
import { type Entry, readAddedRank, readEntries, writeEntries, writeRank } from './entry.ts';
import { deviationOf, meanOf, percentileOf, tupleKey } from './figures.ts';
import { bare, type Fire, firing, type NodeKind, type NodeState } from './node-state.ts';
import type { PlanNode } from './plan.ts';
import { spanText } from './thresholds.ts';
import { NO_RANK } from './types.ts';

type BaselineKind = Extract<PlanNode['stateful'], { kind: 'baseline' }>;

/** Events of the running period that an alert shows. */
const SHOWN_MAX = 50;

export function baseline(node: PlanNode): NodeKind {
  const { stateful } = node;
  if (stateful.kind !== 'baseline') throw new Error('not a baseline');
  return {
    open: () => new History(node, stateful),
    read: (reader) => History.read(node, stateful, reader),
  };
}

/** Above what the running period stands out; a figure that is equal does not, save at a cold start. */
interface Fence {
  limit: number;
  isCold: boolean;
  text: string;
}

class History implements NodeState {
  readonly #node: PlanNode;
  readonly #kind: BaselineKind;
  /** Completed periods with activity, oldest first. */
  #periods: Array<{ start: number; figure: number }> = [];
  /** Start of the running period. */
  #start = Number.NEGATIVE_INFINITY;
  #events = 0;
  #keys = new Set<string>();
  #shown: Entry[] = [];
  /** The highest rank in the running period. */
  #rank = NO_RANK;
  #fence: Fence | null = null;

  constructor(node: PlanNode, kind: BaselineKind) {
    this.#node = node;
    this.#kind = kind;
  }

  step(at: number, events: readonly Entry[], fire: Fire): void {
    let last: Entry | null = null;
    for (const event of events) {
      if (last?.id === event.id) continue;
      const counted = this.#kind.measure === 'value_count';
      const key = counted ? tupleKey(event.values, this.#node.fieldsAt) : '';
      if (key === null) continue;
      if (last === null) this.#enter(Math.floor(at / this.#kind.periodMs) * this.#kind.periodMs);
      last = event;
      this.#events += 1;
      this.#rank = Math.max(this.#rank, event.rank);
      if (counted) this.#keys.add(key);
      if (this.#shown.length < SHOWN_MAX) this.#shown.push(bare(event));
    }
    if (last !== null) this.#judge(last, fire);
  }

  #enter(start: number): void {
    if (start === this.#start) return;
    if (this.#events > 0) this.#periods.push({ start: this.#start, figure: this.#figure() });
    const oldest = start - this.#kind.historyMs;
    this.#periods = this.#periods.filter((period) => period.start >= oldest);
    this.#start = start;
    this.#events = 0;
    this.#keys.clear();
    this.#shown = [];
    this.#rank = NO_RANK;
    this.#fence = null;
  }

  #figure(): number {
    return this.#kind.measure === 'value_count' ? this.#keys.size : this.#events;
  }

  #judge(last: Entry, fire: Fire): void {
    this.#fence ??= this.#fenceOf();
    const { limit, isCold, text } = this.#fence;
    const figure = this.#figure();
    if (figure < this.#kind.floor || !(isCold ? figure >= limit : figure > limit)) return;
    const what =
      this.#kind.measure === 'value_count'
        ? `${figure} different values of ${this.#kind.fields.join(', ')}`
        : `${figure} events`;
    const reason = `${what} in a period of ${spanText(this.#kind.periodMs)}, ${text}`;
    const isShown = this.#shown.some(({ time, id }) => time === last.time && id === last.id);
    const entries = isShown ? this.#shown : [...this.#shown, bare(last)];
    fire({ ...firing(last, entries, reason), total: this.#events, rank: this.#rank });
  }

  #fenceOf(): Fence {
    const { excludeMs, periodsMin, coldStart, method, factor, spreadMin } = this.#kind;
    const end = this.#start - excludeMs;
    const figures = this.#periods
      .filter((period) => period.start < end)
      .map(({ figure }) => figure);
    if (figures.length < Math.max(1, periodsMin)) {
      const limit = coldStart ?? Number.POSITIVE_INFINITY;
      const text = `the limit without a history is ${limit}`;
      return { limit, isCold: true, text };
    }
    if (method === 'zscore') {
      const mean = meanOf(figures);
      const deviation = deviationOf(figures);
      const limit = mean + factor * deviation;
      const of = `mean ${rounded(mean)}, standard deviation ${rounded(deviation)}`;
      const text = `the limit is ${rounded(limit)} (${of} of ${figures.length} periods)`;
      return { limit, isCold: false, text };
    }
    const [low, high] = [percentileOf(figures, 25), percentileOf(figures, 75)];
    const limit = high + factor * Math.max(high - low, spreadMin);
    const of = `quartiles ${rounded(low)} and ${rounded(high)} of ${figures.length} periods`;
    return { limit, isCold: false, text: `the limit is ${rounded(limit)} (${of})` };
  }

  deadline(): number {
    return Number.POSITIVE_INFINITY;
  }

  forgetAfter(): number {
    return this.#start + this.#kind.historyMs + this.#kind.periodMs;
  }

  size(): number {
    return this.#periods.length + this.#keys.size + this.#shown.length;
  }

  write(writer: Writer): void {
    writer.byte(this.#events === 0 ? 0 : 1);
    if (this.#events === 0) return;
    writer.whole(this.#start);
    writer.count(this.#events);
    writer.count(this.#periods.length);
    for (const { start, figure } of this.#periods) {
      writer.whole(this.#start - start);
      writer.count(figure);
    }
    writer.count(this.#keys.size);
    for (const key of this.#keys) writer.text(key);
    writeEntries(writer, this.#shown);
    writeRank(writer, this.#rank);
  }

  static read(node: PlanNode, kind: BaselineKind, reader: Reader): History {
    const made = new History(node, kind);
    if (reader.byte() === 0) return made;
    made.#start = reader.whole();
    made.#events = reader.count();
    made.#periods = Array.from({ length: reader.length() }, () => ({
      start: made.#start - reader.whole(),
      figure: reader.count(),
    }));
    for (let n = reader.length(); n > 0 && !reader.failed; n -= 1) made.#keys.add(reader.text());
    made.#shown = readEntries(reader, node.children.length);
    made.#rank = readAddedRank(reader);
    return made;
  }
}

function rounded(figure: number): string {
  return String(Math.round(figure * 100) / 100);
}
