/**
 * Hashes the records of segments in a thread of its own, because it would cost the thread that
 * reads Kafka a seventh of its time. Leaves of all segments go over in batches, in the order in
 * which they were added; a tree's root comes back when it is asked for.
 *
 * If the thread dies, trees that it held are lost (`root` gives null, and whoever needs it reads
 * the segment back), and later ones are hashed in this thread. This file is both ends.
 */
import { type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';
import { recordLeafSize, writeRecordLeaf } from '../../schemas/evidence/record-leaf.ts';
import { HashTree, LEAF_MARK } from '../../schemas/evidence/record-tree.ts';
import { type GrowingTree, hashHere, type TreeGrower } from './record-tree.ts';

/** Leaves that go over at once, bytes. A larger one goes alone. */
const BATCH_BYTES = 256 * 1024;
/** Batches on their way before adding waits. */
const BATCHES_MAX = 32;
/** Empty batches kept for reuse. */
const SPARE_MAX = 4;
/** Before each leaf: the number of its tree and how many bytes follow. */
const ENTRY_BYTES = 8;
const THREAD = 'lakeseal-hash-thread';

type ToThread =
  | { batch: ArrayBuffer; end: number }
  /** Answered with the root, or with nothing where `discard`. */
  | { finish: number; discard: boolean };
type FromThread = { spare: ArrayBuffer } | { tree: number; root: Uint8Array };

export interface HashThread extends TreeGrower {
  /** Ends the thread. Roots that were not given yet are lost. */
  close(): Promise<void>;
}

/** `died` is told once, where the thread ends by itself. */
export function startHashThread(died: (error: Error) => void): HashThread {
  return new Thread(died);
}

class Thread implements HashThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (root: Buffer | null) => void>();
  readonly #spare: Array<Buffer<ArrayBuffer>> = [];
  #batch = Buffer.allocUnsafeSlow(BATCH_BYTES);
  #at = 0;
  #number = 0;
  /** Batches that have not come back. */
  #sent = 0;
  #wake: (() => void) | null = null;
  #room: Promise<void> | null = null;
  #isOver = false;

  constructor(died: (error: Error) => void) {
    this.#worker = new Worker(new URL(import.meta.url), { workerData: THREAD, name: THREAD });
    this.#worker.unref();
    this.#worker.on('message', (message: FromThread) => this.#take(message));
    this.#worker.on('error', (error: unknown) => {
      if (this.#isOver) return;
      this.#end();
      died(error instanceof Error ? error : new Error(String(error)));
    });
    this.#worker.on('exit', () => this.#end());
  }

  tree(): GrowingTree {
    if (this.#isOver) return hashHere.tree();
    const number = this.#number++ >>> 0;
    return {
      add: (record) => {
        if (this.#isOver) return;
        const size = 1 + recordLeafSize(record);
        this.#reserve(ENTRY_BYTES + size);
        const batch = this.#batch;
        let at = batch.writeUInt32LE(number, this.#at);
        at = batch.writeUInt32LE(size, at);
        batch[at] = LEAF_MARK;
        this.#at = writeRecordLeaf(batch, at + 1, record);
      },
      root: () => this.#finish(number),
      discard: () => this.#post({ finish: number, discard: true }),
      congestion: () => this.#room,
    };
  }

  async close(): Promise<void> {
    this.#end();
    await this.#worker.terminate();
  }

  #finish(number: number): Promise<Buffer | null> {
    return new Promise((resolve) => {
      if (this.#isOver) {
        resolve(null);
        return;
      }
      this.#waiting.set(number, resolve);
      this.#post({ finish: number, discard: false });
    });
  }

  /** Makes room for so many bytes in the batch. */
  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#batch.length) return;
    this.#sendBatch();
    if (bytes > this.#batch.length) this.#batch = Buffer.allocUnsafeSlow(bytes);
  }

  #sendBatch(): void {
    if (this.#at === 0) return;
    const { buffer } = this.#batch;
    this.#worker.postMessage({ batch: buffer, end: this.#at } satisfies ToThread, [buffer]);
    this.#batch = this.#spare.pop() ?? Buffer.allocUnsafeSlow(BATCH_BYTES);
    this.#at = 0;
    this.#sent++;
    if (this.#sent < BATCHES_MAX) return;
    this.#room ??= new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #post(message: ToThread): void {
    if (this.#isOver) return;
    this.#sendBatch();
    this.#worker.postMessage(message);
  }

  #take(message: FromThread): void {
    if ('root' in message) {
      const { tree, root } = message;
      this.#waiting.get(tree)?.(Buffer.from(root));
      this.#waiting.delete(tree);
      return;
    }
    this.#sent--;
    if (this.#sent < BATCHES_MAX) this.#makeRoom();
    const isUsual = message.spare.byteLength === BATCH_BYTES;
    if (isUsual && this.#spare.length < SPARE_MAX) this.#spare.push(Buffer.from(message.spare));
  }

  #makeRoom(): void {
    this.#wake?.();
    this.#wake = null;
    this.#room = null;
  }

  #end(): void {
    this.#isOver = true;
    this.#makeRoom();
    for (const resolve of this.#waiting.values()) resolve(null);
    this.#waiting.clear();
  }
}

// --- the other end -------------------------------------------------------------------------------

function serve(port: MessagePort): void {
  const trees = new Map<number, HashTree>();
  port.on('message', (message: ToThread) => {
    if ('batch' in message) {
      grow(trees, Buffer.from(message.batch, 0, message.end));
      port.postMessage({ spare: message.batch } satisfies FromThread, [message.batch]);
      return;
    }
    const tree = trees.get(message.finish) ?? new HashTree();
    trees.delete(message.finish);
    if (message.discard) return;
    port.postMessage({ tree: message.finish, root: tree.root() } satisfies FromThread);
  });
}

function grow(trees: Map<number, HashTree>, batch: Buffer): void {
  for (let at = 0; at < batch.length; ) {
    const number = batch.readUInt32LE(at);
    const from = at + ENTRY_BYTES;
    at = from + batch.readUInt32LE(at + 4);
    let tree = trees.get(number);
    if (tree === undefined) {
      tree = new HashTree();
      trees.set(number, tree);
    }
    tree.add(batch.subarray(from, at));
  }
}

if (parentPort !== null && workerData === THREAD) serve(parentPort);
