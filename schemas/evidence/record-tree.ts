/**
 * The tree over the records of a segment (RFC 6962, section 2.1), grown record by record. The same
 * root as `merkle.ts` gives. This runs for every record, so hashes are kept as binary strings: a
 * `Buffer` for each costs more than the hashing. Pure.
 */
import { hash } from 'node:crypto';
import { type BlockCursor, readBuiltRecord, type SealedRecord } from '../segment.ts';
import { EMPTY_ROOT, HASH_BYTES } from './merkle.ts';
import {
  PLAIN_LEAF_MORE_BYTES,
  sealedLeafSize,
  writePlainLeaf,
  writeSealedLeaf,
} from './record-leaf.ts';

const LEAF_MARK = 0;
const NODE_MARK = 1;

const node = Buffer.alloc(1 + 2 * HASH_BYTES, NODE_MARK);

/** Roots of the perfect subtrees, by level, as a binary counter carries. */
class HashTree {
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

  get size(): number {
    return this.#size;
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
let leaf = Buffer.alloc(64 * 1024);

function markedLeaf(size: number): Buffer {
  if (1 + size > leaf.length) leaf = Buffer.alloc((1 + size) * 2);
  leaf[0] = LEAF_MARK;
  return leaf;
}

/** The tree of records, whose leaves are made in one place of memory. */
export class RecordTree extends HashTree {
  /**
   * The record between the cursor and its end, in a block that was just built. Returns where its datum
   * begins, or -1 where it has none.
   */
  addBuilt(cursor: BlockCursor, schemaId: number | null): number {
    const { at, end } = cursor;
    const bytes = markedLeaf(end - at + PLAIN_LEAF_MORE_BYTES);
    const leafEnd = writePlainLeaf(cursor, schemaId, bytes, 1);
    if (leafEnd >= 0) {
      this.add(bytes.subarray(0, leafEnd));
      return cursor.at === end ? -1 : cursor.at;
    }
    cursor.at = at;
    const record = readBuiltRecord(cursor, schemaId);
    this.addSealed(record);
    return record.schemaId === null ? -1 : end - record.body!.length;
  }

  /** A record as it stands in a segment. */
  addSealed(record: SealedRecord): void {
    const bytes = markedLeaf(sealedLeafSize(record));
    this.add(bytes.subarray(0, writeSealedLeaf(bytes, 1, record)));
  }
}
