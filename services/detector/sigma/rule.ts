/**
 * Rules as parsed, checked and resolved: plain data, no YAML and no closures. The readers of this
 * folder make it, `match/` turns detection rules into tests of one event, `correlate/` turns
 * stateful rules into plans over many, `alert/` tells both to people.
 */
import type { Place } from '../fields/place.ts';
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

/** One event of a test, with the test's and the file's base merged in. */
export interface TestEvent {
  /** One audit event, in any shape that decoding knows. */
  event: unknown;
}

/** A test inside a rule file: these events arrive, in this order, and this must come of them. */
export interface RuleTest {
  name: string;
  /** Whether the rule must fire. */
  hit: boolean;
  /** How many alerts there must be; null where only `hit` is asked. */
  alerts: number | null;
  /** The level of each alert, or null where it is not asked. */
  level: Level | null;
  events: readonly TestEvent[];
  /** For rules that judge when time has passed: how far it goes, epoch ms; null: to the last event. */
  untilMs: number | null;
  /** GeoIP and ASN answers for addresses of the test, by address. */
  places: ReadonlyMap<string, Place>;
  line: number;
}

/** What every kind of rule document says of itself. */
export interface RuleHeader {
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
  file: string;
  line: number;
}

/** The first that holds decides an alert's level; where none holds the rule's own is taken. */
export interface LevelCase {
  level: Level;
  when: Expression;
}

/** A detection rule: a test of one event. */
export interface Rule extends RuleHeader {
  /** An event's service the rule is confined to by its log source, or null. */
  service: string | null;
  selections: ReadonlyMap<string, Expression>;
  /** The rule's condition, and those of the filters in force for it. */
  condition: Expression;
  levels: readonly LevelCase[];
  /** Names of the lists whose values stand in `condition`. */
  lists: ReadonlySet<string>;
  /** Titles of the filters that are part of `condition`, for `rules explain`. */
  filters: readonly string[];
  /**
   * False where the rule only serves stateful rules: a correlation or an absence refers to it and
   * does not `generate`, or it has a `lakeseal` kind of its own, which then alerts in its place.
   */
  alerts: boolean;
}

/** One group-by field: its name on the alert, and the event field it is read from, per rule. */
export interface GroupField {
  name: string;
  /** Field of a rule where an alias gives it another; the rule is named by id. */
  perRule: ReadonlyMap<string, string>;
}

export type Aggregate =
  | 'event_count'
  | 'value_count'
  | 'value_sum'
  | 'value_avg'
  | 'value_percentile';

export interface Threshold {
  operator: CompareOperator | 'eq' | 'neq';
  operand: number;
}

/** Which of a correlation's rules must have occurred; `rule` is an id. */
export type RuleExpression =
  | { kind: 'and'; terms: readonly RuleExpression[] }
  | { kind: 'or'; terms: readonly RuleExpression[] }
  | { kind: 'not'; term: RuleExpression }
  | { kind: 'rule'; rule: string };

export type StatefulKind =
  | {
      kind: 'aggregate';
      aggregate: Aggregate;
      /** Counted or computed fields; several are one tuple. Empty for `event_count`. */
      fields: readonly string[];
      /** 0 to 100, `value_percentile` only. */
      percentile: number | null;
      /** All hold together. */
      thresholds: readonly Threshold[];
    }
  /** Distinct rules that occurred, `all` of them unless `thresholds` say otherwise. */
  | { kind: 'temporal'; ordered: boolean; thresholds: readonly Threshold[] }
  | { kind: 'temporal_expression'; ordered: boolean; expression: RuleExpression }
  /** A tuple of values that the group has not had for `timespanMs`, once the group is known for `learnMs`. */
  | { kind: 'first_seen'; fields: readonly string[]; learnMs: number }
  | {
      kind: 'baseline';
      /** What is measured per period of the group. */
      measure: 'event_count' | 'value_count';
      fields: readonly string[];
      /** Length of one measured period, aligned to the epoch in UTC. */
      periodMs: number;
      /** How much history counts, and how much of its newest end does not. */
      historyMs: number;
      excludeMs: number;
      /** Fewer periods with activity than this are no baseline: `coldStart` decides then. */
      periodsMin: number;
      method: 'zscore' | 'tukey';
      /** Standard deviations above the mean, or interquartile ranges above the third quartile. */
      factor: number;
      /** A period below this is never an alert. */
      floor: number;
      /** Least interquartile range, `tukey` only: steady histories have none. */
      spreadMin: number;
      /** Alert at this without a baseline; null for never. */
      coldStart: number | null;
    }
  /** Two places that cannot be reached one after the other at `speedKmh`. */
  | { kind: 'travel'; speedKmh: number; distanceKmMin: number }
  /** An event of `rules[0]` that no event of `followedBy` follows within the timespan. */
  | { kind: 'absence'; followedBy: string }
  /** A group that was there and from which nothing comes for the timespan. */
  | { kind: 'silence' };

/**
 * A stateful rule: a Sigma correlation document, or a detection rule with a kind of its own under
 * `lakeseal`, in which case `rules` is that detection rule alone and both share id and title.
 */
export interface StatefulRule extends RuleHeader {
  stateful: StatefulKind;
  /** Ids of detection rules and of other stateful rules (a chain). */
  rules: readonly string[];
  /**
   * Those of `rules` that mean the alerts of a stateful rule. The others mean the events of a
   * detection rule, also where a stateful rule shares its id (a kind of its own, suppression).
   */
  chained: readonly string[];
  groupBy: readonly GroupField[];
  /** Sliding window, or the memory of a kind that has no window. Milliseconds. */
  timespanMs: number;
  /** At most one alert per group in each period of this length, aligned to the epoch. */
  suppressMs: number;
  /** False where only other stateful rules use it. */
  alerts: boolean;
}

/** An exception, as `rules list` and `status` show it. Its condition is inside the rules. */
export interface Exception {
  title: string;
  id: string | null;
  /** Ids of the rules it is applied to. */
  rules: readonly string[];
  owner: string | null;
  reason: string | null;
  /** Epoch ms from which on it is not applied any more; null for never. */
  expiresMs: number | null;
  expired: boolean;
  file: string;
  line: number;
}

/** A rule set in force. Every reference is resolved. */
export interface RuleSet {
  rules: readonly Rule[];
  stateful: readonly StatefulRule[];
  exceptions: readonly Exception[];
  /** Ids of rules that an operator's layer has switched off. */
  disabled: readonly string[];
}
