/**
 * How far the groups of a stateful rule came, for people who ask why it raised nothing, or why it
 * did: what each group had within the timespan, beside the limit. A second, plain reckoning that
 * decides nothing. Pure.
 */
import { printable } from '../../runtime/wording.ts';
import type { Match } from '../correlate/types.ts';
import type { Aggregate, StatefulKind, StatefulRule, Threshold } from '../sigma/rule.ts';
import { actualText } from './values.ts';

export interface ReachOptions {
  rule: StatefulRule;
  /** What each of `values` of a match is, in order. */
  fields: readonly string[];
  /** Titles by id, for the rules that matched. */
  titles: ReadonlyMap<string, string>;
}

/** Groups and lines that are shown; a person reads no more. */
const GROUPS_SHOWN_MAX = 10;
const LINES_SHOWN_MAX = 12;
/** Beyond this a percentile is not worked out again for each event. */
const PERCENTILE_MATCHES_MAX = 2_000;

/** Lines, the groups with most matches first. Duplicates of an event are left out. */
export function reachLines(matches: readonly Match[], options: ReachOptions): string[] {
  const groups = new Map<string, Map<string, Match>>();
  for (const match of matches) {
    const key = JSON.stringify(match.group);
    const group = groups.get(key) ?? new Map<string, Match>();
    group.set(`${match.leafId} ${match.eventId}`, match);
    groups.set(key, group);
  }
  const sorted = [...groups.values()]
    .map((group) => [...group.values()].sort(inOrder))
    .sort((a, b) => b.length - a.length);
  const lines = sorted.slice(0, GROUPS_SHOWN_MAX).flatMap((group) => groupLines(group, options));
  const more = sorted.length - GROUPS_SHOWN_MAX;
  return more > 0 ? [...lines, `and ${more} more groups`] : lines;
}

function inOrder(a: Match, b: Match): number {
  return a.eventTime - b.eventTime || (a.eventId < b.eventId ? -1 : 1);
}

function groupLines(group: readonly Match[], options: ReachOptions): string[] {
  const { rule } = options;
  const names = rule.groupBy.map(({ name }, index) => {
    return `${name} = ${JSON.stringify(group[0]!.group[index] ?? '')}`;
  });
  const who = names.length === 0 ? 'the one group' : `group ${names.join(', ')}`;
  const events = `${group.length} ${group.length === 1 ? 'event' : 'events'}`;
  const heading = printable(`${who}: ${events}, ${reached(group, options)}`);
  const lines = detailLines(group, options);
  const shown = lines.slice(0, LINES_SHOWN_MAX).map((line) => `  ${line}`);
  const rest = lines.length - shown.length;
  return [heading, ...shown, ...(rest > 0 ? [`  and ${rest} more`] : [])];
}

/** What a figure in the heading does not tell: the events in their order, or the periods. */
function detailLines(group: readonly Match[], options: ReachOptions): string[] {
  const { stateful } = options.rule;
  if (stateful.kind === 'aggregate') return [];
  if (stateful.kind === 'temporal' && !stateful.ordered) return [];
  if (stateful.kind === 'baseline') return periodLines(group, stateful, options.fields);
  return group.map((match) => matchLine(match, options));
}

function periodLines(
  group: readonly Match[],
  { measure, periodMs, fields }: StatefulKind & { kind: 'baseline' },
  names: readonly string[],
): string[] {
  const periods = new Map<number, Match[]>();
  for (const match of group) {
    const start = Math.floor(match.eventTime / periodMs) * periodMs;
    const period = periods.get(start);
    if (period === undefined) periods.set(start, [match]);
    else period.push(match);
  }
  const at = fields.map((field) => names.indexOf(field));
  return [...periods].map(([start, matches]) => {
    return `${new Date(start).toISOString()}  ${MEASURES[measure](matches, at, null)}`;
  });
}

function matchLine(match: Match, { fields, titles }: ReachOptions): string {
  const values = fields.map((field, index) => {
    return `${field} = ${actualText(field, match.values[index] ?? undefined)}`;
  });
  const time = new Date(match.eventTime).toISOString();
  const title = titles.get(match.leafId) ?? match.leafId;
  return printable([time, title, ...values].join('  '));
}

/** What the group came to, beside what is asked. */
function reached(group: readonly Match[], options: ReachOptions): string {
  const { rule, fields } = options;
  const { stateful, timespanMs } = rule;
  const span = durationText(timespanMs);
  switch (stateful.kind) {
    case 'aggregate':
      return reachedAggregate(group, stateful, timespanMs, fields);
    case 'temporal':
      return reachedTemporal(group, stateful, options);
    case 'temporal_expression':
      return `asked is the condition over rules within ${span}`;
    case 'first_seen': {
      const learned = durationText(stateful.learnMs);
      const what = stateful.fields.join(', ');
      return `asked is a value of ${what} not seen for ${span}, once the group is known for ${learned}`;
    }
    case 'baseline': {
      const floor = `at least ${stateful.floor}`;
      const history = `${stateful.periodsMin} earlier periods with activity`;
      return `asked is a period far above the others (${stateful.method} ${stateful.factor}, ${floor}, after ${history}):`;
    }
    case 'travel':
      return `asked are two places ${stateful.distanceKmMin} km apart or more, reached faster than ${stateful.speedKmh} km/h, within ${span}`;
    case 'absence':
      return `asked is that nothing follows within ${span}`;
    case 'silence':
      return `asked is that nothing comes for ${span}`;
  }
}

function reachedTemporal(
  group: readonly Match[],
  { ordered, thresholds }: StatefulKind & { kind: 'temporal' },
  { rule, titles }: ReachOptions,
): string {
  const most = peak(group, rule.timespanMs, (window) => {
    return new Set(window.map(({ leafId }) => leafId)).size;
  });
  const seen = new Set(group.map(({ leafId }) => leafId));
  const absent = rule.rules.filter((id) => !seen.has(id)).map((id) => titles.get(id) ?? id);
  const never = absent.length === 0 ? '' : `, never ${absent.join(', ')}`;
  const limit = thresholds.map(thresholdText).join(' and ');
  const asked = limit === '' ? 'all' : `a number ${limit}`;
  const order = ordered ? ', in their order' : '';
  const of = `${most.max} of ${rule.rules.length} rules within ${durationText(rule.timespanMs)}`;
  return `at most ${of}${never}; asked are ${asked}${order}`;
}

function reachedAggregate(
  group: readonly Match[],
  { aggregate, fields, percentile, thresholds }: StatefulKind & { kind: 'aggregate' },
  timespanMs: number,
  names: readonly string[],
): string {
  const limit = `the limit is ${thresholds.map(thresholdText).join(' and ')}`;
  if (aggregate === 'value_percentile' && group.length > PERCENTILE_MATCHES_MAX) return limit;
  const at = fields.map((field) => names.indexOf(field));
  const measure = MEASURES[aggregate];
  const { min, max } = peak(group, timespanMs, (window) => measure(window, at, percentile));
  const of = fields.length === 0 ? '' : ` of ${fields.join(', ')}`;
  const figure = min === max ? `${max}` : `from ${min} to ${max}`;
  return `${aggregate}${of} ${figure} within ${durationText(timespanMs)}; ${limit}`;
}

type Measure = (window: readonly Match[], fields: number[], percentile: number | null) => number;

const MEASURES: Record<Aggregate, Measure> = {
  event_count: (window) => window.length,
  value_count: (window, fields) => {
    const tuples = window
      .map(({ values }) => fields.map((index) => values[index] ?? null))
      .filter((tuple) => tuple.every((value) => value !== null));
    return new Set(tuples.map((tuple) => JSON.stringify(tuple))).size;
  },
  value_sum: (window, fields) => numbers(window, fields).reduce((sum, one) => sum + one, 0),
  value_avg: (window, fields) => {
    const all = numbers(window, fields);
    return all.reduce((sum, one) => sum + one, 0) / Math.max(1, all.length);
  },
  value_percentile: (window, fields, percentile) => {
    const all = numbers(window, fields).sort((a, b) => a - b);
    const at = ((percentile ?? 50) / 100) * (all.length - 1);
    const [low, high] = [all[Math.floor(at)] ?? 0, all[Math.ceil(at)] ?? 0];
    return low + (high - low) * (at - Math.floor(at));
  },
};

function numbers(window: readonly Match[], [field]: number[]): number[] {
  const found = window.map(({ values }) => Number.parseFloat(values[field ?? 0] ?? ''));
  return found.filter((one) => Number.isFinite(one));
}

/** Of the windows that end at each event: the least and the greatest measure. */
function peak(
  group: readonly Match[],
  timespanMs: number,
  measure: (window: readonly Match[]) => number,
): { min: number; max: number } {
  let from = 0;
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const [index, { eventTime }] of group.entries()) {
    while (group[from]!.eventTime < eventTime - timespanMs) from += 1;
    const value = measure(group.slice(from, index + 1));
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  return { min, max };
}

const SIGNS: Record<Threshold['operator'], string> = {
  lt: '<',
  lte: '≤',
  gt: '>',
  gte: '≥',
  eq: '=',
  neq: '≠',
};

function thresholdText({ operator, operand }: Threshold): string {
  return `${SIGNS[operator]} ${operand}`;
}

const UNITS = [
  ['w', 604_800_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** `90m` for an hour and a half: the largest unit that divides it. */
export function durationText(ms: number): string {
  const unit = UNITS.find(([, size]) => ms > 0 && ms % size === 0);
  return unit === undefined ? `${ms} ms` : `${ms / unit[1]}${unit[0]}`;
}
