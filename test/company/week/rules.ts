/** The rules in force in the company of the week: the shipped ones, and its own exceptions. */
import { strict as assert } from 'node:assert';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describeProblem } from '../../../services/detector/sigma/problem.ts';
import type { RuleSet } from '../../../services/detector/sigma/rule.ts';
import { loadRules, SHIPPED_LISTS, SHIPPED_RULES } from '../../../services/detector/sigma/rules.ts';

/** What an operator would write for this company, and nothing that only a test would. */
export const COMPANY_RULES = fileURLToPath(new URL('operator', import.meta.url));

export function companyRules(nowMs: number): RuleSet {
  const layers = [SHIPPED_RULES, ...(existsSync(COMPANY_RULES) ? [COMPANY_RULES] : [])];
  const loaded = loadRules({ layers, lists: [SHIPPED_LISTS], nowMs });
  assert.ok(loaded.ok, loaded.ok ? '' : loaded.problems.map(describeProblem).join('\n'));
  return loaded.set;
}
