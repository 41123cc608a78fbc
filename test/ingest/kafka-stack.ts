/** What the stack tests of ingest share: a configuration, topics, and waiting for a condition. */
import type { Kafka } from 'kafkajs';
import type { RecordBatch, TopicPartition } from '../../services/ingest/consume-types.ts';
import { connectKafka } from '../../services/ingest/kafka.ts';
import { type Config, configSchema } from '../../services/runtime/config.ts';
import { createLog, type LogLevel } from '../../services/runtime/log.ts';

/** LAKESEAL_TEST_LOG=debug shows what the client does. */
export const log = createLog('test', (process.env.LAKESEAL_TEST_LOG as LogLevel) ?? 'silent');

/** Short timeouts, so that an eviction takes seconds. Brokers allow no session below 6 s. */
export function testConfig(brokers: string[], kafka: Partial<Config['kafka']> = {}): Config {
  const config = configSchema.parse({});
  return {
    ...config,
    kafka: {
      ...config.kafka,
      brokers,
      sessionTimeoutMs: 6_000,
      rebalanceTimeoutMs: 15_000,
      heartbeatIntervalMs: 1_000,
      ...kafka,
    },
  };
}

export function testKafka(brokers: string[]): Kafka {
  return connectKafka(testConfig(brokers), log);
}

export async function createTopic(
  kafka: Kafka,
  topic: string,
  numPartitions: number,
  settings: Record<string, string> = {},
): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    // `waitForLeaders` of kafkajs fails where the brokers do not know the new topic at once.
    await admin.createTopics({
      waitForLeaders: false,
      topics: [
        {
          topic,
          numPartitions,
          replicationFactor: 1,
          configEntries: Object.entries(settings).map(([name, value]) => ({ name, value })),
        },
      ],
    });
    await until(`leaders of ${topic}`, async () => {
      const found = await admin.fetchTopicMetadata({ topics: [topic] }).catch(() => null);
      const partitions = found?.topics[0]?.partitions ?? [];
      return partitions.length === numPartitions && partitions.every(({ leader }) => leader >= 0);
    });
  } finally {
    await admin.disconnect();
  }
}

/** Polls until `done` is true; fails with `what` after `limitMs`. */
export async function until(
  what: string | (() => string),
  done: () => boolean | Promise<boolean>,
  limitMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await done())) {
    if (performance.now() > deadline) {
      throw new Error(`not within ${limitMs} ms: ${typeof what === 'string' ? what : what()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export function at({ topic, partition }: TopicPartition): TopicPartition {
  return { topic, partition };
}

/** The commit that a batch asks for. */
export function after(batch: RecordBatch): TopicPartition & { offset: bigint } {
  return { ...at(batch), offset: batch.nextOffset };
}
