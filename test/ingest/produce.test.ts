/** Chunks, requests and partitions, without a broker. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  chunkRecords,
  keyPartition,
  type OutgoingRecord,
  planRequests,
  recordBytes,
} from '../../services/ingest/produce.ts';
import { recordBatch } from './record-batches.ts';

const record = fc
  .record({
    size: fc.oneof(fc.nat({ max: 300 }), fc.integer({ min: 900, max: 2_500 })),
    partition: fc.nat({ max: 4 }),
  })
  .map(
    ({ size, partition }): OutgoingRecord => ({ key: null, value: Buffer.alloc(size), partition }),
  );

test('every record is in exactly one chunk, in order per partition, none over the limit', () => {
  fc.assert(
    fc.property(
      fc.array(record, { maxLength: 200 }),
      fc.integer({ min: 40, max: 2_000 }),
      (records, bytesMax) => {
        const chunks = chunkRecords(records, ({ partition }) => partition!, bytesMax);
        const seen = chunks.flatMap(({ indexes }) => indexes);
        assert.deepEqual(
          seen.toSorted((a, b) => a - b),
          records.map((_, i) => i),
        );
        const last = new Map<number, number>();
        for (const { partition, indexes, bytes, alone } of chunks) {
          assert.equal(
            bytes,
            indexes.reduce((sum, i) => sum + recordBytes(records[i]!), 0),
          );
          assert.equal(alone, bytes > bytesMax);
          if (alone) assert.equal(indexes.length, 1);
          for (const index of indexes) {
            assert.equal(records[index]!.partition, partition);
            assert.ok(index > (last.get(partition) ?? -1));
            last.set(partition, index);
          }
        }
        checkRequests(chunks);
      },
    ),
    { seed: 11 },
  );
});

function checkRequests(chunks: ReturnType<typeof chunkRecords>): void {
  const requests = planRequests(chunks);
  assert.equal(requests.flat().length, chunks.length);
  const at = new Map<number, number>();
  for (const request of requests) {
    assert.ok(request.length > 0);
    assert.equal(new Set(request.map(({ partition }) => partition)).size, request.length);
    assert.ok(request.length === 1 || request.every(({ alone }) => !alone));
    for (const chunk of request) {
      const index = chunks.indexOf(chunk);
      assert.ok(index > (at.get(chunk.partition) ?? -1), 'chunks of a partition keep their order');
      at.set(chunk.partition, index);
    }
  }
}

test('a request stays under 8 MiB, however many partitions there are', () => {
  const records = Array.from({ length: 120 }, (_, partition) => ({
    key: null,
    value: Buffer.alloc(800_000),
    partition,
  }));
  const requests = planRequests(chunkRecords(records, ({ partition }) => partition!, 900_000));
  assert.ok(requests.length > 10);
  for (const request of requests) {
    const bytes = request.reduce((sum, chunk) => sum + chunk.bytes, 0);
    assert.ok(bytes <= 8 * 1024 * 1024);
  }
});

test('a chunk of a partition has at most 2,000 records', () => {
  const records = Array.from({ length: 5_000 }, () => ({ key: null, value: Buffer.alloc(1) }));
  const chunks = chunkRecords(records, () => 0, 10_000_000);
  assert.deepEqual(
    chunks.map(({ indexes }) => indexes.length),
    [2_000, 2_000, 1_000],
  );
});

test('recordBytes is never below what the record takes in a batch', async () => {
  const header = fc.tuple(fc.string({ maxLength: 20 }), fc.uint8Array({ maxLength: 200 }));
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 70_000 }),
      fc.array(header, { maxLength: 5 }),
      async (key, value, pairs) => {
        const byKey = Object.fromEntries(pairs.map(([name, bytes]) => [name, Buffer.from(bytes)]));
        const headers = Object.entries(byKey).map(([name, bytes]) => ({ key: name, value: bytes }));
        const plain = { key: Buffer.from(key), value: Buffer.from(value) };
        const batch = await recordBatch([{ ...plain, timestamp: 1, headers: byKey }]);
        assert.ok(recordBytes({ ...plain, headers }) >= batch.length - 61);
      },
    ),
    { numRuns: 100, seed: 5 },
  );
});

test('keys go where Java sends them', () => {
  // murmur2 of these strings, from Kafka's own unit test of org.apache.kafka.common.utils.Utils.
  const hashes: Record<string, number> = {
    '21': -973932308,
    foobar: -790332482,
    'a-little-bit-long-string': -985981536,
    'a-little-bit-longer-string': -1486304829,
    lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971,
    abc: 479470107,
  };
  for (const [key, hash] of Object.entries(hashes)) {
    for (const partitions of [1, 2, 7, 8, 1_000]) {
      const expected = (hash & 0x7fffffff) % partitions;
      assert.equal(keyPartition(Buffer.from(key), partitions), expected, key);
    }
  }
  assert.equal(keyPartition(null, 8), null);
});
