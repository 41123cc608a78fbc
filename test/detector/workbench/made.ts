/** Rules made of values, for tests that need no YAML. */
import type { Rule, RuleSet, StatefulRule } from '../../../services/detector/sigma/rule.ts';

let made = 0;

export function madeRule(changes: Partial<Rule> = {}): Rule {
  made += 1;
  return {
    id: `00000000-0000-4000-8000-${String(made).padStart(12, '0')}`,
    title: `rule ${made}`,
    name: null,
    level: 'low',
    status: null,
    description: null,
    author: null,
    references: [],
    falsepositives: [],
    tags: [],
    runbook: [],
    tests: [],
    file: 'rule.yml',
    line: 1,
    service: null,
    selections: new Map(),
    condition: {
      kind: 'item',
      field: 'actionName',
      values: [{ kind: 'exists', wanted: true }],
    },
    levels: [],
    lists: new Set(),
    filters: [],
    alerts: true,
    ...changes,
  };
}

export function madeStateful(changes: Partial<StatefulRule> = {}): StatefulRule {
  const {
    service: _,
    selections: __,
    condition: ___,
    levels: ____,
    filters: _____,
    lists: ______,
    ...header
  } = madeRule();
  return {
    ...header,
    stateful: {
      kind: 'aggregate',
      aggregate: 'event_count',
      fields: [],
      percentile: null,
      thresholds: [{ operator: 'gte', operand: 3 }],
    },
    rules: [],
    chained: [],
    groupBy: [{ name: 'actor.name', perRule: new Map() }],
    timespanMs: 3_600_000,
    suppressMs: 3_600_000,
    alerts: true,
    ...changes,
  };
}

export function madeSet(changes: Partial<RuleSet> = {}): RuleSet {
  return { rules: [], stateful: [], exceptions: [], disabled: [], ...changes };
}
