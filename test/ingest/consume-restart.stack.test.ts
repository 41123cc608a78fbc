/** A broker that dies, hangs and comes back: the consumer goes on by itself, and so does the producer. */
import assert from 'node:assert/strict';
import { after as afterAll, test } from 'node:test';
import { createConsumer } from '../../services/ingest/consume.ts';
import { createRecordProducer } from '../../services/ingest/produce.ts';
import { startStack } from '../stack/stack.ts';
import { after, createTopic, log, testConfig, testKafka, until } from './kafka-stack.ts';

// A Kafka of its own: the shared one must not be killed under other tests.
const stack = await startStack({ servers: ['kafka'] });
afterAll(() => stack.stop());

const config = testConfig(stack.brokers);
const topic = stack.unique('restart');
await createTopic(testKafka(stack.brokers), topic, 4);
const producer = createRecordProducer({ config, topic, log });
afterAll(() => producer.disconnect());

const seen = new Map<string, number>();
let joins = 0;
let blocked: Promise<void> | null = null;
let commits = 0;
const consumer = createConsumer({
  config,
  groupId: topic,
  topics: [topic],
  startAt: 'earliest',
  log,
});
let ended = false;
const running = consumer
  .run({
    assigned: async () => {
      joins++;
      return [];
    },
    batch: async (batch) => {
      await blocked;
      if (batch.stale()) return;
      for (const { value } of batch.records) {
        seen.set(String(value), (seen.get(String(value)) ?? 0) + 1);
      }
      if (await consumer.commit([after(batch)], batch.generation)) commits++;
    },
  })
  .finally(() => {
    ended = true;
  });
afterAll(async () => {
  await consumer.stop();
  await running;
});

let made = 0;
async function produce(count: number): Promise<void> {
  const records = Array.from({ length: count }, () => ({
    key: Buffer.from(`key-${made}`),
    value: Buffer.from(`value-${made++}`),
  }));
  assert.deepEqual(await producer.produceBatch(records), []);
}

const allSeen = (): boolean => seen.size === made;

test('before anything happens', async () => {
  await produce(1_000);
  await until('read', allSeen);
  assert.equal(joins, 1);
});

test('SIGKILL and start: reading, committing and producing go on', async () => {
  await stack.kill('kafka', 'SIGKILL');
  const producing = produce(1_000);
  await stack.restart('kafka');
  await producing;
  const before = commits;
  await until('read on', allSeen, 90_000);
  await until('commits again', () => commits > before);
  assert.equal(ended, false);
});

test('SIGSTOP past the session, with a handler in the middle of its work', async () => {
  let open = (): void => {};
  blocked = new Promise<void>((resolve) => {
    open = resolve;
  });
  await produce(400);
  await stack.kill('kafka', 'SIGSTOP');
  const since = performance.now();
  await until('longer than the session', () => performance.now() - since > 9_000);
  await stack.kill('kafka', 'SIGCONT');
  open();
  blocked = null;
  await produce(400);
  await until('read on', allSeen, 90_000);
  assert.equal(ended, false);
});
