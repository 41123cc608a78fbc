/**
 * Reads of a log what a proof needs, in a number of reads that grows with the square of the
 * logarithm of its size: every leaf holds the roots of the subtrees before it, so no proof needs
 * every leaf. What is read is believed only as far as the finished proof verifies.
 */
import type { LeafHead } from '../../schemas/evidence/leaf.ts';
import { LeafError, parseHead } from '../../schemas/evidence/leaf.ts';
import { EVIDENCE, evidenceKey, parsePartitionLog } from '../../schemas/evidence/log-layout.ts';
import {
  consistencyRanges,
  type Frontier,
  inclusionRanges,
  leafHash,
  nodeHash,
  sha256,
} from '../../schemas/evidence/merkle.ts';
import type { PartitionAddress } from '../../schemas/layout.ts';
import { Failure } from '../runtime/errors.ts';
import type { ObjectStore } from '../store/store.ts';
import { countLeaves, endOf, newestCheckpoint } from './log-writer.ts';

type Reader = Pick<ObjectStore, 'get' | 'list' | 'versions'>;

export class MissingEvidence extends Error {
  readonly key: string;

  constructor(key: string) {
    super(`${key} is not there`);
    this.name = 'MissingEvidence';
    this.key = key;
  }
}

/** What those who read whole logs say of one that does not follow. */
export function evidenceFailure(error: unknown): unknown {
  if (!(error instanceof LeafError) && !(error instanceof MissingEvidence)) return error;
  return new Failure(`the evidence cannot be read: ${error.message}`, {
    code: 'EVIDENCE',
    hint: '`lakeseal verify` says what was done to it.',
  });
}

export class LogReader {
  readonly log: string;
  readonly #store: Reader;
  readonly #prefix: string;
  readonly #leaves = new Map<number, Promise<Buffer>>();

  constructor(store: Reader, prefix: string, log: string) {
    this.log = log;
    this.#store = store;
    this.#prefix = prefix;
  }

  count(): Promise<number> {
    return countLeaves(this.#store, this.#prefix, this.log);
  }

  /** @throws MissingEvidence */
  leaf(sequence: number): Promise<Buffer> {
    let leaf = this.#leaves.get(sequence);
    if (leaf === undefined) {
      leaf = this.#read('leaf', sequence).then((bytes) => {
        if (bytes === null) throw new MissingEvidence(this.#key('leaf', sequence));
        return bytes;
      });
      this.#leaves.set(sequence, leaf);
    }
    return leaf;
  }

  async head(sequence: number): Promise<LeafHead> {
    return parseHead(await this.leaf(sequence));
  }

  /** Size of the newest checkpoint; 0 where there is none. */
  async newestCheckpoint(): Promise<number> {
    return newestCheckpoint(this.#store, this.#prefix, this.log, await this.count(), Infinity);
  }

  /** The note that signs the first `size` leaves, or null. */
  checkpoint(size: number): Promise<Buffer | null> {
    return this.#read('note', size);
  }

  stamp(size: number): Promise<Buffer | null> {
    return this.#read('tsr', size);
  }

  witness(size: number): Promise<Buffer | null> {
    return this.#read('witness', size);
  }

  /** Of the tree of the first `size` leaves, from the leaf up. */
  inclusion(index: number, size: number): Promise<Buffer[]> {
    return this.#roots(inclusionRanges(index, size));
  }

  /** From the first `first` leaves to the first `second`. */
  consistency(first: number, second: number): Promise<Buffer[]> {
    return this.#roots(consistencyRanges(first, second));
  }

  /** The tree of the first `size` leaves. */
  async frontier(size: number): Promise<Frontier> {
    const { frontier } = await endOf(this.#store, this.#prefix, this.log, size - 1);
    return frontier;
  }

  #roots(ranges: Array<[from: number, to: number]>): Promise<Buffer[]> {
    return Promise.all(ranges.map(([from, to]) => this.#root(from, to)));
  }

  /** Root of the leaves [from, to), as RFC 6962 splits them. */
  async #root(from: number, to: number): Promise<Buffer> {
    const size = to - from;
    if (size === 1) return leafHash(await this.leaf(from));
    const isPerfect = Number.isInteger(Math.log2(size));
    // A left child is the newest perfect subtree in the tree that ends with it.
    if (isPerfect && (from / size) % 2 === 0) {
      const next = await this.#headIfThere(to);
      if (next !== null) return next.tree.at(-1)!;
    }
    let split = 1;
    while (split * 2 < size) split *= 2;
    const halves = [this.#root(from, from + split), this.#root(from + split, to)] as const;
    const [left, right] = await Promise.all(halves);
    return nodeHash(left, right);
  }

  /** Of the leaf behind the last one there is none. */
  async #headIfThere(sequence: number): Promise<LeafHead | null> {
    try {
      return await this.head(sequence);
    } catch (error) {
      if (error instanceof MissingEvidence) return null;
      throw error;
    }
  }

  async #read(kind: 'leaf' | 'note' | 'tsr' | 'witness', number: number): Promise<Buffer | null> {
    const object = await this.#store.get(this.#key(kind, number));
    return object === null ? null : object.bytes;
  }

  #key(kind: 'leaf' | 'note' | 'tsr' | 'witness', number: number): string {
    return evidenceKey(this.#prefix, { log: this.log, kind, number });
  }
}

/** Leaves read at the same time. */
const READ_AHEAD = 16;

/**
 * Every leaf of a log from its beginning, in order, a few read ahead. Each must follow the one before
 * it, so that no leaf can be left out or put between; whether the log is signed is not asked.
 * @throws MissingEvidence, and LeafError with the key where a leaf does not follow.
 */
export async function* leavesOf(
  store: Pick<ObjectStore, 'get' | 'list'>,
  prefix: string,
  log: string,
): AsyncGenerator<{ sequence: number; bytes: Buffer }> {
  const count = await countLeaves(store, prefix, log);
  const keyOf = (number: number): string => evidenceKey(prefix, { log, kind: 'leaf', number });
  let previous: string | null = null;
  for (let from = 0; from < count; from += READ_AHEAD) {
    const numbers = Array.from(
      { length: Math.min(READ_AHEAD, count - from) },
      (_, at) => from + at,
    );
    const objects = await Promise.all(numbers.map((number) => store.get(keyOf(number))));
    for (const [at, sequence] of numbers.entries()) {
      const bytes = objects[at]?.bytes;
      if (bytes === undefined) throw new MissingEvidence(keyOf(sequence));
      const head = parseHead(bytes);
      if (head.log !== log || head.sequence !== sequence || head.previous !== previous) {
        throw new LeafError(`${keyOf(sequence)} does not follow the leaf before it`);
      }
      previous = sha256(bytes).toString('hex');
      yield { sequence, bytes };
    }
  }
}

/** Every partition that the archive has evidence of: one LIST for each. */
export async function partitionsOf(
  store: Pick<ObjectStore, 'list'>,
  prefix: string,
): Promise<PartitionAddress[]> {
  const found: PartitionAddress[] = [];
  const folder = `${prefix}${EVIDENCE}partition/`;
  for (let after: string | undefined; ; ) {
    const [key] = await store.list(folder, after, 1);
    if (key === undefined) return found;
    const end = key.lastIndexOf('/');
    const one = parsePartitionLog(key.slice(prefix.length + EVIDENCE.length, end));
    if (one !== null) found.push(one);
    // `0` follows `/`: behind everything of that log.
    after = `${key.slice(0, end)}0`;
  }
}
