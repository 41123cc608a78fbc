/**
 * The tree over the records of a segment (RFC 6962, section 2.1), grown record by record. The same
 * root as `merkle.ts` gives. This runs for every record, so a leaf's hash is asked for as a binary string
 * and put in its place: a `Buffer` for each costs more than the hashing. Pure.
 */
import { hash } from 'node:crypto';
import { type BlockCursor, readBuiltRecord, type SealedRecord } from '../segment.ts';
import { Frontier, HASH_BYTES } from './merkle.ts';
import { perfectRoot } from './node-hashes.ts';
import { LEAVES_MAX } from './node-layout.ts';
import {
  PLAIN_LEAF_MORE_BYTES,
  sealedLeafSize,
  writePlainLeaf,
  writeSealedLeaf,
} from './record-leaf.ts';

const LEAF_MARK = 0;

/** Hashes of leaves are gathered, and become one of a subtree at once. */
class HashTree {
  /** Its leaves are the roots of `LEAVES_MAX` leaves each. */
  readonly #upper = new Frontier();
  /** Of the last ones, which are fewer. */
  readonly #hashes = Buffer.allocUnsafe(LEAVES_MAX * HASH_BYTES);
  #count = 0;

  /** `leaf`: 00 and the bytes of the leaf. */
  add(leaf: Uint8Array): void {
    const place = this.#count * HASH_BYTES;
    this.#hashes.write(hash('sha256', leaf, 'binary'), place, HASH_BYTES, 'binary');
    this.#count++;
    if (this.#count < LEAVES_MAX) return;
    this.#upper.append(perfectRoot(this.#hashes));
    this.#count = 0;
  }

  get size(): number {
    return this.#upper.size * LEAVES_MAX + this.#count;
  }

  root(): Buffer {
    const perfect = [...this.#upper.hashes];
    let at = 0;
    for (let leaves = LEAVES_MAX / 2; leaves >= 1; leaves /= 2) {
      if ((this.#count & leaves) === 0) continue;
      const end = at + leaves * HASH_BYTES;
      perfect.push(perfectRoot(this.#hashes.subarray(at, end)));
      at = end;
    }
    return new Frontier(this.size, perfect).root();
  }
}

/** Where a leaf is put together; grows to the largest record. */
let leaf = Buffer.alloc(64 * 1024, LEAF_MARK);
/** Of leaves of usual lengths, by length: to make one for each record costs as much as to copy it. */
const VIEWS_MAX = 4096;
const views: Array<Uint8Array | null> = Array.from({ length: VIEWS_MAX }, () => null);

/** With the mark before it. */
function markedLeaf(size: number): Buffer {
  if (1 + size > leaf.length) {
    leaf = Buffer.alloc((1 + size) * 2, LEAF_MARK);
    views.fill(null);
  }
  return leaf;
}

function leafTo(end: number): Uint8Array {
  if (end >= VIEWS_MAX) return leaf.subarray(0, end);
  let view = views[end]!;
  if (view === null) {
    view = leaf.subarray(0, end);
    views[end] = view;
  }
  return view;
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
      this.add(leafTo(leafEnd));
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
    this.add(leafTo(writeSealedLeaf(bytes, 1, record)));
  }
}
