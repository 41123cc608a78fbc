/** `event_count` from below: at least so many events within the timespan. */
import type { Threshold } from '../sigma/rule.ts';
import type { Entry } from './entry.ts';
import type { PlanNode } from './plan.ts';
import { countWanted, spanText } from './thresholds.ts';
import type { WindowCondition } from './window-condition.ts';

export function eventCount(node: PlanNode, thresholds: readonly Threshold[]): WindowCondition {
  const wanted = countWanted(thresholds);
  const within = spanText(node.timespanMs);
  return {
    // An event that two of the rules match is one event.
    identify(entry) {
      entry.leaf = 0;
      entry.key = '';
    },
    holds(_entries, start, end) {
      return end - start >= wanted;
    },
    isSingle: wanted === 1,
    // A later window ends with an event of its own, and holds a tail of these.
    settled(entries: readonly Entry[]) {
      return entries.slice(-wanted);
    },
    settledAnywhere: true,
    classOf: null,
    reason(count) {
      if (wanted === 1) return count === 1 ? '1 event' : `${count} events`;
      return `${count} events, at least ${wanted} of them within ${within}`;
    },
  };
}
