/** The changes inside kafkajs: there, guarded, and doing what they say. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import {
  assertFingerprint,
  assertVersion,
  type ClientCluster,
  type ClientGroup,
  decodeFetchResponse,
  fetchedPartition,
  fingerprint,
  watchGroup,
} from '../../services/ingest/kafkajs-patches.ts';
import { recordBatch } from './record-batches.ts';

const load = createRequire(import.meta.url);

test('another version of kafkajs is refused', () => {
  assertVersion('2.2.4');
  for (const version of ['2.2.5', '2.2.3', '3.0.0', undefined]) {
    assert.throws(() => assertVersion(version), /2\.2\.4/);
  }
});

test('a function that differs by one character is refused', () => {
  const code = (a: number): number => a + 1;
  const other = (a: number): number => a + 2;
  assertFingerprint('code', code, fingerprint(code));
  assert.throws(() => assertFingerprint('code', other, fingerprint(code)), /not what the change/);
  assert.throws(() => assertFingerprint('code', undefined, fingerprint(code)), /not a function/);
});

interface Queue {
  pending: unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
  scheduleCheckPendingRequests(): void;
  destroy(): void;
}

function requestQueue(): Queue {
  const RequestQueue = load('kafkajs/src/network/requestQueue') as new (options: object) => Queue;
  const logger = { debug: () => {}, warn: () => {} };
  return new RequestQueue({ maxInFlightRequests: null, requestTimeout: 1_000, logger });
}

test('the request queue arms no timer while nothing waits, throttled or not', () => {
  const queue = requestQueue();
  for (const throttledUntil of [-1, Date.now() + 60_000]) {
    queue.throttledUntil = throttledUntil;
    queue.checkPendingRequests();
    assert.equal(queue.throttleCheckTimeoutId, null);
  }
});

test('the request queue wakes up once for what waits, when the throttle is over', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const queue = requestQueue();
  queue.throttledUntil = Date.now() + 5_000;
  let checks = 0;
  queue.checkPendingRequests = () => {
    checks++;
  };
  queue.pending = ['a request'];
  queue.scheduleCheckPendingRequests();
  queue.scheduleCheckPendingRequests();
  t.mock.timers.tick(4_999);
  assert.equal(checks, 0);
  t.mock.timers.tick(1);
  assert.equal(checks, 1);
  t.mock.timers.tick(60_000);
  assert.equal(checks, 1);
  queue.destroy();
});

interface GroupClass {
  prototype: {
    recoverFromOffsetOutOfRange(
      this: unknown,
      at: { topic: string; partition: number },
    ): Promise<void>;
  };
}
const Group = load('kafkajs/src/consumer/consumerGroup') as GroupClass;

function fakeGroup(): { group: ClientGroup; commits: unknown[] } {
  const commits: unknown[] = [];
  const group = {
    cluster: {},
    logger: { info: () => {}, error: () => {} },
    preferredReadReplicasPerTopicPartition: {},
    offsetManager: { setDefaultOffset: async (at: unknown) => commits.push(at) },
  };
  return { group: group as unknown as ClientGroup, commits };
}

test('offset out of range: a watched group decides itself, and nothing is committed', async () => {
  const { group, commits } = fakeGroup();
  const heard: unknown[] = [];
  watchGroup(group.cluster, {
    joining: () => {},
    outOfRange: async (_, at) => {
      heard.push(at);
    },
  });
  const at = { topic: 'audit', partition: 3 };
  await Group.prototype.recoverFromOffsetOutOfRange.call(group, at);
  assert.deepEqual(heard, [at]);
  assert.deepEqual(commits, []);
});

test('offset out of range: another consumer of the process keeps the stock behaviour', async () => {
  const { group, commits } = fakeGroup();
  await Group.prototype.recoverFromOffsetOutOfRange.call(group, { topic: 'audit', partition: 3 });
  assert.equal(commits.length, 1);
});

test('resolving an offset of a topic that a rebalance took away is ignored', () => {
  const OffsetManager = load('kafkajs/src/consumer/offsetManager') as new (
    options: object,
  ) => {
    resolveOffset(at: object): void;
    resolvedOffsets: Record<string, Record<number, string>>;
  };
  const manager = new OffsetManager({
    cluster: { committedOffsets: () => ({}) } as unknown as ClientCluster,
    memberAssignment: { mine: [0] },
    groupId: 'g',
  });
  manager.resolveOffset({ topic: 'gone', partition: 0, offset: '5' });
  manager.resolveOffset({ topic: 'mine', partition: 0, offset: '5' });
  assert.deepEqual(manager.resolvedOffsets, { mine: { 0: '6' } });
});

function int(bytes: number, value: number | bigint): Buffer {
  const buffer = Buffer.alloc(bytes);
  if (bytes === 8) buffer.writeBigInt64BE(BigInt(value));
  else buffer.writeIntBE(Number(value), 0, bytes);
  return buffer;
}

async function fetchResponse(version: number): Promise<Buffer> {
  const set = await recordBatch(
    [{ key: null, value: Buffer.from('v'), timestamp: 1, headers: {} }],
    { baseOffset: 1_000n },
  );
  return Buffer.concat([
    int(4, 7),
    ...(version >= 7 ? [int(2, 0), int(4, 99)] : []),
    int(4, 1),
    int(2, 5),
    Buffer.from('audit'),
    int(4, 1),
    int(4, 3),
    int(2, 0),
    int(8, 1_001),
    int(8, 1_001),
    ...(version >= 5 ? [int(8, 900)] : []),
    int(4, -1),
    ...(version >= 11 ? [int(4, -1)] : []),
    int(4, set.length),
    set,
  ]);
}

interface Decoded {
  throttleTime: number;
  clientSideThrottleTime?: number;
  responses: Array<{ topicName: string; partitions: Array<{ messages: object[] }> }>;
}
const Batch = load('kafkajs/src/consumer/batch') as new (
  topic: string,
  offset: string,
  data: object,
) => object;

for (let version = 4; version <= 11; version++) {
  test(`fetch response version ${version}: read in full, log start offset included`, async () => {
    const response = load(`kafkajs/src/protocol/requests/fetch/v${version}/response`) as {
      decode(bytes: Buffer): Promise<Decoded>;
    };
    const bytes = await fetchResponse(version);
    const decoded = await response.decode(bytes);
    assert.deepEqual(decoded, await decodeFetchResponse(bytes, version));
    assert.equal(decoded.throttleTime, version >= 8 ? 0 : 7);
    assert.equal(decoded.clientSideThrottleTime, version >= 8 ? 7 : undefined);
    const [topic] = decoded.responses;
    assert.equal(topic!.topicName, 'audit');
    const [partition] = topic!.partitions;
    const batch = new Batch('audit', '1000', partition!);
    assert.deepEqual(fetchedPartition(batch), {
      fetchedOffset: 1_000n,
      logStartOffset: version >= 5 ? 900n : -1n,
    });
    assert.equal((batch as { messages: unknown[] }).messages.length, 1);
  });
}
