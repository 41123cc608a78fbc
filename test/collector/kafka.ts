/** Topics of the collector's tests on the real servers: made, and read back raw. */
import assert from 'node:assert/strict';
import { auditEventSchema } from '../../schemas/audit-event.ts';
import { connectKafka } from '../../services/ingest/kafka.ts';
import { registerSchemas } from '../../services/ingest/registry.ts';
import { assembleConfig, type Config } from '../../services/runtime/config.ts';
import { silentLog } from '../../services/runtime/log.ts';
import { createTopic } from '../ingest/kafka-stack.ts';
import type { Stack } from '../stack/use.ts';

/** What the topics take, less than the collector is configured to expect. */
export const RECORD_BYTES_MAX = 1_000_000;

export interface TestTopics {
  config: Config;
  /** LAKESEAL_* for a process of its own. */
  env: Record<string, string>;
}

/** New topics with the schema registered, and the configuration that names them. */
export async function createTopics(stack: Stack, partitions: number): Promise<TestTopics> {
  const env = stack.configEnv({
    'topics.events': stack.unique('events'),
    'topics.deadLetter': stack.unique('dead-letter'),
    'collect.pollMs': 200,
  });
  const made = assembleConfig(undefined, env, () => '');
  assert.ok(made.ok, JSON.stringify(made));
  const { config } = made;
  const settings = { 'max.message.bytes': String(RECORD_BYTES_MAX) };
  const kafka = connectKafka(config, silentLog);
  await createTopic(kafka, config.topics.events, partitions, settings);
  await createTopic(kafka, config.topics.deadLetter, 1, settings);
  await registerSchemas(config.registry, [
    { topic: config.topics.events, schema: auditEventSchema },
  ]);
  return { config, env };
}

export interface ReadRecord {
  partition: number;
  key: string | null;
  value: Buffer;
  timestamp: number;
  headers: Record<string, string>;
}

/** Everything that the topic holds now. */
export async function readTopic(
  stack: Stack,
  config: Config,
  topic: string,
): Promise<ReadRecord[]> {
  const kafka = connectKafka(config, silentLog);
  const admin = kafka.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  const left = new Map(ends.map(({ partition, high }) => [partition, BigInt(high)]));
  for (const [partition, high] of left) if (high === 0n) left.delete(partition);
  const records: ReadRecord[] = [];
  if (left.size === 0) return records;
  const consumer = kafka.consumer({ groupId: stack.unique('reader'), maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await new Promise<void>((resolve, reject) => {
    consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
    void consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        for (const { key, value, timestamp, headers = {} } of batch.messages) {
          records.push({
            partition: batch.partition,
            key: key === null ? null : String(key),
            value: Buffer.from(value!),
            timestamp: Number(timestamp),
            headers: Object.fromEntries(
              Object.entries(headers).map(([name, header]) => [name, String(header)]),
            ),
          });
        }
        const last = BigInt(batch.lastOffset());
        if (last + 1n >= (left.get(batch.partition) ?? 0n)) left.delete(batch.partition);
        if (left.size === 0) resolve();
      },
    });
  });
  await consumer.disconnect();
  return records;
}
