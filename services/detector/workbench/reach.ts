/**
 * How far the groups of a stateful rule came, for people who ask why it raised nothing, or why it
 * did: what each group had within the timespan, beside the limit. A second, plain reckoning that
 * decides nothing. Pure.
 */
import { printable } from '../../runtime/wording.ts';
import type { Match } from '../correlate/types.ts';
import type { Aggregate, StatefulRule, Threshold } from '../sigma/rule.ts';

export interface ReachOptions {
  rule: StatefulRule;
  /** What each of `values` of a match is, in order. */
  fields: readonly string[];
  /** Titles by id, for the rules that matched. */
  titles: ReadonlyMap<string, string>;
}

/** Groups and lines that are shown; a person reads no more. */
const GROUPS_SHOWN_MAX = 10;
const MATCHES_SHOWN_MAX = 12;
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
  const verdict = reached(group, options);
  const heading = printable(`${who}: ${events}${verdict === null ? '' : `, ${verdict}`}`);
  const shown = verdict === null ? group.slice(0, MATCHES_SHOWN_MAX) : [];
  const rest = verdict === null ? group.length - shown.length : 0;
  return [
    heading,
    ...shown.map((match) => `  ${matchLine(match, options)}`),
    ...(rest > 0 ? [`  and ${rest} more`] : []),
  ];
}

function matchLine(match: Match, { fields, titles }: ReachOptions): string {
  const values = fields.map((field, index) => `${field} = ${JSON.stringify(match.values[index])}`);
  const time = new Date(match.eventTime).toISOString();
  const title = titles.get(match.leafId) ?? match.leafId;
  return printable([time, title, ...values].join('  '));
}

/** What the group came to within the timespan; null where the events themselves tell it. */
function reached(group: readonly Match[], { rule, fields, titles }: ReachOptions): string | null {
  const { stateful, timespanMs } = rule;
  const within = `within ${durationText(timespanMs)}`;
  if (stateful.kind === 'temporal' && stateful.thresholds.length === 0) {
    const most = peak(group, timespanMs, (window) => new Set(window.map((one) => one.leafId)).size);
    const seen = new Set(group.map(({ leafId }) => leafId));
    const absent = rule.rules.filter((id) => !seen.has(id)).map((id) => titles.get(id) ?? id);
    const never = absent.length === 0 ? '' : `; never ${absent.join(', ')}`;
    const order = stateful.ordered ? ', in their order' : '';
    return `at most ${most.max} of ${rule.rules.length} rules ${within}${never}; asked are all${order}`;
  }
  if (stateful.kind !== 'aggregate') return null;
  const indices = stateful.fields.map((field) => fields.indexOf(field));
  const limit = `the limit is ${stateful.thresholds.map(thresholdText).join(' and ')}`;
  if (stateful.aggregate === 'value_percentile' && group.length > PERCENTILE_MATCHES_MAX) {
    return limit;
  }
  const measure = MEASURES[stateful.aggregate];
  const most = peak(group, timespanMs, (window) => measure(window, indices, stateful.percentile));
  const what = [stateful.aggregate, ...stateful.fields].join(' of ');
  const figure = most.min === most.max ? `${most.max}` : `from ${most.min} to ${most.max}`;
  return `${what} ${figure} ${within}; ${limit}`;
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
