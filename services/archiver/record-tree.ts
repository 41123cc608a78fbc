/** Who grows the trees over the records of segments that are being filled. */
import { RecordTree } from '../../schemas/evidence/record-tree.ts';
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

/** Hashes in this thread. */
export const hashHere: TreeGrower = {
  tree(): GrowingTree {
    const tree = new RecordTree();
    return {
      add: (record) => tree.addRecord(record),
      root: () => tree.root(),
      discard: () => {},
      congestion: () => null,
    };
  },
};
