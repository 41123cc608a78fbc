/**
 * The detector on real servers: records on a real topic to alerts in a real OpenSearch, the dead
 * letters beside them, and what is committed (promises A2, D1, D4, I1).
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@opensearch-project/opensearch';
import kafkajs from 'kafkajs';
import { Registry } from 'prom-client';
import {
  alertTemplate,
  countAlerts,
  installAlertTemplate,
  listAlerts,
  openSearchClient,
  refreshAlerts,
  templateState,
} from '../../services/detector/alert/opensearch.ts';
import { detect } from '../../services/detector/run.ts';
import { scan } from '../../services/detector/scan.ts';
import { SHIPPED_RULES } from '../../services/detector/sigma/rules.ts';
import { type Config, configSchema } from '../../services/runtime/config.ts';
import type { ServiceContext } from '../../services/runtime/service.ts';
import { quietContext } from '../runtime/quiet-context.ts';
import { type Stack, useStack } from '../stack/use.ts';
import { memoryIo } from './scan-io.ts';

let stack: Stack;
let config: Config;
let client: Client;
let kafka: kafkajs.Kafka;
let admin: kafkajs.Admin;

const PARTITIONS = 3;
const RULES = join(SHIPPED_RULES, 'privilege', 'workspace_admin_granted.yml');

before(async () => {
  stack = await useStack();
  const prefix = stack.unique('alerts').toLowerCase();
  config = configSchema.parse({
    kafka: { brokers: stack.brokers },
    registry: { url: stack.registryUrl },
    topics: {
      events: stack.unique('events'),
      deadLetter: stack.unique('dead'),
      matches: stack.unique('matches'),
      state: stack.unique('state'),
    },
    // Rules over one event; those over many have a test of their own.
    detect: { group: stack.unique('group'), shippedRules: false, rules: [RULES] },
    opensearch: {
      nodes: [stack.opensearchUrl],
      alertIndexPrefix: prefix,
      replicas: 0,
      bulkAgeMsMax: 100,
    },
  });
  client = openSearchClient(config.opensearch);
  kafka = new kafkajs.Kafka({ brokers: stack.brokers, logLevel: kafkajs.logLevel.NOTHING });
  admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({
    topics: [
      { topic: config.topics.events, numPartitions: PARTITIONS },
      { topic: config.topics.deadLetter, numPartitions: 1 },
      { topic: config.topics.matches, numPartitions: PARTITIONS },
      {
        topic: config.topics.state,
        numPartitions: PARTITIONS,
        configEntries: [{ name: 'cleanup.policy', value: 'compact' }],
      },
    ],
  });
});

/** A test that fails leaves its detector running, which would keep this process alive. */
const started: Array<() => Promise<void>> = [];

after(async () => {
  await Promise.allSettled(started.map((stop) => stop()));
  await admin?.disconnect();
  await client?.indices.delete({ index: `${config.opensearch.alertIndexPrefix}-*` });
  await client?.indices.deleteIndexTemplate({ name: config.opensearch.alertIndexPrefix });
  await client?.close();
});

function eventLine(n: number, changes: object = {}): string {
  return JSON.stringify({
    version: '2.0',
    auditLevel: 'WORKSPACE_LEVEL',
    timestamp: Date.UTC(2026, 10, 24, 9, 0, 0) + n,
    workspaceId: '1234567890123456',
    sourceIPAddress: '203.0.113.10',
    userAgent: 'Mozilla/5.0',
    userIdentity: { email: `user${n % 7}@example.com` },
    serviceName: 'accounts',
    actionName: n % 10 === 0 ? 'setAdmin' : 'oidcTokenAuthorization',
    requestId: `ServiceMain-${n}`,
    requestParams: { targetUserName: `target${n}@example.com` },
    response: { statusCode: 200 },
    ...changes,
  });
}

interface Running {
  metrics: Registry;
  checks: Map<string, string | null>;
  /** The checks that had been told when for the first time none failed. */
  readyBy: () => string[];
  stop: () => Promise<void>;
}

function start(settings: Config = config): Running {
  const abort = new AbortController();
  const checks = new Map<string, string | null>();
  let readyBy: string[] = [];
  const metrics = new Registry();
  const context: ServiceContext = {
    ...quietContext(settings, abort.signal),
    metrics,
    health: {
      ready: (check, ok, reason) => {
        checks.set(check, ok ? null : (reason ?? ''));
        const none = [...checks.values()].every((failing) => failing === null);
        if (none && readyBy.length === 0) readyBy = [...checks.keys()];
      },
      live: () => {},
    },
  };
  const running = detect(context);
  running.catch(() => {});
  const stop = async (): Promise<void> => {
    abort.abort();
    await running;
  };
  started.push(stop);
  return { metrics, checks, readyBy: () => readyBy, stop };
}

/** Waits for a condition, looking ten times a second, for at most a minute. */
async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `in vain: ${what}`);
    await delay(100);
  }
}

async function produce(values: Array<Buffer | string | null>): Promise<void> {
  const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
  await producer.connect();
  await producer.send({
    topic: config.topics.events,
    messages: values.map((value, n) => ({ value, partition: n % PARTITIONS })),
  });
  await producer.disconnect();
}

/** -1 where it cannot be told: an index that is just made has no shard to ask for a moment. */
async function alertCount(): Promise<number> {
  try {
    await refreshAlerts(client, config.opensearch);
    return await countAlerts(client, config.opensearch, null);
  } catch {
    return -1;
  }
}

async function isCommitted(group: string): Promise<boolean> {
  const ends = await admin.fetchTopicOffsets(config.topics.events);
  const [found] = await admin.fetchOffsets({ groupId: group, topics: [config.topics.events] });
  return ends.every(({ partition, high }) => {
    const committed = found?.partitions.find((one) => one.partition === partition)?.offset;
    return committed === high || high === '0';
  });
}

describe('detector on real servers', () => {
  const lines = Array.from({ length: 500 }, (_, n) => eventLine(n));
  let live: string[] = [];

  it('says in its readiness that the index template is missing, and sends nothing', async () => {
    assert.equal(await templateState(client, alertTemplate(config.opensearch)), 'missing');
    await produce(lines);
    const detector = start();
    await until('alerts wait', async () => {
      const text = await detector.metrics.getSingleMetricAsString(
        'lakeseal_detector_alerts_unsent',
      );
      return /alerts_unsent [1-9]/.test(text);
    });
    assert.match(detector.checks.get('opensearch') ?? '', /run lakeseal setup/);
    await installAlertTemplate(client, config.opensearch, { dryRun: false });
    await until('alerts arrive', async () => (await alertCount()) === 50);
    await until('offsets are committed', () => isCommitted(config.detect.group));
    assert.equal(detector.checks.get('opensearch'), null);
    assert.deepEqual([...detector.checks.values()].filter(Boolean), []);
    for (const check of ['rules', 'kafka', 'correlation']) {
      assert.ok(detector.readyBy().includes(check), `${check} before it is ready`);
    }
    await detector.stop();
  });

  it('raises the alerts that scan raises, with the address of each record (D1)', async () => {
    const { io, out } = memoryIo(`${lines.join('\n')}\n`);
    assert.equal(await scan({ files: ['-'], rules: [RULES], format: 'json' }, io), 0);
    const scanned = out()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const stored = await listAlerts(client, config.opensearch, { sinceMs: null, max: 1_000 });
    live = stored.map(({ id }) => id).toSorted();
    assert.deepEqual(live, scanned.map(({ id }) => id).toSorted());
    for (const alert of stored) {
      const [evidence] = alert.evidence;
      const line = (evidence!.offset as number) * PARTITIONS + evidence!.partition;
      assert.equal(JSON.parse(lines[line]!).actionName, 'setAdmin');
      assert.equal(alert.index, `${config.opensearch.alertIndexPrefix}-2026.11`);
    }
  });

  it('raises nothing twice when everything is read again by another group', async () => {
    const group = stack.unique('again');
    const detector = start({ ...config, detect: { ...config.detect, group } });
    await until('all is read again', () => isCommitted(group));
    const text = await detector.metrics.getSingleMetricAsString('lakeseal_detector_alerts_total');
    assert.match(text, /outcome="duplicate"} 50/);
    assert.doesNotMatch(text, /outcome="stored"/);
    await detector.stop();
    assert.equal(await alertCount(), 50);
  });

  it('dead-letters what it cannot read, and moves on (I1)', async () => {
    const hostile: Array<Buffer | string | null> = [
      null,
      '',
      'not json',
      '{}',
      Buffer.from([0, 0, 0, 0x70, 1, 1]),
      Buffer.from([0]),
      Buffer.from([0xff, 0xfe]),
      '{"records":[{"time":"x"}]}',
      `[${eventLine(1_000)},{"serviceName":1}]`,
    ];
    await produce([...hostile, eventLine(2_000)]);
    const detector = start();
    await until('all is committed', () => isCommitted(config.detect.group));
    await until('the event behind them is judged', async () => (await alertCount()) === 52);
    await detector.stop();
    const ends = await admin.fetchTopicOffsets(config.topics.deadLetter);
    assert.equal(ends[0]!.high, String(hostile.length));
  });

  it('dead-letters an alert that OpenSearch rejects, and commits past it (D4)', async () => {
    const before = Number((await admin.fetchTopicOffsets(config.topics.deadLetter))[0]!.high);
    // A newer index of the same month whose mapping refuses what the template allows.
    const prefix = stack.unique('refusing').toLowerCase();
    const settings = {
      ...config,
      detect: { ...config.detect, group: stack.unique('refused') },
      opensearch: { ...config.opensearch, alertIndexPrefix: prefix },
    };
    await installAlertTemplate(client, settings.opensearch, { dryRun: false });
    await client.indices.putIndexTemplate({
      name: `${prefix}-narrow`,
      body: {
        index_patterns: [`${prefix}-*`],
        priority: 900,
        template: { mappings: { dynamic: 'strict', properties: { id: { type: 'keyword' } } } },
      },
    });
    const detector = start(settings);
    await until('all is committed', () => isCommitted(settings.detect.group));
    const text = await detector.metrics.getSingleMetricAsString('lakeseal_detector_alerts_total');
    assert.match(text, /outcome="rejected"} 52/);
    await detector.stop();
    const now = Number((await admin.fetchTopicOffsets(config.topics.deadLetter))[0]!.high);
    // 52 alerts, and the nine unreadable records again, read by another group.
    assert.equal(now - before, 52 + 9);
    await client.indices.deleteIndexTemplate({ name: `${prefix}-narrow` });
    await client.indices.deleteIndexTemplate({ name: prefix });
    await client.indices.delete({ index: `${prefix}-*` });
  });
});
