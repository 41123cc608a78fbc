/**
 * Verifying an archive: `node test/bench/verify.ts [SEGMENTS]`. A copy in a folder is made first, of
 * one partition whose segments hold a company day's events, compressed as the archiver does it.
 *
 * - Shallow: stored bytes per second, beside SHA-256 of the same files alone. Deep: bytes of Kafka
 *   records per second, beside inflating the same segments and hashing what is in them.
 * - Memory: most resident bytes of a process that verifies 100 small segments, 1,000 and 10,000.
 *
 * Each verification is a process of its own, and its start is not counted. Prints one line of JSON.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { unwrapWith } from '../../schemas/envelope.ts';
import { readSegmentHeader, scanRecords } from '../../schemas/segment.ts';
import { keepHeapSteady } from '../../services/runtime/heap.ts';
import { keysBelow } from '../../services/store/folder.ts';
import { folderSource } from '../../services/verifier/folder-source.ts';
import { verify } from '../../services/verifier/verify.ts';
import { makeArchive, PREFIX, signer } from './made-archive.ts';
import { peakResidentBytes } from './resident.ts';
import { ratio } from './rounds.ts';

const ROUNDS = 5;

interface Run {
  seconds: number;
  cpuSeconds: number;
  /** Most memory, bytes. */
  rss: number;
  segments: number;
}

/** In this process; it is meant to be one that does nothing else. */
async function verifyFolder(folder: string, deep: boolean): Promise<Run> {
  // As the command does.
  keepHeapSteady();
  const cpu = process.cpuUsage();
  const started = performance.now();
  const { partitions, findings } = await verify({
    source: folderSource(folder),
    prefix: PREFIX,
    verifiers: [signer.verifier],
    kept: [],
    unwrap: unwrapWith([]),
    state: null,
    deep,
    nowMs: 0,
    rootAgeMsMax: null,
    concurrency: 4,
    judgeStamp: null,
    judgeWitness: null,
    stampsSince: null,
    breathe: () => setImmediate(),
    progress: () => {},
  });
  if (findings.length > 0) {
    throw new Error(`not verified: ${findings.map(({ code }) => code).join(' ')}`);
  }
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const rss = peakResidentBytes();
  return { seconds, cpuSeconds: (user + system) / 1e6, rss, segments: partitions[0]!.segments };
}

function segmentsOf(folder: string): string[] {
  return [...keysBelow(folder, `${PREFIX}data/`)].map((key) => join(folder, ...key.split('/')));
}

/** Reading and hashing the files, and nothing else. */
function hashFiles(folder: string): Run {
  const cpu = process.cpuUsage();
  const started = performance.now();
  let segments = 0;
  for (const path of segmentsOf(folder)) {
    createHash('sha256').update(readFileSync(path)).digest();
    segments += 1;
  }
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return { seconds, cpuSeconds: (user + system) / 1e6, rss: 0, segments };
}

/** `how`: what a child of this script does with the folder. */
function inItsOwnProcess(how: 'hash' | 'shallow' | 'deep', folder: string): Run {
  const answer = execFileSync(process.execPath, [fileURLToPath(import.meta.url), how, folder], {
    encoding: 'utf8',
  });
  return JSON.parse(answer) as Run;
}

function fastest(run: () => Run): Run {
  const runs = Array.from({ length: ROUNDS }, run);
  return runs.reduce((one, other) => (other.seconds < one.seconds ? other : one));
}

/** Bytes of the segments as they are stored, and of the Kafka values in them. */
function bytesIn(folder: string): { stored: number; records: number } {
  let stored = 0;
  let records = 0;
  for (const path of segmentsOf(folder)) {
    const bytes = readFileSync(path);
    stored += bytes.length;
    for (const { body } of scanRecords(bytes, readSegmentHeader(bytes))) {
      records += body?.length ?? 0;
    }
  }
  return { stored, records };
}

async function report(segments: number): Promise<void> {
  const base = mkdtempSync(join(tmpdir(), 'lakeseal-verify-'));
  try {
    const large = join(base, 'large');
    await makeArchive(large, segments, 10_000);
    const { stored, records } = bytesIn(large);
    const hash = fastest(() => inItsOwnProcess('hash', large));
    const shallow = fastest(() => inItsOwnProcess('shallow', large));
    const deep = fastest(() => inItsOwnProcess('deep', large));
    const memory: Record<string, number> = {};
    for (const count of [100, 1_000, 10_000]) {
      const folder = join(base, String(count));
      await makeArchive(folder, count, 5);
      for (const how of ['shallow', 'deep'] as const) {
        const { rss } = inItsOwnProcess(how, folder);
        memory[`${how}, ${count} segments`] = Math.round(rss / 1e6);
      }
    }
    const rate = (bytes: number, { seconds }: Run): number => Math.round(bytes / seconds / 1e6);
    process.stdout.write(
      `${JSON.stringify(
        {
          bench: 'verify',
          node: process.version,
          segments,
          megabytes: { stored: Math.round(stored / 1e6), records: Math.round(records / 1e6) },
          megabytesPerSecond: {
            sha256: rate(stored, hash),
            shallow: rate(stored, shallow),
            'deep, stored': rate(stored, deep),
            'deep, records': rate(records, deep),
          },
          shallowToSha256: ratio(hash.seconds / shallow.seconds),
          deepRecordsPerCore: Math.round(records / deep.cpuSeconds / 1e6),
          memoryMegabytes: memory,
        },
        null,
        2,
      )}\n`,
    );
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}

const [, , how = '40', folder] = process.argv;
if (folder === undefined) await report(Number(how));
else {
  const run = how === 'hash' ? hashFiles(folder) : await verifyFolder(folder, how === 'deep');
  process.stdout.write(JSON.stringify(run));
}
