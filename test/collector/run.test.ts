import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { CollectOptions } from '../../services/collector/collect-types.ts';
import { PIPELINE_LIMITS, type PipelineLimits } from '../../services/collector/pipeline.ts';
import { describeReport, exitCodeOf } from '../../services/collector/report.ts';
import { type CollectEdges, collect } from '../../services/collector/run.ts';
import { PROBLEMS_SHOWN_MAX } from '../../services/collector/session.ts';
import { Failure } from '../../services/runtime/errors.ts';
import type { ServiceContext } from '../../services/runtime/service.ts';
import {
  eventLine,
  eventLines,
  TestBucket,
  TestClock,
  TestTarget,
  TestUi,
  testContext,
} from './doubles.ts';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'lakeseal-collect-'));
});
after(() => rm(root, { recursive: true, force: true }));

let folders = 0;
function stateFolder(): string {
  folders += 1;
  return join(root, `state-${folders}`);
}

interface Setting {
  context?: ServiceContext;
  target?: TestTarget;
  bucket?: TestBucket;
  stdin?: Readable;
  limits?: PipelineLimits;
  pendingMax?: number;
}

function run(options: Partial<CollectOptions>, setting: Setting = {}) {
  const target = setting.target ?? new TestTarget();
  const bucket = setting.bucket ?? new TestBucket();
  const ui = new TestUi();
  const edges: Partial<CollectEdges> = {
    limits: setting.limits ?? PIPELINE_LIMITS,
    stdin: setting.stdin ?? Readable.from([]),
    openTarget: async () => target,
    openDelivery: ({ prefix }) => bucket.delivery(prefix),
    ...(setting.pendingMax === undefined ? {} : { pendingMax: setting.pendingMax }),
  };
  const whole = {
    inputs: [],
    follow: false,
    dryRun: false,
    stateFolder: stateFolder(),
    ...options,
  };
  const report = collect(whole, setting.context ?? testContext(), ui, edges);
  return { report, target, bucket, ui };
}

async function file(name: string, body: string | Buffer): Promise<string> {
  const path = join(root, name);
  await writeFile(path, body);
  return path;
}

test('every line of every file arrives once, unchanged, whatever its compression', async () => {
  const lines = eventLines(0, 3_000);
  const text = (from: number, to: number): string => `${lines.slice(from, to).join('\n')}\n`;
  const inputs = [
    await file('plain.json', `\u{feff}${text(0, 1_000).replaceAll('\n', '\r\n')}`),
    await file(
      'two-members.gz',
      Buffer.concat([gzipSync(text(1_000, 1_500)), gzipSync(text(1_500, 2_000))]),
    ),
    // No line end at the end, and a name that says nothing.
    await file('misnamed.txt', zstdCompressSync(text(2_000, 3_000).trimEnd())),
  ];
  const { report, target, ui } = run({ inputs });
  const done = await report;
  assert.deepEqual(target.lines(), lines);
  assert.equal(done.records, 3_000);
  assert.equal(done.sources, 3);
  assert.equal(exitCodeOf(done), 0);
  assert.ok(target.closed && ui.ended);
  const last = ui.seen.at(-1)!;
  assert.equal(last.bytesRead, last.bytesTotal, 'the bar ends full');
});

test('a bad line is told, dead-lettered with its bytes, counted, and the rest goes on', async () => {
  const bad = Buffer.from('{"timestamp": 1759795200000, "serviceName": "accounts"');
  const body = Buffer.concat([
    Buffer.from(`${eventLine(1)}\n\n`),
    bad,
    Buffer.from(`\n${eventLine(2)}\n{"a":1}\n`),
  ]);
  const path = await file('bad.json', body);
  const { report, target, ui } = run({ inputs: [path] });
  const done = await report;
  assert.deepEqual(target.lines(), [eventLine(1), eventLine(2)]);
  assert.deepEqual(
    target.letters.map(({ source, line, reason }) => [source, line, reason]),
    [
      [path, 3, 'not_json'],
      [path, 5, 'no_event'],
    ],
  );
  assert.deepEqual(target.letters[0]!.bytes, bad);
  assert.deepEqual(done.deadLetters, { not_json: 1, no_event: 1 });
  assert.equal(done.lines, 5);
  assert.equal(exitCodeOf(done), 2);
  assert.match(ui.problems[0]!, /bad\.json:3: not_json: /);
});

test('only so many problems are shown, all are counted', async () => {
  const path = await file('all-bad.json', 'x\n'.repeat(500));
  const { report, ui } = run({ inputs: [path] });
  assert.deepEqual((await report).deadLetters, { not_json: 500 });
  assert.equal(ui.problems.length, PROBLEMS_SHOWN_MAX + 1);
  assert.match(ui.problems.at(-1)!, /not shown/);
});

test('a line of any length costs that line only', async () => {
  const path = await file('long.json', `${eventLine(1)}\n${'y'.repeat(50_000)}\n${eventLine(2)}\n`);
  const { report, target } = run({ inputs: [path], lineBytesMax: 10_000 });
  assert.deepEqual((await report).deadLetters, { line_too_long: 1 });
  assert.deepEqual(target.lines(), [eventLine(1), eventLine(2)]);
  assert.equal(target.letters[0]!.bytes.length, 10_000);
});

test('a damaged file gives what is before the damage, and the next files are read', async () => {
  const whole = gzipSync(`${eventLines(0, 5_000).join('\n')}\n`);
  const inputs = [
    await file('cut.json.gz', whole.subarray(0, whole.length - 2_000)),
    await file('good.json', eventLine(9_999)),
  ];
  const { report, target, ui } = run({ inputs });
  const done = await report;
  assert.equal(done.sources, 1);
  assert.equal(done.broken[0]?.name, inputs[0]);
  assert.ok(done.broken[0]!.lines > 1_000, `${done.broken[0]!.lines} lines before the damage`);
  assert.equal(target.lines().at(-1), eventLine(9_999));
  assert.equal(target.lines().length, done.broken[0]!.lines + 1);
  assert.match(ui.problems[0]!, /cut\.json\.gz: not read to its end: damaged gzip data/);
  assert.equal(exitCodeOf(done), 2);
});

test('all that is missing is named before anything is sent', async () => {
  const good = await file('fine.json', eventLine(1));
  const { report, target } = run({ inputs: [good, '/nowhere/a', 's3://X', '/nowhere/*.gz'] });
  await assert.rejects(report, (error: Failure) => {
    assert.equal(error.code, 'COLLECT_INPUT_MISSING');
    for (const part of ['/nowhere/a: no such file', 's3://X: not of', '/nowhere/*.gz: no file']) {
      assert.ok(error.message.includes(part), error.message);
    }
    return true;
  });
  assert.equal(target.sends, 0);
  await assert.rejects(run({ inputs: [] }).report, { code: 'COLLECT_NO_INPUT' });
  await assert.rejects(run({ inputs: [good], follow: true }).report, {
    code: 'COLLECT_NOTHING_TO_FOLLOW',
  });
});

test('a dry run sends nothing and says what it would', async () => {
  const path = await file('dry.json', `${eventLine(1)}\nbad\n`);
  const { report, target } = run({ inputs: [path], dryRun: true });
  const done = await report;
  assert.equal(target.records.length + target.letters.length, 0);
  assert.equal(done.events, 1);
  assert.deepEqual({ ...done.keys }, { '1234567890123456': 1 });
  assert.deepEqual(done.deadLetters, { not_json: 1 });
});

test('standard input is read, and a signal ends it while it is silent', async () => {
  const stdin = new PassThrough();
  const stop = new AbortController();
  const { report, target, ui } = run(
    { inputs: ['-'] },
    { stdin, context: testContext(stop.signal) },
  );
  ui.onProgress = ({ lines }) => {
    if (lines === 1) stop.abort();
  };
  stdin.write(`${eventLine(1)}\n${eventLine(2).slice(0, 40)}`);
  const done = await report;
  assert.ok(stdin.destroyed, 'an open input would keep the process alive');
  assert.equal(done.stoppedAt, 'stdin:2');
  assert.equal(exitCodeOf(done), 130);
  assert.deepEqual(target.lines(), [eventLine(1)], 'what was begun is finished');
});

test('a signal stops between chunks, says where, and what was read is durable', async () => {
  const stop = new AbortController();
  const target = new TestTarget();
  const lines = eventLines(0, 60_000);
  const first = await file('first.json', lines.join('\n'));
  const second = await file('second.json', eventLine(1));
  const send = target.sendEvents.bind(target);
  target.sendEvents = async (records) => {
    stop.abort();
    return send(records);
  };
  const context = testContext(stop.signal);
  const done = await run({ inputs: [first, second] }, { target, context }).report;
  const [, line] = /first\.json:(\d+)$/.exec(done.stoppedAt!)!;
  assert.ok(Number(line) > 1 && Number(line) < 60_000, `stopped at ${line}`);
  assert.deepEqual(target.lines(), lines.slice(0, Number(line) - 1));
  assert.equal(done.records, Number(line) - 1);
});

test('when Kafka is gone the run fails and nothing is said to be sent that is not', async () => {
  const target = new TestTarget();
  target.failAfter = 1;
  const path = await file('much.json', eventLines(0, 40_000).join('\n'));
  const { report, ui } = run({ inputs: [path] }, { target });
  await assert.rejects(report, { code: 'KAFKA_GONE' });
  assert.ok(target.records.length < 40_000);
  assert.ok(target.closed && ui.ended);
});

test('ten unreadable files in a row end the run', async () => {
  const broken = gzipSync(eventLine(1)).subarray(0, 30);
  const inputs: string[] = [];
  for (let at = 0; at < 12; at += 1) inputs.push(await file(`broken-${at}.gz`, broken));
  await assert.rejects(run({ inputs }).report, { code: 'COLLECT_UNREADABLE' });
});

// --- delivery buckets ---------------------------------------------------------------------------

const PLACE = 's3://delivery/audit/';

function bucketWith(objects: Record<string, string | Buffer>): TestBucket {
  const bucket = new TestBucket();
  for (const [key, body] of Object.entries(objects)) bucket.put(`audit/${key}`, body);
  return bucket;
}

test('a bucket is read in byte order, and a second run sends nothing', async () => {
  const bucket = bucketWith({
    'workspaceId=2/b.json': `${eventLine(3)}\n`,
    'workspaceId=10/a.json.gz': gzipSync(`${eventLine(1)}\n${eventLine(2)}\n`),
    'workspaceId=2/_SUCCESS': '',
    'workspaceId=2/usage.csv': 'a,b',
  });
  const folder = stateFolder();
  const options = { inputs: [PLACE], stateFolder: folder };
  const first = run(options, { bucket });
  const done = await first.report;
  assert.deepEqual(first.target.lines(), [eventLine(1), eventLine(2), eventLine(3)]);
  assert.equal(done.objectsIgnored, 2);
  const second = run(options, { bucket });
  const again = await second.report;
  assert.equal(second.target.sends, 0);
  assert.equal(again.objectsKnown, 2);
  assert.equal(bucket.opened.length, 2, 'known objects are not even opened');
});

/** Three workspaces and two days; within a day they deliver in turns. */
function backlog(): { bucket: TestBucket; inOrder: string[] } {
  const bucket = new TestBucket();
  const names = ['2026-11-23', '2026-11-24'].flatMap((date) =>
    ['c', 'a', 'b'].flatMap((part) =>
      ['2', '10', '7'].map((id) => `workspaceId=${id}/date=${date}/auditlogs_${part}.json`),
    ),
  );
  for (const [at, name] of names.entries()) {
    bucket.put(`audit/${name}`, `${eventLine(at)}\n`);
    // The second day was delivered by another process, whose clock is behind.
    bucket.modified.set(`audit/${name}`, at < 9 ? 1_000_000 + at : at);
  }
  return { bucket, inOrder: names.map((_, at) => eventLine(at)) };
}

test('a backlog of many workspaces is read day after day, and as it was delivered', async () => {
  const { bucket, inOrder } = backlog();
  const { report, target } = run({ inputs: [PLACE] }, { bucket });
  assert.equal((await report).sources, 18);
  assert.deepEqual(target.lines(), inOrder);
  assert.equal(bucket.listings, 1);
});

test('two prefixes are one backlog', async () => {
  const { bucket, inOrder } = backlog();
  const inputs = ['7', '2', '10'].map((id) => `${PLACE}workspaceId=${id}/`);
  const { report, target } = run({ inputs }, { bucket });
  await report;
  assert.deepEqual(target.lines(), inOrder);
});

test('of a long backlog only some names are held, each object is read once, each told once', async () => {
  for (const dryRun of [false, true]) {
    const { bucket, inOrder } = backlog();
    bucket.put('audit/notes.txt', '');
    const broken = 'audit/workspaceId=10/date=2026-11-23/auditlogs_c.json';
    bucket.onOpen = (key) => {
      if (key === broken) throw new Failure('cold', { code: 'DELIVERY_OBJECT_COLD' });
    };
    const { report, target, ui } = run({ inputs: [PLACE], dryRun }, { bucket, pendingMax: 4 });
    const done = await report;
    assert.deepEqual(
      target.lines(),
      inOrder.filter((_, at) => at !== 1),
    );
    assert.equal(bucket.opened.length, 18);
    assert.equal(bucket.listings, 5);
    assert.deepEqual([done.sources, done.broken.length, done.objectsIgnored], [17, 1, 1]);
    assert.equal(ui.seen.at(-1)!.sourcesTotal, 18);
  }
});

test('an object that was overwritten with more lines sends the new lines only', async () => {
  const old = eventLines(0, 50);
  const bucket = bucketWith({ 'a.json.gz': gzipSync(`${old.join('\n')}\n`) });
  const options = { inputs: [PLACE], stateFolder: stateFolder() };
  await run(options, { bucket }).report;
  const more = eventLines(0, 80);
  bucket.put('audit/a.json.gz', gzipSync(`${more.join('\n')}\nbad\n`));
  const second = run(options, { bucket });
  const done = await second.report;
  assert.deepEqual(second.target.lines(), more.slice(50));
  assert.equal(done.linesKnown, 50);
  assert.equal(done.lines, 31);
  assert.equal(second.target.letters[0]?.line, 81, 'lines are counted in the whole object');
  bucket.put('audit/a.json.gz', gzipSync(`${more.join('\n')}\nbad\n${eventLine(80)}\n`));
  const third = run(options, { bucket });
  await third.report;
  assert.deepEqual(third.target.lines(), [eventLine(80)]);
});

test('an object that was overwritten with something else is sent whole', async () => {
  const bucket = bucketWith({ 'a.json': `${eventLines(0, 50).join('\n')}\n` });
  const options = { inputs: [PLACE], stateFolder: stateFolder() };
  await run(options, { bucket }).report;
  const other = [eventLine(500), ...eventLines(1, 60)];
  bucket.put('audit/a.json', `${other.join('\n')}\n`);
  const second = run(options, { bucket });
  const done = await second.report;
  assert.deepEqual(second.target.lines(), other);
  assert.equal(done.linesKnown, 0);
  bucket.put('audit/a.json', `${other.slice(0, 3).join('\n')}\n`);
  const third = run(options, { bucket });
  await third.report;
  assert.deepEqual(third.target.lines(), other.slice(0, 3));
});

test('an object is remembered as what was read, not as what was listed', async () => {
  const bucket = bucketWith({ 'a.json': `${eventLine(1)}\n` });
  bucket.onOpen = () => bucket.put('audit/a.json', `${eventLine(1)}\n${eventLine(2)}\n`);
  const options = { inputs: [PLACE], stateFolder: stateFolder() };
  const first = run(options, { bucket });
  await first.report;
  assert.deepEqual(first.target.lines(), [eventLine(1), eventLine(2)]);
  const second = run(options, { bucket });
  assert.equal((await second.report).objectsKnown, 1);
});

test('a hostile object key does not reach the terminal as it is', async () => {
  const bucket = bucketWith({ '\u001b]0;owned\u0007.json': 'bad\n' });
  const { report, ui } = run({ inputs: [PLACE] }, { bucket });
  const done = await report;
  const text = [...ui.problems, ...describeReport(done, 'audit')].join('');
  assert.match(ui.problems[0]!, /\?\]0;owned\?\.json:1: not_json/);
  assert.ok(!/\p{Cc}/u.test(text), JSON.stringify(text));
});

test('an object that is gone when it is opened is no error', async () => {
  const bucket = bucketWith({ 'a.json': `${eventLine(1)}\n`, 'b.json': `${eventLine(2)}\n` });
  bucket.onOpen = (key) => {
    if (key.endsWith('a.json')) bucket.objects.delete(key);
  };
  const { report, target } = run({ inputs: [PLACE] }, { bucket });
  assert.equal(exitCodeOf(await report), 0);
  assert.deepEqual(target.lines(), [eventLine(2)]);
});

test('an object that cannot be read is reported, not remembered, and tried again next time', async () => {
  const bucket = bucketWith({ 'a.json': `${eventLine(1)}\n`, 'b.json': `${eventLine(2)}\n` });
  bucket.onOpen = (key) => {
    if (key.endsWith('a.json')) {
      throw new Failure('cannot read it: denied', { code: 'DELIVERY_DENIED' });
    }
  };
  const options = { inputs: [PLACE], stateFolder: stateFolder() };
  const first = run(options, { bucket });
  const done = await first.report;
  assert.equal(done.broken[0]?.name, 's3://delivery/audit/a.json');
  assert.equal(exitCodeOf(done), 2);
  bucket.onOpen = () => {};
  const second = run(options, { bucket });
  await second.report;
  assert.deepEqual(second.target.lines(), [eventLine(1)]);
});

test('wherever Kafka fails, what the ledger holds was acknowledged, and the next run completes', async () => {
  const objects: Record<string, string> = {};
  const all: string[] = [];
  for (let at = 0; at < 12; at += 1) {
    const lines = eventLines(at * 40, at * 40 + 40);
    all.push(...lines);
    objects[`${String(at).padStart(2, '0')}.json`] = `${lines.join('\n')}\n`;
  }
  const limits = { ...PIPELINE_LIMITS, loadRecords: 30 };
  let remembered = 0;
  for (let failAfter = 0; failAfter < 16; failAfter += 1) {
    const bucket = bucketWith(objects);
    const options = { inputs: [PLACE], stateFolder: stateFolder() };
    const target = new TestTarget();
    target.failAfter = failAfter;
    await assert.rejects(run(options, { bucket, target, limits }).report, { code: 'KAFKA_GONE' });
    const sent = new Set(target.lines());
    const keys = await ledgerKeys(options.stateFolder);
    for (const key of keys) {
      const lines = bucket.objects.get(key)!.toString().trimEnd().split('\n');
      assert.ok(
        lines.every((line) => sent.has(line)),
        `${key} is remembered but not sent`,
      );
    }
    remembered += keys.length;
    const second = run(options, { bucket, limits });
    await second.report;
    const everything = new Set([...sent, ...second.target.lines()]);
    assert.deepEqual([...everything].sort(), [...all].sort(), `after ${failAfter} sends`);
  }
  assert.ok(remembered > 20, `${remembered} objects were remembered before a failure`);
});

async function ledgerKeys(folder: string): Promise<string[]> {
  const keys: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const text = await readFile(join(entry.parentPath, entry.name), 'utf8');
    for (const [, key] of text.matchAll(/"key":"([^"]+)"/g)) keys.push(key!);
  }
  return keys;
}

test('following, it picks up what appears and what grows, until the signal', async () => {
  const bucket = bucketWith({ 'a.json': `${eventLine(1)}\n` });
  const stop = new AbortController();
  const clock = new TestClock(30_000, (poll) => {
    if (poll === 1) bucket.put('audit/b.json', `${eventLine(2)}\n`);
    if (poll === 2) bucket.put('audit/a.json', `${eventLine(1)}\n${eventLine(3)}\n`);
    if (poll === 4) stop.abort();
  });
  const context = testContext(stop.signal, clock);
  const { report, target } = run({ inputs: [PLACE], follow: true }, { bucket, context });
  const done = await report;
  assert.deepEqual(target.lines(), [eventLine(1), eventLine(2), eventLine(3)]);
  assert.equal(exitCodeOf(done), 0);
  assert.equal(clock.polls, 4);
});

test('following, a bucket that cannot be listed for a while is asked again', async () => {
  const bucket = bucketWith({ 'a.json': `${eventLine(1)}\n` });
  const stop = new AbortController();
  let down = true;
  const clock = new TestClock(30_000, (poll) => {
    if (poll === 2) down = false;
    if (poll === 3) stop.abort();
  });
  const plain = bucket.delivery.bind(bucket);
  bucket.delivery = (prefix) => {
    const delivery = plain(prefix);
    return {
      ...delivery,
      async *list(signal) {
        if (down) throw new Failure('no route', { code: 'DELIVERY_UNREACHABLE', retryable: true });
        yield* delivery.list(signal);
      },
    };
  };
  const context = testContext(stop.signal, clock);
  const { report, target } = run({ inputs: [PLACE], follow: true }, { bucket, context });
  await report;
  assert.deepEqual(target.lines(), [eventLine(1)]);
});

test('a dry run over a bucket remembers nothing', async () => {
  const bucket = bucketWith({ 'a.json': `${eventLine(1)}\n` });
  const options = { inputs: [PLACE], stateFolder: stateFolder() };
  assert.equal((await run({ ...options, dryRun: true }, { bucket }).report).events, 1);
  await assert.rejects(readdir(options.stateFolder), { code: 'ENOENT' });
  const real = run(options, { bucket });
  await real.report;
  assert.deepEqual(real.target.lines(), [eventLine(1)]);
});
