/** The rules that are shipped, as they load on the day of the company week. */
import assert from 'node:assert/strict';
import type { RuleHeader } from '../../../services/detector/sigma/rule.ts';
import { loadRules, SHIPPED_LISTS, SHIPPED_RULES } from '../../../services/detector/sigma/rules.ts';

const loaded = loadRules({
  layers: [SHIPPED_RULES],
  lists: [SHIPPED_LISTS],
  nowMs: Date.UTC(2026, 10, 24),
});
assert.ok(loaded.ok, 'the shipped rules load');
const { rules, stateful } = loaded.set;

/** Of either kind: those that raise alerts. */
export const ALERTING: readonly RuleHeader[] = [...rules, ...stateful].filter(
  ({ alerts }) => alerts,
);
