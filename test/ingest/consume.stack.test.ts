/**
 * The consumer on a real Kafka: nothing lost, fences hold, slow handlers keep their membership, and
 * a process that was stopped and came back is refused.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { after as afterAll, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kafka } from 'kafkajs';
import { Registry } from 'prom-client';
import { createConsumer, quietMsMax } from '../../services/ingest/consume.ts';
import type {
  Assignment,
  ConsumerHandlers,
  RecordBatch,
  RecordConsumer,
  TopicPartition,
} from '../../services/ingest/consume-types.ts';
import type { ClientGroup } from '../../services/ingest/kafkajs-patches.ts';
import { createRecordProducer, type OutgoingRecord } from '../../services/ingest/produce.ts';
import { CorruptBatch } from '../../services/ingest/record-batch.ts';
import { clusterOf, NO_TOPIC_ID, topicIds } from '../../services/ingest/topic-ids.ts';
import type { Config } from '../../services/runtime/config.ts';
import { useStack } from '../stack/use.ts';
import { after, at, createTopic, log, testConfig, testKafka, until } from './kafka-stack.ts';

const stack = await useStack();
const kafka = testKafka(stack.brokers);
const started: RecordConsumer[] = [];

afterAll(async () => {
  await Promise.all(started.map((consumer) => consumer.stop()));
});

interface Seen {
  assigned: Array<{ generation: number; assignments: Assignment[] }>;
  batches: RecordBatch[];
  records: number;
}

interface Member {
  consumer: RecordConsumer;
  seen: Seen;
  /** Settles when `run` does. */
  running: Promise<void>;
}

interface MemberOptions {
  topic: string;
  group: string;
  kafka?: Partial<Config['kafka']>;
  metrics?: Registry;
  startAt?: 'earliest' | 'latest';
  assigned?: ConsumerHandlers['assigned'];
  batch?: (batch: RecordBatch, consumer: RecordConsumer) => Promise<void>;
}

function join(options: MemberOptions): Member {
  const consumer = createConsumer({
    config: testConfig(stack.brokers, options.kafka),
    groupId: options.group,
    topics: [options.topic],
    startAt: options.startAt ?? 'earliest',
    log,
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
  });
  started.push(consumer);
  const seen: Seen = { assigned: [], batches: [], records: 0 };
  const running = consumer.run({
    assigned: async (assignments, generation) => {
      seen.assigned.push({ generation, assignments });
      return (await options.assigned?.(assignments, generation)) ?? [];
    },
    batch: async (batch) => {
      seen.batches.push(batch);
      seen.records += batch.records.length;
      await options.batch?.(batch, consumer);
    },
  });
  running.catch(() => {});
  return { consumer, seen, running };
}

async function leave({ consumer, running }: Member): Promise<void> {
  await consumer.stop();
  await running;
}

async function produce(topic: string, records: OutgoingRecord[]): Promise<void> {
  const producer = createRecordProducer({ config: testConfig(stack.brokers), topic, log });
  assert.deepEqual(await producer.produceBatch(records), []);
  await producer.disconnect();
}

function numbered(count: number, partition?: number, from = 0): OutgoingRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    key: Buffer.from(`key-${from + i}`),
    value: Buffer.from(`value-${from + i}`),
    ...(partition === undefined ? {} : { partition }),
  }));
}

async function freshTopic(partitions: number, settings?: Record<string, string>): Promise<string> {
  const topic = stack.unique('consume');
  await createTopic(kafka, topic, partitions, settings);
  return topic;
}

async function withAdmin<T>(work: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

async function committed(group: string, topic: string): Promise<Map<number, bigint>> {
  const [found] = await withAdmin((admin) =>
    admin.fetchOffsets({ groupId: group, topics: [topic] }),
  );
  return new Map(found!.partitions.map(({ partition, offset }) => [partition, BigInt(offset)]));
}

describe('reading', () => {
  test('100,000 records of two producers over 8 partitions, each once, in order', async () => {
    const topic = await freshTopic(8);
    const half = (name: string): OutgoingRecord[] =>
      Array.from({ length: 50_000 }, (_, i) => ({
        key: Buffer.from(`${name}-${i % 997}`),
        value: Buffer.from(`${name}-${i}`),
      }));
    const registry = new Registry();
    const next = new Map<number, bigint>();
    const values = new Set<string>();
    const member = join({
      topic,
      group: topic,
      metrics: registry,
      batch: async (batch) => {
        assert.equal(batch.records[0]!.offset, next.get(batch.partition) ?? 0n);
        next.set(batch.partition, batch.nextOffset);
        assert.equal(batch.records.at(-1)!.offset + 1n, batch.nextOffset);
        for (const { value } of batch.records) values.add(String(value));
        await member.consumer.commit([after(batch)], batch.generation);
      },
    });
    await Promise.all([produce(topic, half('a')), produce(topic, half('b'))]);
    await until('all records', () => member.seen.records >= 100_000);
    assert.equal(member.seen.records, 100_000);
    assert.equal(values.size, 100_000);
    assert.deepEqual(await committed(topic, topic), next);
    const text = await registry.metrics();
    assert.match(text, /lakeseal_consumer_lag_records\{[^}]*partition="3"\} 0/);
    assert.match(text, /lakeseal_consumer_rebalances_total\{[^}]*\} 1/);
    await leave(member);
    assert.doesNotMatch(await registry.metrics(), /lag_records\{/);
  });

  test('start: where assigned says, else committed, else startAt', async () => {
    const topic = await freshTopic(4);
    for (const partition of [0, 1, 2, 3]) await produce(topic, numbered(10, partition));
    const first = join({ topic, group: topic });
    await until('first read', () => first.seen.records === 40);
    const { generation } = first.seen.assigned.at(-1)!;
    assert.ok(await first.consumer.commit([{ topic, partition: 1, offset: 4n }], generation));
    await leave(first);

    const second = join({
      topic,
      group: topic,
      startAt: 'latest',
      assigned: async () => [{ topic, partition: 2, offset: 7n }],
    });
    await until('assigned', () => second.seen.assigned.length > 0);
    assert.deepEqual(
      second.seen.assigned[0]!.assignments.map(({ committedOffset }) => committedOffset),
      [null, 4n, null, null],
    );
    await until('both', () => second.seen.records === 6 + 3);
    const starts = second.seen.batches.map((batch) => [batch.partition, batch.records[0]!.offset]);
    assert.deepEqual(starts.sort(), [
      [1, 4n],
      [2, 7n],
    ]);
    await leave(second);
  });

  test('a batch of 150,000 records in one record batch', async () => {
    const topic = await freshTopic(1);
    await sendOneBatch(topic, 150_000);
    const member = join({ topic, group: topic });
    await until('all records', () => member.seen.records === 150_000);
    assert.equal(member.seen.batches.length, 1);
    await leave(member);
  });

  for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const) {
    test(`codec ${compression}: through the broker and back`, async () => {
      const topic = await freshTopic(1);
      const config = testConfig(stack.brokers);
      const producer = createRecordProducer({ config, topic, log, compression });
      const value = Buffer.alloc(3_000, `${compression} audit event `);
      const headers = [
        { key: 'a', value: Buffer.from('1') },
        { key: 'a', value: Buffer.from('2') },
      ];
      await producer.produceBatch(
        Array.from({ length: 500 }, (_, i) => ({ key: Buffer.from(`${i}`), value, headers })),
      );
      await producer.disconnect();
      const member = join({ topic, group: topic });
      await until('all records', () => member.seen.records === 500);
      const records = member.seen.batches.flatMap((batch) => batch.records);
      records.forEach((record, i) => {
        assert.equal(String(record.key), `${i}`);
        assert.ok(record.value!.equals(value));
        assert.deepEqual(record.headers, headers);
      });
      await leave(member);
    });
  }

  test('seek and pause', async () => {
    const topic = await freshTopic(2);
    for (const partition of [0, 1]) await produce(topic, numbered(20, partition));
    let sought = false;
    const member = join({
      topic,
      group: topic,
      batch: async (batch, consumer) => {
        if (batch.partition !== 0 || sought) return;
        sought = true;
        consumer.seek(batch, 5n);
        assert.ok(batch.stale());
      },
    });
    await until('again from 5', () => member.seen.records === 20 + 20 + 15);
    const of0 = member.seen.batches.filter(({ partition }) => partition === 0);
    assert.deepEqual(
      of0.map(({ records }) => records[0]!.offset),
      [0n, 5n],
    );
    member.consumer.pause([{ topic, partition: 1 }]);
    await produce(topic, numbered(5, 1));
    await produce(topic, numbered(5, 0));
    await until('partition 0', () => member.seen.records === 60);
    assert.equal(member.seen.batches.at(-1)!.partition, 0);
    member.consumer.resume([{ topic, partition: 1 }]);
    await until('partition 1', () => member.seen.records === 65);
    await leave(member);
  });
});

/** One produce request with one record batch. `send` of kafkajs needs minutes for so many. */
async function sendOneBatch(topic: string, count: number): Promise<void> {
  const cluster = clusterOf(kafka);
  await cluster.connect();
  try {
    await cluster.addMultipleTargetTopics([topic]);
    const { leader } = cluster.findTopicPartitionMetadata(topic)[0]!;
    const broker = (await cluster.findBroker({ nodeId: leader })) as unknown as {
      produce(request: object): Promise<unknown>;
    };
    const messages = Array.from({ length: count }, () => ({ key: null, value: 'x' }));
    const partitions = [{ partition: 0, firstSequence: 0, messages }];
    await broker.produce({ topicData: [{ topic, partitions }], compression: 1 });
  } finally {
    await cluster.disconnect();
  }
}

/** A promise that the test opens. */
function gate(): { open: () => void; passed: Promise<void> } {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, passed };
}

const SESSION_MS = 6_000;

describe('fences', () => {
  test('what a fetch from before a seek brings is dropped', async () => {
    const topic = await freshTopic(1);
    await produce(topic, numbered(80, 0));
    const member = join({
      topic,
      group: topic,
      batch: async (batch) => assert.equal(batch.stale(), false),
    });
    let brought = 0;
    const restore = replaceFetch(topic, async (fetch) => {
      const batches = await fetch();
      if (batches.length > 0 && brought++ === 0) {
        member.consumer.seek({ topic, partition: 0 }, 50n);
      }
      return batches;
    });
    await until('from 50 on', () => member.seen.records >= 30);
    restore();
    assert.ok(brought >= 2, `${brought}`);
    assert.equal(member.seen.batches[0]!.records[0]!.offset, 50n);
    assert.equal(member.seen.records, 30);
    await leave(member);
  });

  test('nothing is delivered before assigned resolves, whatever is fetched', async () => {
    const topic = await freshTopic(2);
    for (const partition of [0, 1]) await produce(topic, numbered(10, partition));
    const { open, passed } = gate();
    let fetches = 0;
    const restore = replaceFetch(topic, (fetch) => {
      fetches++;
      return fetch();
    });
    const member = join({
      topic,
      group: topic,
      assigned: async () => {
        await passed;
        return [{ topic, partition: 0, offset: 6n }];
      },
    });
    await until('some fetches', () => fetches > 5);
    assert.equal(member.seen.batches.length, 0);
    open();
    await until('read', () => member.seen.records === 4 + 10);
    restore();
    await leave(member);
  });

  test('a rebalance while assigned is at work: its answer is for nothing, it is asked again', async () => {
    const topic = await freshTopic(2);
    for (const partition of [0, 1]) await produce(topic, numbered(10, partition));
    const { open, passed } = gate();
    const first = join({
      topic,
      group: topic,
      assigned: async (_, generation) => {
        if (generation > 1) return [];
        await passed;
        return [
          { topic, partition: 0, offset: 9n },
          { topic, partition: 1, offset: 9n },
        ];
      },
    });
    await until('first asked', () => first.seen.assigned.length === 1);
    const second = join({ topic, group: topic });
    await until('second reads', () => second.seen.records === 10);
    assert.equal(first.seen.assigned.length, 1);
    open();
    await until('first reads', () => first.seen.records === 10);
    assert.ok(first.seen.batches.every(({ generation }) => generation > 1));
    assert.equal(first.seen.assigned.at(-1)!.assignments.length, 1);
    await leave(first);
    await leave(second);
  });

  test('a pause lasts while the partition stays, and is forgotten when it goes', async () => {
    const topic = await freshTopic(2);
    const first = join({ topic, group: topic });
    await until('assigned', () => first.seen.assigned.length === 1);
    first.consumer.pause([
      { topic, partition: 0 },
      { topic, partition: 1 },
    ]);
    const second = join({ topic, group: topic });
    await until('one each', () => first.seen.assigned.at(-1)!.assignments.length === 1);
    const kept = first.seen.assigned.at(-1)!.assignments[0]!.partition;
    await leave(second);
    await until('both again', () => first.seen.assigned.at(-1)!.assignments.length === 2);
    await produce(topic, [...numbered(5, 0), ...numbered(5, 1)]);
    await until('the one that came back', () => first.seen.records === 5);
    assert.equal(first.seen.batches[0]!.partition, 1 - kept);
    first.consumer.resume([{ topic, partition: kept }]);
    await until('the other', () => first.seen.records === 10);
    await leave(first);
  });
});

describe('slow handlers', () => {
  test('one that takes longer than the session keeps the membership and holds up no other', async () => {
    const topic = await freshTopic(3);
    for (const partition of [0, 1, 2]) await produce(topic, numbered(10, partition));
    const { open, passed } = gate();
    let blockedSince = 0;
    const member = join({
      topic,
      group: topic,
      batch: async (batch) => {
        if (batch.partition !== 1) return;
        blockedSince ||= performance.now();
        await passed;
        assert.equal(batch.stale(), false);
      },
    });
    await until('blocked', () => blockedSince > 0 && member.seen.records === 30);
    for (let round = 1; round <= 3; round++) {
      await produce(topic, [...numbered(5, 0), ...numbered(5, 2), ...numbered(5, 1)]);
      await until(`round ${round}`, () => member.seen.records === 30 + 10 * round);
    }
    await until(
      'longer than two sessions',
      () => performance.now() - blockedSince > 2 * SESSION_MS + 1_000,
    );
    assert.equal(member.seen.assigned.length, 1);
    open();
    await until('the rest', () => member.seen.records === 75);
    assert.equal(member.seen.assigned.length, 1);
    const { generation } = member.seen.assigned[0]!;
    assert.ok(await member.consumer.commit([{ topic, partition: 1, offset: 25n }], generation));
    await leave(member);
  });

  test('more slow partitions than may be let go at once: heartbeats go on while all wait', async () => {
    const partitions = 20;
    const topic = await freshTopic(partitions);
    for (let p = 0; p < partitions; p++) await produce(topic, numbered(3, p));
    const { open, passed } = gate();
    const member = join({ topic, group: topic, batch: () => passed });
    await until('all blocked', () => member.seen.batches.length === partitions);
    const since = performance.now();
    await until('two sessions', () => performance.now() - since > 2 * SESSION_MS);
    assert.equal(member.seen.assigned.length, 1);
    assert.equal(member.seen.batches.length, partitions);
    open();
    await produce(topic, Array.from({ length: partitions }, (_, p) => numbered(1, p)).flat());
    await until('the rest', () => member.seen.records === partitions * 4);
    assert.equal(member.seen.assigned.length, 1);
    await leave(member);
  });

  test('a rebalance does not wait for a blocked handler, which learns that it is stale', async () => {
    const topic = await freshTopic(4);
    for (const partition of [0, 1, 2, 3]) await produce(topic, numbered(10, partition));
    const { open, passed } = gate();
    let blocking = true;
    const first = join({
      topic,
      group: topic,
      batch: async () => {
        if (blocking) await passed;
      },
    });
    await until('blocked', () => first.seen.batches.length === 4);
    const second = join({ topic, group: topic });
    const since = performance.now();
    await until('the second has its half', () => second.seen.records === 20, 12_000);
    const tookMs = performance.now() - since;
    assert.ok(tookMs < 10_000, `${tookMs} ms`);
    await until('stale', () => first.seen.batches.every((batch) => batch.stale()));
    // `assigned` of the first waits for its own handlers, so that none overlaps a new one.
    assert.equal(first.seen.assigned.length, 1);
    const [old] = first.seen.batches;
    assert.equal(await first.consumer.commit([after(old!)], old!.generation), false);
    blocking = false;
    open();
    await until('assigned anew', () => first.seen.assigned.length === 2);
    assert.equal(first.seen.assigned[1]!.assignments.length, 2);
    await until('its half again', () => first.seen.records === 60);
    await leave(first);
    await leave(second);
  });
});

/** What a service keeps: the position it has taken over, and commits of it. */
interface Ledger {
  accepted: Map<string, number>;
  fencedTrue: string[];
}

function note(ledger: Ledger, batch: RecordBatch): void {
  for (const { value } of batch.records) {
    const text = String(value);
    ledger.accepted.set(text, (ledger.accepted.get(text) ?? 0) + 1);
  }
}

describe('members that come and go', () => {
  test('under load with slow handlers every record is accepted, and nobody plays ping-pong', async () => {
    const topic = await freshTopic(8);
    const total = 20_000;
    const ledger: Ledger = { accepted: new Map(), fencedTrue: [] };
    const member = (): Member => {
      let current = 0;
      const made: Member = join({
        topic,
        group: topic,
        assigned: async (_, generation) => {
          current = generation;
          return [];
        },
        batch: async (batch, consumer) => {
          for (let i = 0; i < 4 && !batch.stale(); i++) {
            await new Promise((resolve) => setTimeout(resolve, 100));
            await batch.heartbeat();
          }
          if (batch.stale()) return;
          note(ledger, batch);
          const done = await consumer.commit([after(batch)], batch.generation);
          if (done && batch.generation < current) ledger.fencedTrue.push(batch.topic);
        },
      });
      return made;
    };
    const first = member();
    const producing = (async () => {
      for (let from = 0; from < total; from += 1_000) {
        await produce(topic, numbered(1_000, undefined, from));
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
    })();
    await until('some read', () => ledger.accepted.size > 1_000);
    const second = member();
    await until('second works', () => second.seen.records > 0);
    const third = member();
    await until('third works', () => third.seen.records > 0);
    await leave(second);
    await producing;
    const fourth = member();
    await until('all accepted', () => ledger.accepted.size === total);
    await until('four joined', () => fourth.seen.assigned.length > 0);
    await until('committed to the end', async () => {
      let sum = 0n;
      for (const offset of (await committed(topic, topic)).values()) sum += offset;
      return sum === BigInt(total);
    });
    assert.deepEqual(ledger.fencedTrue, []);
    // Four changes of the membership: each may make everybody join a few times, not for ever.
    for (const { seen } of [first, third, fourth]) {
      assert.ok(seen.assigned.length <= 10, `${seen.assigned.length} assignments`);
    }
    const settled = first.seen.assigned.length;
    const since = performance.now();
    await until('two sessions of peace', () => performance.now() - since > 2 * SESSION_MS);
    assert.equal(first.seen.assigned.length, settled);
    for (const one of [first, third, fourth]) await leave(one);
  });

  test('a process stopped past its session is refused, joins again, and moves nothing back', async () => {
    const topic = await freshTopic(4);
    for (const partition of [0, 1, 2, 3]) await produce(topic, numbered(25, partition));
    const zombie = spawnMember(topic);
    await until('zombie reads', () => zombie.records() === 100);
    const { generation } = zombie.assigned().at(-1)!;
    zombie.child.kill('SIGSTOP');
    const heir = join({
      topic,
      group: topic,
      batch: async (batch, consumer) => {
        await consumer.commit([after(batch)], batch.generation);
      },
    });
    await until('the heir has all', () => heir.seen.assigned.at(-1)?.assignments.length === 4);
    await until('the heir has read', () => heir.seen.records === 100);
    await until('committed', async () => (await committed(topic, topic)).get(0) === 25n);
    zombie.child.stdin!.write(`${JSON.stringify({ commit: 3, partition: 0, generation })}\n`);
    zombie.child.kill('SIGCONT');
    await until('an answer', () => zombie.commits().length === 1);
    assert.deepEqual(zombie.commits(), [false]);
    assert.equal((await committed(topic, topic)).get(0), 25n);
    await until('a new generation', () => (zombie.assigned().at(-1)?.generation ?? 0) > generation);
    await until(
      'each has a half',
      () =>
        zombie.assigned().at(-1)!.assigned.length === 2 &&
        heir.seen.assigned.at(-1)!.assignments.length === 2,
    );
    const before = zombie.records() + heir.seen.records;
    for (const partition of [0, 1, 2, 3]) await produce(topic, numbered(5, partition));
    await until('both read on', () => zombie.records() + heir.seen.records >= before + 20);
    zombie.child.kill('SIGKILL');
    await leave(heir);
  });
});

interface Told {
  assigned?: number[];
  generation?: number;
  records?: number;
  committed?: boolean;
}

interface MemberProcess {
  child: ChildProcess;
  records(): number;
  commits(): boolean[];
  assigned(): Array<{ assigned: number[]; generation: number }>;
}

function spawnMember(topic: string): MemberProcess {
  const program = new URL('./member.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [program, stack.brokers.join(','), topic, topic], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  afterAll(() => child.kill('SIGKILL'));
  const told: Told[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => {
    told.push(JSON.parse(line) as Told);
  });
  return {
    child,
    records: () => told.reduce((sum, { records = 0 }) => sum + records, 0),
    commits: () => told.flatMap(({ committed: done }) => (done === undefined ? [] : [done])),
    assigned: () =>
      told.filter((line): line is { assigned: number[]; generation: number } => 'assigned' in line),
  };
}

describe('the log moves under the reader', () => {
  test('retention ran past the position: the jump is seen, with the log start', async () => {
    const topic = await freshTopic(1);
    await produce(topic, numbered(100, 0));
    const registry = new Registry();
    const member = join({
      topic,
      group: topic,
      metrics: registry,
      assigned: async () => [{ topic, partition: 0, offset: 10n }],
    });
    await until('read', () => member.seen.records === 90);
    member.consumer.pause([{ topic, partition: 0 }]);
    await produce(topic, numbered(50, 0));
    await deleteBefore(topic, 130);
    member.consumer.resume([{ topic, partition: 0 }]);
    await until('the jump', () => member.seen.records === 90 + 20);
    const batch = member.seen.batches.at(-1)!;
    assert.equal(batch.records[0]!.offset, 130n);
    assert.equal(batch.logStartOffset, 130n);
    assert.equal(member.seen.assigned.length, 1);
    assert.match(await registry.metrics(), /lakeseal_consumer_records_lost_total\{[^}]*\} 30/);
    // kafkajs would have committed -2 here.
    assert.deepEqual(await committed(topic, topic), new Map([[0, -1n]]));
    await leave(member);
  });

  test('a start below the log start begins at the log start', async () => {
    const topic = await freshTopic(1);
    await produce(topic, numbered(60, 0));
    await deleteBefore(topic, 40);
    const member = join({
      topic,
      group: topic,
      assigned: async (assignments) => {
        assert.equal(assignments[0]!.logStartOffset, 40n);
        assert.equal(assignments[0]!.logEndOffset, 60n);
        return [{ topic, partition: 0, offset: 5n }];
      },
    });
    await until('read', () => member.seen.records === 20);
    assert.equal(member.seen.batches[0]!.records[0]!.offset, 40n);
    await leave(member);
  });

  test('a topic deleted and made anew: assigned again, with another id', async () => {
    const topic = await freshTopic(1);
    await produce(topic, numbered(30, 0));
    const member = join({ topic, group: topic });
    await until('read', () => member.seen.records === 30);
    const { topicId } = member.seen.assigned[0]!.assignments[0]!;
    assert.equal((await topicIds(kafka, [topic])).get(topic), topicId);
    assert.match(topicId, /^[A-Za-z0-9_-]{22}$/);
    assert.notEqual(topicId, NO_TOPIC_ID);
    await withAdmin((admin) => admin.deleteTopics({ topics: [topic] }));
    await until('gone', async () => (await topicIds(kafka, [topic])).get(topic) === null);
    await createTopic(kafka, topic, 1);
    await produce(topic, numbered(7, 0));
    await until('read anew', () => member.seen.records === 37);
    const again = member.seen.assigned.at(-1)!;
    assert.ok(again.generation > 1);
    assert.notEqual(again.assignments[0]!.topicId, topicId);
    assert.equal((await topicIds(kafka, [topic])).get(topic), again.assignments[0]!.topicId);
    assert.equal(member.seen.batches.at(-1)!.records[0]!.offset, 0n);
    await leave(member);
  });
});

interface GroupPrototype {
  fetch(this: ClientGroup, nodeId: unknown): Promise<unknown[]>;
}
const groups = createRequire(import.meta.url)('kafkajs/src/consumer/consumerGroup') as {
  prototype: GroupPrototype;
};
type Fetch = () => Promise<unknown[]>;

/** From now on the client of `group` does `instead` when it should fetch; gives the way back. */
function replaceFetch(group: string, instead: (fetch: Fetch) => Promise<unknown[]>): () => void {
  const { fetch } = groups.prototype;
  groups.prototype.fetch = async function (nodeId) {
    const stock: Fetch = () => fetch.call(this, nodeId);
    return this.groupId === group ? instead(stock) : stock();
  };
  return () => {
    groups.prototype.fetch = fetch;
  };
}

function withFetch(group: string, instead: () => Promise<unknown[]>): Member {
  const restore = replaceFetch(group, instead);
  const member = join({ topic: group, group });
  member.running.then(restore, restore);
  return member;
}

/** Each of so many joins of `group` is over after `ms` and in vain, as where members die all the time. */
function replaceJoins(group: string, rounds: number, ms: number): () => void {
  const prototype = groups.prototype as unknown as Record<symbol, (this: ClientGroup) => unknown>;
  const symbols = Object.getOwnPropertySymbols(prototype);
  const sync = symbols.find(({ description }) => description === 'private:ConsumerGroup:sync')!;
  const stock = prototype[sync]!;
  let left = rounds;
  prototype[sync] = async function () {
    await stock.call(this);
    if (this.groupId !== group || left === 0) return;
    left -= 1;
    await sleep(ms);
    throw Object.assign(new Error('again'), { type: 'REBALANCE_IN_PROGRESS' });
  };
  return () => {
    prototype[sync] = stock;
  };
}

async function deleteBefore(topic: string, offset: number): Promise<void> {
  const partitions = [{ partition: 0, offset: String(offset) }];
  await withAdmin(async (admin) => {
    // Loads the leaders, which `deleteTopicRecords` forgets to do.
    await admin.fetchTopicOffsets(topic);
    await admin.deleteTopicRecords({ topic, partitions });
  });
}

describe('ends', () => {
  test('a handler that fails, an assignment that fails', async () => {
    const topic = await freshTopic(1);
    await produce(topic, numbered(1, 0));
    const failing = join({
      topic,
      group: `${topic}-a`,
      batch: async () => {
        throw new Error('the store is gone');
      },
    });
    await assert.rejects(failing.running, { message: 'the store is gone' });
    const refusing = join({
      topic,
      group: `${topic}-b`,
      assigned: async () => {
        throw new Error('no position');
      },
    });
    await assert.rejects(refusing.running, { message: 'no position' });
  });

  test('a position beyond the end', async () => {
    const topic = await freshTopic(1);
    await produce(topic, numbered(3, 0));
    const member = join({
      topic,
      group: topic,
      assigned: async () => [{ topic, partition: 0, offset: 4n }],
    });
    await assert.rejects(member.running, { code: 'KAFKA_POSITION_BEYOND_END' });
  });

  test('bytes that fail their checks, again and again', async () => {
    const topic = await freshTopic(1);
    const member = withFetch(topic, () => {
      throw new CorruptBatch('CRC mismatch', 12n);
    });
    await assert.rejects(member.running, { code: 'KAFKA_CORRUPT_BATCH' });
  });

  test('a TypeError inside the client, which would leave it dead and silent', async () => {
    const topic = await freshTopic(1);
    const member = withFetch(topic, () => {
      throw new TypeError('cannot read properties of undefined');
    });
    await assert.rejects(member.running, { code: 'KAFKA_FAILED' });
  });

  test('nothing at all for longer than a broker may keep silent', async () => {
    const topic = await freshTopic(1);
    const since = performance.now();
    const member = withFetch(topic, () => new Promise(() => {}));
    await assert.rejects(member.running, { code: 'KAFKA_CONSUMER_STALLED' });
    const tookMs = performance.now() - since;
    const quietMs = quietMsMax(testConfig([]).kafka);
    assert.ok(tookMs > quietMs && tookMs < quietMs + 2 * SESSION_MS, `${tookMs} ms`);
  });

  test('joining in vain for longer than that is no death', async () => {
    const topic = await freshTopic(1);
    await produce(topic, numbered(3, 0));
    const restore = replaceJoins(topic, 2, 2 * SESSION_MS);
    try {
      const member = join({ topic, group: topic });
      const since = performance.now();
      await until('read at last', () => member.seen.records === 3);
      assert.ok(performance.now() - since > quietMsMax(testConfig([]).kafka) + SESSION_MS / 4);
      await leave(member);
    } finally {
      restore();
    }
  });

  test('a topic that does not exist, a broker that is not there', async () => {
    const missing = join({ topic: stack.unique('missing'), group: stack.unique('missing') });
    await assert.rejects(missing.running, { code: 'KAFKA_TOPIC_MISSING' });
    const lost = join({
      topic: 'any',
      group: 'any',
      kafka: { brokers: ['127.0.0.1:1'] },
    });
    await assert.rejects(lost.running, { code: 'KAFKA_UNREACHABLE' });
  });

  test('stop waits for handlers, whose commits still count, and gives nothing out any more', async () => {
    const topic = await freshTopic(2);
    for (const partition of [0, 1]) await produce(topic, numbered(10, partition));
    const { open, passed } = gate();
    const commits: boolean[] = [];
    const member = join({
      topic,
      group: topic,
      batch: async (batch, consumer) => {
        await passed;
        commits.push(await consumer.commit([after(batch)], batch.generation));
      },
    });
    await until('both blocked', () => member.seen.batches.length === 2);
    let stopped = false;
    const stopping = member.consumer.stop().then(() => {
      stopped = true;
    });
    await produce(topic, numbered(10, 0));
    assert.equal(stopped, false);
    assert.ok(member.seen.batches.every((batch) => batch.stale()));
    open();
    await stopping;
    await member.running;
    assert.deepEqual(commits, [true, true]);
    assert.equal(member.seen.batches.length, 2);
    assert.deepEqual(
      await committed(topic, topic),
      new Map([
        [0, 10n],
        [1, 10n],
      ]),
    );
    const places: TopicPartition[] = member.seen.batches.map(at);
    assert.equal(await member.consumer.commit([{ ...places[0]!, offset: 1n }], 1), false);
  });

  test('an idle consumer stops within a second', async () => {
    const topic = await freshTopic(1);
    const member = join({ topic, group: topic });
    await until('assigned', () => member.seen.assigned.length === 1);
    const since = performance.now();
    await leave(member);
    const tookMs = performance.now() - since;
    assert.ok(tookMs < 1_500, `${tookMs} ms`);
  });
});
