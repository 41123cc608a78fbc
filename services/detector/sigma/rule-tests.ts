/** The tests inside rule files: each names an event that must, or must not, fire its rule. */
import { decodeJson } from '../../ingest/decode.ts';
import { Matcher } from '../match/match.ts';
import type { Rule, RuleTest } from './rule.ts';

export interface RuleTestResult {
  rule: Rule;
  test: RuleTest;
  ok: boolean;
  /** Why it is not ok; empty where it is. */
  detail: string;
}

export function runRuleTests(rules: readonly Rule[]): RuleTestResult[] {
  return rules.flatMap((rule) => {
    const matcher = new Matcher([rule]);
    return rule.tests.map((test) => {
      const detail = judge(matcher, test);
      return { rule, test, ok: detail === '', detail };
    });
  });
}

function judge(matcher: Matcher, test: RuleTest): string {
  const decoded = decodeJson(JSON.stringify(test.event));
  if (!decoded.ok) return `the event cannot be decoded: ${decoded.reason}: ${decoded.detail}`;
  const fired = decoded.events.some((event) => matcher.match(event).length > 0);
  if (fired === test.hit) return '';
  return test.hit ? 'the rule should fire and does not' : 'the rule fires and should not';
}
