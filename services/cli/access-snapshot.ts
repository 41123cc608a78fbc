/**
 * `lakeseal access snapshot` and `access check`: the daily snapshots of who may do what, written to
 * the archive with the archiver's credential, and made again from its segments by anybody.
 */
import {
  ACCESS_LOG,
  type AccessBody,
  DAY_MS,
  dayOf,
  dayStart,
} from '../../schemas/evidence/access-leaf.ts';
import { leafBytes } from '../../schemas/evidence/leaf.ts';
import type { Signer } from '../../schemas/evidence/note.ts';
import type { ArchiveLocation } from '../access/archive.ts';
import { checkSnapshots, missingDays, missingSnapshots, readSnapshots } from '../access/take.ts';
import { LogWriter } from '../evidence/log-writer.ts';
import { configuredSigner } from '../evidence/signer.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { describeFailure, Failure } from '../runtime/errors.ts';
import { counted } from '../runtime/wording.ts';
import { createS3Store } from '../store/s3.ts';
import type { ObjectStore } from '../store/store.ts';
import { openArchive, segmentProgress, unwrapping } from './archive-place.ts';
import { type OpenSegment, opener } from './open-segment.ts';
import type { Terminal } from './terminal.ts';

/** A hint for when the store denies something. */
const RIGHTS =
  '`lakeseal access snapshot` needs s3:PutObject, GetObject, ListBucket and ListBucketVersions of the credential in storage.*.';

export interface AccessSnapshotFlags {
  until?: string;
  dryRun?: true;
  json?: true;
}

export async function runAccessSnapshot(
  flags: AccessSnapshotFlags,
  config: Config,
  nowMs: number,
  terminal: Terminal,
): Promise<number> {
  const lastDay = lastDayOf(flags.until, nowMs);
  const signer = await configuredSigner(config);
  if (signer === null && flags.dryRun !== true) {
    throw new Failure('no signing key is configured', {
      code: 'NO_KEY',
      hint: 'Set evidence.keyFile; `lakeseal keys new` makes a key. --dry-run needs none.',
    });
  }
  const store = createS3Store(config.storage, config.archive, systemClock, RIGHTS);
  try {
    const { prefix } = config.storage;
    const open = opener(await unwrapping({ store, prefix }, undefined, config));
    return await takeSnapshots(store, signer, { ...flags, lastDay, open }, config, terminal);
  } finally {
    store.close();
  }
}

function lastDayOf(until: string | undefined, nowMs: number): string {
  const yesterday = dayOf(nowMs - DAY_MS);
  if (until === undefined || dayStart(until)! <= dayStart(yesterday)!) return until ?? yesterday;
  throw new Failure(`${until} is not over yet`, {
    code: 'USAGE',
    hint: `Days are those of UTC; the last that is over is ${yesterday}.`,
  });
}

/** Reads, makes what is missing, writes and signs. For tests with a store of their own. */
export async function takeSnapshots(
  store: ObjectStore,
  signer: Signer | null,
  { lastDay, dryRun, json, open }: AccessSnapshotFlags & { lastDay: string; open?: OpenSegment },
  config: Pick<Config, 'storage' | 'topics'>,
  terminal: Terminal,
): Promise<number> {
  const { prefix } = config.storage;
  const withoutTopics = [config.topics.deadLetter];
  const location = { store, prefix, withoutTopics, ...(open && { open }) };
  const there = await readSnapshots(location);
  const days = missingDays(there, lastDay);
  const { bodies, reading } =
    days.length === 0
      ? { bodies: [], reading: null }
      : await missingSnapshots(location, there, days, segmentProgress(terminal));
  if (reading?.read.every(([, size]) => size === 0)) {
    throw new Failure('the archive has no segment to read', {
      code: 'NOTHING',
      hint: 'Is it the right bucket and prefix, and does the archiver write manifests?',
    });
  }
  if (dryRun !== true) await append(store, prefix, there.length, bodies, signer!);
  tell(bodies, { lastDay, ...(dryRun && { dryRun }), ...(json && { json }) }, terminal);
  return 0;
}

/**
 * Behind the `known` snapshots that these were made for, and nowhere else: after others' they would
 * tell again what those tell.
 */
async function append(
  store: ObjectStore,
  prefix: string,
  known: number,
  bodies: readonly AccessBody[],
  signer: Signer,
): Promise<void> {
  const log = await LogWriter.open(store, prefix, ACCESS_LOG);
  let isOvertaken = log.size !== known;
  for (const body of bodies) {
    if (isOvertaken) break;
    isOvertaken = (await log.append((end) => leafBytes(end, body))).outcome === 'overtaken';
  }
  if (isOvertaken) {
    throw new Failure('somebody else wrote a snapshot in the meantime', {
      code: 'OVERTAKEN',
      hint: 'Run it again: it goes on behind theirs.',
      retryable: true,
    });
  }
  if (log.size > 0) await log.sign(signer);
}

function tell(
  bodies: readonly AccessBody[],
  { lastDay, dryRun, json }: AccessSnapshotFlags & { lastDay: string },
  terminal: Terminal,
): void {
  const short = bodies.map(({ changes: _, ...rest }) => rest);
  if (json === true) {
    terminal.out(JSON.stringify({ dryRun: dryRun === true, snapshots: short }, null, 2));
    return;
  }
  for (const { day, events, undecodable, changed, omitted, facts } of bodies) {
    const unread = undecodable === 0 ? '' : `, ${counted(undecodable, 'record')} undecodable`;
    const left = omitted === 0 ? '' : ` (${counted(omitted, 'change')} had no room in the leaf)`;
    terminal.out(
      `${day}  ${counted(events, 'event')}${unread}, ${counted(changed, 'change')} of access${left}, ` +
        `${counted(facts, 'fact')} known to hold`,
    );
  }
  if (bodies.length === 0) terminal.out(`every day up to ${lastDay} is closed: nothing to do`);
  else if (dryRun === true) terminal.err('dry run: nothing was written');
  else terminal.err(`${counted(bodies.length, 'snapshot')} sealed and signed`);
}

// --- check ---------------------------------------------------------------------------------------

const EXIT = { done: 0, wrong: 1, nothing: 2, failed: 3 };

export async function runAccessCheck(
  place: string | undefined,
  { json }: { json?: true },
  config: () => Config,
  terminal: Terminal,
): Promise<number> {
  try {
    const settings = config();
    const archive = await openArchive(settings, place);
    try {
      const { store, prefix, name } = archive;
      const open = opener(await unwrapping(archive, undefined, settings));
      const location = { store, prefix, withoutTopics: [settings.topics.deadLetter], open };
      return await check(location, name, json === true, terminal);
    } finally {
      archive.close();
    }
  } catch (error) {
    terminal.err(describeFailure('lakeseal access check', error));
    return EXIT.failed;
  }
}

async function check(
  location: ArchiveLocation,
  archive: string,
  json: boolean,
  terminal: Terminal,
): Promise<number> {
  const there = await readSnapshots(location);
  const wrong = await checkSnapshots(location, there, segmentProgress(terminal));
  const exitCode = wrong.length > 0 ? EXIT.wrong : there.length > 0 ? EXIT.done : EXIT.nothing;
  if (json) {
    terminal.out(JSON.stringify({ archive, exitCode, snapshots: there.length, wrong }, null, 2));
    return exitCode;
  }
  for (const { sequence, day, keys } of wrong) {
    terminal.out(`snapshot ${sequence} of ${day}: not what the segments say: ${keys.join(', ')}`);
  }
  const borne = there.length - wrong.length;
  if (there.length === 0) terminal.out('there is no snapshot in this archive');
  else terminal.out(`${counted(borne, 'snapshot')} of ${there.length} borne out by the segments`);
  return exitCode;
}
