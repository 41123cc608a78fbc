/** `value_count` from below: at least so many different values (of several fields: tuples). */
import type { Threshold } from '../sigma/rule.ts';
import type { Entry } from './entry.ts';
import type { PlanNode } from './plan.ts';
import { countWanted, spanText } from './thresholds.ts';
import type { WindowCondition } from './window-condition.ts';

export function valueCount(node: PlanNode, thresholds: readonly Threshold[]): WindowCondition {
  const wanted = countWanted(thresholds);
  const { stateful } = node;
  const fields = stateful.kind === 'aggregate' ? stateful.fields.join(', ') : '';
  const within = spanText(node.timespanMs);
  return {
    identify(entry) {
      entry.leaf = 0;
    },
    holds(entries, start, end) {
      if (wanted === 1) return true;
      if (end - start < wanted) return false;
      const seen = new Set<string>();
      for (let at = end - 1; at >= start; at -= 1) {
        seen.add(entries[at]!.key);
        if (seen.size >= wanted) return true;
      }
      return false;
    },
    isSingle: wanted === 1,
    // Of each value the newest, and of the values those that came last: any `wanted` are enough.
    settled(entries) {
      const seen = new Set<string>();
      const kept: Entry[] = [];
      for (let at = entries.length - 1; at >= 0 && seen.size < wanted; at -= 1) {
        const entry = entries[at]!;
        if (seen.has(entry.key)) continue;
        seen.add(entry.key);
        kept.push(entry);
      }
      return kept.reverse();
    },
    settledAnywhere: true,
    classOf: ({ key }) => key,
    reason(count) {
      const events = count === 1 ? '1 event' : `${count} events`;
      return `${events} with at least ${wanted} different values of ${fields} within ${within}`;
    },
  };
}
