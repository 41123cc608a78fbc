/** The producer on a real Kafka: large records, refused records, and nothing lost after a failure. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after as afterAll, test } from 'node:test';
import type { Kafka } from 'kafkajs';
import { createConsumer } from '../../services/ingest/consume.ts';
import {
  createRecordProducer,
  keyPartition,
  type OutgoingRecord,
  type RecordProducer,
} from '../../services/ingest/produce.ts';
import type { KafkaRecord } from '../../services/ingest/record.ts';
import { useStack } from '../stack/use.ts';
import { createTopic, log, testConfig, testKafka, until } from './kafka-stack.ts';

const stack = await useStack();
const kafka: Kafka = testKafka(stack.brokers);
const config = testConfig(stack.brokers);
const open: RecordProducer[] = [];
afterAll(() => Promise.all(open.map((producer) => producer.disconnect())));

async function topicWith(
  partitions: number,
  settings: Record<string, string> = {},
): Promise<string> {
  const topic = stack.unique('produce');
  await createTopic(kafka, topic, partitions, settings);
  return topic;
}

function producerTo(topic: string, batchBytesMax?: number): RecordProducer {
  const limit = batchBytesMax === undefined ? {} : { batchBytesMax };
  const producer = createRecordProducer({ config, topic, log, ...limit });
  open.push(producer);
  return producer;
}

/** Everything on the topic, once `count` records are there; then waits for none to follow. */
async function readAll(topic: string, count: number): Promise<KafkaRecord[]> {
  const records: KafkaRecord[] = [];
  let ends = 0n;
  const consumer = createConsumer({
    config,
    groupId: stack.unique('reader'),
    topics: [topic],
    startAt: 'earliest',
    log,
  });
  const running = consumer.run({
    assigned: async (assignments) => {
      ends = assignments.reduce((sum, { logEndOffset }) => sum + logEndOffset, 0n);
      return [];
    },
    batch: async (batch) => {
      records.push(...batch.records);
    },
  });
  const there = (): string =>
    `${count} records on a topic of ${ends}; read: ${records.map((one) => `${one.partition}/${one.offset}`).join(' ')}`;
  try {
    await until(there, () => records.length >= count && records.length >= ends);
  } finally {
    // Of a consumer that runs on, this process would never end.
    await consumer.stop();
  }
  await running;
  return records;
}

const value = (text: string): OutgoingRecord => ({ key: null, value: Buffer.from(text) });

test('keys, explicit partitions, headers and times arrive as given; null is a tombstone', async () => {
  // The times are years ago: Kafka would remove the records within a second.
  const topic = await topicWith(5, { 'retention.ms': '-1' });
  const producer = producerTo(topic);
  assert.equal(await producer.partitionCount(), 5);
  const keys = Array.from({ length: 50 }, (_, i) => Buffer.from(`workspace-${i}`));
  await producer.produceBatch([
    ...keys.map((key, i) => ({
      key,
      value: Buffer.from(`${i}`),
      timestamp: 1_700_000_000_000 + i,
    })),
    {
      key: null,
      value: null,
      partition: 3,
      headers: [
        { key: '__proto__', value: Buffer.from('p') },
        { key: 'x', value: Buffer.from('1') },
        { key: 'x', value: Buffer.from('2') },
      ],
    },
  ]);
  const records = await readAll(topic, 51);
  for (const { key, partition, timestamp, value: bytes } of records) {
    if (key === null) continue;
    assert.equal(partition, keyPartition(key, 5));
    assert.equal(timestamp, 1_700_000_000_000n + BigInt(String(bytes)));
  }
  const tombstone = records.find(({ key }) => key === null)!;
  assert.equal(tombstone.partition, 3);
  assert.equal(tombstone.value, null);
  assert.deepEqual(
    tombstone.headers.map((header) => [header.key, String(header.value)]),
    [
      ['__proto__', 'p'],
      ['x', '1'],
      ['x', '2'],
    ],
  );
});

test('a 20 MB record goes alone; one over the limit of the topic is named, the rest is there', async () => {
  const topic = await topicWith(1, { 'max.message.bytes': String(24 * 1024 * 1024) });
  const producer = producerTo(topic);
  const large = Buffer.alloc(20 * 1024 * 1024, 'x');
  const records = [
    value('a'),
    { key: null, value: large },
    value('b'),
    { key: null, value: Buffer.alloc(25 * 1024 * 1024) },
    value('c'),
  ];
  const refused = await producer.produceBatch(records);
  assert.deepEqual(
    refused.map(({ index, code }) => [index, code]),
    [[3, 'too_large']],
  );
  const read = await readAll(topic, 4);
  assert.deepEqual(
    read.map((record) => record.value!.length),
    [1, large.length, 1, 1],
  );
  assert.ok(read[1]!.value!.equals(large));
});

test('a topic that takes less than a chunk: everything that fits arrives, in order', async () => {
  const topic = await topicWith(2, { 'max.message.bytes': '10000' });
  const producer = producerTo(topic);
  const records = Array.from({ length: 400 }, (_, i) => ({
    key: null,
    value: Buffer.from(`${i} `.padEnd(i === 7 ? 20_000 : 300, '.')),
    partition: i % 2,
  }));
  assert.deepEqual(
    (await producer.produceBatch(records)).map(({ index }) => index),
    [7],
  );
  const read = await readAll(topic, 399);
  const firstAt = new Map<string, bigint>();
  for (const { value: bytes, offset } of read) {
    const name = String(bytes).split(' ')[0]!;
    if (!firstAt.has(name)) firstAt.set(name, offset);
  }
  assert.equal(firstAt.size, 399);
  for (let i = 2; i < 400; i++) {
    if (i === 7 || i === 9) continue;
    assert.ok(firstAt.get(`${i}`)! > firstAt.get(`${i - 2}`)!, `${i}`);
  }
  // What was learnt holds: the next call is not refused and split again.
  await producer.produceBatch(records.slice(0, 7));
});

interface Broker {
  produce(request: object): Promise<unknown>;
}
const brokers = createRequire(import.meta.url)('kafkajs/src/broker') as { prototype: Broker };

test('a lost answer, then a failure: the next records are not taken for a repetition', async () => {
  const topic = await topicWith(1);
  const producer = producerTo(topic);
  await producer.produceBatch([value('first')]);
  const { produce } = brokers.prototype;
  let lost = 0;
  brokers.prototype.produce = async function (request) {
    await produce.call(this, request);
    lost++;
    throw Object.assign(new Error('the answer was lost'), { retriable: false });
  };
  try {
    await assert.rejects(producer.produceBatch([value('unsure')]), { code: 'KAFKA_FAILED' });
  } finally {
    brokers.prototype.produce = produce;
  }
  assert.equal(lost, 1);
  // Stock kafkajs would use the sequence number of `unsure` again: acknowledged, and dropped.
  await producer.produceBatch([value('next')]);
  const read = await readAll(topic, 3);
  assert.deepEqual(
    read.map((record) => String(record.value)),
    ['first', 'unsure', 'next'],
  );
});

test('a lost answer inside the retries of the client: nothing twice', async () => {
  const topic = await topicWith(3);
  const producer = producerTo(topic);
  const { produce } = brokers.prototype;
  let losses = 3;
  brokers.prototype.produce = async function (request) {
    const answer = await produce.call(this, request);
    if (losses-- > 0) throw Object.assign(new Error('the answer was lost'), { retriable: true });
    return answer;
  };
  try {
    const records = Array.from({ length: 300 }, (_, i) => value(`${i}`));
    await producer.produceBatch(records);
    await producer.produceBatch([value('last')]);
  } finally {
    brokers.prototype.produce = produce;
  }
  const read = await readAll(topic, 301);
  assert.equal(read.length, 301);
  assert.equal(new Set(read.map((record) => String(record.value))).size, 301);
});

test('concurrent calls run one after another and all arrive', async () => {
  const topic = await topicWith(4);
  const producer = producerTo(topic, 5_000);
  const calls = Array.from({ length: 20 }, (_, call) =>
    producer.produceBatch(
      Array.from({ length: 200 }, (_, i) => ({
        key: Buffer.from(`${i}`),
        value: Buffer.from(`${call}-${i}`),
      })),
    ),
  );
  await Promise.all(calls);
  const read = await readAll(topic, 4_000);
  assert.equal(read.length, 4_000);
  assert.equal(new Set(read.map((record) => String(record.value))).size, 4_000);
});

test('a topic that is not there', async () => {
  const producer = producerTo(stack.unique('missing'));
  await assert.rejects(producer.produceBatch([value('x')]), { code: 'KAFKA_TOPIC_MISSING' });
});
