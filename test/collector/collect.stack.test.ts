/** The collector on real servers: files and a delivery bucket in, Kafka out. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { CreateBucketCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { type AuditEventDatum, auditEventType, unframe } from '../../schemas/audit-event.ts';
import type { CollectOptions, CollectReport } from '../../services/collector/collect-types.ts';
import { exitCodeOf } from '../../services/collector/report.ts';
import { collect } from '../../services/collector/run.ts';
import { systemClock } from '../../services/runtime/clock.ts';
import { companyDay } from '../company/day.ts';
import { deliveryFiles } from '../company/write.ts';
import { type Stack, useStack } from '../stack/use.ts';
import { eventLine, eventLines, TestUi, testContext } from './doubles.ts';
import { createTopics, type ReadRecord, readTopic, type TestTopics } from './kafka.ts';

const MAIN = fileURLToPath(new URL('../../services/main.ts', import.meta.url));
const WAIT_MS_MAX = 60_000;

let stack: Stack;
let s3: S3Client;
let root: string;
before(async () => {
  stack = await useStack();
  s3 = stack.rootS3();
  root = await mkdtemp(join(tmpdir(), 'lakeseal-collect-'));
});
after(async () => {
  s3?.destroy();
  await rm(root, { recursive: true, force: true });
});

const datum = ({ value }: ReadRecord): AuditEventDatum =>
  auditEventType.fromBuffer(unframe(value)!.datum) as AuditEventDatum;
const raws = (records: ReadRecord[]): string[] => records.map((record) => datum(record).raw);

/** As sets with counts; says the difference in a line, not in megabytes. */
function sameLines(actual: string[], expected: string[]): void {
  const counts = new Map<string, number>();
  for (const line of expected) counts.set(line, (counts.get(line) ?? 0) + 1);
  for (const line of actual) counts.set(line, (counts.get(line) ?? 0) - 1);
  const missing = [...counts].filter(([, count]) => count > 0);
  const extra = [...counts].filter(([, count]) => count < 0);
  const first = missing[0]?.[0] ?? extra[0]?.[0] ?? '';
  assert.ok(
    missing.length + extra.length === 0,
    `${missing.length} lines missing, ${extra.length} too many, such as ${first.slice(0, 300)}`,
  );
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + WAIT_MS_MAX;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `waited ${WAIT_MS_MAX} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

let runs = 0;
function options(inputs: string[], more: Partial<CollectOptions> = {}): CollectOptions {
  runs += 1;
  const { endpoint, region } = stack.s3;
  const { accessKeyId, secretAccessKey } = stack.s3.root;
  return {
    inputs,
    follow: false,
    dryRun: false,
    stateFolder: join(root, `state-${runs}`),
    delivery: { endpoint, region, pathStyle: true, credentials: { accessKeyId, secretAccessKey } },
    ...more,
  };
}

function run(
  { config }: TestTopics,
  asked: CollectOptions,
  signal = new AbortController().signal,
): Promise<CollectReport> {
  return collect(asked, testContext(signal, systemClock, config), new TestUi());
}

async function createBucket(): Promise<string> {
  const bucket = stack.unique('delivery');
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  return bucket;
}

async function put(bucket: string, key: string, body: string | Buffer): Promise<void> {
  await s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body }));
}

test('a company day arrives on Kafka whole: every line once, its key, its bytes', async () => {
  const startedMs = Date.now();
  const topics = await createTopics(stack, 4);
  const lines = [...companyDay({ seed: 11, events: 5_000 }).lines()];
  const paths: string[] = [];
  for (const { path, bytes } of deliveryFiles(lines, 900)) {
    paths.push(join(root, path.replaceAll('/', '_')));
    await writeFile(paths.at(-1)!, bytes);
  }
  const report = await run(topics, options(paths));
  assert.equal(report.records, lines.length);
  assert.equal(exitCodeOf(report), 0);
  const records = await readTopic(stack, topics.config, topics.config.topics.events);
  sameLines(
    raws(records),
    lines.map(({ line }) => line),
  );
  const partitionOf = new Map<string | null, number>();
  for (const record of records) {
    const event = datum(record);
    assert.ok(record.timestamp >= startedMs, 'an old time would have retention delete it');
    assert.equal(record.key, event.workspaceId === '0' ? event.accountId : event.workspaceId);
    const partition = partitionOf.get(record.key) ?? record.partition;
    assert.equal(record.partition, partition, 'one key, one partition');
    partitionOf.set(record.key, partition);
  }
  const distinct = new Set(records.map((record) => datum(record).eventId));
  assert.equal(distinct.size, 5_000, 'a repeated line has the id of the first');
});

test('broken lines in the middle are dead-lettered with file, line and bytes; the rest arrives', async () => {
  const topics = await createTopics(stack, 2);
  const good = eventLines(0, 2_000);
  const broken = Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x00]);
  const parts = good.map((line) => Buffer.from(`${line}\n`));
  parts.splice(1_000, 0, Buffer.concat([broken, Buffer.from('\n{"cut": tru\n')]));
  const path = join(root, 'broken.json.gz');
  await writeFile(path, gzipSync(Buffer.concat(parts)));
  const report = await run(topics, options([path]));
  assert.equal(exitCodeOf(report), 2);
  assert.deepEqual(report.deadLetters, { not_utf8: 1, not_json: 1 });
  const records = await readTopic(stack, topics.config, topics.config.topics.events);
  sameLines(raws(records), good);
  assert.ok(
    raws(records).every((line, at) => line === good[at]),
    'one key: the order of the file',
  );
  const letters = await readTopic(stack, topics.config, topics.config.topics.deadLetter);
  assert.deepEqual(
    letters.map(({ headers }) => [
      headers['lakeseal.file'],
      headers['lakeseal.line'],
      headers['lakeseal.reason'],
    ]),
    [
      [path, '1001', 'not_utf8'],
      [path, '1002', 'not_json'],
    ],
  );
  assert.deepEqual(letters[0]!.value, broken);
});

test('a record over what the topic takes is dead-lettered, not lost, and the others arrive', async () => {
  const topics = await createTopics(stack, 1);
  const big = eventLine(2, { requestParams: { commandText: 'x'.repeat(1_500_000) } });
  const path = join(root, 'big.json');
  await writeFile(path, [eventLine(1), big, eventLine(3)].join('\n'));
  const report = await run(topics, options([path]));
  assert.deepEqual(report.deadLetters, { record_too_large: 1 });
  assert.equal(report.records, 2);
  const records = await readTopic(stack, topics.config, topics.config.topics.events);
  assert.deepEqual(raws(records), [eventLine(1), eventLine(3)]);
  const [letter] = await readTopic(stack, topics.config, topics.config.topics.deadLetter);
  assert.equal(letter!.headers['lakeseal.line'], '2');
  assert.ok(
    big.startsWith(letter!.value.toString()),
    'its beginning, since it is too large there too',
  );
  assert.equal(Number(letter!.headers['lakeseal.whole-bytes']), Buffer.byteLength(big));
});

test('a delivery bucket: once, twice without anything new, and again when an object grew', async () => {
  const topics = await createTopics(stack, 2);
  const bucket = await createBucket();
  const key = (name: string): string => `audit/workspaceId=1/date=2026-11-23/auditlogs_${name}`;
  await put(bucket, key('a.json'), `${eventLines(0, 100).join('\n')}\n`);
  await put(bucket, key('b.json.gz'), gzipSync(`${eventLines(100, 200).join('\n')}\n`));
  await put(bucket, 'elsewhere/c.json', eventLine(999));
  const asked = options([`s3://${bucket}/audit/`]);
  const first = await run(topics, asked);
  assert.equal(first.records, 200);
  const second = await run(topics, asked);
  assert.deepEqual([second.records, second.objectsKnown], [0, 2]);
  await put(
    bucket,
    key('a.json'),
    `${[...eventLines(0, 100), ...eventLines(200, 230)].join('\n')}\n`,
  );
  const third = await run(topics, asked);
  assert.deepEqual([third.records, third.linesKnown, third.objectsKnown], [30, 100, 1]);
  const records = await readTopic(stack, topics.config, topics.config.topics.events);
  sameLines(raws(records), eventLines(0, 230));
});

test('a bucket or a right that is missing is said before anything is sent', async () => {
  const topics = await createTopics(stack, 1);
  const missing = options([`s3://${stack.unique('nowhere')}/`]);
  await assert.rejects(run(topics, missing), { code: 'DELIVERY_NO_BUCKET' });
  const bucket = await createBucket();
  const stranger = options([`s3://${bucket}/`]);
  stranger.delivery = {
    ...stranger.delivery!,
    credentials: { accessKeyId: 'nobody', secretAccessKey: 'nothing-at-all' },
  };
  await assert.rejects(run(topics, stranger), { code: 'DELIVERY_DENIED' });
});

test('following, it picks up an object that appears later, and stops at the signal', async () => {
  const topics = await createTopics(stack, 1);
  const bucket = await createBucket();
  await put(bucket, 'a.json', `${eventLine(1)}\n`);
  const stop = new AbortController();
  const running = run(topics, options([`s3://${bucket}/`], { follow: true }), stop.signal);
  const { events } = topics.config.topics;
  const arrived = async (n: number): Promise<boolean> =>
    (await readTopic(stack, topics.config, events)).length === n;
  await until('the first object', () => arrived(1));
  await put(bucket, 'b.json', `${eventLine(2)}\n`);
  await until('the second object', () => arrived(2));
  stop.abort();
  const report = await running;
  assert.equal(report.records, 2);
  assert.equal(exitCodeOf(report), 0);
});

// --- killed -------------------------------------------------------------------------------------

function spawnCollect(topics: TestTopics, bucket: string, stateHome: string): ChildProcess {
  const { endpoint, region } = stack.s3;
  const { accessKeyId, secretAccessKey } = stack.s3.root;
  const place = ['--endpoint', endpoint, '--region', region, '--path-style'];
  return spawn(process.execPath, [MAIN, 'collect', '--json', ...place, `s3://${bucket}/audit/`], {
    cwd: dirname(dirname(MAIN)),
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      HOME: root,
      XDG_STATE_HOME: stateHome,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      ...topics.env,
    },
  });
}

async function rememberedObjects(stateHome: string): Promise<number> {
  const entries = await readdir(stateHome, { recursive: true, withFileTypes: true }).catch(
    () => [],
  );
  const ledger = entries.find((entry) => entry.isFile() && entry.name.endsWith('.log'));
  if (ledger === undefined) return 0;
  return (await readFile(join(ledger.parentPath, ledger.name), 'utf8')).split('\n').length - 1;
}

test('killed with SIGKILL again and again, nothing is missing in the end', async () => {
  const topics = await createTopics(stack, 3);
  const bucket = await createBucket();
  const stateHome = join(root, 'killed');
  const objects = 240;
  const perObject = 100;
  const all = eventLines(0, objects * perObject);
  for (let at = 0; at < objects; at += 1) {
    const lines = all.slice(at * perObject, (at + 1) * perObject);
    await put(
      bucket,
      `audit/${String(at).padStart(4, '0')}.json.gz`,
      gzipSync(`${lines.join('\n')}\n`),
    );
  }
  let killed = 0;
  for (const atLeast of [0, 1, 120]) {
    const child = spawnCollect(topics, bucket, stateHome);
    const ended = once(child, 'exit');
    await until(`${atLeast} objects in the ledger, or the end`, async () => {
      const records = await readTopic(stack, topics.config, topics.config.topics.events);
      return (
        child.exitCode !== null ||
        (records.length > 0 && (await rememberedObjects(stateHome)) >= atLeast)
      );
    });
    child.kill('SIGKILL');
    const [, signal] = await ended;
    if (signal === 'SIGKILL') killed += 1;
  }
  assert.ok(killed > 0, 'at least one run was killed under way');
  const last = spawnCollect(topics, bucket, stateHome);
  const [code] = await once(last, 'exit');
  assert.equal(code, 0);
  assert.equal(await rememberedObjects(stateHome), objects);
  const records = await readTopic(stack, topics.config, topics.config.topics.events);
  const idOf = new Map<string, string>();
  for (const record of records) {
    const { raw, eventId } = datum(record);
    assert.equal(idOf.get(raw) ?? eventId, eventId, 'the same line, the same id');
    idOf.set(raw, eventId);
  }
  sameLines([...idOf.keys()], all);
  assert.equal(new Set(idOf.values()).size, all.length);
});
