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
import { NoteError, type Verifier } from '../../schemas/evidence/note.ts';
import { LogReader, leavesOf, MissingEvidence } from '../evidence/log-reader.ts';
import { BrokenLog } from '../evidence/log-writer.ts';
import { checkSigned, withSuccessors } from '../evidence/trust.ts';
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
import { endOf, isBehind, latestIn } from './start.ts';

/** The snapshots of an archive, in order, signed or not. @throws Failure `DOES_NOT_VERIFY` */
export async function readSnapshots({ store, prefix }: ArchiveLocation): Promise<AccessBody[]> {
  const bodies: AccessBody[] = [];
  try {
    for await (const { bytes } of leavesOf(store, prefix, ACCESS_LOG)) {
      bodies.push(parseAccessLeaf(bytes).body);
    }
  } catch (error) {
    throw explained(error, bodies.length);
  }
  return bodies;
}

/**
 * Those that a trusted key signed. @param given keys that are trusted; those that they handed over
 * to are found in the archive. @throws Failure `DOES_NOT_VERIFY`
 */
export async function signedSnapshots(
  location: ArchiveLocation,
  given: readonly Verifier[],
): Promise<AccessBody[]> {
  const { store, prefix } = location;
  const log = new LogReader(store, prefix, ACCESS_LOG);
  const size = await log.newestCheckpoint();
  if (size === 0) return [];
  const bodies = await readSnapshots(location);
  try {
    await checkSigned(log, size, await withSuccessors(store, prefix, given));
  } catch (error) {
    throw explained(error, size - 1);
  }
  return bodies.slice(0, size);
}

function explained(error: unknown, sequence: number): unknown {
  const isKnown =
    error instanceof LeafError ||
    error instanceof MissingEvidence ||
    error instanceof NoteError ||
    error instanceof BrokenLog;
  if (!isKnown) return error;
  return new Failure(`snapshot ${sequence}: ${error.message}`, {
    code: 'DOES_NOT_VERIFY',
    hint: 'The archive is not as it was sealed, or the key is another: run `lakeseal verify`.',
  });
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
  counts: Count[];
}

/** Of one manifest: events by their day, and what could not be read. */
interface Count {
  place: ManifestPlace;
  days: Map<string, number>;
  undecodable: number;
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
      const count: Count = { place, days: new Map(), undecodable: 0 };
      counts.push(count);
      return {
        event(timeMs) {
          const day = dayOf(timeMs);
          count.days.set(day, (count.days.get(day) ?? 0) + 1);
        },
        access(event) {
          events.push({ place, event });
        },
        undecodable() {
          count.undecodable += 1;
        },
      };
    },
  });
  return { reading, events, counts };
}

/** The snapshot of a day behind `before`, of what lies below the sizes that `read` tells. */
function snapshotWithin(
  day: string,
  read: AccessBody['read'],
  before: AccessBody | undefined,
  known: readonly AccessEvent[],
  { events, counts }: Material,
): ReturnType<typeof snapshotOf> {
  const sizes = new Map(read);
  const sizesBefore = new Map(before?.read);
  const count: DayCount = { events: 0, undecodable: 0 };
  for (const { place, days, undecodable } of counts) {
    if (isBehind(place, sizes)) continue;
    count.events += days.get(day) ?? 0;
    if (isBehind(place, sizesBefore)) count.undecodable += undecodable;
  }
  const found = events.filter(({ place }) => !isBehind(place, sizes)).map(({ event }) => event);
  return snapshotOf({ day, read, count, known, found });
}

/** What can hold events of days after the newest snapshot, or was not read for it. */
function wantsAfter({ day, read }: AccessBody): (place: ManifestPlace) => boolean {
  const sizes = new Map(read);
  return (place) => isBehind(place, sizes) || latestIn(place.body) >= endOf(day);
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
  const bodies: AccessBody[] = [];
  for (const day of days) {
    const before = bodies.at(-1) ?? newest;
    const made = snapshotWithin(day, material.reading.read, before, known, material);
    known = made.known;
    bodies.push(made.body);
  }
  return { bodies, reading: material.reading };
}

function knownAgain(there: readonly AccessBody[], material: Material): AccessEvent[] {
  let known: AccessEvent[] = [];
  for (const [at, { day, read }] of there.entries()) {
    known = snapshotWithin(day, read, there[at - 1], known, material).known;
  }
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
    const before = there[sequence - 1];
    const made = snapshotWithin(told.day, told.read, before, known, material);
    known = made.known;
    const keys: string[] = (Object.keys(made.body) as Array<keyof AccessBody>).filter(
      (key) => JSON.stringify(made.body[key]) !== JSON.stringify(told[key]),
    );
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
