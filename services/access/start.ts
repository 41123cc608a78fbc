/**
 * Where a comparison begins, so that it need not read the whole archive. What held before is taken
 * from the signed snapshots up to the newest that closes its day at or before the first time; all
 * that the comparison tells of is read from the segments themselves. Pure.
 *
 * Nothing is lost that arrived late. A snapshot lists every change before the end of its day that
 * lies in the manifests it names, and of these nothing else is needed but later events. Behind them
 * anything may lie, an event of long ago too, so there all is read that may be before the second time.
 */
import { type AccessBody, DAY_MS, dayStart } from '../../schemas/evidence/access-leaf.ts';
import type { ManifestBody } from '../../schemas/evidence/manifest.ts';
import type { ManifestPlace } from './archive.ts';
import type { AccessEvent } from './change.ts';
import { eventOfRow } from './snapshot.ts';

export interface Start {
  day: string;
  /** Of its leaf. */
  sequence: number;
  /** When its day is over, epoch ms. */
  endMs: number;
  /** All that is known to have changed before that. */
  changes: AccessEvent[];
  /** Records among those manifests that are no audit event. */
  undecodable: number;
  /** How many manifests of each log it read. */
  read: ReadonlyMap<string, number>;
}

/** `why` there is none, in words that go on after a colon. */
export type FoundStart = { start: Start } | { start: null; why: string };

/** @param snapshots those that are signed, in order */
export function startBefore(fromMs: number, snapshots: readonly AccessBody[]): FoundStart {
  const [first] = snapshots;
  if (first === undefined) return { start: null, why: 'there is none that is signed' };
  const before = snapshots.filter(({ day }) => endOf(day) <= fromMs);
  const newest = before.at(-1);
  if (newest === undefined) {
    return { start: null, why: `the first closes ${first.day}, which is not over at FROM` };
  }
  if (before.some(({ omitted }) => omitted > 0)) {
    return { start: null, why: 'one of them had no room for all changes' };
  }
  const start: Start = {
    day: newest.day,
    sequence: before.length - 1,
    endMs: endOf(newest.day),
    changes: before.flatMap(({ changes }) => changes.map(eventOfRow)),
    undecodable: before.reduce((sum, { undecodable }) => sum + undecodable, 0),
    read: new Map(newest.read),
  };
  return { start };
}

export function endOf(day: string): number {
  return dayStart(day)! + DAY_MS;
}

/** Whether the snapshot was made of this manifest's segment too. */
export function isBehind({ log, sequence }: ManifestPlace, read: Start['read']): boolean {
  return sequence >= (read.get(log) ?? 0);
}

/** Whether the segment can hold a change before `toMs` that the snapshot does not tell. */
export function isNeeded(place: ManifestPlace, start: Start | null, toMs: number): boolean {
  if (earliestIn(place.body) >= toMs) return false;
  return start === null || isBehind(place, start.read) || latestIn(place.body) >= start.endMs;
}

/** No event of the segment counts as later (epoch ms): each is at most a day after its record. */
export function latestIn({ timestampMin, timestampMax }: ManifestBody): number {
  // A record without a time of its own may hold an event of any time.
  if (timestampMin === null || Number(timestampMin) <= 0) return Number.POSITIVE_INFINITY;
  return Number(timestampMax) + DAY_MS;
}

/** No event of the segment counts as earlier. Known only where every record tells its event time. */
export function earliestIn(body: ManifestBody): number {
  const { eventTimes, eventTimeMin, records, timestampMin } = body;
  const isTold = eventTimes === records && eventTimeMin !== null;
  if (!isTold || timestampMin === null || Number(timestampMin) <= 0) {
    return Number.NEGATIVE_INFINITY;
  }
  return Math.min(Number(eventTimeMin), Number(timestampMin) + DAY_MS);
}
