/**
 * `temporal_ordered`: the rules in their order, each later than the one before. **Later is a later
 * millisecond**: events of one millisecond have no order among them, so none of them follows another,
 * and one event that several rules match is never a sequence by itself. It holds at the event that
 * ends the sequence. With a threshold, that many of the rules are enough, in their order.
 */
import type { Threshold } from '../sigma/rule.ts';
import type { Entry } from './entry.ts';
import type { PlanNode } from './plan.ts';
import { countWanted, spanText } from './thresholds.ts';
import type { WindowCondition } from './window-condition.ts';

/** The sequence of some length that ends with some rule and begins latest. */
interface Sequence {
  start: number;
  last: Entry;
  before: Sequence | null;
}

/** By rule, then by length less one. */
type Table = Array<Array<Sequence | null>>;

export function temporalOrdered(node: PlanNode, thresholds: readonly Threshold[]): WindowCondition {
  const rules = node.children.length;
  const asked = thresholds.length === 0 ? rules : countWanted(thresholds);
  // More than there are can never be (`checkPlan` says so): no table needs to be that long.
  const wanted = Math.min(asked, rules);
  const within = spanText(node.timespanMs);

  const emptyTable = (): Table =>
    Array.from({ length: rules }, () => new Array<Sequence | null>(wanted).fill(null));

  /** Sequences that end with the entry, by length; from those that end before its instant. */
  const endingWith = (table: Table, entry: Entry): Array<Sequence | null> => {
    const row = new Array<Sequence | null>(wanted).fill(null);
    row[0] = { start: entry.time, last: entry, before: null };
    for (let length = 1; length < wanted; length += 1) {
      let best: Sequence | null = null;
      for (let rule = 0; rule < entry.leaf; rule += 1) {
        const before = table[rule]![length - 1]!;
        if (before !== null && (best === null || before.start > best.start)) best = before;
      }
      if (best !== null) row[length] = { start: best.start, last: entry, before: best };
    }
    return row;
  };

  /** The table after all entries, instant by instant. */
  const walk = (entries: readonly Entry[]): Table => {
    const table = emptyTable();
    for (let at = 0; at < entries.length; ) {
      const { time } = entries[at]!;
      const rows: Array<readonly [leaf: number, row: Array<Sequence | null>]> = [];
      for (; at < entries.length && entries[at]!.time === time; at += 1) {
        rows.push([entries[at]!.leaf, endingWith(table, entries[at]!)]);
      }
      for (const [leaf, row] of rows) {
        for (let length = 0; length < wanted; length += 1) {
          const sequence = row[length]!;
          if (sequence === null) continue;
          const known = table[leaf]![length]!;
          if (known === null || sequence.start > known.start) table[leaf]![length] = sequence;
        }
      }
    }
    return table;
  };

  /**
   * An early no, without a walk. The last of a sequence has all others before it in the rules' order,
   * so one of the deciding instant must be of a rule that has so many; and there must be so many
   * different rules at all. A group that holds thousands of first steps is mostly asked in vain.
   */
  const mayHold = (entries: readonly Entry[], start: number, end: number): boolean => {
    if (end - start < wanted) return false;
    const { time } = entries[end - 1]!;
    let at = end - 1;
    while (at >= start && entries[at]!.time === time && entries[at]!.leaf < wanted - 1) at -= 1;
    if (at < start || entries[at]!.time !== time) return false;
    const seen = new Array<number>(rules).fill(0);
    let different = 0;
    for (let next = end - 1; next >= start && different < wanted; next -= 1) {
      const { leaf } = entries[next]!;
      different += 1 - seen[leaf]!;
      seen[leaf] = 1;
    }
    return different >= wanted;
  };

  /** Length of the longest sequence that ends at the last instant; each of its ends is one too. */
  const longestAtEnd = (entries: readonly Entry[], start: number, end: number): number => {
    /** By rule: the longest that ends with it, before the instant and up to it. */
    const before = new Array<number>(rules).fill(0);
    const upTo = new Array<number>(rules).fill(0);
    let longest = 0;
    for (let at = start; at < end; ) {
      const { time } = entries[at]!;
      longest = 0;
      const first = at;
      for (; at < end && entries[at]!.time === time; at += 1) {
        const { leaf } = entries[at]!;
        let length = 0;
        for (let rule = 0; rule < leaf; rule += 1) length = Math.max(length, before[rule]!);
        upTo[leaf] = Math.max(upTo[leaf]!, length + 1);
        longest = Math.max(longest, length + 1);
      }
      for (let n = first; n < at; n += 1) before[entries[n]!.leaf] = upTo[entries[n]!.leaf]!;
    }
    return longest;
  };

  return {
    identify(entry) {
      entry.key = '';
    },
    holds(entries, start, end) {
      if (asked > rules || !mayHold(entries, start, end)) return false;
      return longestAtEnd(entries, start, end) >= wanted;
    },
    isSingle: wanted === 1,
    settled(entries) {
      const kept = new Set<Entry>();
      for (const row of walk(entries)) {
        for (let sequence of row) {
          for (; sequence !== null; sequence = sequence.before) kept.add(sequence.last);
        }
      }
      return entries.filter((entry) => kept.has(entry));
    },
    // A later event may yet fall between two that look alike now.
    settledAnywhere: false,
    classOf: null,
    reason() {
      return wanted === rules
        ? `${rules} rules in their order within ${within}`
        : `at least ${wanted} of ${rules} rules in their order within ${within}`;
    },
  };
}
