/**
 * `lakeseal verify`: an archive against its evidence, for people and as JSON. Reads only, with the
 * credential of `storage.*` or from a copy in a folder.
 *
 * Exit codes: 0 verified, 1 tampered with, 2 incomplete or nothing to verify, 3 could not run.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Unwrap } from '../../schemas/envelope.ts';
import { judgeStamp } from '../../schemas/evidence/time-stamp.ts';
import { judgeWitness } from '../../schemas/evidence/witness.ts';
import { wrappingKeys } from '../evidence/keys.ts';
import type { Config } from '../runtime/config.ts';
import { describeFailure, Failure, reasonOf } from '../runtime/errors.ts';
import { keepHeapSteady } from '../runtime/heap.ts';
import { counted, grouped } from '../runtime/wording.ts';
import { classOf, exitCodeOf, meaningOf } from '../verifier/findings.ts';
import { folderSource } from '../verifier/folder-source.ts';
import { parseState, stateText, type VerifierState } from '../verifier/kept-state.ts';
import type { StampsSince } from '../verifier/root-check.ts';
import { s3Source } from '../verifier/s3-source.ts';
import type { ArchiveSource } from '../verifier/source.ts';
import { readStateFile, writeStateFile } from '../verifier/state-file.ts';
import { type Verification, verify } from '../verifier/verify.ts';
import {
  type AnchorFlags,
  archivePlace,
  type KeyFlags,
  openArchive,
  type TrustedAnchors,
  trustedAnchors,
  trustedKeys,
  unwrappingAsFar,
} from './archive-place.ts';
import { progressBar } from './progress-bar.ts';
import type { Terminal } from './terminal.ts';

export interface VerifyFlags extends KeyFlags, AnchorFlags {
  from?: string[];
  /** File that keeps where the run ended, for the next one to begin there. */
  state?: string;
  /** Reads everything, and makes the state anew. */
  whole?: true;
  deep?: true;
  expectStamps?: true;
  /** Implies `expectStamps`. */
  stampsSince?: StampsSince;
  unwrapKey?: string[];
  rootMaxAge?: number;
  maxFindings: number;
  quiet?: true;
  json?: true;
}

export const EXIT_FAILED = 3;
/** Segments read at the same time. */
export const CONCURRENCY = 4;

export async function runVerify(
  place: string | undefined,
  flags: VerifyFlags,
  config: () => Config,
  nowMs: number,
  terminal: Terminal,
): Promise<number> {
  try {
    return await verifyPlace(place, flags, config(), nowMs, terminal);
  } catch (error) {
    terminal.err(describeFailure('lakeseal verify', error));
    return EXIT_FAILED;
  }
}

async function verifyPlace(
  place: string | undefined,
  flags: VerifyFlags,
  config: Config,
  nowMs: number,
  terminal: Terminal,
): Promise<number> {
  const verifiers = await trustedKeys(flags, () => config);
  const anchors = trustedAnchors(flags, config);
  const stampsSince = flags.stampsSince ?? (flags.expectStamps === true ? 0 : null);
  if (stampsSince !== null && anchors.authorities === null) {
    throw new Failure('time stamps are expected, but of no authority', {
      code: 'USAGE',
      hint: 'Pass the root certificate of the authority with --tsa-ca.',
    });
  }
  if (flags.whole === true && flags.state === undefined) {
    throw new Failure('--whole makes a state anew, but none is named', {
      code: 'USAGE',
      hint: 'Without --state every run is whole; else pass --state FILE.',
    });
  }
  const { storage, folder } = archivePlace(config, place);
  const unwrap = await unwrapFor(place, flags, config, terminal);
  const bucket = folder === null ? s3Source(storage) : null;
  const source = bucket ?? folderSource(folder!);
  const kept = (flags.from ?? []).flatMap(readKept);
  const bar = segmentsBar(flags);
  keepHeapSteady();
  try {
    const verification = await verify({
      source,
      prefix: storage.prefix,
      verifiers,
      state: readState(flags, source),
      kept,
      deep: flags.deep === true,
      unwrap,
      nowMs,
      rootAgeMsMax: flags.rootMaxAge === undefined ? null : flags.rootMaxAge * 1000,
      concurrency: CONCURRENCY,
      ...judges(anchors),
      stampsSince,
      breathe: () => setImmediate(),
      progress: (log, bytes) => bar.update(log, bytes),
    });
    bar.stop();
    if (flags.state !== undefined) writeStateFile(flags.state, stateText(verification.state));
    const code = exitCodeOf(verification.findings);
    if (flags.json === true) terminal.out(asJson(source, verification, code));
    else tell(terminal, source, verification, { ...flags, stampsSince }, anchors, code);
    return code;
  } finally {
    bar.stop();
    bucket?.close();
  }
}

export function judges({ authorities, witnesses }: TrustedAnchors) {
  return {
    judgeStamp:
      authorities === null
        ? null
        : (note: Buffer, stamp: Buffer) => judgeStamp(note, stamp, { trusted: authorities }),
    judgeWitness:
      witnesses === null
        ? null
        : (note: Buffer, lines: Buffer) => judgeWitness(note, lines, witnesses),
  };
}

async function unwrapFor(
  place: string | undefined,
  { unwrapKey }: VerifyFlags,
  config: Config,
  terminal: Terminal,
): Promise<Unwrap> {
  const keys = await wrappingKeys(config.archive, unwrapKey);
  const archive = await openArchive(config, place);
  try {
    return await unwrappingAsFar(archive, keys, ({ message }) =>
      terminal.err(`keys that were wrapped again are left out: ${message}`),
    );
  } finally {
    archive.close();
  }
}

function readState({ state, whole }: VerifyFlags, { name }: ArchiveSource): VerifierState | null {
  if (state === undefined || whole === true) return null;
  const text = readStateFile(state);
  return text === null ? null : parseState(text, state, name);
}

/** A checkpoint, or all that lie in a folder, as the archiver's copies of roots do. */
function readKept(path: string): Buffer[] {
  let found: Buffer[];
  try {
    const files = statSync(path).isDirectory()
      ? readdirSync(path).filter((name) => name.endsWith('.note'))
      : null;
    found =
      files === null ? [readFileSync(path)] : files.map((name) => readFileSync(join(path, name)));
  } catch (error) {
    throw new Failure(`the checkpoint ${path} cannot be read: ${reasonOf(error)}`, {
      code: 'NO_FILE',
    });
  }
  if (found.length > 0) return found;
  throw new Failure(`there is no checkpoint (.note) in ${path}`, { code: 'NO_FILE' });
}

function segmentsBar(flags: VerifyFlags) {
  const bar = progressBar(flags, '{megabytes} MB of segments read, now {log}');
  bar?.start(1, 0, { megabytes: '0', log: '' });
  return {
    update: (log: string, bytes: number) =>
      bar?.update(0, { megabytes: grouped(Math.round(bytes / 1e6)), log }),
    stop: () => bar?.stop(),
  };
}

const VERDICTS: Record<number, string> = {
  0: 'VERIFIED: every segment, manifest and checkpoint is as it was sealed.',
  1: 'TAMPERED: what is listed above was changed after it was sealed.',
  2: 'INCOMPLETE: nothing was tampered with, but not everything is proved yet.',
};

const INCREMENTAL =
  'Read: what is new since the run that left the state. What lies before it takes --whole.';

const UNCHECKED = [
  'Not checked here: delete markers, further versions, retention and encryption. A plain folder does',
  'not tell of them; the bucket does, and so does its listing in versions.jsonl.',
].join('\n');

const UNKNOWABLE = [
  'What no verification can know: events that were never produced to Kafka, or that Databricks left',
  'out; and whether all keys and all copies of the roots were in one hand from the beginning.',
].join('\n');

function tell(
  terminal: Terminal,
  source: ArchiveSource,
  { partitions, root, trusted, incremental, findings }: Verification,
  { maxFindings, deep, stampsSince }: VerifyFlags,
  { authorities }: TrustedAnchors,
  code: number,
): void {
  terminal.out(
    `${source.name}, ${deep === true ? 'every record' : 'stored bytes'} against its evidence\n`,
  );
  for (const one of partitions) {
    const [, cluster, topic, , partition] = one.log.split('/');
    terminal.out(
      `${topic}/${Number(partition)}  ${counted(one.segments, 'segment')}, ` +
        `${counted(one.records, 'record')}, ${grouped(one.bytes)} bytes, offsets ${one.firstOffset ?? 0} to ` +
        `${one.nextOffset ?? 0}, signed up to manifest ${one.signedSize} of ${one.size}  (cluster ${cluster})`,
    );
    if (one.unopened > 0) {
      terminal.out(
        `  encrypted: what is inside ${counted(one.unopened, 'segment')} was not looked at (--unwrap-key)`,
      );
    }
    for (const { from, to, reason } of one.gaps) {
      terminal.out(`  gap: offsets ${from} to ${to} were not there to be sealed (${reason})`);
    }
  }
  const roots =
    root.time === null ? 'no root' : `${counted(root.size, 'root')}, the newest of ${root.time}`;
  const judged = authorities === null ? ' not judged (--tsa-ca)' : '';
  const stamps =
    root.stamps === 0 && stampsSince === null
      ? ''
      : `, ${counted(root.stamps, 'time stamp')}${judged}`;
  const from =
    root.stampsFrom === null ? 'of no root yet' : `from the root of ${root.stampsFrom} on`;
  const expected = stampsSince === null ? '' : `, expected ${from}`;
  terminal.out(`${partitions.length > 0 ? '\n' : ''}${roots}${stamps}${expected}`);
  if (incremental) terminal.out(INCREMENTAL);
  terminal.out(`trusted: ${trusted.map(({ vkey }) => vkey).join(', ')}\n`);
  for (const { code: what, key, versionId, expected, found } of findings.slice(0, maxFindings)) {
    const version = versionId === '' ? '' : ` (version ${versionId})`;
    terminal.out(
      `${classOf(what)}: ${what}: ${key}${version}\n  ${meaningOf(what)}\n` +
        `  expected  ${expected}\n  found     ${found}`,
    );
  }
  const more = findings.length - maxFindings;
  if (more > 0) terminal.out(`and ${counted(more, 'finding')} more: --max-findings`);
  const unchecked = source.tellsVersions ? '' : `\n${UNCHECKED}`;
  terminal.out(`${findings.length > 0 ? '\n' : ''}${VERDICTS[code]}${unchecked}\n${UNKNOWABLE}`);
}

/** `schemas/evidence.md` names the codes; all sizes are numbers, offsets are text. */
function asJson(
  { name, tellsVersions }: ArchiveSource,
  { partitions, statements, root, trusted, incremental, findings }: Verification,
  exitCode: number,
): string {
  const plain = <Log extends { root: Buffer; signedBy: { vkey: string } | null }>(log: Log) => ({
    ...log,
    root: log.root.toString('base64'),
    signedBy: log.signedBy?.vkey ?? null,
  });
  const report = {
    archive: name,
    exitCode,
    /** Whether versions, markers, retention and encryption were judged too. */
    versionsChecked: tellsVersions,
    /** Only what is new since an earlier run was read. */
    incremental,
    trusted: trusted.map(({ vkey }) => vkey),
    root: plain(root),
    partitions: partitions.map(plain),
    statements: statements.map(plain),
    findings: findings.map((finding) => ({ ...finding, class: classOf(finding.code) })),
  };
  return JSON.stringify(report, null, 2);
}
