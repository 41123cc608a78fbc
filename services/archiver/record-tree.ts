/**
 * The tree over the records of a segment (RFC 6962, section 2.1), grown record by record. The same
 * root as `schemas/evidence/merkle.ts` gives. This runs for every record, so hashes are kept as
 * binary strings: a `Buffer` for each costs more than the hashing. Pure.
 */
import { hash } from 'node:crypto';
import { EMPTY_ROOT, HASH_BYTES } from '../../schemas/evidence/merkle.ts';
import { recordLeafSize, writeRecordLeaf } from '../../schemas/evidence/record-leaf.ts';
import type { UnsealedRecord } from '../../schemas/segment-writer.ts';

/** Who hashes the records of segments: this thread, or another. */
export interface TreeGrower {
  tree(): GrowingTree;
}

export interface GrowingTree {
  /** The record's bytes are read now. */
  add(record: UnsealedRecord): void;
  /** Of all that was added; null where it was lost. To be called once. */
  root(): Promise<Buffer | null> | Buffer;
  /** Nothing more is wanted of it. */
  discard(): void;
  /** Null while adding may go on; else what to wait for. */
  congestion(): Promise<void> | null;
}

export const LEAF_MARK = 0;
const NODE_MARK = 1;

const node = Buffer.alloc(1 + 2 * HASH_BYTES, NODE_MARK);

/** Roots of the perfect subtrees, by level, as a binary counter carries. */
export class HashTree {
  #size = 0;
  readonly #levels: string[] = [];

  /** `leaf`: 00 and the bytes of the leaf. */
  add(leaf: Uint8Array): void {
    let top = hash('sha256', leaf, 'binary');
    let level = 0;
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      top = join(this.#levels[level]!, top);
      level++;
    }
    this.#levels[level] = top;
    this.#size++;
  }

  root(): Buffer {
    let top: string | null = null;
    let level = 0;
    for (let rest = this.#size; rest > 0; rest = Math.floor(rest / 2)) {
      if (rest % 2 === 1) {
        const left = this.#levels[level]!;
        top = top === null ? left : join(left, top);
      }
      level++;
    }
    return top === null ? EMPTY_ROOT : Buffer.from(top, 'binary');
  }
}

function join(left: string, right: string): string {
  node.write(left, 1, HASH_BYTES, 'binary');
  node.write(right, 1 + HASH_BYTES, HASH_BYTES, 'binary');
  return hash('sha256', node, 'binary');
}

/** Where a leaf is put together; grows to the largest record. */
let leaf = Buffer.allocUnsafeSlow(64 * 1024);

/** Hashes in this thread. */
export const hashHere: TreeGrower = {
  tree(): GrowingTree {
    const tree = new HashTree();
    return {
      add(record) {
        const need = 1 + recordLeafSize(record);
        if (need > leaf.length) leaf = Buffer.allocUnsafeSlow(need * 2);
        leaf[0] = LEAF_MARK;
        tree.add(leaf.subarray(0, writeRecordLeaf(leaf, 1, record)));
      },
      root: () => tree.root(),
      discard: () => {},
      congestion: () => null,
    };
  },
};
