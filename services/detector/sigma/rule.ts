/**
 * A rule as parsed and checked: plain data, no YAML and no closures. `rule-file.ts` makes it,
 * `compile.ts` turns it into tests, `alert.ts` tells it to people.
 */
import type { Pattern } from './pattern.ts';

export const LEVELS = ['informational', 'low', 'medium', 'high', 'critical'] as const;
export type Level = (typeof LEVELS)[number];

export const STATUSES = ['stable', 'test', 'experimental', 'deprecated', 'unsupported'] as const;
export type Status = (typeof STATUSES)[number];

export type CompareOperator = 'lt' | 'lte' | 'gt' | 'gte';
export type TimePart = 'minute' | 'hour' | 'day' | 'week' | 'month' | 'year';
export type ReferenceMode = 'equals' | 'contains' | 'startswith' | 'endswith';

/** One wanted value of a field. A test on a field that is absent is false, save `exists`/`null`. */
export type ValueTest =
  | { kind: 'pattern'; pattern: Pattern; cased: boolean }
  /** A YAML number: matches its own text, and any other way to write the same number. */
  | { kind: 'number'; text: string }
  | { kind: 'null' }
  | { kind: 'exists'; wanted: boolean }
  /** RE2 syntax; found anywhere in the value unless anchored. */
  | { kind: 'regex'; source: string; ignoreCase: boolean; multiline: boolean; dotAll: boolean }
  | { kind: 'compare'; operator: CompareOperator; operand: number }
  | { kind: 'cidr'; network: string }
  | { kind: 'reference'; field: string; mode: ReferenceMode; cased: boolean }
  /** UTC part of a time; `week` is the ISO week, 1 to 53. */
  | { kind: 'time'; part: TimePart; operator: CompareOperator | 'equals'; operand: number };

export type Expression =
  | { kind: 'and'; terms: readonly Expression[] }
  | { kind: 'or'; terms: readonly Expression[] }
  | { kind: 'not'; term: Expression }
  /** A named search identifier of the rule. */
  | { kind: 'selection'; name: string }
  /** The field has any of the values. */
  | { kind: 'item'; field: string; values: readonly ValueTest[] }
  /** Any value anywhere in the event has the pattern inside it. */
  | { kind: 'keyword'; pattern: Pattern; cased: boolean };

export interface RuleTest {
  name: string;
  /** Whether the rule must fire. */
  hit: boolean;
  /** One audit event, in any shape that decoding knows. */
  event: unknown;
  line: number;
}

export interface Rule {
  /** UUID, lower case. */
  id: string;
  title: string;
  name: string | null;
  level: Level;
  status: Status | null;
  description: string | null;
  author: string | null;
  references: readonly string[];
  falsepositives: readonly string[];
  tags: readonly string[];
  runbook: readonly string[];
  tests: readonly RuleTest[];
  /** An event's service the rule is confined to by its log source, or null. */
  service: string | null;
  selections: ReadonlyMap<string, Expression>;
  condition: Expression;
  file: string;
  line: number;
}
