/**
 * The `correlation` of a Sigma correlation document. What it names of other rules is left as
 * written, with its place: `resolve.ts` looks it up once all rules are known.
 */
import { nearest } from '../../runtime/nearest.ts';
import { checkFieldNames, fieldNames } from './field-names.ts';
import { MapReader } from './map-reader.ts';
import type { Aggregate, Threshold } from './rule.ts';
import type { MapTree, ScalarTree } from './tree.ts';

/** An alias of group-by: which field it is, per rule as written. */
export interface Alias {
  name: ScalarTree;
  fields: ReadonlyArray<{ rule: ScalarTree; field: ScalarTree }>;
}

export type CorrelationKind =
  | {
      kind: 'aggregate';
      aggregate: Aggregate;
      fields: string[];
      percentile: number | null;
      thresholds: Threshold[];
    }
  | { kind: 'temporal'; ordered: boolean; thresholds: Threshold[] }
  | { kind: 'temporal_expression'; ordered: boolean; text: ScalarTree };

export interface CorrelationDraft {
  stateful: CorrelationKind;
  /** Empty only where an expression names the rules. */
  rules: ScalarTree[];
  groupBy: string[];
  groupByAt: ReadonlyMap<string, ScalarTree>;
  aliases: Alias[];
  timespanMs: number;
  /** Whether the rules it refers to go on raising alerts of their own. */
  generate: boolean;
}

const KEYS = ['type', 'rules', 'group-by', 'timespan', 'condition', 'aliases', 'generate'];

/** Type as written, and the aggregate it is; null for the temporal ones. */
const TYPES: Record<string, Aggregate | null> = {
  event_count: 'event_count',
  value_count: 'value_count',
  value_sum: 'value_sum',
  value_avg: 'value_avg',
  value_percentile: 'value_percentile',
  value_median: 'value_percentile',
  temporal: null,
  temporal_ordered: null,
};
const MEDIAN = 50;

const OPERATORS = ['gt', 'gte', 'lt', 'lte', 'eq', 'neq'] as const;
const THRESHOLDS_MAX = 2;
const OPERAND_MAX = 1e15;

/** null where there is an error. */
export function readCorrelation(root: MapReader): CorrelationDraft | null {
  const { findings } = root;
  const before = findings.errors;
  const reader = root.inner('correlation', 'write "type", "rules" and "timespan" below it');
  if (reader === null) {
    if (findings.errors === before) {
      findings.error(root.keyOf('correlation'), 'the correlation is empty', 'give it a "type"');
    }
    return null;
  }
  reader.unknownKeys(KEYS, 'error');
  const type = readType(reader);
  const timespanMs = reader.duration('timespan', { required: true });
  const stateful = type === null ? null : readKind(reader, type);
  const rules = reader.names('rules', stateful !== null && stateful.kind !== 'temporal_expression');
  const groupByNames = reader.names('group-by', false);
  const aliases = readAliases(reader);
  const groupBy = readGroupBy(reader, groupByNames, aliases);
  const generate = reader.flag('generate', root.flag('generate', false));
  if (stateful === null || timespanMs === null || findings.errors > before) return null;
  const groupByAt = new Map(groupByNames.map((name) => [name.text, name]));
  return { stateful, rules, groupBy, groupByAt, aliases, timespanMs, generate };
}

function readType(reader: MapReader): string | null {
  const type = reader.text('type', true);
  if (type === null || Object.hasOwn(TYPES, type)) return type;
  const types = Object.keys(TYPES);
  const near = nearest(type, types);
  reader.findings.error(
    reader.get('type'),
    `${JSON.stringify(type)} is no type of correlation`,
    near === null ? `the types are ${types.join(', ')}` : `did you mean "${near}"?`,
  );
  return null;
}

function readKind(reader: MapReader, type: string): CorrelationKind | null {
  const aggregate = TYPES[type] ?? null;
  const condition = reader.get('condition');
  if (condition?.kind === 'map') {
    const inner = new MapReader(condition, reader.findings);
    return aggregate === null ? readTemporal(inner, type) : readAggregate(inner, type, aggregate);
  }
  const ordered = type === 'temporal_ordered';
  if (aggregate === null && condition === null) {
    return { kind: 'temporal', ordered, thresholds: [] };
  }
  if (aggregate === null && condition?.kind === 'scalar' && condition.text.trim() !== '') {
    return { kind: 'temporal_expression', ordered, text: condition };
  }
  reader.findings.error(
    condition ?? reader.map,
    condition === null ? `${type} needs a condition` : 'the condition is not a map',
    aggregate === null
      ? 'write an expression over the rules, or "gte: 2"'
      : 'write "condition:" and below it, say, "gte: 10"',
  );
  return null;
}

function readTemporal(condition: MapReader, type: string): CorrelationKind {
  condition.unknownKeys(OPERATORS, 'error');
  return {
    kind: 'temporal',
    ordered: type === 'temporal_ordered',
    thresholds: readThresholds(condition),
  };
}

function readAggregate(condition: MapReader, type: string, aggregate: Aggregate): CorrelationKind {
  const takesField = aggregate !== 'event_count';
  const takesPercentile = type === 'value_percentile';
  condition.unknownKeys([...OPERATORS, 'field', 'percentile'], 'error');
  const fields = fieldNames(condition, 'field', takesField);
  const { findings } = condition;
  if (!takesField && fields.length > 0) {
    findings.error(
      condition.keyOf('field'),
      'event_count counts events, not values of a field',
      'write "type: value_count", or remove "field"',
    );
  }
  if (fields.length > 1 && aggregate !== 'value_count') {
    findings.error(
      condition.get('field'),
      `${type} is of one field`,
      'name one; only value_count takes several, as one tuple',
    );
  }
  const given = condition.number('percentile', { min: 0, max: 100 });
  if (!takesPercentile && condition.has('percentile')) {
    findings.error(
      condition.keyOf('percentile'),
      `a ${type} has no percentile`,
      'write "type: value_percentile", or remove it',
    );
  }
  if (takesPercentile && !condition.has('percentile')) {
    findings.error(condition.map, 'the percentile is missing', 'add "percentile: 95"');
  }
  const percentile = type === 'value_median' ? MEDIAN : takesPercentile ? given : null;
  return {
    kind: 'aggregate',
    aggregate,
    fields,
    percentile,
    thresholds: readThresholds(condition),
  };
}

function readThresholds(condition: MapReader): Threshold[] {
  const operators = OPERATORS.filter((operator) => condition.has(operator));
  if (operators.length === 0) {
    condition.findings.error(
      condition.map,
      'the condition compares with nothing',
      `add one of ${OPERATORS.join(', ')}, as "gte: 10"`,
    );
  }
  if (operators.length > THRESHOLDS_MAX) {
    condition.findings.error(
      condition.keyOf(operators[THRESHOLDS_MAX]!),
      `more than ${THRESHOLDS_MAX} comparisons`,
      'a range needs two, as "gte: 10" and "lt: 100"',
    );
  }
  return operators.flatMap((operator): Threshold[] => {
    if (condition.get(operator) === null) {
      condition.findings.error(
        condition.keyOf(operator),
        `"${operator}" compares with nothing`,
        'write a number behind it',
      );
    }
    const operand = condition.number(operator, { min: -OPERAND_MAX, max: OPERAND_MAX });
    return operand === null ? [] : [{ operator, operand }];
  });
}

function readAliases(reader: MapReader): Alias[] {
  const hint = 'write an alias, and below it "rule: field" for each rule';
  const all = reader.inner('aliases', hint);
  return (all?.map.entries ?? []).flatMap(({ key, value }): Alias[] => {
    if (value.kind !== 'map') {
      reader.findings.error(value, `the alias "${key.text}" is not a map`, hint);
      return [];
    }
    return [{ name: key, fields: readAliasFields(value, reader) }];
  });
}

function readAliasFields(map: MapTree, reader: MapReader): Alias['fields'] {
  return map.entries.flatMap(({ key, value }) => {
    if (value.kind === 'scalar' && value.text.trim() !== '') return [{ rule: key, field: value }];
    reader.findings.error(value, `"${key.text}" is no field name`, 'write "rule: field"');
    return [];
  });
}

/** Names of aliases are no fields, so only the others are looked up among the fields. */
function readGroupBy(
  reader: MapReader,
  names: readonly ScalarTree[],
  aliases: readonly Alias[],
): string[] {
  const known = new Set(aliases.map(({ name }) => name.text));
  for (const { name } of aliases) {
    if (names.some(({ text }) => text === name.text)) continue;
    reader.findings.warning(
      name,
      `nothing is grouped by the alias "${name.text}"`,
      'name it in "group-by", or remove it',
    );
  }
  checkFieldNames(reader.findings, names, (name) => known.has(name));
  return names.map(({ text }) => text);
}
