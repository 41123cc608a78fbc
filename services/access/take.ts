/**
 * Makes the snapshots that are missing, and checks those that are there, from the segments of an
 * archive. What each says follows from the archive up to the sizes that it names, so that making and
 * checking are the same computation.
 */
import {
  ACCESS_LOG,
  type AccessBody,
  DAY_MS,
  dayOf,
  dayStart,
  parseAccessLeaf,
} from '../../schemas/evidence/access-leaf.ts';
import { LeafError } from '../../schemas/evidence/leaf.ts';
import { LogReader, MissingEvidence } from '../evidence/log-reader.ts';
import { Failure } from '../runtime/errors.ts';
import {
  type ArchiveLocation,
  type ArchiveReading,
  type ManifestPlace,
  type ReadOptions,
  readArchive,
} from './archive.ts';
import type { AccessEvent } from './change.ts';
import { type DayCount, eventOfRow, snapshotOf } from './snapshot.ts';

/** The snapshots of an archive, in order. @throws Failure `DOES_NOT_VERIFY` */
export async function readSnapshots({ store, prefix }: ArchiveLocation): Promise<AccessBody[]> {
  const log = new LogReader(store, prefix, ACCESS_LOG);
  const count = await log.count();
  const bodies: AccessBody[] = [];
  for (let sequence = 0; sequence < count; sequence++) {
    try {
      bodies.push(parseAccessLeaf(await log.leaf(sequence)).body);
    } catch (error) {
      if (!(error instanceof LeafError || error instanceof MissingEvidence)) throw error;
      throw new Failure(`snapshot ${sequence}: ${error.message}`, {
        code: 'DOES_NOT_VERIFY',
        hint: 'The archive is not as it was sealed: run `lakeseal verify`.',
      });
    }
  }
  return bodies;
}

/**
 * Days that lack a snapshot, up to `lastDay`. The first snapshot closes `lastDay` at once: it lists
 * all that happened until then.
 */
export function missingDays(bodies: readonly AccessBody[], lastDay: string): string[] {
  const newest = bodies.at(-1);
  if (newest === undefined) return [lastDay];
  const days: string[] = [];
  for (let ms = dayStart(newest.day)! + DAY_MS; ms <= dayStart(lastDay)!; ms += DAY_MS) {
    days.push(dayOf(ms));
  }
  return days;
}

/** What was heard of the archive, by manifest, so that any earlier extent can be looked at again. */
interface Material {
  reading: ArchiveReading;
  events: Array<{ place: ManifestPlace; event: AccessEvent }>;
  /** By manifest and day. */
  counts: Array<{ place: ManifestPlace; days: Map<string, DayCount> }>;
}

type Progress = NonNullable<ReadOptions['progress']>;

async function hear(
  location: ArchiveLocation,
  wants: ReadOptions['wants'],
  progress: Progress,
): Promise<Material> {
  const events: Material['events'] = [];
  const counts: Material['counts'] = [];
  const reading = await readArchive(location, {
    ...(wants === undefined ? {} : { wants }),
    progress,
    heard: (place) => {
      const days = new Map<string, DayCount>();
      counts.push({ place, days });
      return {
        event(timeMs) {
          countOf(days, timeMs).events += 1;
        },
        access(event) {
          events.push({ place, event });
        },
        undecodable(_, __, timestampMs) {
          countOf(days, timestampMs).undecodable += 1;
        },
      };
    },
  });
  return { reading, events, counts };
}

const TIME_MS_MAX = 8.64e15;

/** Record times are whatever their producer said. */
function countOf(days: Map<string, DayCount>, timeMs: number): DayCount {
  const day = dayOf(Math.min(Math.max(0, timeMs), TIME_MS_MAX));
  let count = days.get(day);
  if (count === undefined) {
    count = { events: 0, undecodable: 0 };
    days.set(day, count);
  }
  return count;
}

/** The snapshot of a day, of what lies below the sizes that `read` tells. */
function snapshotWithin(
  day: string,
  read: AccessBody['read'],
  known: readonly AccessEvent[],
  { events, counts }: Material,
): ReturnType<typeof snapshotOf> {
  const sizes = new Map(read);
  const isWithin = ({ log, sequence }: ManifestPlace): boolean => sequence < (sizes.get(log) ?? 0);
  const count: DayCount = { events: 0, undecodable: 0 };
  for (const { place, days } of counts) {
    const one = isWithin(place) ? days.get(day) : undefined;
    count.events += one?.events ?? 0;
    count.undecodable += one?.undecodable ?? 0;
  }
  const found = events.filter(({ place }) => isWithin(place)).map(({ event }) => event);
  return snapshotOf({ day, read, count, known, found });
}

/** What can hold events of days after the newest snapshot, or was not read for it. */
function wantsAfter(newest: AccessBody): (place: ManifestPlace) => boolean {
  const sizes = new Map(newest.read);
  const fromMs = dayStart(newest.day)!;
  return ({ log, sequence, body }) => {
    if (sequence >= (sizes.get(log) ?? 0)) return true;
    // A record without a time of its own may hold an event of any time.
    if (body.timestampMin === null || Number(body.timestampMin) <= 0) return true;
    return Number(body.timestampMax) >= fromMs;
  };
}

export interface Missing {
  bodies: AccessBody[];
  reading: ArchiveReading;
}

/** The snapshots of these days, which follow those that are there. @throws Failure */
export async function missingSnapshots(
  location: ArchiveLocation,
  there: readonly AccessBody[],
  days: readonly string[],
  progress: Progress,
): Promise<Missing> {
  const newest = there.at(-1);
  // Changes that a leaf had no room for are only in the segments.
  const isListed = there.every(({ omitted }) => omitted === 0);
  const wants = newest === undefined || !isListed ? undefined : wantsAfter(newest);
  const material = await hear(location, wants, progress);
  let known = isListed
    ? there.flatMap(({ changes }) => changes.map(eventOfRow))
    : knownAgain(there, material);
  const bodies = days.map((day) => {
    const made = snapshotWithin(day, material.reading.read, known, material);
    known = made.known;
    return made.body;
  });
  return { bodies, reading: material.reading };
}

function knownAgain(there: readonly AccessBody[], material: Material): AccessEvent[] {
  let known: AccessEvent[] = [];
  for (const { day, read } of there) known = snapshotWithin(day, read, known, material).known;
  return known;
}

/** A snapshot that the segments do not bear out. */
export interface WrongSnapshot {
  sequence: number;
  day: string;
  /** The keys of the leaf that differ, or do not follow from the leaf before. */
  keys: string[];
}

/** Every snapshot made again from the segments. @throws Failure */
export async function checkSnapshots(
  location: ArchiveLocation,
  there: readonly AccessBody[],
  progress: Progress,
): Promise<WrongSnapshot[]> {
  const material = await hear(location, undefined, progress);
  const wrong: WrongSnapshot[] = [];
  let known: AccessEvent[] = [];
  for (const [sequence, told] of there.entries()) {
    const made = snapshotWithin(told.day, told.read, known, material);
    known = made.known;
    const keys: string[] = (Object.keys(made.body) as Array<keyof AccessBody>).filter(
      (key) => JSON.stringify(made.body[key]) !== JSON.stringify(told[key]),
    );
    const before = there[sequence - 1];
    if (before !== undefined && told.day <= before.day) keys.push('day');
    if (!grows(before?.read ?? [], told.read) || !grows(told.read, material.reading.read)) {
      keys.push('read');
    }
    if (keys.length > 0) wrong.push({ sequence, day: told.day, keys });
  }
  return wrong;
}

/** Whether every log of `less` is in `more`, and not smaller. */
function grows(less: AccessBody['read'], more: AccessBody['read']): boolean {
  const sizes = new Map(more);
  return less.every(([log, size]) => size <= (sizes.get(log) ?? -1));
}
