/**
 * The tree against RFC 6962: the roots and proofs that its reference implementation publishes for
 * eight leaves, every proof of every size up to 64, and every proof changed in any way.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  consistencyProof,
  EMPTY_ROOT,
  Frontier,
  inclusionProof,
  leafHash,
  nodeHash,
  rootOf,
  subtreesOf,
  verifyConsistency,
  verifyInclusion,
} from '../../../schemas/evidence/merkle.ts';

/** Leaves and roots of certificate-transparency's reference tests. */
const LEAVES = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
].map((hex) => leafHash(Buffer.from(hex, 'hex')));

const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

const MANY = Array.from({ length: 64 }, (_, index) => leafHash(Buffer.of(index)));

describe('merkle tree', () => {
  test('has the published roots', () => {
    assert.equal(EMPTY_ROOT.toString('hex'), ROOTS[0]);
    for (const [size, root] of ROOTS.entries()) {
      assert.equal(rootOf(LEAVES.slice(0, size)).toString('hex'), root, String(size));
    }
  });

  test('grows from its frontier as from its leaves', () => {
    let tree = new Frontier();
    for (const [index, leaf] of MANY.entries()) {
      tree = new Frontier(tree.size, tree.hashes);
      tree.append(leaf);
      assert.deepEqual(tree.root(), rootOf(MANY.slice(0, index + 1)));
      const recursive = rootByDefinition(MANY.slice(0, index + 1));
      assert.deepEqual(tree.root(), recursive);
    }
    assert.throws(() => new Frontier(3, [MANY[0]!]), RangeError);
  });

  test('proves every leaf of every size, and nothing else', () => {
    for (let size = 1; size <= MANY.length; size++) {
      const leaves = MANY.slice(0, size);
      const root = rootOf(leaves);
      for (let index = 0; index < size; index++) {
        const proof = inclusionProof(index, size, subtreesOf(leaves));
        const leaf = leaves[index]!;
        assert.ok(verifyInclusion(index, size, leaf, proof, root));
        assert.ok(!verifyInclusion(index, size, leafHash(Buffer.of(200)), proof, root));
        assert.ok(!verifyInclusion(index, size, leaf, [...proof, leaf], root));
        assert.ok(size === 1 || !verifyInclusion(index, size, leaf, proof.slice(1), root));
        assert.ok(size === 1 || !verifyInclusion((index + 1) % size, size, leaf, proof, root));
        for (const [at, hash] of proof.entries()) {
          const changed = proof.with(at, flipped(hash));
          assert.ok(!verifyInclusion(index, size, leaf, changed, root));
        }
      }
    }
  });

  test('proves that every size continues every smaller one, and nothing else', () => {
    for (let second = 1; second <= MANY.length; second++) {
      const leaves = MANY.slice(0, second);
      const root = rootOf(leaves);
      for (let first = 1; first <= second; first++) {
        const before = rootOf(leaves.slice(0, first));
        const proof = consistencyProof(first, second, subtreesOf(leaves));
        assert.ok(verifyConsistency(first, second, before, root, proof));
        assert.ok(!verifyConsistency(first, second, flipped(before), root, proof));
        assert.ok(!verifyConsistency(first, second, before, flipped(root), proof));
        assert.ok(!verifyConsistency(first, second, before, root, [...proof, root]));
        for (const [at, hash] of proof.entries()) {
          const changed = proof.with(at, flipped(hash));
          assert.ok(!verifyConsistency(first, second, before, root, changed));
        }
      }
    }
  });

  test('refuses numbers that are none', () => {
    const proof = inclusionProof(0, 2, subtreesOf(MANY.slice(0, 2)));
    for (const bad of [-1, 0.5, Number.NaN, 2 ** 53, 2]) {
      assert.ok(!verifyInclusion(bad, 2, MANY[0]!, proof, rootOf(MANY.slice(0, 2))));
    }
    assert.throws(() => inclusionProof(2, 2, subtreesOf(MANY)), RangeError);
    assert.throws(() => consistencyProof(0, 2, subtreesOf(MANY)), RangeError);
  });
});

function flipped(hash: Buffer): Buffer {
  const other = Buffer.from(hash);
  other[0]! ^= 1;
  return other;
}

/** MTH of RFC 6962, section 2.1, word for word. */
function rootByDefinition(leaves: Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0]!;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  const left = rootByDefinition(leaves.slice(0, split));
  return nodeHash(left, rootByDefinition(leaves.slice(split)));
}
