/**
 * Promise A1 at size: 200,000 records of two producers over 8 partitions, sealed by one archiver,
 * then read by fastavro and DuckDB and compared with Kafka, record by record and byte for byte.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import kafkajs from 'kafkajs';
import { DUCKDB_PACKAGES, pythonWith, runReader } from '../readers/python.ts';
import type { ServiceProcess } from '../stack/service.ts';
import { useStack } from '../stack/use.ts';
import { assertWhole, compareWithKafka, type Evidence, reaches, SealWatch } from './archive.ts';
import { mixedMessage } from './events.ts';
import {
  committedOffsets,
  connectedProducer,
  endOffsets,
  produceAll,
  registerSchema,
  withAdmin,
} from './kafka.ts';
import { openScene, type Scene } from './scene.ts';
import { until } from './wait.ts';

const RECORDS = 200_000;
const PARTITIONS = 8;
const PRODUCERS = [
  { scope: 1, batch: 700, compression: kafkajs.CompressionTypes.None },
  { scope: 2, batch: 500, compression: kafkajs.CompressionTypes.GZIP },
];
const SEAL_MS_MAX = 240_000;

describe('200,000 records of two producers', () => {
  let scene: Scene;
  let archiver: ServiceProcess;
  let ends: Map<number, bigint>;
  let evidence: Evidence;

  before(async () => {
    scene = await openScene(await useStack(), 'count-and-bytes', { partitions: PARTITIONS });
    // Segments small enough that every partition has several, by size, count and age.
    archiver = scene.archiver({
      'archive.segmentRecordsMax': 6_000,
      'archive.segmentBytesMax': 1_500_000,
      'archive.segmentAgeMsMax': 3_000,
    });
    await Promise.all([archiver.ready(), produceEverything(scene)]);
    const { rootS3, bucket, topic, stack } = scene;
    ends = await withAdmin(stack.brokers, (admin) => endOffsets(admin, topic));
    const watch = new SealWatch(rootS3, bucket);
    await until('everything is sealed', SEAL_MS_MAX, async () =>
      reaches(await watch.poll(topic, PARTITIONS), ends),
    );
    evidence = await compareWithKafka({ ...scene, s3: rootS3, brokers: stack.brokers });
  });

  after(() => scene?.close());

  test('A1: every record is in exactly one segment, byte for byte, and segments tile', () => {
    assertWhole(evidence, RECORDS);
    const partitions = new Set(evidence.slots.map(({ partition }) => partition));
    assert.equal(partitions.size, PARTITIONS);
    assert.ok(evidence.segments >= 3 * PARTITIONS, `only ${evidence.segments} segments`);
    // The mix has both kinds, so neither way into a segment went untried.
    assert.ok(evidence.typed > RECORDS / 2, `only ${evidence.typed} spliced datums`);
    assert.ok(evidence.opaque > RECORDS / 10, `only ${evidence.opaque} opaque values`);
  });

  test('A1: DuckDB opens a segment and counts the records its header states', async () => {
    const slot = evidence.slots.toSorted((a, b) => Number(a.firstOffset - b.firstOffset)).at(-1)!;
    const python = await pythonWith(DUCKDB_PACKAGES);
    const seen = (await runReader(python, 'query_duckdb.py', [slot.file])) as {
      columns: string[];
      records: number;
      firstOffset: number;
      lastOffset: number;
      services: Array<[string | null, number]>;
    };
    assert.deepEqual(seen.columns, ['offset', 'timestamp', 'key', 'headers', 'schemaId', 'value']);
    assert.equal(BigInt(seen.firstOffset), slot.firstOffset);
    assert.equal(seen.records, seen.lastOffset - seen.firstOffset + 1);
    const services = seen.services.map(([name]) => name);
    assert.ok(services.includes('unityCatalog') && services.includes('notebook'), `${services}`);
  });

  test('A2: the group stands where the sealed records end, after a graceful stop', async () => {
    const { code } = await archiver.stop();
    assert.equal(code, 0);
    const { stack, archiveGroup, topic } = scene;
    const committed = await withAdmin(stack.brokers, (admin) =>
      committedOffsets(admin, archiveGroup, topic),
    );
    assert.deepEqual(committed, ends);
  });
});

async function produceEverything({ stack, topic }: Scene): Promise<void> {
  const schemaId = await registerSchema(stack.registryUrl, `${topic}-value`);
  const share = RECORDS / PRODUCERS.length;
  await Promise.all(
    PRODUCERS.map(async ({ scope, batch, compression }) => {
      const producer = await connectedProducer(stack.brokers);
      try {
        const messages = (function* () {
          for (let number = 0; number < share; number++) {
            yield mixedMessage(schemaId, { scope, number });
          }
        })();
        assert.equal(await produceAll(producer, topic, messages, batch, compression), share);
      } finally {
        await producer.disconnect();
      }
    }),
  );
}
