/** status on real servers: empty, under work, and with one of the servers away. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommandLine } from '../../services/cli/program.ts';
import { runSetup } from '../../services/cli/setup.ts';
import { readStatus, type Status } from '../../services/cli/status.ts';
import { tellStatus } from '../../services/cli/status-text.ts';
import { silentLog } from '../../services/runtime/log.ts';
import type { Setting } from '../stack/environment.ts';
import { useStack } from '../stack/use.ts';
import { createInstallation, type Installation } from './installation.ts';
import { createScreen } from './screen.ts';

const MAIN = join(import.meta.dirname, '..', '..', 'services', 'main.ts');
const WAIT_MS_MAX = 60_000;
const EVENTS = 40;

const stack = await useStack();
let installation: Installation;
const children: ChildProcess[] = [];

before(async () => {
  installation = createInstallation(stack, 'status');
});
after(async () => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
  await installation.close();
});

function readNow(overrides: Record<string, Setting> = {}): Promise<Status> {
  return readStatus(installation.config(overrides), silentLog, Date.now());
}

function serversOf(status: Status): Record<string, boolean> {
  return Object.fromEntries(status.servers.map(({ server, ok }) => [server, ok]));
}

async function untilStatus(done: (status: Status) => boolean): Promise<Status> {
  const deadline = Date.now() + WAIT_MS_MAX;
  for (;;) {
    const status = await readNow();
    if (done(status)) return status;
    if (Date.now() > deadline) {
      assert.fail(
        JSON.stringify(status, (_, part) => (typeof part === 'bigint' ? `${part}` : part)),
      );
    }
    await sleep(250);
  }
}

function startService(name: string): ChildProcess {
  const child = spawn(process.execPath, [MAIN, name], {
    env: { PATH: process.env.PATH, ...installation.env({ 'archive.segmentAgeMsMax': 500 }) },
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  children.push(child);
  let said = '';
  child.stderr?.on('data', (text) => {
    said += text;
  });
  child.once('exit', (code) => {
    if (code !== 0 && code !== null) process.stderr.write(`${name} ended with ${code}:\n${said}\n`);
  });
  return child;
}

function deliveryLine(index: number): string {
  return JSON.stringify({
    version: '2.0',
    timestamp: Date.now(),
    workspaceId: '1234567890',
    serviceName: 'accounts',
    actionName: 'tokenLogin',
    userIdentity: { email: 'someone@example.com' },
    sourceIPAddress: '192.0.2.1',
    requestId: `request-${index}`,
    requestParams: {},
    response: { statusCode: 200 },
  });
}

async function produce(): Promise<void> {
  const producer = installation.kafka.producer();
  await producer.connect();
  const messages = Array.from({ length: EVENTS }, (_, index) => ({
    partition: index % 2,
    value: deliveryLine(index),
  }));
  await producer.send({ topic: installation.config().topics.events, messages });
  await producer.disconnect();
}

/** As the detector writes them, cut down to what is counted. */
async function storeAlerts(levels: string[]): Promise<void> {
  const { alertIndexPrefix } = installation.config().opensearch;
  const now = new Date().toISOString();
  const yesterday = new Date(Date.now() - 25 * 3_600_000).toISOString();
  const documents = levels.map((level) => ({ '@timestamp': now, rule: { level } }));
  documents.push({ '@timestamp': yesterday, rule: { level: 'critical' } });
  for (const [index, body] of documents.entries()) {
    await installation.opensearch.create({
      index: `${alertIndexPrefix}-test`,
      id: String(index),
      refresh: true,
      body,
    });
  }
}

describe('status', () => {
  test('before setup: every server is up, the store says what is missing', async () => {
    const status = await readNow();
    assert.deepEqual(serversOf(status), {
      kafka: true,
      registry: true,
      store: false,
      opensearch: true,
    });
    assert.deepEqual(status.partitions, []);
    assert.equal(status.correlation, null);
    assert.match(status.servers[0]!.detail, /no topic lakeseal-status-events/);
    const store = status.servers.find(({ server }) => server === 'store');
    assert.match(store!.detail, /S3_NO_BUCKET/);
    assert.equal(status.alerts?.total, 0);
  });

  test('with events and both services at work: all sealed, no lag', async () => {
    await runSetup(installation.config(), silentLog, false);
    await produce();
    const before = await readNow();
    const events = before.partitions.filter(({ detector }) => detector !== null);
    assert.equal(before.partitions.length, 4);
    assert.equal(events.length, 2);
    for (const { logEnd, sealed, archiver, detector } of events) {
      assert.equal(logEnd, BigInt(EVENTS / 2));
      assert.deepEqual(sealed, { state: 'empty' });
      assert.deepEqual(archiver, { committed: null, lag: null });
      assert.deepEqual(detector, { committed: null, lag: null });
    }
    const services = [startService('archive'), startService('detect')];
    const status = await untilStatus(({ partitions }) =>
      partitions
        .filter(({ detector }) => detector !== null)
        .every(
          ({ sealed, archiver, detector }) =>
            sealed?.state === 'at' && archiver.lag === 0n && detector?.lag === 0n,
        ),
    );
    for (const { sealed, logEnd } of status.partitions.filter((one) => one.detector !== null)) {
      assert.deepEqual(sealed, { state: 'at', nextOffset: logEnd, unsealed: 0n });
    }
    assert.equal(status.correlation?.length, 2);
    for (const service of services) {
      service.kill('SIGTERM');
      const [code] = await once(service, 'exit');
      assert.equal(code, 0, 'a service ends with 0 on SIGTERM');
    }
  });

  test('alerts of the last day are counted by level, older ones are not', async () => {
    const before = await readNow();
    await storeAlerts(['high', 'high', 'low']);
    const { alerts } = await readNow();
    assert.equal(alerts!.total, before.alerts!.total + 3);
    assert.equal(alerts!.byLevel.high, before.alerts!.byLevel.high + 2);
    assert.equal(alerts!.byLevel.low, before.alerts!.byLevel.low + 1);
    assert.equal(alerts!.byLevel.critical, before.alerts!.byLevel.critical);
  });

  test('rules: shipped and own, and the problems of those that do not load', async () => {
    const none = await readNow({ 'detect.shippedRules': false });
    assert.deepEqual([none.rules.shipped, none.rules.own, none.rules.problems], [0, 0, []]);
    const { rules } = await readNow({ 'detect.rules': '/no/such/folder' });
    assert.deepEqual(
      [rules.shipped, rules.own],
      [0, 0],
      'one layer that fails, and none is loaded',
    );
    const shipped = (await readNow()).rules;
    assert.ok(shipped.shipped >= 12, String(shipped.shipped));
    assert.equal(shipped.own, 0);
    assert.match(rules.problems.join('\n'), /\/no\/such\/folder/);
  });

  for (const [server, setting] of [
    ['opensearch', { 'opensearch.nodes': 'http://127.0.0.1:1' }],
    ['registry', { 'registry.url': 'http://127.0.0.1:1' }],
    ['store', { 'storage.endpoint': 'http://127.0.0.1:1' }],
    ['kafka', { 'kafka.brokers': '127.0.0.1:1' }],
  ] as const) {
    test(`without ${server}, the rest is told and exit code 1`, async () => {
      const status = await readNow(setting);
      const up = Object.entries(serversOf(status)).filter(([, ok]) => ok);
      assert.deepEqual(
        up.map(([name]) => name),
        ['kafka', 'registry', 'store', 'opensearch'].filter((name) => name !== server),
      );
      assert.equal(status.partitions.length, server === 'kafka' ? 0 : 4);
      assert.equal(
        status.partitions.every(({ sealed }) => sealed === null),
        ['store', 'kafka'].includes(server),
      );
      assert.equal(status.alerts === null, server === 'opensearch');
      const screen = createScreen();
      assert.equal(tellStatus(screen, status, false), 1);
      assert.match(screen.output(), new RegExp(`^${server} +DOWN +.*127\\.0\\.0\\.1:1`, 'm'));
      assert.match(screen.output(), new RegExp(`^${server}: \\S`, 'm'));
    });
  }

  test('as a command: text and JSON, exit code 0', async () => {
    const text = createScreen(installation.env());
    assert.equal(await runCommandLine(['status'], text), 0);
    assert.match(text.output(), /SEALED UP TO/);
    assert.match(text.output(), /Correlation: 2 partitions.*, \d+ records behind/);
    assert.match(text.output(), /Alerts of the last day: \d+ \(/);
    const json = createScreen(installation.env());
    assert.equal(await runCommandLine(['status', '--json'], json), 0);
    const { ok, partitions } = JSON.parse(json.output()) as {
      ok: boolean;
      partitions: Array<{ logEnd: string }>;
    };
    assert.equal(ok, true);
    assert.equal(typeof partitions[0]!.logEnd, 'string');
  });
});
