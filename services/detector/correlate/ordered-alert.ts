/**
 * Alerts of ordered rules that are still open. A later firing of the same period counts what it saw
 * that is newer than all that was counted; so each event counts once.
 */
import type { Reader, Writer } from './bytes.ts';
import {
  type Entry,
  gravest,
  readAddedRank,
  readRefs,
  refsOf,
  TIME_MS_MAX,
  upperBound,
  writeRank,
  writeRefs,
} from './entry.ts';
import type { Firing } from './node-state.ts';
import { EVIDENCE_MAX, type EvidenceRef, NO_RANK } from './types.ts';

/** Up to so many are looked for one by one: an alert that is open mostly gets one event at a time. */
const FEW_REFS = 4;
const HALF = EVIDENCE_MAX / 2;

export interface OrderedAlert {
  /** Start of the suppression period, epoch ms. */
  period: number;
  /** As of the firing: JSON, or null. */
  value: string | null;
  first: number;
  last: number;
  count: number;
  isLowerBound: boolean;
  /** The highest rank of what was counted. */
  rank: number;
  oldest: EvidenceRef[];
  newest: EvidenceRef[];
  revision: number;
  context: string;
  reason: string;
}

export function openAlert(period: number, { value }: Firing): OrderedAlert {
  return {
    period,
    value,
    first: Number.POSITIVE_INFINITY,
    last: Number.NEGATIVE_INFINITY,
    count: 0,
    isLowerBound: false,
    rank: NO_RANK,
    oldest: [],
    newest: [],
    revision: 0,
    context: '',
    reason: '',
  };
}

/**
 * @param since newest event time that was counted before the instant of the firing
 * @returns whether the alert changed
 */
export function countFiring(
  alert: OrderedAlert,
  { entries, total, rank, reason }: Firing,
  since: number,
): boolean {
  const isNew = alert.revision === 0;
  const fresh = freshOf(entries, since);
  const hasInner = fresh.some((entry) => entry.refs !== null);
  const shown = alert.oldest.length + alert.newest.length;
  const refs = notShown(alert, refsOf(fresh));
  const graver = Math.max(alert.rank, rank, gravest(fresh));
  if (!isNew && refs.length === 0 && graver === alert.rank) return false;
  alert.rank = graver;
  for (const { time } of fresh) {
    alert.first = Math.min(alert.first, time);
    alert.last = Math.max(alert.last, time);
  }
  // Behind the firings of inner rules an event may come again when it is not shown any more.
  const isSure = shown < EVIDENCE_MAX || !hasInner;
  if (isSure) alert.count += refs.length;
  else alert.isLowerBound = true;
  if (total !== null) alert.count = Math.max(alert.count, total);
  for (const ref of refs) {
    if (alert.oldest.length < HALF) alert.oldest.push(ref);
    else alert.newest.push(ref);
  }
  if (alert.newest.length > HALF) alert.newest = alert.newest.slice(-HALF);
  alert.revision += Math.max(1, refs.length);
  alert.reason = reason;
  return true;
}

/** Those that may not be counted yet: what is newer, and every firing of an inner rule. */
function freshOf(entries: readonly Entry[], since: number): readonly Entry[] {
  if (entries.some(({ refs }) => refs !== null)) {
    return entries.filter(({ time, refs }) => refs !== null || time > since);
  }
  const start = upperBound(entries, since);
  return start === 0 ? entries : entries.slice(start);
}

function notShown({ oldest, newest }: OrderedAlert, refs: EvidenceRef[]): EvidenceRef[] {
  if (refs.length <= FEW_REFS) {
    const isIn = (list: readonly EvidenceRef[], id: string): boolean =>
      list.some(({ eventId }) => eventId === id);
    return refs.filter(({ eventId }) => !isIn(newest, eventId) && !isIn(oldest, eventId));
  }
  const known = new Set([...oldest, ...newest].map(({ eventId }) => eventId));
  return refs.filter(({ eventId }) => !known.has(eventId));
}

export function writeOrderedAlert(writer: Writer, alert: OrderedAlert): void {
  writer.whole(alert.period);
  writer.optional(alert.value);
  writer.whole(alert.first - alert.period);
  writer.whole(alert.last - alert.first);
  writer.count(alert.count);
  writer.byte(alert.isLowerBound ? 1 : 0);
  writeRank(writer, alert.rank);
  writeRefs(writer, alert.oldest);
  writeRefs(writer, alert.newest);
  writer.count(alert.revision);
  writer.text(alert.context);
  writer.text(alert.reason);
}

export function readOrderedAlert(reader: Reader): OrderedAlert {
  const period = reader.whole();
  const value = reader.optional();
  const first = period + reader.whole();
  const last = first + reader.whole();
  if (Math.abs(period) > TIME_MS_MAX) reader.refuse();
  return {
    period,
    value,
    first,
    last,
    count: reader.count(),
    isLowerBound: reader.byte() === 1,
    rank: readAddedRank(reader),
    oldest: readRefs(reader),
    newest: readRefs(reader),
    revision: reader.count(),
    context: reader.text(),
    reason: reader.text(),
  };
}
