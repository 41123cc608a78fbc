/**
 * `temporal`: enough of the rules occurred within the timespan, in any order; or an expression over
 * them without `not`. One event may be of several rules.
 */
import type { RuleExpression, Threshold } from '../sigma/rule.ts';
import type { Entry } from './entry.ts';
import type { PlanNode } from './plan.ts';
import { countWanted, spanText } from './thresholds.ts';
import type { WindowCondition } from './window-condition.ts';

export function temporal(
  node: PlanNode,
  thresholds: readonly Threshold[],
  expression: RuleExpression | null,
): WindowCondition {
  const rules = node.children.length;
  const wanted = thresholds.length === 0 ? rules : countWanted(thresholds);
  const test = expression === null ? null : expressionTest(node, expression);
  const within = spanText(node.timespanMs);
  return {
    identify(entry) {
      entry.key = '';
    },
    holds(entries, start, end) {
      const seen = new Array<boolean>(rules).fill(false);
      let count = 0;
      for (let at = end - 1; at >= start; at -= 1) {
        const { leaf } = entries[at]!;
        if (seen[leaf] === true) continue;
        seen[leaf] = true;
        count += 1;
        if (test === null ? count >= wanted : test(seen)) return true;
      }
      return false;
    },
    isSingle: test === null && wanted === 1,
    settled(entries) {
      const seen = new Set<number>();
      const kept: Entry[] = [];
      for (let at = entries.length - 1; at >= 0 && seen.size < rules; at -= 1) {
        const entry = entries[at]!;
        if (seen.has(entry.leaf)) continue;
        seen.add(entry.leaf);
        kept.push(entry);
      }
      return kept.reverse();
    },
    settledAnywhere: true,
    classOf: ({ leaf }) => leaf,
    reason() {
      return test === null
        ? `${wanted === rules ? 'all' : `at least ${wanted}`} of ${rules} rules within ${within}`
        : `the rules of the condition within ${within}`;
    },
  };
}

/** The expression as a test of which of the node's children occurred. */
export function expressionTest(
  node: PlanNode,
  expression: RuleExpression,
): (occurred: readonly boolean[]) => boolean {
  switch (expression.kind) {
    case 'rule': {
      const at = node.children.findIndex(({ ruleId }) => ruleId === expression.rule);
      return (occurred) => occurred[at] === true;
    }
    case 'not': {
      const term = expressionTest(node, expression.term);
      return (occurred) => !term(occurred);
    }
    default: {
      const terms = expression.terms.map((term) => expressionTest(node, term));
      return expression.kind === 'and'
        ? (occurred) => terms.every((term) => term(occurred))
        : (occurred) => terms.some((term) => term(occurred));
    }
  }
}
