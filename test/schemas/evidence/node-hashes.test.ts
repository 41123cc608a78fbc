/**
 * Nodes hashed four at a time, and the tree of records that is made with them: the same roots as
 * `merkle.ts` gives, which is held against the RFC.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { HASH_BYTES, rootOf, sha256 } from '../../../schemas/evidence/merkle.ts';
import { perfectRoot } from '../../../schemas/evidence/node-hashes.ts';
import { LEAVES_MAX } from '../../../schemas/evidence/node-layout.ts';
import { sealedLeafHash } from '../../../schemas/evidence/record-leaf.ts';
import { RecordTree } from '../../../schemas/evidence/record-tree.ts';
import type { SealedRecord } from '../../../schemas/segment.ts';
import { assembled, moduleOf, NODE_HASHES } from '../../assemble.ts';

const LEVELS = Math.log2(LEAVES_MAX);
/** Of the seed alone. */
const leavesOf = (count: number, seed: number): Buffer[] =>
  Array.from({ length: count }, (_, at) => sha256(Buffer.from(`${seed} ${at}`)));

test('the module is what its source is compiled to', async () => {
  assert.deepEqual(readFileSync(moduleOf(NODE_HASHES)), Buffer.from(await assembled(NODE_HASHES)));
});

describe('the root of a perfect tree', () => {
  test('of every size is that of the plain tree, whatever stood in the memory before', () => {
    const hash = fc.oneof(
      fc.uint8Array({ minLength: HASH_BYTES, maxLength: HASH_BYTES }),
      fc.constantFrom(0, 0x7f, 0x80, 0xff).map((byte) => Buffer.alloc(HASH_BYTES, byte)),
    );
    const leaves = fc
      .integer({ min: 0, max: LEVELS })
      .chain((level) => fc.array(hash, { minLength: 2 ** level, maxLength: 2 ** level }));
    fc.assert(
      fc.property(leaves, (hashes) => {
        const plain = hashes.map((bytes) => Buffer.from(bytes));
        assert.deepEqual(perfectRoot(Buffer.concat(plain)), rootOf(plain));
      }),
      { numRuns: 300 },
    );
  });

  test('is not changed by the next one', () => {
    const [first, second] = [leavesOf(8, 1), leavesOf(8, 2)];
    const root = perfectRoot(Buffer.concat(first));
    perfectRoot(Buffer.concat(second));
    assert.deepEqual(root, rootOf(first));
  });

  test('depends on every byte of every leaf', () => {
    const leaves = Buffer.concat(leavesOf(LEAVES_MAX, 3));
    const roots = new Set([perfectRoot(leaves).toString('hex')]);
    for (let at = 0; at < leaves.length; at++) {
      leaves[at]! ^= 1;
      roots.add(perfectRoot(leaves).toString('hex'));
      leaves[at]! ^= 1;
    }
    assert.equal(roots.size, 1 + leaves.length);
  });
});

describe('the tree of records', () => {
  const recordOf = (index: number, bytes: number): SealedRecord => ({
    schemaId: index % 3 === 0 ? null : 7,
    body: index % 5 === 0 ? null : Buffer.alloc(bytes, index),
    offset: BigInt(index),
    timestamp: 1_790_000_000_000n + BigInt(index),
    key: index % 2 === 0 ? null : Buffer.from(`key ${index}`),
    headers: [],
  });

  test('has the root of its leaves at every size about a whole number of subtrees', () => {
    const tree = new RecordTree();
    const leaves: Buffer[] = [];
    for (let size = 0; size <= 5 * LEAVES_MAX + 3; size++) {
      const beside = size % LEAVES_MAX;
      if (beside <= 9 || beside >= LEAVES_MAX - 3 || size % 37 === 0) {
        assert.equal(tree.size, size);
        assert.deepEqual(tree.root(), rootOf(leaves), `${size} records`);
      }
      const record = recordOf(size, size % 90);
      tree.addSealed(record);
      leaves.push(sealedLeafHash(record));
    }
  });

  test('of records of every length up to where memory grows, twice', () => {
    const lengths = [0, 1, 4_000, 4_050, 4_096, 4_100, 70_000, 4_050, 200_000, 1, 4_050];
    for (let round = 0; round < 2; round++) {
      const tree = new RecordTree();
      const records = lengths.map((bytes, index) => recordOf(5 * index + 1, bytes));
      for (const record of records) tree.addSealed(record);
      assert.deepEqual(tree.root(), rootOf(records.map(sealedLeafHash)));
    }
  });

  test('trees that grow side by side do not mix', () => {
    const records = Array.from({ length: 3 * LEAVES_MAX }, (_, index) => recordOf(index, 20));
    const [even, odd] = [new RecordTree(), new RecordTree()];
    for (const [index, record] of records.entries()) {
      (index % 2 === 0 ? even : odd).addSealed(record);
    }
    const half = (rest: number): Buffer =>
      rootOf(records.filter((_, index) => index % 2 === rest).map(sealedLeafHash));
    assert.deepEqual([even.root(), odd.root()], [half(0), half(1)]);
  });
});
