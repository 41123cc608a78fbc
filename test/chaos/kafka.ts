/**
 * Kafka as anybody uses it: plain kafkajs, none of lakeseal's changes to it, so that what the tests
 * produce and what they say a topic holds is not lakeseal's own reading.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import kafkajs, { type Admin, type Kafka, type Message, type Producer } from 'kafkajs';
import { auditEventSchema } from '../../schemas/audit-event.ts';
import { freshFetch } from '../stack/fresh-fetch.ts';
import type { MixedMessage } from './events.ts';
import { until } from './wait.ts';

const TOPIC_MS_MAX = 30_000;

export function plainKafka(brokers: string[]): Kafka {
  return new kafkajs.Kafka({
    brokers,
    clientId: 'chaos',
    logLevel: kafkajs.logLevel.NOTHING,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 20 },
  });
}

export async function withAdmin<Output>(
  brokers: string[],
  run: (admin: Admin) => Promise<Output>,
): Promise<Output> {
  const admin = plainKafka(brokers).admin();
  await admin.connect();
  try {
    return await run(admin);
  } finally {
    await admin.disconnect();
  }
}

export async function makeTopic(
  brokers: string[],
  topic: string,
  partitions: number,
  settings: Record<string, string> = {},
): Promise<void> {
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
  await withAdmin(brokers, async (admin) => {
    // kafkajs' own waiting rejects where the broker does not know the new topic yet.
    await admin.createTopics({
      waitForLeaders: false,
      topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }],
    });
    await until(`topic ${topic} is there`, TOPIC_MS_MAX, async () => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      const found = topics[0]?.partitions ?? [];
      return found.length === partitions && found.every(({ leader }) => leader >= 0);
    });
    await until(`topic ${topic} has offsets`, TOPIC_MS_MAX, () => admin.fetchTopicOffsets(topic));
  });
}

/** Registers a schema for a topic's values and gives its id. */
export async function registerSchema(
  registryUrl: string,
  subject: string,
  schema: unknown = auditEventSchema,
): Promise<number> {
  const response = await freshFetch(`${registryUrl}/subjects/${subject}/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ schema: JSON.stringify(schema) }),
  });
  const answer = (await response.json()) as { id?: number };
  assert.ok(response.ok && answer.id !== undefined, `registry: ${JSON.stringify(answer)}`);
  return answer.id;
}

/** Per partition: the offset after the newest record. */
export async function endOffsets(admin: Admin, topic: string): Promise<Map<number, bigint>> {
  const offsets = await admin.fetchTopicOffsets(topic);
  return new Map(offsets.map(({ partition, high }) => [partition, BigInt(high)]));
}

/** Per partition: the group's committed offset; partitions without one are left out. */
export async function committedOffsets(
  admin: Admin,
  groupId: string,
  topic: string,
): Promise<Map<number, bigint>> {
  const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
  const known = (found?.partitions ?? []).filter(({ offset }) => offset !== '-1');
  return new Map(known.map(({ partition, offset }) => [partition, BigInt(offset)]));
}

export async function connectedProducer(brokers: string[]): Promise<Producer> {
  const producer = plainKafka(brokers).producer({
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
  });
  await producer.connect();
  return producer;
}

/** Produces all of `messages` in requests of `batch`; durable when it resolves. */
export async function produceAll(
  producer: Producer,
  topic: string,
  messages: Iterable<MixedMessage & { partition?: number }>,
  batch: number,
  compression = kafkajs.CompressionTypes.None,
): Promise<number> {
  let pending: Message[] = [];
  let count = 0;
  const flush = async (): Promise<void> => {
    if (pending.length === 0) return;
    await producer.send({ topic, messages: pending, acks: -1, compression });
    count += pending.length;
    pending = [];
  };
  for (const message of messages) {
    pending.push(message);
    if (pending.length >= batch) await flush();
  }
  await flush();
  return count;
}

export interface DumpedRecord {
  partition: number;
  offset: bigint;
  key: Buffer | null;
  value: Buffer | null;
  headers: Array<[string, string | null]>;
}

/** Reads everything the topic holds now, once, partition by partition, and hands it on. */
export async function readTopic(
  brokers: string[],
  topic: string,
  take: (record: DumpedRecord & { timestamp: string }) => void | Promise<void>,
): Promise<number> {
  const ends = await withAdmin(brokers, (admin) => admin.fetchTopicOffsets(topic));
  const open = new Map(
    ends
      .filter(({ low, high }) => BigInt(low) < BigInt(high))
      .map(({ partition, high }) => [partition, BigInt(high)]),
  );
  if (open.size === 0) return 0;
  const groupId = `${topic}-dump-${process.pid}-${Date.now()}`;
  const consumer = plainKafka(brokers).consumer({
    groupId,
    maxWaitTimeInMs: 200,
    maxBytesPerPartition: 4 * 1024 * 1024,
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  let count = 0;
  try {
    await new Promise<void>((resolve, reject) => {
      const seen = new Map<number, bigint>();
      consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
      consumer
        .run({
          autoCommit: false,
          eachBatch: async ({ batch, heartbeat }) => {
            for (const { offset, timestamp, key, value, headers } of batch.messages) {
              // A rejoin would deliver from the beginning again.
              const before = seen.get(batch.partition);
              if (before !== undefined && BigInt(offset) <= before) continue;
              seen.set(batch.partition, BigInt(offset));
              count++;
              await take({
                partition: batch.partition,
                offset: BigInt(offset),
                timestamp,
                key,
                value,
                headers: flatHeaders(headers ?? {}),
              });
            }
            await heartbeat();
            if (BigInt(batch.lastOffset()) + 1n >= open.get(batch.partition)!) {
              open.delete(batch.partition);
            }
            if (open.size === 0) resolve();
          },
        })
        .catch(reject);
    });
  } finally {
    await consumer.disconnect();
  }
  return count;
}

/** kafkajs gives one value, or a list where a key came more than once. */
function flatHeaders(headers: object): Array<[string, string | null]> {
  const flat: Array<[string, string | null]> = [];
  for (const [key, values] of Object.entries(headers) as Array<[string, unknown]>) {
    for (const value of Array.isArray(values) ? values : [values]) {
      flat.push([key, base64(value as Buffer | null)]);
    }
  }
  return flat;
}

function base64(bytes: Buffer | null | undefined): string | null {
  return bytes === null || bytes === undefined ? null : Buffer.from(bytes).toString('base64');
}

/** What `compare_segments.py` reads: one record a line. Gives how many. */
export async function dumpTopic(brokers: string[], topic: string, file: string): Promise<number> {
  const stream = createWriteStream(file);
  const count = await readTopic(brokers, topic, async (record) => {
    const line = JSON.stringify({
      p: record.partition,
      o: String(record.offset),
      t: record.timestamp,
      k: base64(record.key),
      h: record.headers,
      v: base64(record.value),
    });
    if (!stream.write(`${line}\n`)) await once(stream, 'drain');
  });
  stream.end();
  await once(stream, 'finish');
  return count;
}
