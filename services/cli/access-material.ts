/**
 * What `lakeseal access diff` compares: changes out of an archive, begun at a signed snapshot where
 * one helps, or out of files of events. Reads only.
 */
import { readArchive } from '../access/archive.ts';
import type { AccessEvent } from '../access/change.ts';
import { AccessReader, type Heard } from '../access/read-events.ts';
import { type FoundStart, isBehind, isNeeded, type Start, startBefore } from '../access/start.ts';
import { signedSnapshots } from '../access/take.ts';
import { expandInputs, type FileSource } from '../collector/files.ts';
import { DECODE_LIMITS } from '../ingest/decode.ts';
import { decompress } from '../ingest/decompress.ts';
import { isBlank, LineSplitter } from '../ingest/lines.ts';
import type { Config } from '../runtime/config.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';
import { counted } from '../runtime/wording.ts';
import { IN_A_FILE, placeText } from './access-text.ts';
import {
  type KeyFlags,
  openArchive,
  segmentProgress,
  trustedKeys,
  unwrapping,
} from './archive-place.ts';
import { opener } from './open-segment.ts';
import { printable, type Terminal } from './terminal.ts';

/** Epoch ms; changes at or after the first and before the second count. */
export interface Range {
  fromMs: number;
  toMs: number;
}

/** What was read, and how whole it is. */
export interface Material {
  source: string;
  changes: AccessEvent[];
  /** In what was read; what a snapshot stands for is not among them. */
  events: number;
  /** Earliest time of an event, or of a change that a snapshot tells, epoch ms; null without any. */
  firstMs: number | null;
  undecodable: number;
  gaps: number;
  /** Segments that were read, and that there are; null of files. */
  segments: { read: number; all: number } | null;
  /** What held before was taken from it; null: from all events before. */
  start: Pick<Start, 'day' | 'sequence'> | null;
}

export interface PlaceFlags extends KeyFlags {
  archive?: string;
  /** Takes nothing from snapshots. */
  whole?: true;
}

/** Undecodable lines and records that are told one by one. */
const COMPLAINTS_MAX = 20;
const LINE_LIMITS = { lineBytesMax: DECODE_LIMITS.bytesMax, firstPartBytes: 0 };

/** Counts what is heard, and keeps the changes. */
function listener(material: Material, terminal: Terminal): Heard {
  let told = 0;
  return {
    event(timeMs) {
      material.events += 1;
      if (material.firstMs === null || timeMs < material.firstMs) material.firstMs = timeMs;
    },
    access(event) {
      material.changes.push(event);
    },
    undecodable(at, reason) {
      material.undecodable += 1;
      told += 1;
      if (told > COMPLAINTS_MAX) return;
      terminal.err(printable(`${placeText(at)}: undecodable: ${reason}`));
    },
  };
}

function emptyMaterial(source: string, start: Start | null = null): Material {
  return {
    source,
    changes: [...(start?.changes ?? [])],
    events: 0,
    firstMs: start?.changes[0]?.timeMs ?? null,
    undecodable: start?.undecodable ?? 0,
    gaps: 0,
    segments: null,
    start: start && { day: start.day, sequence: start.sequence },
  };
}

// --- of an archive -------------------------------------------------------------------------------

/** @throws Failure */
export async function readPlace(
  range: Range,
  flags: PlaceFlags,
  config: Config,
  terminal: Terminal,
): Promise<Material> {
  const archive = await openArchive(config, flags.archive);
  try {
    const { store, prefix, name } = archive;
    const location = {
      store,
      prefix,
      withoutTopics: [config.topics.deadLetter],
      open: opener(await unwrapping(archive, undefined, config)),
    };
    const found = await startOf(range, flags, config, location);
    if (found.start === null && flags.whole !== true) {
      terminal.err(`no snapshot helps: ${found.why}; all before TO is read`);
    }
    return await readFrom(found.start, range, location, name, terminal);
  } finally {
    archive.close();
  }
}

type Location = Parameters<typeof readArchive>[0];

async function startOf(
  { fromMs }: Range,
  flags: PlaceFlags,
  config: Config,
  location: Location,
): Promise<FoundStart> {
  if (flags.whole === true) return { start: null, why: 'none was wanted' };
  const isNamed = flags.key !== undefined || flags.keyFile !== undefined;
  try {
    const verifiers = await trustedKeys(flags, () => config);
    return startBefore(fromMs, await signedSnapshots(location, verifiers));
  } catch (error) {
    // A comparison needs no snapshot; but who names a key wants to know that it is of no use.
    if (!(error instanceof Failure) || isNamed) throw error;
    return { start: null, why: `${error.message} (${error.hint ?? 'run `lakeseal verify`'})` };
  }
}

/** For tests with a store of their own, too. @throws Failure */
export async function readFrom(
  start: Start | null,
  { toMs }: Range,
  location: Location,
  name: string,
  terminal: Terminal,
): Promise<Material> {
  const material = emptyMaterial(name, start);
  const heard = listener(material, terminal);
  // The snapshots have counted what could not be read there.
  const heardAgain = { ...heard, undecodable: () => {} };
  const { read, segments, all, gaps } = await readArchive(location, {
    progress: segmentProgress(terminal),
    wants: (place) => isNeeded(place, start, toMs),
    heard: (place) => (start === null || isBehind(place, start.read) ? heard : heardAgain),
  });
  if (start !== null) assertThere(start, new Map(read));
  return { ...material, gaps, segments: { read: segments, all } };
}

/** An archive that lost manifests has lost segments with them, which may be wanted. */
function assertThere({ day, read }: Start, sizes: ReadonlyMap<string, number>): void {
  for (const [log, size] of read) {
    const there = sizes.get(log) ?? 0;
    if (size <= there) continue;
    const told = `the snapshot of ${day} read ${counted(size, 'manifest')} of ${log}, here are ${there}`;
    throw new Failure(told, {
      code: 'DOES_NOT_VERIFY',
      hint: 'Run `lakeseal verify`. --whole compares what is there, without snapshots.',
    });
  }
}

// --- of files ------------------------------------------------------------------------------------

/** @throws Failure `NO_FILE` */
export async function readFiles(files: readonly string[], terminal: Terminal): Promise<Material> {
  const { sources, missing } = await expandInputs([...files], process.stdin);
  if (missing.length > 0) throw new Failure(missing.join('; '), { code: 'NO_FILE' });
  const material = emptyMaterial(counted(sources.length, 'file'));
  const reader = new AccessReader();
  const heard = listener(material, terminal);
  for (const source of sources) await readFile(source, reader, heard);
  return material;
}

async function readFile(source: FileSource, reader: AccessReader, heard: Heard): Promise<void> {
  const lines = new LineSplitter(LINE_LIMITS);
  const take = (found: ReturnType<LineSplitter['end']>): void => {
    for (const { number, bytes, oversizedBytes } of found) {
      const at = { topic: source.name, partition: IN_A_FILE, offset: BigInt(number) };
      if (oversizedBytes !== null) heard.undecodable(at, `oversized: ${oversizedBytes} bytes`);
      else if (!isBlank(bytes)) reader.line(bytes, at, heard);
    }
  };
  try {
    for await (const chunk of decompress(source.open())) take(lines.push(chunk));
    take(lines.end());
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`${source.name}: cannot be read: ${reasonOf(error)}`, { code: 'NO_FILE' });
  }
}
