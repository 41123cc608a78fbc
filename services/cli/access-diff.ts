/**
 * `lakeseal access diff`: what became wider or narrower between two times, from an archive or from
 * files of events, and what of it nobody approved. Reads only.
 *
 * Exit codes: 0 done; 1 something was widened that no approval covers; 2 nothing to compare, or not
 * everything could be read; 3 could not run.
 */
import { readFileSync } from 'node:fs';
import { type Judged, judge, readApprovals } from '../access/approvals.ts';
import { readArchive } from '../access/archive.ts';
import type { AccessEvent } from '../access/change.ts';
import { type Diff, diffBetween } from '../access/diff.ts';
import { AccessReader, type Heard } from '../access/read-events.ts';
import { inOrder } from '../access/state.ts';
import { expandInputs, type FileSource } from '../collector/files.ts';
import { DECODE_LIMITS } from '../ingest/decode.ts';
import { decompress } from '../ingest/decompress.ts';
import { isBlank, LineSplitter } from '../ingest/lines.ts';
import type { Config } from '../runtime/config.ts';
import { describeFailure, Failure, reasonOf } from '../runtime/errors.ts';
import { counted } from '../runtime/wording.ts';
import { diffAsJson, diffAsText, IN_A_FILE, placeText } from './access-text.ts';
import { openArchive, segmentProgress, unwrapping } from './archive-place.ts';
import { opener } from './open-segment.ts';
import { printable, type Terminal } from './terminal.ts';

export interface AccessDiffFlags {
  archive?: string;
  approvals?: string;
  maxRows: number;
  json?: true;
}

/** Epoch ms; changes at or after the first and before the second count. */
export interface Range {
  fromMs: number;
  toMs: number;
}

/** What was read, and how whole it is. */
export interface Material {
  source: string;
  changes: AccessEvent[];
  events: number;
  /** Earliest time of an event, epoch ms; null without events. */
  firstMs: number | null;
  undecodable: number;
  gaps: number;
}

export interface DiffReport {
  range: Range;
  material: Material;
  diff: Diff;
  /** Null where no approvals were given. */
  judged: Judged | null;
  exitCode: number;
}

const EXIT = { done: 0, unapproved: 1, incomplete: 2, failed: 3 };
/** Undecodable lines and records that are told one by one. */
const COMPLAINTS_MAX = 20;
const LINE_LIMITS = { lineBytesMax: DECODE_LIMITS.bytesMax, firstPartBytes: 0 };

export async function runAccessDiff(
  range: Range,
  files: readonly string[],
  flags: AccessDiffFlags,
  config: () => Config,
  nowMs: number,
  terminal: Terminal,
): Promise<number> {
  try {
    const report = await makeReport(range, files, flags, config, nowMs, terminal);
    const text = flags.json === true ? diffAsJson(report) : diffAsText(terminal, report, flags);
    terminal.out(text);
    return report.exitCode;
  } catch (error) {
    terminal.err(describeFailure('lakeseal access diff', error));
    return EXIT.failed;
  }
}

async function makeReport(
  range: Range,
  files: readonly string[],
  flags: AccessDiffFlags,
  config: () => Config,
  nowMs: number,
  terminal: Terminal,
): Promise<DiffReport> {
  if (range.fromMs >= range.toMs) {
    throw new Failure('FROM is not before TO', {
      code: 'USAGE',
      hint: 'A day alone is its beginning: of one day write 2026-11-24 2026-11-25.',
    });
  }
  if (files.length > 0 && flags.archive !== undefined) {
    throw new Failure('name files or --archive, not both', { code: 'USAGE' });
  }
  // A mistake in the file should be told before an hour of reading.
  const approvals = flags.approvals === undefined ? null : approvalsOf(flags.approvals);
  const material =
    files.length > 0
      ? await readFiles(files, terminal)
      : await readPlace(flags.archive, config(), terminal);
  const diff = diffBetween(inOrder(material.changes), range.fromMs, range.toMs);
  const judged = approvals === null ? null : judge(diff, approvals, nowMs);
  return { range, material, diff, judged, exitCode: exitCodeOf(material, judged) };
}

function exitCodeOf({ events, undecodable, gaps }: Material, judged: Judged | null): number {
  if (judged !== null && judged.unapproved.length > 0) return EXIT.unapproved;
  return events === 0 || undecodable > 0 || gaps > 0 ? EXIT.incomplete : EXIT.done;
}

function approvalsOf(path: string) {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Failure(`the approvals ${path} cannot be read: ${reasonOf(error)}`, {
      code: 'NO_FILE',
    });
  }
  const read = readApprovals(path, text);
  if (read.ok) return read.approvals;
  const lines = read.problems.map(({ place, what, hint }) => `  ${place}: ${what}; ${hint}`);
  throw new Failure(
    `the approvals have ${counted(lines.length, 'problem')}:\n${lines.join('\n')}\n`,
    {
      code: 'APPROVALS_INVALID',
    },
  );
}

// --- reading -------------------------------------------------------------------------------------

/** Counts what is heard, and keeps the changes. */
function listener(material: Material, terminal: Terminal): Heard {
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
      if (material.undecodable > COMPLAINTS_MAX) return;
      terminal.err(printable(`${placeText(at)}: undecodable: ${reason}`));
    },
  };
}

function emptyMaterial(source: string): Material {
  return { source, changes: [], events: 0, firstMs: null, undecodable: 0, gaps: 0 };
}

async function readPlace(
  place: string | undefined,
  config: Config,
  terminal: Terminal,
): Promise<Material> {
  const archive = await openArchive(config, place);
  try {
    const { store, prefix, name } = archive;
    const material = emptyMaterial(name);
    const heard = listener(material, terminal);
    const { gaps } = await readArchive(
      {
        store,
        prefix,
        withoutTopics: [config.topics.deadLetter],
        open: opener(await unwrapping(archive, undefined, config)),
      },
      { progress: segmentProgress(terminal), heard: () => heard },
    );
    return { ...material, gaps };
  } finally {
    archive.close();
  }
}

async function readFiles(files: readonly string[], terminal: Terminal): Promise<Material> {
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
