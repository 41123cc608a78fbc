/**
 * From what an alert names to a signed proof: `node test/bench/prove.ts [SEGMENTS]`. A copy in a
 * folder is made first, of one partition with as many segments as an archiver writes them, signed,
 * under one root. Then the whole command is timed, from its start to its end, as a process of its
 * own: for a record, for an alert that counted it, for an event of which the time is known, and for one
 * that may be anywhere. Who answers for OpenSearch is in this process, and takes no time.
 * Prints one JSON object: seconds, the middle of the rounds.
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
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

const run = promisify(execFile);

/** `node`: where alerts are asked for. */
async function secondsOf(
  folder: string,
  out: string,
  asked: string[],
  node?: string,
): Promise<number> {
  rmSync(out, { recursive: true, force: true });
  const place = ['--archive', folder, '--key', signer.verifier.vkey, '--out', out, '--json'];
  const search = node === undefined ? {} : { LAKESEAL_OPENSEARCH_NODES: node };
  const started = performance.now();
  const { stdout } = await run(process.execPath, [PROGRAM, 'prove', ...asked, ...place], {
    env: { ...process.env, LAKESEAL_STORAGE_PREFIX: PREFIX, ...search },
  });
  const seconds = (performance.now() - started) / 1000;
  const [proof] = JSON.parse(stdout) as Array<{ root: unknown }>;
  if (proof?.root == null) throw new Error('not proved up to a root');
  return seconds;
}

async function middle(round: () => number | Promise<number>): Promise<number> {
  const seconds: number[] = [];
  for (let at = 0; at < ROUNDS; at += 1) seconds.push(await round());
  return Math.round(seconds.toSorted((one, other) => one - other)[ROUNDS >> 1]! * 1000) / 1000;
}

/** Gives every search the alert that counted this record. The caller closes it. */
async function alertOf(record: { topic: string; partition: number; offset: number }, id: string) {
  const evidence = [{ ...record, offset: String(record.offset), eventId: id }];
  const answer = JSON.stringify({ hits: { hits: [{ _source: { evidence } }] } });
  const server = createServer((request, response) => {
    request.resume();
    response.setHeader('content-type', 'application/json').end(answer);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const node = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { node, close: () => server.close() };
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
    const { topic, partition } = ADDRESS;
    const record = `${topic}/${partition}/${offset}`;
    const alert = await alertOf({ topic, partition, offset }, event.eventId);
    const timed = (asked: string[], node?: string) =>
      middle(() => secondsOf(folder, out, asked, node));
    const seconds = {
      start: await middle(startSeconds),
      record: await timed([record]),
      alert: await timed(['--alert', 'a'.repeat(43)], alert.node),
      'event, time known': await timed([...ofEvent, ...near]),
      'event, any time': await timed([...ofEvent, ...anywhere]),
    };
    alert.close();
    const told = { segments, records: segments * RECORDS, seconds };
    const result = { bench: 'prove', node: process.version, ...told };
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
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
