/**
 * The Merkle tree of RFC 6962, section 2.1: hashes, roots, proofs and their checks. Pure. Proof
 * generation follows the recursive definition of the RFC; the checks follow RFC 9162, sections
 * 2.1.3.2 and 2.1.4.2, which need no recursion and say no to every proof that is not minimal.
 *
 * Sizes and indices are safe integers. A proof is an array of 32-byte hashes, from the leaf up.
 */
import { hash } from 'node:crypto';

export const HASH_BYTES = 32;

const NODE = Buffer.alloc(1 + 2 * HASH_BYTES, 1);

export function sha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer');
}

/** H(0x00 ‖ leaf). */
export function leafHash(leaf: Uint8Array): Buffer {
  const marked = Buffer.allocUnsafe(1 + leaf.length);
  marked[0] = 0;
  marked.set(leaf, 1);
  return hash('sha256', marked, 'buffer');
}

/** H(0x01 ‖ left ‖ right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  NODE.set(left, 1);
  NODE.set(right, 1 + HASH_BYTES);
  return hash('sha256', NODE, 'buffer');
}

/** Root of the tree without leaves. */
export const EMPTY_ROOT: Buffer = sha256(Buffer.alloc(0));

/**
 * A growing tree, of which only the roots of its perfect subtrees are kept: what `tree` in a leaf
 * holds. Appending costs two hashes on average, and memory for one hash per bit of the size.
 */
export class Frontier {
  #size: number;
  /** Largest subtree first; as many as `size` has one bits. */
  readonly #hashes: Buffer[];

  /** @throws RangeError where the hashes are not as many as the size has one bits. */
  constructor(size = 0, hashes: readonly Uint8Array[] = []) {
    if (hashes.length !== onesIn(size)) {
      throw new RangeError(`${hashes.length} hashes cannot be the tree of ${size} leaves`);
    }
    this.#size = size;
    this.#hashes = hashes.map((bytes) => Buffer.from(bytes));
  }

  get size(): number {
    return this.#size;
  }

  get hashes(): readonly Buffer[] {
    return this.#hashes;
  }

  /** Appends a leaf by its hash. */
  append(leaf: Buffer): void {
    let node = leaf;
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      node = nodeHash(this.#hashes.pop()!, node);
    }
    this.#hashes.push(node);
    this.#size += 1;
  }

  root(): Buffer {
    const [...rest] = this.#hashes;
    let node = rest.pop();
    if (node === undefined) return EMPTY_ROOT;
    for (const left of rest.reverse()) node = nodeHash(left, node);
    return node;
  }

  copy(): Frontier {
    return new Frontier(this.#size, this.#hashes);
  }
}

function onesIn(size: number): number {
  let ones = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) ones += rest % 2;
  return ones;
}

/** Root of the leaves with these hashes. */
export function rootOf(leaves: readonly Buffer[]): Buffer {
  const tree = new Frontier();
  for (const leaf of leaves) tree.append(leaf);
  return tree.root();
}

/** Root of a perfect or imperfect subtree: the leaves [from, to), `from` < `to`. */
export type SubtreeRoot = (from: number, to: number) => Buffer;

/** Roots of ranges of leaves whose hashes are all at hand. */
export function subtreesOf(leaves: readonly Buffer[]): SubtreeRoot {
  return (from, to) => rootOf(leaves.slice(from, to));
}

/** PATH(m, D[n]) of RFC 6962: proof that leaf `index` is in the tree of `size` leaves. */
export function inclusionProof(index: number, size: number, root: SubtreeRoot): Buffer[] {
  if (!(index >= 0 && index < size)) throw new RangeError(`no leaf ${index} in ${size}`);
  return inclusionRanges(index, size).map(([from, to]) => root(from, to));
}

/** The ranges of leaves whose roots make the proof, from the leaf up. */
export function inclusionRanges(index: number, size: number): Array<[from: number, to: number]> {
  const ranges: Array<[number, number]> = [];
  let from = 0;
  let to = size;
  while (to - from > 1) {
    const middle = from + splitOf(to - from);
    if (index < middle) {
      ranges.push([middle, to]);
      to = middle;
    } else {
      ranges.push([from, middle]);
      from = middle;
    }
  }
  return ranges.reverse();
}

/** PROOF(m, D[n]) of RFC 6962: proof that the first `first` of `second` leaves are what they were. */
export function consistencyProof(first: number, second: number, root: SubtreeRoot): Buffer[] {
  if (!(first > 0 && first <= second)) throw new RangeError(`not from ${first} to ${second}`);
  return consistencyRanges(first, second).map(([from, to]) => root(from, to));
}

/** The ranges of leaves whose roots make the proof, in its order. */
export function consistencyRanges(
  first: number,
  second: number,
): Array<[from: number, to: number]> {
  const ranges: Array<[number, number]> = [];
  let from = 0;
  let to = second;
  let wasWhole = true;
  while (first < to) {
    const middle = from + splitOf(to - from);
    if (first <= middle) {
      ranges.push([middle, to]);
      to = middle;
    } else {
      ranges.push([from, middle]);
      from = middle;
      wasWhole = false;
    }
  }
  if (!wasWhole) ranges.push([from, to]);
  return ranges.reverse();
}

/** The largest power of two below `size`, which is at least 2. */
function splitOf(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

/** True where the proof shows that the leaf is in the tree. */
export function verifyInclusion(
  index: number,
  size: number,
  leaf: Buffer,
  proof: readonly Buffer[],
  root: Buffer,
): boolean {
  if (!isIndex(index) || !isIndex(size) || index >= size) return false;
  let node = index;
  let last = size - 1;
  let found = leaf;
  for (const hashed of proof) {
    if (last === 0 || hashed.length !== HASH_BYTES) return false;
    if (node % 2 === 1 || node === last) {
      found = nodeHash(hashed, found);
      while (node % 2 === 0 && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else found = nodeHash(found, hashed);
    node = half(node);
    last = half(last);
  }
  return last === 0 && found.equals(root);
}

/** True where the proof shows that the second tree begins with all leaves of the first. */
export function verifyConsistency(
  first: number,
  second: number,
  firstRoot: Buffer,
  secondRoot: Buffer,
  proof: readonly Buffer[],
): boolean {
  if (!isIndex(first) || !isIndex(second) || first > second) return false;
  if (first === second) return proof.length === 0 && firstRoot.equals(secondRoot);
  if (first === 0) return proof.length === 0;
  if (proof.some(({ length }) => length !== HASH_BYTES)) return false;
  const path = isPowerOfTwo(first) ? [firstRoot, ...proof] : [...proof];
  const [start, ...rest] = path;
  if (start === undefined) return false;
  let node = first - 1;
  let last = second - 1;
  while (node % 2 === 1) {
    node = half(node);
    last = half(last);
  }
  let inFirst = start;
  let inSecond = start;
  for (const hashed of rest) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      inFirst = nodeHash(hashed, inFirst);
      inSecond = nodeHash(hashed, inSecond);
      while (node % 2 === 0 && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else inSecond = nodeHash(inSecond, hashed);
    node = half(node);
    last = half(last);
  }
  return last === 0 && inFirst.equals(firstRoot) && inSecond.equals(secondRoot);
}

function isIndex(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isPowerOfTwo(value: number): boolean {
  return onesIn(value) === 1;
}

function half(value: number): number {
  return Math.floor(value / 2);
}
