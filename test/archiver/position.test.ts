/** Where a partition stands, read from a store that may have been tampered with. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { partitionPrefix, slotKey } from '../../schemas/layout.ts';
import { gapSegment } from '../../schemas/segment-writer.ts';
import { findLastSlot, readPosition } from '../../services/archiver/position.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';

const PREFIX = 'p/';
const ADDRESS = { clusterId: 'c', topic: 't', topicId: 'i', partition: 0 };
const at = (firstOffset: bigint): string => slotKey(PREFIX, { ...ADDRESS, firstOffset });

function bucketOf(): { bucket: Bucket; faults: FaultPlan } {
  return { bucket: new Bucket({ nowMs: () => 0 }), faults: new FaultPlan() };
}

/** Gap segments make a chain as good as any. */
function seal(bucket: Bucket, from: bigint, to: bigint): void {
  const gap = { from, to, reason: 'retention' as const, logStartOffset: to };
  bucket.put(at(from), gapSegment(ADDRESS, gap), { ifAbsent: true });
}

describe('findLastSlot', () => {
  test('finds the last of any chain, whatever the hint, among foreign keys', async () => {
    const offsets = fc.uniqueArray(fc.bigInt(0n, 2n ** 62n), { minLength: 0, maxLength: 30 });
    const hints = fc.option(fc.bigInt(-5n, 2n ** 62n));
    await fc.assert(
      fc.asyncProperty(offsets, hints, fc.bigInt(0n, 2n ** 62n), async (all, hint, below) => {
        const { bucket, faults } = bucketOf();
        for (const firstOffset of all) bucket.put(at(firstOffset), Buffer.alloc(1));
        const folder = partitionPrefix(PREFIX, ADDRESS);
        for (const name of ['0', 'zzz', '00000000000000000005.avro.tmp']) {
          bucket.put(folder + name, Buffer.alloc(1));
        }
        const store = doubleStore(bucket, faults);
        const sorted = [...all].sort((a, b) => (a < b ? -1 : 1));
        const last = await findLastSlot(store, PREFIX, ADDRESS, { hint });
        assert.equal(last?.firstOffset, sorted.at(-1));
        const before = await findLastSlot(store, PREFIX, ADDRESS, { hint, below });
        assert.equal(before?.firstOffset, sorted.filter((offset) => offset < below).at(-1));
      }),
      { numRuns: 200 },
    );
  });

  test('asks a number of times that grows with the logarithm of the chain', async () => {
    const { bucket, faults } = bucketOf();
    const slots = 20_000;
    // A sorted list in place of the bucket: only the number of calls counts here.
    const keys = Array.from({ length: slots }, (_, index) => at(BigInt(index) * 1_000_000n));
    const store = {
      ...doubleStore(bucket, faults),
      list: async (_: string, after: string | undefined, max: number) => {
        calls++;
        const from = after === undefined ? 0 : keys.findIndex((key) => key > after);
        return from < 0 ? [] : keys.slice(from, from + max);
      },
    };
    let calls = 0;
    const end = BigInt(slots - 1) * 1_000_000n;
    for (const hint of [null, end + 500n, end - 10_000_000n, 1n, end * 1000n]) {
      calls = 0;
      const last = await findLastSlot(store, PREFIX, ADDRESS, { hint });
      assert.equal(last?.firstOffset, end);
      assert.ok(calls <= 40, `${calls} calls from the hint ${hint}`);
    }
  });
});

describe('readPosition', () => {
  const read = (bucket: Bucket) =>
    readPosition(doubleStore(bucket, new FaultPlan()), PREFIX, ADDRESS, null);
  const broken = async (bucket: Bucket, reason: string): Promise<void> => {
    const position = await read(bucket);
    assert.equal(position.state, 'broken');
    assert.equal(position.state === 'broken' && position.reason, reason);
  };

  test('an empty partition, a chain of one, a chain of three', async () => {
    const { bucket } = bucketOf();
    assert.deepEqual(await read(bucket), { state: 'empty' });
    seal(bucket, 0n, 10n);
    for (const [from, to] of [
      [10n, 25n],
      [25n, 26n],
    ] as const)
      seal(bucket, from, to);
    const position = await read(bucket);
    assert.equal(position.state === 'at' && position.nextOffset, 26n);
  });

  test('tampering with the end of the chain halts', async () => {
    const tampered: Array<[string, string, (bucket: Bucket) => void]> = [
      ['the last slot deleted', 'versions', (bucket) => bucket.remove(at(10n))],
      [
        'the last slot deleted and forged',
        'versions',
        (bucket) => {
          bucket.remove(at(10n));
          bucket.put(
            at(10n),
            gapSegment(ADDRESS, { from: 10n, to: 99n, reason: 'retention', logStartOffset: 99n }),
          );
        },
      ],
      [
        'a second version of the last slot',
        'versions',
        (bucket) => bucket.put(at(10n), Buffer.from('x')),
      ],
      [
        'the last two deleted',
        'versions',
        (bucket) => {
          bucket.remove(at(0n));
          bucket.remove(at(10n));
        },
      ],
      [
        'rubbish in the next slot',
        'not_our_segment',
        (bucket) => bucket.put(at(20n), Buffer.from('rubbish')),
      ],
      ['a slot ahead of the chain', 'tiling', (bucket) => seal(bucket, 1_000n, 2_000n)],
      [
        'another slot’s segment',
        'not_our_segment',
        (bucket) => {
          bucket.put(
            at(20n),
            gapSegment(ADDRESS, { from: 0n, to: 9n, reason: 'retention', logStartOffset: 9n }),
          );
        },
      ],
    ];
    for (const [what, reason, tamper] of tampered) {
      const { bucket } = bucketOf();
      seal(bucket, 0n, 10n);
      seal(bucket, 10n, 20n);
      tamper(bucket);
      await assert.doesNotReject(broken(bucket, reason), what);
    }
  });

  test('a chain that does not begin at 0 halts', async () => {
    const { bucket } = bucketOf();
    seal(bucket, 5n, 10n);
    await broken(bucket, 'tiling');
  });

  test('a header larger than the first read is read in full', async () => {
    const { bucket } = bucketOf();
    const address = { ...ADDRESS, topic: 't' };
    const { BlockBuilder, assembleSegment } = await import('../../schemas/segment-writer.ts');
    const builder = new BlockBuilder();
    const value = Buffer.from([0, 0, 0, 0, 1]);
    builder.add({ offset: 0n, timestamp: 0n, key: null, value, headers: [] }, 1);
    const doc = 'x'.repeat(200_000);
    const bytes = assembleSegment({
      header: {
        ...address,
        kind: 'data',
        firstOffset: 0n,
        nextOffset: 7n,
        recordCount: 1,
        lastOffset: 0n,
        timestampMin: 0n,
        timestampMax: 0n,
        schemaId: 1,
      },
      codec: 'null',
      writerSchema: JSON.stringify({ type: 'record', name: 'R', doc, fields: [] }),
      blocks: [builder.take()],
    });
    bucket.put(at(0n), bytes);
    const position = await read(bucket);
    assert.equal(position.state === 'at' && position.nextOffset, 7n);
  });
});
