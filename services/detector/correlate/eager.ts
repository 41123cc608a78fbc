/**
 * A group of an eager rule: its entries in order of event time, and the alerts that are still open.
 *
 * The ids that a group raises are a function of the set of its matches. A match is put in its place
 * and the instants that it can have made true, [t, t + timespan], are judged again; the first true
 * instant of each suppression period is the alert. Nothing depends on what came first, and a match
 * that is folded in a second time is known by its identity or changes nothing (conditions only grow).
 *
 * What is let go, in this order, and what it costs:
 * 1. entries that no window of an event that is not late can reach, once the alerts that count them
 *    are closed: nothing;
 * 2. above the budget, entries that no window can miss (`WindowCondition`): alerts then count from
 *    below;
 * 3. above the hard limit, where all that is held may matter: the new match, refused aloud.
 */
import type { Reader, Writer } from './bytes.ts';
import {
  type Entry,
  evidenceOf,
  gravest,
  lowerBound,
  placeOf,
  readEntries,
  readRank,
  readRefs,
  refsOf,
  upperBound,
  writeEntries,
  writeRank,
  writeRefs,
} from './entry.ts';
import { GROUP_ENTRIES_HARD_FACTOR, type Limits } from './limits.ts';
import type { Plan } from './plan.ts';
import { EVIDENCE_MAX, type EvidenceRef, NO_RANK } from './types.ts';
import { type WindowCondition, windowCondition } from './window-condition.ts';

export interface EagerRule {
  condition: WindowCondition;
  spanMs: number;
  suppressMs: number;
  /** How many rules entries may be of. */
  leaves: number;
  entriesMax: number;
  entriesHardMax: number;
}

export interface EagerAlert {
  /** Start of the suppression period, epoch ms. */
  period: number;
  /** First true instant in it. */
  decided: number;
  /** Events from here, the start of its window, to the end of the period are counted. */
  from: number;
  first: number;
  last: number;
  count: number;
  isLowerBound: boolean;
  /** Up to here an event that is not held may have been counted. */
  droppedTo: number;
  /** The first events, where entries of the alert were let go. */
  firstRefs: readonly EvidenceRef[] | null;
  revision: number;
  /** The highest rank of what was counted. */
  rank: number;
}

export class EagerGroup {
  entries: Entry[] = [];
  /** In order of their periods. */
  alerts: EagerAlert[] = [];
  /** Newest time of what was let go because no window reaches it: before it nothing is whole. */
  horizon = Number.NEGATIVE_INFINITY;
  /** Below this time, entries were let go that only windows to come can do without. */
  settledTo = Number.NEGATIVE_INFINITY;
  /** Newest time of what was let go because of the budget. */
  droppedTo = Number.NEGATIVE_INFINITY;
  /** Length at which to look for what can be let go. */
  thinAt = 0;
  /** The watermark with which it was last looked through; NaN where more can be let go since. */
  thinnedWith = Number.NaN;
}

export type EagerOutcome =
  | { kind: 'folded'; late: boolean; changed: readonly EagerAlert[] }
  | { kind: 'duplicate' }
  /** So old that its place is forgotten. */
  | { kind: 'late' }
  | { kind: 'refused' };

export function eagerRule(plan: Plan, limits: Limits): EagerRule {
  return {
    condition: windowCondition(plan.root),
    spanMs: plan.root.timespanMs,
    suppressMs: plan.suppressMs,
    leaves: plan.root.children.length,
    entriesMax: limits.groupEntriesMax,
    entriesHardMax: limits.groupEntriesMax * GROUP_ENTRIES_HARD_FACTOR,
  };
}

export function periodOf(time: number, suppressMs: number): number {
  return Math.floor(time / suppressMs) * suppressMs;
}

/** @param watermark events up to it that come now are late. */
export function foldEager(
  rule: EagerRule,
  group: EagerGroup,
  entry: Entry,
  watermark: number,
): EagerOutcome {
  rule.condition.identify(entry);
  if (entry.time <= group.horizon) return { kind: 'late' };
  const late = entry.time - rule.spanMs <= group.horizon || entry.time <= group.settledTo;
  if (placeOf(group.entries, entry).known) return { kind: 'duplicate' };
  if (!hasRoom(rule, group, watermark)) return { kind: 'refused' };
  const { at } = placeOf(group.entries, entry);
  group.entries.splice(at, 0, entry);
  const changed = new Set<EagerAlert>();
  count(group, at, rule, changed);
  judge(rule, group, at, changed);
  return { kind: 'folded', late, changed: [...changed] };
}

/** Makes room where it is time to; a full group is looked through once for what has changed. */
function hasRoom(rule: EagerRule, group: EagerGroup, watermark: number): boolean {
  const { length } = group.entries;
  if (length < Math.min(rule.entriesHardMax, Math.max(rule.entriesMax, group.thinAt))) return true;
  if (length >= rule.entriesHardMax && group.thinnedWith === watermark) return false;
  thin(rule, group, watermark);
  return group.entries.length < rule.entriesHardMax;
}

/** The entry at `at` is new: alerts that are open count it. */
function count(
  { entries, alerts }: EagerGroup,
  at: number,
  { suppressMs }: EagerRule,
  changed: Set<EagerAlert>,
): void {
  const entry = entries[at]!;
  for (const alert of alerts) {
    if (entry.time < alert.from || entry.time >= alert.period + suppressMs) continue;
    alert.first = Math.min(alert.first, entry.time);
    alert.last = Math.max(alert.last, entry.time);
    const isSameEvent = sameEvent(entries[at - 1], entry) || sameEvent(entries[at + 1], entry);
    if (!isSameEvent && entry.time > alert.droppedTo) alert.count += 1;
    alert.rank = Math.max(alert.rank, entry.rank);
    alert.revision += 1;
    changed.add(alert);
  }
}

/** One event may be there once for each rule that it is of. */
function sameEvent(one: Entry | undefined, other: Entry): boolean {
  return one !== undefined && one.time === other.time && one.id === other.id;
}

/** Judges the instants that the entry at `at` can have made true. */
function judge(rule: EagerRule, group: EagerGroup, at: number, changed: Set<EagerAlert>): void {
  const { entries } = group;
  const { spanMs, suppressMs, condition } = rule;
  const { time } = entries[at]!;
  for (let next = at; next < entries.length && entries[next]!.time <= time + spanMs; ) {
    const instant = entries[next]!.time;
    const end = upperBound(entries, instant);
    const period = periodOf(instant, suppressMs);
    const open = group.alerts.find((alert) => alert.period === period);
    if (open === undefined || instant < open.decided) {
      if (condition.holds(entries, lowerBound(entries, instant - spanMs), end)) {
        changed.add(decide(rule, group, open, instant));
      }
    }
    next = end;
  }
}

function decide(
  rule: EagerRule,
  group: EagerGroup,
  open: EagerAlert | undefined,
  decided: number,
): EagerAlert {
  const period = periodOf(decided, rule.suppressMs);
  const alert = open ?? newAlert(period);
  if (open === undefined) {
    group.thinnedWith = Number.NaN;
    group.alerts.push(alert);
    group.alerts.sort((a, b) => a.period - b.period);
  }
  alert.decided = decided;
  alert.from = rule.condition.isSingle ? decided : decided - rule.spanMs;
  if (alert.from <= Math.max(group.horizon, group.droppedTo)) alert.isLowerBound = true;
  const counted = countedBy(rule, group, alert);
  alert.first = Math.min(alert.first, counted[0]!.time);
  alert.last = Math.max(alert.last, counted.at(-1)!.time);
  alert.rank = Math.max(alert.rank, gravest(counted));
  const events = counted.filter((entry, n) => !sameEvent(counted[n - 1], entry)).length;
  // The earlier it is decided the more it counts; where entries were let go, it counts from below.
  const before = alert.count;
  alert.count = Math.max(before, events);
  alert.revision += Math.max(1, alert.count - before);
  return alert;
}

function newAlert(period: number): EagerAlert {
  return {
    period,
    decided: 0,
    from: 0,
    first: Number.POSITIVE_INFINITY,
    last: Number.NEGATIVE_INFINITY,
    count: 0,
    isLowerBound: false,
    droppedTo: Number.NEGATIVE_INFINITY,
    firstRefs: null,
    revision: 0,
    rank: NO_RANK,
  };
}

function countedBy({ suppressMs }: EagerRule, { entries }: EagerGroup, alert: EagerAlert): Entry[] {
  return entries.slice(
    lowerBound(entries, alert.from),
    lowerBound(entries, alert.period + suppressMs),
  );
}

/** What the alert shows; of the first events those that were kept where the entries are gone. */
export function eagerEvidence(
  rule: EagerRule,
  group: EagerGroup,
  alert: EagerAlert,
): readonly EvidenceRef[] {
  const refs = refsOf(countedBy(rule, group, alert));
  if (alert.firstRefs === null) return evidenceOf(refs);
  const shown = new Set(alert.firstRefs.map(({ eventId }) => eventId));
  const newer = refs.filter(({ eventId }) => !shown.has(eventId));
  return evidenceOf([...alert.firstRefs, ...newer]);
}

/** Time below which nothing in the group can matter any more, given the watermark. */
function floorOf({ spanMs }: EagerRule, { alerts }: EagerGroup, watermark: number): number {
  return alerts.reduce((floor, { from }) => Math.min(floor, from), watermark - spanMs);
}

function isClosed({ suppressMs }: EagerRule, { period }: EagerAlert, watermark: number): boolean {
  return period + suppressMs <= watermark;
}

/** Whether there is anything to let go, so that alerts can be told before it goes. */
export function canPrune(rule: EagerRule, group: EagerGroup, watermark: number): boolean {
  const [oldest] = group.entries;
  const [alert] = group.alerts;
  return (
    (alert !== undefined && isClosed(rule, alert, watermark)) ||
    (oldest !== undefined && oldest.time < floorOf(rule, group, watermark))
  );
}

export function prune(rule: EagerRule, group: EagerGroup, watermark: number): void {
  group.alerts = group.alerts.filter((alert) => !isClosed(rule, alert, watermark));
  const kept = lowerBound(group.entries, floorOf(rule, group, watermark));
  if (kept === 0) return;
  group.horizon = Math.max(group.horizon, group.entries[kept - 1]!.time);
  group.entries = group.entries.slice(kept);
}

/** Lets go of what no window that can still change needs, whatever it does to counts. */
export function thin(rule: EagerRule, group: EagerGroup, watermark: number): void {
  const { condition, suppressMs, spanMs } = rule;
  const before = group.entries;
  const settledEnd = upperBound(before, watermark);
  const settled = condition.settled(
    before.slice(lowerBound(before, watermark - spanMs), settledEnd),
  );
  if (settled.length < settledEnd) group.settledTo = watermark;
  const kept = settled;
  for (let at = settledEnd; at < before.length; ) {
    const period = periodOf(before[at]!.time, suppressMs);
    const end = lowerBound(before, period + suppressMs);
    const entries = before.slice(at, end);
    const fired = group.alerts.find((alert) => alert.period === period);
    // Of instants in a period that has fired nothing more can come but what later windows see.
    const useful =
      fired !== undefined && condition.settledAnywhere
        ? condition.settled(entries)
        : withoutMiddles(condition, entries, spanMs);
    for (const entry of useful) kept.push(entry);
    at = end;
  }
  if (kept.length < before.length) noteDropped(rule, group, kept);
  group.entries = kept;
  group.thinnedWith = watermark;
  group.thinAt = Math.max(rule.entriesMax, Math.ceil(kept.length * 1.25));
}

/**
 * Of three entries of a class whose outer ones are at most a timespan apart, the middle one goes: a
 * window that it is in holds one of the others; and where its own instant was true, that of the last
 * entry of another class since the first one, or of the first one itself, is true in the same period.
 */
function withoutMiddles({ classOf }: WindowCondition, entries: Entry[], spanMs: number): Entry[] {
  if (classOf === null) return entries;
  /** By class: the last two that are kept. */
  const kept = new Map<string | number, { before: Entry | null; last: Entry }>();
  const dropped = new Set<Entry>();
  for (const entry of entries) {
    const known = kept.get(classOf(entry));
    if (known === undefined) kept.set(classOf(entry), { before: null, last: entry });
    else if (known.before !== null && entry.time - known.before.time <= spanMs) {
      dropped.add(known.last);
      known.last = entry;
    } else {
      known.before = known.last;
      known.last = entry;
    }
  }
  return dropped.size === 0 ? entries : entries.filter((entry) => !dropped.has(entry));
}

/** Alerts whose events are among those that go count from below, and keep their first events. */
function noteDropped(rule: EagerRule, group: EagerGroup, kept: readonly Entry[]): void {
  const held = new Set(kept);
  const newestGone = group.entries.findLast((entry) => !held.has(entry));
  if (newestGone !== undefined) group.droppedTo = Math.max(group.droppedTo, newestGone.time);
  for (const alert of group.alerts) {
    const counted = countedBy(rule, group, alert);
    const newest = counted.findLast((entry) => !held.has(entry));
    if (newest === undefined) continue;
    alert.firstRefs ??= refsOf(counted).slice(0, EVIDENCE_MAX / 2);
    alert.isLowerBound = true;
    alert.droppedTo = Math.max(alert.droppedTo, newest.time);
  }
}

/** When nothing of the group can matter any more: once the watermark is beyond this. */
export function eagerForgetAfter({ spanMs, suppressMs }: EagerRule, group: EagerGroup): number {
  const entry = group.entries.at(-1)?.time ?? group.horizon;
  const alert = group.alerts.at(-1)?.period ?? Number.NEGATIVE_INFINITY;
  return Math.max(entry + spanMs, alert + suppressMs);
}

export function writeEager(writer: Writer, group: EagerGroup): void {
  writer.since(group.horizon);
  writer.since(group.settledTo);
  writer.since(group.droppedTo);
  writeEntries(writer, group.entries);
  writer.count(group.alerts.length);
  for (const alert of group.alerts) {
    writer.whole(alert.period);
    writer.whole(alert.decided - alert.period);
    writer.whole(alert.period - alert.from);
    writer.whole(alert.first - alert.from);
    writer.whole(alert.last - alert.first);
    writer.count(alert.count);
    writer.count(alert.revision);
    writeRank(writer, alert.rank);
    writer.byte(alert.isLowerBound ? 1 : 0);
    if (!alert.isLowerBound) continue;
    writer.since(alert.droppedTo);
    writeRefs(writer, alert.firstRefs ?? []);
  }
}

export function readEager(reader: Reader, rule: EagerRule): EagerGroup {
  const group = new EagerGroup();
  group.horizon = reader.since();
  group.settledTo = reader.since();
  group.droppedTo = reader.since();
  group.entries = readEntries(reader, rule.leaves);
  const length = reader.length();
  for (let n = 0; n < length && !reader.failed; n += 1) {
    const alert = readAlert(reader);
    const before = group.alerts.at(-1);
    if (before !== undefined && before.period >= alert.period) reader.refuse();
    group.alerts.push(alert);
  }
  return group;
}

function readAlert(reader: Reader): EagerAlert {
  const period = reader.whole();
  const decided = period + reader.whole();
  const from = period - reader.whole();
  const first = from + reader.whole();
  const last = first + reader.whole();
  const alert = newAlert(period);
  Object.assign(alert, { decided, from, first, last });
  alert.count = reader.count();
  alert.revision = reader.count();
  alert.rank = readRank(reader);
  alert.isLowerBound = reader.byte() === 1;
  if (!alert.isLowerBound) return alert;
  alert.droppedTo = reader.since();
  const refs = readRefs(reader);
  alert.firstRefs = refs.length === 0 ? null : refs;
  return alert;
}
