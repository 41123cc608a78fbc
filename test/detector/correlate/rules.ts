/** Stateful rules and events for tests, short to write. */
import type {
  GroupField,
  Rule,
  RuleSet,
  StatefulKind,
  StatefulRule,
} from '../../../services/detector/sigma/rule.ts';

const HEADER = {
  title: 'a rule',
  name: null,
  level: 'medium' as const,
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

/** A detection rule; what it selects does not matter here. */
export function detection(id: string): Rule {
  return {
    ...HEADER,
    id,
    service: null,
    selections: new Map(),
    condition: { kind: 'and', terms: [] },
    levels: [],
    lists: new Set(),
    filters: [],
    alerts: false,
  };
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
  const timespanMs = parts.timespanMs ?? 60;
  return {
    ...HEADER,
    id: parts.id ?? 'rule',
    stateful: kind,
    rules: parts.rules ?? ['a'],
    groupBy: (parts.groupBy ?? ['user']).map((field) =>
      typeof field === 'string' ? groupField(field) : field,
    ),
    timespanMs,
    suppressMs: parts.suppressMs ?? timespanMs,
    alerts: parts.alerts ?? true,
    chained: parts.chained ?? [],
  };
}

export function ruleSet(detections: readonly string[], rules: readonly StatefulRule[]): RuleSet {
  return { rules: detections.map(detection), stateful: rules, exceptions: [], disabled: [] };
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
