/**
 * Conditions over the events of a window [t − timespan, t] that more events can only make truer:
 * counts from below, and rules that must all have occurred. They are judged at each event, in any
 * order of arrival, and one interface serves the eager groups and the ordered ones.
 *
 * Besides judging, a condition knows what it can do without: entries without which no window that
 * can still change would be judged otherwise. That is what keeps busy groups small without changing
 * an alert's id.
 */
import type { Entry } from './entry.ts';
import { eventCount } from './event-count.ts';
import type { PlanNode } from './plan.ts';
import { temporal } from './temporal.ts';
import { temporalOrdered } from './temporal-ordered.ts';
import { valueCount } from './value-count.ts';

export interface WindowCondition {
  /** Makes two matches that count as one equal: sets `leaf` and `key` as the condition needs them. */
  identify(entry: Entry): void;
  /** The condition at the instant of the last entry, over entries[start, end); one at least. */
  holds(entries: readonly Entry[], start: number, end: number): boolean;
  /** Whether any one event is enough. */
  isSingle: boolean;
  /**
   * What of these entries can still matter to windows that end later than all of them, where
   * nothing will be added between them. In order.
   */
  settled(entries: readonly Entry[]): Entry[];
  /** Whether `settled` is as true where entries may still be added between. */
  settledAnywhere: boolean;
  /**
   * Entries of one class stand for each other: of three in one period, the outer ones at most a
   * timespan apart, the middle one tells nothing. null where there are no such classes.
   */
  classOf: ((entry: Entry) => string | number) | null;
  /** What was found, of `count` events. */
  reason(count: number): string;
}

/** Of nodes for which `isGrowing` or an ordered temporal without expression holds. */
export function windowCondition(node: PlanNode): WindowCondition {
  const { stateful } = node;
  switch (stateful.kind) {
    case 'aggregate':
      return stateful.aggregate === 'event_count'
        ? eventCount(node, stateful.thresholds)
        : valueCount(node, stateful.thresholds);
    case 'temporal':
      return stateful.ordered
        ? temporalOrdered(node, stateful.thresholds)
        : temporal(node, stateful.thresholds, null);
    case 'temporal_expression':
      return temporal(node, [], stateful.expression);
  }
  throw new Error(`${stateful.kind} is no condition of a window`);
}
