/**
 * What lakeseal adds to a detection rule under its own key: the kinds that look at many events
 * (`first_seen`, `baseline`, `travel`, `absence`, `silence`) and suppression. The detection selects
 * events, the kind decides, and its stateful rule alerts in place of the detection.
 */
import { fieldNames } from './field-names.ts';
import type { MapReader } from './map-reader.ts';
import type { StatefulKind } from './rule.ts';
import type { ScalarTree } from './tree.ts';

export const KINDS = ['first_seen', 'baseline', 'travel', 'absence', 'silence'] as const;
export type KindName = (typeof KINDS)[number];

/** A kind as read; what an absence refers to is not resolved yet. */
export interface OwnKind {
  /** `suppress` where there is no other. */
  name: KindName | 'suppress';
  stateful: StatefulKind;
  groupBy: readonly string[];
  timespanMs: number;
  suppressMs: number;
  /** Of an absence alone. */
  follower: Follower | null;
}

/** The rule of the event that should follow, and whether that rule alerts all the same. */
export interface Follower {
  rule: ScalarTree;
  generate: boolean;
}

const DAY_MS = 86_400_000;
const FIRST_SEEN = { timespanMs: 30 * DAY_MS, learnMs: 7 * DAY_MS };
const TRAVEL = { timespanMs: DAY_MS, speedKmh: 900, distanceKmMin: 500 };
const BASELINE = { periodMs: DAY_MS, historyMs: 30 * DAY_MS, periodsMin: 3, factor: 3 };

/** Figures beyond these are typing errors. */
const FIGURE_MAX = 1e15;
const PERIODS_MAX = 10_000;

interface Draft {
  stateful: StatefulKind;
  groupBy: readonly string[];
  timespanMs: number;
  /** Suppression where the rule gives none. */
  suppressMs: number;
  follower?: Follower;
}

/** null where the rule has no kind, or one with an error. */
export function readOwnKind(own: MapReader): OwnKind | null {
  const names = KINDS.filter((kind) => own.get(kind) !== null);
  if (names.length > 1) {
    own.findings.error(
      own.keyOf(names[1]!),
      `a rule is of one kind, and this is ${names.join(' and ')}`,
      'make it two rules',
    );
    return null;
  }
  const before = own.findings.errors;
  const suppress = readSuppress(own);
  const [name] = names;
  if (name === undefined) {
    if (suppress === null || own.findings.errors > before) return null;
    return { name: 'suppress', follower: null, ...suppressOnly(suppress) };
  }
  if (suppress?.groupBy !== undefined && suppress.groupBy !== null) {
    own.findings.error(
      own.keyOf('suppress'),
      `${name} has groups of its own, by which its alerts are suppressed`,
      'leave "group-by" of "suppress" out',
    );
  }
  const reader = own.inner(name, `write the keys of ${name} below it`);
  const draft = reader === null ? null : READERS[name](reader);
  if (draft === null || own.findings.errors > before) return null;
  const { follower = null, ...rest } = draft;
  return { name, follower, ...rest, suppressMs: suppress?.periodMs ?? draft.suppressMs };
}

interface Suppress {
  periodMs: number;
  groupBy: string[] | null;
}

function readSuppress(own: MapReader): Suppress | null {
  const reader = own.inner('suppress', 'write { period: 24h, group-by: [actor.name] }');
  if (reader === null) return null;
  reader.unknownKeys(['period', 'group-by'], 'error');
  const periodMs = reader.duration('period', { required: true });
  const groupBy = reader.get('group-by') === null ? null : fieldNames(reader, 'group-by', false);
  return periodMs === null ? null : { periodMs, groupBy };
}

/** One event is enough for the alert, and the period's others are counted on it. */
function suppressOnly({ periodMs, groupBy }: Suppress): Omit<OwnKind, 'name' | 'follower'> {
  const stateful: StatefulKind = {
    kind: 'aggregate',
    aggregate: 'event_count',
    fields: [],
    percentile: null,
    thresholds: [{ operator: 'gte', operand: 1 }],
  };
  return { stateful, groupBy: groupBy ?? [], timespanMs: periodMs, suppressMs: periodMs };
}

const READERS: Record<KindName, (reader: MapReader) => Draft | null> = {
  first_seen: readFirstSeen,
  baseline: readBaseline,
  travel: readTravel,
  absence: readAbsence,
  silence: readSilence,
};

function readFirstSeen(reader: MapReader): Draft | null {
  reader.unknownKeys(['fields', 'group-by', 'timespan', 'learn'], 'error');
  const fields = fieldNames(reader, 'fields', true);
  const groupBy = fieldNames(reader, 'group-by', false);
  const timespanMs = reader.duration('timespan') ?? FIRST_SEEN.timespanMs;
  const learnMs = reader.duration('learn', { zero: true }) ?? FIRST_SEEN.learnMs;
  if (learnMs > timespanMs) {
    reader.findings.error(
      reader.keyOf('learn'),
      'learning takes longer than anything is remembered, so that it never ends',
      'make "learn" shorter than "timespan"',
    );
  }
  const stateful: StatefulKind = { kind: 'first_seen', fields, learnMs };
  return { stateful, groupBy, timespanMs, suppressMs: timespanMs };
}

function readBaseline(reader: MapReader): Draft | null {
  reader.unknownKeys(
    [
      ...['measure', 'fields', 'group-by', 'period', 'history', 'exclude', 'periods', 'method'],
      ...['factor', 'floor', 'spread', 'cold_start'],
    ],
    'error',
  );
  const figure = (key: string): number | null => reader.number(key, { min: 0, max: FIGURE_MAX });
  const measure = reader.choice('measure', ['event_count', 'value_count'] as const, true);
  const method = reader.choice('method', ['zscore', 'tukey'] as const, true);
  const fields = fieldNames(reader, 'fields', measure === 'value_count');
  if (measure === 'event_count' && fields.length > 0) {
    reader.findings.error(
      reader.keyOf('fields'),
      'event_count counts events, not values of fields',
      'write "measure: value_count", or leave "fields" out',
    );
  }
  const stateful = {
    kind: 'baseline' as const,
    measure: measure ?? 'event_count',
    fields,
    periodMs: reader.duration('period') ?? BASELINE.periodMs,
    historyMs: reader.duration('history') ?? BASELINE.historyMs,
    excludeMs: reader.duration('exclude', { zero: true }) ?? 0,
    periodsMin:
      reader.number('periods', { min: 1, max: PERIODS_MAX, integer: true }) ?? BASELINE.periodsMin,
    method: method ?? 'zscore',
    factor: figure('factor') ?? BASELINE.factor,
    floor: figure('floor') ?? 0,
    spreadMin: figure('spread') ?? 0,
    coldStart: figure('cold_start'),
  };
  if (stateful.method === 'zscore' && reader.get('spread') !== null) {
    reader.findings.error(reader.keyOf('spread'), '"spread" is of tukey only', 'remove it');
  }
  checkHistory(reader, stateful);
  const groupBy = fieldNames(reader, 'group-by', false);
  const { historyMs, periodMs } = stateful;
  return { stateful, groupBy, timespanMs: historyMs, suppressMs: periodMs };
}

function checkHistory(
  reader: MapReader,
  { periodMs, historyMs, excludeMs, periodsMin }: StatefulKind & { kind: 'baseline' },
): void {
  const periods = Math.floor((historyMs - excludeMs) / periodMs);
  if (periods >= PERIODS_MAX) {
    reader.findings.error(
      reader.keyOf('period'),
      `the history has ${periods} periods`,
      `make it fewer than ${PERIODS_MAX}: a shorter history or longer periods`,
    );
  } else if (periods < periodsMin) {
    reader.findings.error(
      reader.map,
      `the history has room for ${Math.max(0, periods)} periods, and ${periodsMin} are wanted`,
      'make "history" longer, or "exclude", "period" or "periods" smaller',
    );
  }
}

function readTravel(reader: MapReader): Draft | null {
  reader.unknownKeys(['group-by', 'timespan', 'speed', 'distance'], 'error');
  const groupBy = fieldNames(reader, 'group-by', true);
  const timespanMs = reader.duration('timespan') ?? TRAVEL.timespanMs;
  const stateful: StatefulKind = {
    kind: 'travel',
    speedKmh: reader.number('speed', { min: 1, max: FIGURE_MAX }) ?? TRAVEL.speedKmh,
    distanceKmMin: reader.number('distance', { min: 0, max: 20_100 }) ?? TRAVEL.distanceKmMin,
  };
  return { stateful, groupBy, timespanMs, suppressMs: timespanMs };
}

function readAbsence(reader: MapReader): Draft | null {
  reader.unknownKeys(['followed_by', 'group-by', 'within', 'generate'], 'error');
  const [followedBy, second] = reader.names('followed_by', true);
  if (second !== undefined) {
    reader.findings.error(
      second,
      'an event is followed by one rule',
      'name one; a rule with "1 of selection_*" may stand for several',
    );
  }
  const groupBy = fieldNames(reader, 'group-by', false);
  const timespanMs = reader.duration('within', { required: true });
  const generate = reader.flag('generate', false);
  if (timespanMs === null || followedBy === undefined) return null;
  const stateful: StatefulKind = { kind: 'absence', followedBy: followedBy.text };
  const follower = { rule: followedBy, generate };
  return { stateful, groupBy, timespanMs, suppressMs: timespanMs, follower };
}

function readSilence(reader: MapReader): Draft | null {
  reader.unknownKeys(['group-by', 'for'], 'error');
  const groupBy = fieldNames(reader, 'group-by', false);
  const timespanMs = reader.duration('for', { required: true });
  if (timespanMs === null) return null;
  return { stateful: { kind: 'silence' }, groupBy, timespanMs, suppressMs: timespanMs };
}
