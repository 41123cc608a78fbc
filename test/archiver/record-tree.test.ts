/** Trees over records, grown here or in the thread, against the plain definition of the root. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { leafHash, rootOf } from '../../schemas/evidence/merkle.ts';
import { recordLeaf } from '../../schemas/evidence/record-leaf.ts';
import type { UnsealedRecord } from '../../schemas/segment-writer.ts';
import { startHashThread } from '../../services/archiver/hash-thread.ts';
import { hashHere, type TreeGrower } from '../../services/archiver/record-tree.ts';

const thread = startHashThread((error) => {
  throw error;
});
after(() => thread.close());

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const record: fc.Arbitrary<UnsealedRecord> = fc.record({
  offset: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
  timestamp: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.array(fc.record({ key: fc.string({ unit: 'grapheme' }), value: fc.option(bytes) }), {
    maxLength: 3,
  }),
});

function expected(records: readonly UnsealedRecord[]): Buffer {
  return rootOf(records.map((one) => leafHash(recordLeaf(one))));
}

function sized(size: number, offset: number): UnsealedRecord {
  const value = Buffer.alloc(size, offset);
  return { offset: BigInt(offset), timestamp: 0n, key: null, value, headers: [] };
}

const growers: Array<[string, TreeGrower]> = [
  ['in this thread', hashHere],
  ['in the other thread', thread],
];

describe('trees of records', () => {
  for (const [where, grower] of growers) {
    test(`${where}: several at once, any number of records`, async () => {
      const many = fc.array(fc.array(record, { maxLength: 40 }), { minLength: 1, maxLength: 5 });
      await fc.assert(
        fc.asyncProperty(many, async (all) => {
          const trees = all.map(() => grower.tree());
          const longest = Math.max(...all.map(({ length }) => length));
          for (let at = 0; at < longest; at++) {
            for (const [index, tree] of trees.entries()) {
              const next = all[index]![at];
              if (next !== undefined) tree.add(next);
            }
          }
          for (const [index, tree] of trees.entries()) {
            assert.deepEqual(await tree.root(), expected(all[index]!));
          }
        }),
        { numRuns: 50 },
      );
    });

    test(`${where}: records larger than a batch, between small ones`, async () => {
      const records = [10, 300_000, 20, 262_144, 1_000_000, 5].map(sized);
      const tree = grower.tree();
      for (const one of records) tree.add(one);
      assert.deepEqual(await tree.root(), expected(records));
    });
  }

  test('the bytes are read when they are added', async () => {
    const tree = thread.tree();
    const one = sized(10, 1);
    tree.add(one);
    one.value!.fill(9);
    assert.deepEqual(await tree.root(), expected([sized(10, 1)]));
  });

  test('adding waits when the thread is far behind, and goes on', async () => {
    const tree = thread.tree();
    const records: UnsealedRecord[] = [];
    let waited = 0;
    for (let at = 0; at < 300; at++) {
      records.push(sized(200_000, at));
      tree.add(records.at(-1)!);
      const congestion = tree.congestion();
      if (congestion === null) continue;
      waited++;
      await congestion;
    }
    assert.ok(waited > 0);
    assert.deepEqual(await tree.root(), expected(records));
  });

  test('a thread that ends: what it held is lost, what follows is hashed here', async () => {
    const mortal = startHashThread(() => {});
    const lost = mortal.tree();
    lost.add(sized(10, 1));
    await mortal.close();
    lost.add(sized(10, 2));
    assert.equal(await lost.root(), null);
    const next = mortal.tree();
    next.add(sized(10, 3));
    assert.deepEqual(await next.root(), expected([sized(10, 3)]));
  });
});
