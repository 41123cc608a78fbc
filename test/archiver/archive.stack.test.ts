/**
 * A1 on real servers, in one process: what was produced is read back from the sealed segments byte
 * for byte, the chain tiles from offset 0, the group's commit says no more than is sealed (A2), and
 * the archiver does it with its six rights. A4: each segment has its manifest, signed.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kafka } from 'kafkajs';
import { auditEventSchema, auditEventType, frame } from '../../schemas/audit-event.ts';
import { partitionPrefix } from '../../schemas/layout.ts';
import { kafkaValue, readSegment, type Segment } from '../../schemas/segment.ts';
import { archive } from '../../services/archiver/run.ts';
import { connectKafka } from '../../services/ingest/kafka.ts';
import { registerSchemas } from '../../services/ingest/registry.ts';
import { clusterTopics } from '../../services/ingest/topic-ids.ts';
import { type Config, loadConfig } from '../../services/runtime/config.ts';
import { silentLog } from '../../services/runtime/log.ts';
import { createS3Store, type S3Store } from '../../services/store/s3.ts';
import { judgeBucket, testKeyFile } from '../chaos/evidence.ts';
import { createTopic } from '../ingest/kafka-stack.ts';
import { quietContext } from '../runtime/quiet-context.ts';
import { type Stack, useStack } from '../stack/use.ts';

const PARTITIONS = 3;
const RECORDS = 3_000;
const DEADLINE_MS = 60_000;

let stack: Stack;
let config: Config;
let kafka: Kafka;
let store: S3Store;
let topic: string;
let schemaId: number;

before(async () => {
  stack = await useStack();
  topic = stack.unique('archive');
  const bucket = await stack.createLockedBucket();
  const settings = {
    'topics.events': topic,
    'archive.topics': [topic],
    'archive.group': stack.unique('group'),
    'archive.segmentRecordsMax': 400,
    'archive.segmentAgeMsMax': 1_000,
    'archive.schemaRollRecordsMin': 50,
    'storage.bucket': bucket,
    'evidence.keyFile': testKeyFile(),
  };
  config = loadConfig(undefined, stack.configEnv(settings));
  kafka = connectKafka(config, silentLog);
  store = createS3Store(config.storage, config.archive);
  const [registered] = await registerSchemas(config.registry, [
    { topic, schema: auditEventSchema },
  ]);
  schemaId = registered!.id!;
  await createTopic(kafka, topic, PARTITIONS, { 'max.message.bytes': '33554432' });
});

after(() => store?.close());

interface Produced {
  partition: number;
  key: Buffer | null;
  value: Buffer | null;
  headers: Array<{ key: string; value: Buffer }>;
}

function event(index: number): Buffer {
  return auditEventType.toBuffer({
    eventId: `event-${index}`,
    eventIdSource: 'event_id',
    eventTime: 1_790_000_000_000 + index,
    shape: 'delivery',
    serviceName: 'clusters',
    actionName: 'create',
    actor: { name: 'ada@example.com', type: 'user' },
    outcome: 'success',
    raw: JSON.stringify({ index }),
  });
}

/** Every kind of record: framed, raw, tombstone, broken datum, unknown schema, headers, large. */
function produced(index: number): Produced {
  const record = { partition: index % PARTITIONS, key: Buffer.from(`key-${index}`), headers: [] };
  const datum = event(index);
  switch (index % 20) {
    case 3:
      return { ...record, value: Buffer.from(`{"raw":${index}}`) };
    case 5:
      return { ...record, value: null };
    case 7:
      return { ...record, value: Buffer.concat([frame(schemaId, datum), Buffer.from([1])]) };
    case 9:
      return { ...record, value: frame(schemaId, datum.subarray(0, datum.length - 2)) };
    case 11:
      return { ...record, value: frame(999_999, datum), key: null };
    case 13:
      return { ...record, value: Buffer.alloc(0) };
    case 15: {
      const headers = [
        { key: 'a', value: Buffer.from('1') },
        { key: 'a', value: Buffer.from('2') },
        { key: 'b', value: Buffer.alloc(0) },
      ];
      return { ...record, value: frame(schemaId, datum), headers };
    }
    default:
      return { ...record, value: frame(schemaId, datum) };
  }
}

async function produce(records: Produced[]): Promise<void> {
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  for (let from = 0; from < records.length; from += 500) {
    await producer.send({
      topic,
      messages: records.slice(from, from + 500).map(({ headers, ...record }) => ({
        ...record,
        headers: Object.fromEntries(
          headers.map(({ key }) => [
            key,
            headers.filter((header) => header.key === key).map(({ value }) => value),
          ]),
        ),
      })),
    });
  }
  await producer.disconnect();
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await check())) {
    assert.ok(Date.now() < deadline, `not in time: ${what}`);
    await sleep(100);
  }
}

async function segments(partition: number): Promise<Segment[]> {
  const { clusterId, ids } = await clusterTopics(kafka, [topic]);
  const address = { clusterId: clusterId!, topic, topicId: ids.get(topic)!, partition };
  const keys = await store.list(partitionPrefix(config.storage.prefix, address), undefined, 1000);
  const found: Segment[] = [];
  for (const key of keys) found.push(readSegment((await store.get(key))!.bytes));
  return found;
}

async function sealedRecords(): Promise<number> {
  let count = 0;
  for (let partition = 0; partition < PARTITIONS; partition++) {
    for (const { header } of await segments(partition)) count += header.recordCount;
  }
  return count;
}

test('A1, A2: produced, sealed, read back equal', async () => {
  const records = Array.from({ length: RECORDS }, (_, index) => produced(index));
  records.push({ partition: 0, key: null, value: randomBytes(20 * 1024 * 1024), headers: [] });
  const stop = new AbortController();
  const running = archive(quietContext(config, stop.signal));
  await produce(records);
  await until('every record is sealed', async () => (await sealedRecords()) === records.length);
  stop.abort();
  await running;

  const root = stack.rootS3();
  const evidence = await judgeBucket(root, config.storage.bucket);
  root.destroy();
  assert.equal(evidence.logs.length, PARTITIONS + 1);
  assert.ok(evidence.manifests >= RECORDS / 400);
  assert.equal(evidence.roots, 1);

  const admin = kafka.admin();
  await admin.connect();
  const [committed] = await admin.fetchOffsets({ groupId: config.archive.group, topics: [topic] });
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const chain = await segments(partition);
    let next = 0n;
    for (const { header } of chain) {
      assert.equal(header.firstOffset, next, 'segments tile');
      next = header.nextOffset;
    }
    const end = ends.find((one) => one.partition === partition)!;
    assert.equal(next, BigInt(end.offset));
    const offset = committed!.partitions.find((one) => one.partition === partition)!.offset;
    assert.equal(BigInt(offset), next, 'all is sealed, so all is committed');

    const sent = records.filter((record) => record.partition === partition);
    const sealed = chain.flatMap((segment) => segment.records);
    assert.equal(sealed.length, sent.length);
    for (const [index, record] of sealed.entries()) {
      const { key, value, headers } = sent[index]!;
      assert.deepEqual(record.key, key);
      assert.deepEqual(kafkaValue(record), value);
      assert.deepEqual(record.headers, headers);
    }
    assert.ok(
      sealed.some(({ schemaId: id }) => id === schemaId),
      'some datums are spliced',
    );
  }
});
