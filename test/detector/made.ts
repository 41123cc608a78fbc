/**
 * Rules made of values, for tests and benchmarks that need no YAML: `made…` are whole and take
 * changes, the others are short to write where only how a rule counts matters.
 */
import type {
  GroupField,
  Rule,
  RuleHeader,
  RuleSet,
  StatefulKind,
  StatefulRule,
} from '../../services/detector/sigma/rule.ts';

let made = 0;

function header(): RuleHeader {
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
  };
}

export function madeRule(changes: Partial<Rule> = {}): Rule {
  return {
    ...header(),
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
  return {
    ...header(),
    stateful: aggregate('event_count', { gte: 3 }),
    rules: [],
    chained: [],
    groupBy: [groupField('actor.name')],
    timespanMs: 3_600_000,
    suppressMs: 3_600_000,
    alerts: true,
    ...changes,
  };
}

export function madeSet(changes: Partial<RuleSet> = {}): RuleSet {
  return { rules: [], stateful: [], exceptions: [], disabled: [], ...changes };
}

export function groupField(name: string, perRule: Record<string, string> = {}): GroupField {
  return { name, perRule: new Map(Object.entries(perRule)) };
}

export interface StatefulParts {
  id?: string;
  rules?: readonly string[];
  chained?: readonly string[];
  groupBy?: readonly (string | GroupField)[];
  timespanMs?: number;
  suppressMs?: number;
  alerts?: boolean;
}

export function stateful(kind: StatefulKind, parts: StatefulParts = {}): StatefulRule {
  const { id = 'rule', rules = ['a'], groupBy = ['user'], timespanMs = 60, ...rest } = parts;
  return madeStateful({
    stateful: kind,
    ...{ id, rules, timespanMs, suppressMs: timespanMs },
    groupBy: groupBy.map((field) => (typeof field === 'string' ? groupField(field) : field)),
    ...rest,
  });
}

/** Stateful rules over detection rules of which only the id matters. */
export function ruleSet(detections: readonly string[], rules: readonly StatefulRule[]): RuleSet {
  return madeSet({
    rules: detections.map((id) => madeRule({ id, alerts: false })),
    stateful: rules,
  });
}

export function aggregate(
  aggregate: Extract<StatefulKind, { kind: 'aggregate' }>['aggregate'],
  thresholds: Partial<Record<'gt' | 'gte' | 'lt' | 'lte' | 'eq' | 'neq', number>>,
  fields: readonly string[] = [],
  percentile: number | null = null,
): StatefulKind {
  return {
    kind: 'aggregate',
    aggregate,
    fields,
    percentile,
    thresholds: Object.entries(thresholds).map(([operator, operand]) => ({
      operator: operator as 'gt',
      operand,
    })),
  };
}
