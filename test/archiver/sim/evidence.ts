/**
 * Judges the evidence in a bucket by `schemas/evidence.md`, plainly: every leaf is read, every hash
 * computed anew. Shares with the archiver only what parses and hashes.
 */
import assert from 'node:assert/strict';
import { originOf, parseCheckpoint } from '../../../schemas/evidence/checkpoint.ts';
import { parseHead, timeOf } from '../../../schemas/evidence/leaf.ts';
import {
  type EvidencePlace,
  evidenceKey,
  parseEvidenceKey,
  parsePartitionLog,
} from '../../../schemas/evidence/log-layout.ts';
import {
  type ManifestBody,
  manifestOf,
  parseManifest,
  type SegmentDigest,
} from '../../../schemas/evidence/manifest.ts';
import { leafHash, rootOf, sha256 } from '../../../schemas/evidence/merkle.ts';
import { parseNote, type Verifier, verifyNote } from '../../../schemas/evidence/note.ts';
import { parseRootLeaf, ROOT_LOG } from '../../../schemas/evidence/root-leaf.ts';
import { digestSegment } from '../../../schemas/evidence/segment-digest.ts';
import { slotKey } from '../../../schemas/layout.ts';
import type { Bucket } from '../../double/bucket.ts';
import { openedBytes } from './opened.ts';

/** A log, as it was found whole. */
export interface JudgedLog {
  log: string;
  leaves: Buffer[];
  hashes: Buffer[];
  /** Sizes of which there is a checkpoint. */
  checkpoints: number[];
}

export interface JudgedEvidence {
  logs: JudgedLog[];
  manifests: number;
  anomalies: number;
  roots: number;
  checkpoints: number;
}

/** Every log of the bucket, or an assertion that says what is wrong. */
export async function judgeEvidence(
  bucket: Bucket,
  prefix: string,
  verifier: Verifier,
): Promise<JudgedEvidence> {
  const found = new Map<string, EvidencePlace[]>();
  for (const version of bucket.versions(`${prefix}evidence/`)) {
    const { key, bytes } = version;
    assert.ok(bytes !== null, `A3: a delete marker on ${key}`);
    const place = parseEvidenceKey(prefix, key);
    assert.ok(place !== null, `a planted object: ${key}`);
    found.set(place.log, [...(found.get(place.log) ?? []), place]);
  }
  const logs = [...found].map(([log, places]) => judgeLog(bucket, prefix, log, places, verifier));
  let manifests = 0;
  let anomalies = 0;
  for (const one of logs.filter(({ log }) => parsePartitionLog(log) !== null)) {
    const bodies = await judgeManifests(bucket, prefix, one);
    anomalies += bodies.filter(({ kind }) => kind === 'anomaly').length;
    manifests += bodies.length;
  }
  const roots = judgeRoots(logs);
  const checkpoints = logs.reduce((sum, one) => sum + one.checkpoints.length, 0);
  return { logs, manifests, anomalies, roots, checkpoints };
}

/** Chain, tree, and every checkpoint. */
function judgeLog(
  bucket: Bucket,
  prefix: string,
  log: string,
  places: EvidencePlace[],
  verifier: Verifier,
): JudgedLog {
  const read = (place: EvidencePlace): Buffer => {
    const key = evidenceKey(prefix, place);
    const versions = bucket.versions(key).filter((one) => one.key === key);
    assert.equal(versions.length, 1, `A3: ${key} was written twice`);
    return versions[0]!.bytes!;
  };
  const leaves: Buffer[] = [];
  const hashes: Buffer[] = [];
  for (const place of places.filter(({ kind }) => kind === 'leaf')) {
    assert.equal(place.number, leaves.length, `${log}: a leaf is missing`);
    const bytes = read(place);
    const head = parseHead(bytes);
    assert.equal(head.log, log);
    assert.equal(head.sequence, place.number);
    const before = leaves.at(-1);
    assert.equal(head.previous, before === undefined ? null : sha256(before).toString('hex'));
    assert.deepEqual(head.tree, subtrees(hashes), `${log}: the tree of leaf ${place.number}`);
    leaves.push(bytes);
    hashes.push(leafHash(bytes));
  }
  const notes = places.filter(({ kind }) => kind === 'note');
  for (const place of notes) {
    const note = parseNote(read(place));
    const { origin, size, root } = parseCheckpoint(note);
    assert.equal(origin, originOf(verifier.name, log));
    assert.equal(size, place.number);
    assert.ok(size > 0 && size <= leaves.length, `${log}: a checkpoint of leaves not there`);
    assert.deepEqual(root, rootOf(hashes.slice(0, size)), `${log}: two histories`);
    assert.equal(verifyNote(note, [verifier]).signed.length, 1, `${log}: not signed`);
  }
  return { log, leaves, hashes, checkpoints: notes.map(({ number }) => number) };
}

/** Roots of the perfect subtrees that the number of leaves is the sum of, largest first. */
function subtrees(hashes: Buffer[]): Buffer[] {
  const roots: Buffer[] = [];
  let from = 0;
  for (let size = 2 ** 30; size >= 1; size /= 2) {
    if (hashes.length - from < size) continue;
    roots.push(rootOf(hashes.slice(from, from + size)));
    from += size;
  }
  return roots;
}

/** Manifests tile, and each says what its segment's bytes say. */
async function judgeManifests(
  bucket: Bucket,
  prefix: string,
  { log, leaves }: JudgedLog,
): Promise<ManifestBody[]> {
  const address = parsePartitionLog(log)!;
  const bodies = leaves.map((bytes) => bodyOf(bytes));
  let next = 0n;
  for (const body of bodies) {
    assert.equal(body.firstOffset, String(next), `${log}: manifests do not tile`);
    next = BigInt(body.nextOffset);
    if (body.kind === 'anomaly') continue;
    const key = slotKey(prefix, { ...address, firstOffset: BigInt(body.firstOffset) });
    const segment = bucket.current(key);
    assert.ok(segment !== null, `${log}: a manifest of no segment`);
    const digest = await digestOf(segment.bytes!);
    const { retention, encryption } = body;
    const bytes = segment.bytes!;
    const stored = { bytes: bytes.length, sha256: sha256(bytes) };
    assert.deepEqual(body, manifestOf(digest, { retention, encryption, stored }));
    const isOpened = openedBytes(bytes) !== bytes;
    assert.notEqual(encryption, null);
    assert.equal(encryption!.kind === 'envelope', isOpened);
    const held = segment.retention;
    const told = held === null ? null : { mode: held.mode, until: timeOf(held.untilMs) };
    assert.deepEqual(retention, told);
  }
  return bodies;
}

/** Objects never change, so each is read once. */
const digests = new WeakMap<Buffer, SegmentDigest>();

async function digestOf(bytes: Buffer): Promise<SegmentDigest> {
  const digest = digests.get(bytes) ?? (await digestSegment(openedBytes(bytes), async () => {}));
  digests.set(bytes, digest);
  return digest;
}

/** The body alone: what `manifestOf` gives. */
function bodyOf(bytes: Buffer): ManifestBody {
  const { format, log, sequence, previous, tree, ...body } = parseManifest(bytes)
    .body as ManifestBody & Record<string, unknown>;
  return body as ManifestBody;
}

/** Times ascend, nothing falls or disappears, and each state is that of its log at that size. */
function judgeRoots(logs: JudgedLog[]): number {
  const root = logs.find(({ log }) => log === ROOT_LOG);
  let before = new Map<string, number>();
  let time = '';
  for (const bytes of root?.leaves ?? []) {
    const { body } = parseRootLeaf(bytes);
    assert.ok(body.time > time, 'the time of roots ascends');
    time = body.time;
    const states = new Map(body.logs.map(([log, size]) => [log, size]));
    for (const [log, size, hash] of body.logs) {
      const judged = logs.find((one) => one.log === log);
      assert.ok(judged !== undefined && size <= judged.leaves.length, 'a root of leaves not there');
      assert.equal(hash, rootOf(judged.hashes.slice(0, size)).toString('base64'));
    }
    for (const [log, size] of before) assert.ok((states.get(log) ?? 0) >= size, `${log} fell`);
    before = states;
  }
  return root?.leaves.length ?? 0;
}

/** Nothing is left to do: each segment has its manifest, and each log is signed to its end. */
export function judgeComplete(bucket: Bucket, prefix: string, { logs }: JudgedEvidence): void {
  const noted: string[] = [];
  for (const { log, leaves } of logs) {
    const address = parsePartitionLog(log);
    if (address === null) continue;
    for (const bytes of leaves) {
      const { kind, firstOffset } = parseManifest(bytes).body;
      if (kind === 'anomaly') continue;
      noted.push(slotKey(prefix, { ...address, firstOffset: BigInt(firstOffset) }));
    }
  }
  const segments = bucket.versions(`${prefix}data/`).map(({ key }) => key);
  assert.deepEqual(noted.sort(), segments.sort(), 'one manifest for each segment');
  for (const { log, leaves, checkpoints } of logs) {
    assert.equal(checkpoints.at(-1), leaves.length, `${log} is not signed to its end`);
  }
}

/** A look at the keys alone: whether `judgeComplete` may be content. */
export function seemsComplete(bucket: Bucket, prefix: string): boolean {
  const sizes = new Map<string, { leaves: number; signed: number }>();
  for (const { key } of bucket.versions(`${prefix}evidence/`)) {
    const place = parseEvidenceKey(prefix, key);
    if (place === null) continue;
    const size = sizes.get(place.log) ?? { leaves: 0, signed: 0 };
    if (place.kind === 'leaf') size.leaves++;
    if (place.kind === 'note') size.signed = place.number;
    sizes.set(place.log, size);
  }
  const all = [...sizes];
  const manifests = all.filter(([log]) => parsePartitionLog(log) !== null);
  const count = manifests.reduce((sum, [, { leaves }]) => sum + leaves, 0);
  const segments = bucket.versions(`${prefix}data/`).length;
  return count >= segments && all.every(([, { leaves, signed }]) => leaves === signed);
}
