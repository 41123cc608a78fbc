/** Dead letters on a real topic, smaller than what they are about. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { createConsumer } from '../../services/ingest/consume.ts';
import { DeadLetterSink } from '../../services/ingest/dead-letter.ts';
import type { KafkaRecord } from '../../services/ingest/record.ts';
import { useStack } from '../stack/use.ts';
import { createTopic, log, testConfig, testKafka, until } from './kafka-stack.ts';

const stack = await useStack();

test('originals untouched, a 20 MB one cut to what the topic takes', async () => {
  const topic = stack.unique('dead-letter');
  await createTopic(testKafka(stack.brokers), topic, 2, { 'max.message.bytes': '1048588' });
  const base = testConfig(stack.brokers);
  const config = { ...base, topics: { ...base.topics, deadLetter: topic } };
  const sink = new DeadLetterSink({ config, log });
  const at = { topic: 'databricks.audit', partition: 1, timestamp: 5n, headers: [] };
  const small = Buffer.from([0, 255, 1, 254]);
  const large = Buffer.alloc(20 * 1024 * 1024, 'evil');
  const send = (offset: bigint, value: Buffer): Promise<void> =>
    sink.send([
      {
        source: { ...at, offset, key: Buffer.from('k'), value },
        reason: 'bad_avro',
        detail: 'a map of 2^31 entries',
      },
    ]);
  await Promise.all([send(1n, small), send(2n, large), send(3n, small)]);
  await sink.close();

  const records: KafkaRecord[] = [];
  const consumer = createConsumer({
    config,
    groupId: topic,
    topics: [topic],
    startAt: 'earliest',
    log,
  });
  const running = consumer.run({
    assigned: async () => [],
    batch: async (batch) => {
      records.push(...batch.records);
    },
  });
  await until('three letters', () => records.length >= 3);
  await consumer.stop();
  await running;
  const byOffset = new Map(
    records.map((record) => {
      const headers = new Map(record.headers.map(({ key, value }) => [key, String(value)]));
      return [headers.get('lakeseal.offset'), { record, headers }];
    }),
  );
  assert.deepEqual([...byOffset.keys()].sort(), ['1', '2', '3']);
  for (const offset of ['1', '3']) assert.ok(byOffset.get(offset)!.record.value!.equals(small));
  const { record: cut, headers } = byOffset.get('2')!;
  assert.ok(cut.value!.length > 200_000 && cut.value!.length < 1_048_588);
  assert.ok(large.subarray(0, cut.value!.length).equals(cut.value!));
  assert.equal(headers.get('lakeseal.whole-bytes'), String(large.length));
  const digest = createHash('sha256').update(large).digest('hex');
  assert.equal(headers.get('lakeseal.whole-sha256'), digest);
  assert.equal(String(cut.key), 'k');
});
