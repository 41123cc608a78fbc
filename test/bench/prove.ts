/**
 * From what an alert names to a signed proof: `node test/bench/prove.ts [SEGMENTS]`. A copy in a
 * folder is made first, of one partition with as many segments as an archiver writes them, signed,
 * under one root. Then the whole command is timed, from its start to its end, as a process of its
 * own: for a record, for an event of which the time is known, and for one that may be anywhere.
 * Prints one JSON object: seconds, the middle of the rounds.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAuditEvent, unframe } from '../../schemas/audit-event.ts';
import { leafBytes, timeOf } from '../../schemas/evidence/leaf.ts';
import { evidenceKey } from '../../schemas/evidence/log-layout.ts';
import { HOUR_MS, ROOT_LOG, rootBody } from '../../schemas/evidence/root-leaf.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { ADDRESS, makeArchive, PREFIX, signer, write } from './made-archive.ts';

/** Of each segment; every event is there once. */
const RECORDS = 250;
const ROUNDS = 5;
const PROGRAM = join(import.meta.dirname, '..', '..', 'services', 'main.ts');

function secondsOf(folder: string, out: string, asked: string[]): number {
  rmSync(out, { recursive: true, force: true });
  const place = ['--archive', folder, '--key', signer.verifier.vkey, '--out', out, '--json'];
  const started = performance.now();
  const told = execFileSync(process.execPath, [PROGRAM, 'prove', ...asked, ...place], {
    encoding: 'utf8',
    env: { ...process.env, LAKESEAL_STORAGE_PREFIX: PREFIX },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const seconds = (performance.now() - started) / 1000;
  const [proof] = JSON.parse(told) as Array<{ root: unknown }>;
  if (proof?.root == null) throw new Error('not proved up to a root');
  return seconds;
}

function middle(run: () => number): number {
  const sorted = Array.from({ length: ROUNDS }, run).sort((one, other) => one - other);
  return Math.round(sorted[ROUNDS >> 1]! * 1000) / 1000;
}

async function report(segments: number): Promise<void> {
  const base = mkdtempSync(join(tmpdir(), 'lakeseal-prove-'));
  try {
    const folder = join(base, 'copy');
    const out = join(base, 'out');
    mkdirSync(folder);
    const { store, log, values } = await makeArchive(folder, segments, RECORDS, segments * RECORDS);
    const root = await LogWriter.open(store, PREFIX, ROOT_LOG);
    const state = [log.log, log.size, log.end.frontier.root().toString('base64')] as const;
    await root.append((end) => leafBytes(end, rootBody(timeOf(HOUR_MS), [[...state]])));
    await root.sign(signer);
    for (const [kind, number] of [
      ['leaf', 0],
      ['note', 1],
    ] as const) {
      const key = evidenceKey(PREFIX, { log: ROOT_LOG, kind, number });
      write(folder, key, (await store.get(key))!.bytes);
    }
    const offset = Math.floor(segments / 2) * RECORDS + 7;
    const event = readAuditEvent(unframe(values[offset % values.length]!)!.datum)!;
    const time = Number(event.eventTime);
    const near = ['--since', isoOf(time - 60_000), '--until', isoOf(time + 60_000)];
    const anywhere = ['--since', isoOf(time - 40 * 86_400_000)];
    const ofEvent = ['--event', event.eventId];
    process.stdout.write(
      `${JSON.stringify(
        {
          bench: 'prove',
          node: process.version,
          segments,
          records: segments * RECORDS,
          seconds: {
            start: middle(() => startSeconds()),
            record: middle(() =>
              secondsOf(folder, out, [`${ADDRESS.topic}/${ADDRESS.partition}/${offset}`]),
            ),
            'event, time known': middle(() => secondsOf(folder, out, [...ofEvent, ...near])),
            'event, any time': middle(() => secondsOf(folder, out, [...ofEvent, ...anywhere])),
          },
        },
        null,
        2,
      )}\n`,
    );
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}

/** What every command takes before it does anything. */
function startSeconds(): number {
  const started = performance.now();
  execFileSync(process.execPath, [PROGRAM, '--version'], { stdio: 'ignore' });
  return (performance.now() - started) / 1000;
}

const isoOf = (ms: number): string => new Date(ms).toISOString();

await report(Number(process.argv[2] ?? 1_000));
