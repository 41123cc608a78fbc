/**
 * The proof of one record: a file that shows, with nothing but a public key, that Kafka held these
 * bytes at that offset, and that they are in the archive. `schemas/evidence.md` has its keys. Pure.
 *
 *   record → tree of its segment → manifest → log of its partition → signed checkpoint
 *                                                       └→ root leaf → log `root` → signed, stamped
 */
import { z } from 'zod';
import type { Certificate } from './certificate.ts';
import { hashText, LeafError, longText, secondsOf, timeOf } from './leaf.ts';
import { parsePartitionLog, partitionLog } from './log-layout.ts';
import { type ManifestBody, parseManifest } from './manifest.ts';
import { leafHash, verifyInclusion } from './merkle.ts';
import { NoteError, parseNote, type Verifier } from './note.ts';
import { recordLeaf } from './record-leaf.ts';
import { parseRootLeaf, ROOT_LOG } from './root-leaf.ts';
import { isTimely, judgeStamp } from './time-stamp.ts';
import { checkTlogProof, parseTlogProof } from './tlog-proof.ts';
import { type Cosigned, cosignaturesIn } from './witness.ts';

export const PROOF_KIND = 'lakeseal-record-proof';

const bytesText = z.base64();

const schema = z.strictObject({
  kind: z.literal(PROOF_KIND),
  format: z.literal(1),
  /** Where it was; the manifest says the same. */
  cluster: z.string(),
  topic: z.string(),
  topicId: z.string(),
  partition: z.int().nonnegative(),
  /** What Kafka held. */
  record: z.strictObject({
    offset: longText,
    timestamp: longText,
    key: bytesText.nullable(),
    headers: z.array(z.tuple([z.string(), bytesText.nullable()])),
    value: bytesText.nullable(),
  }),
  /** Its place in the tree of its segment, and the hashes beside its path. */
  recordIndex: z.int().nonnegative(),
  recordHashes: z.array(hashText),
  /** The leaf file, as text. */
  manifest: z.string(),
  /** Of the manifest, in the log of its partition: a C2SP tlog-proof. */
  partitionProof: z.string(),
  root: z
    .strictObject({
      /** The root leaf, as text. */
      leaf: z.string(),
      /** Of the manifest, in the tree whose size and root the leaf tells. */
      manifestHashes: z.array(hashText),
      /** Of the leaf, in the log `root`: a C2SP tlog-proof. */
      proof: z.string(),
      /** The time stamp answer over the root's checkpoint, DER. */
      stamp: bytesText.nullable(),
      /** Signature lines of witnesses under it. */
      witness: z.string().nullable(),
    })
    .nullable(),
});

export type RecordProof = z.infer<typeof schema>;

/** What a checked proof shows. */
export interface Proven {
  log: string;
  offset: bigint;
  /** Record time, ms. */
  timestamp: bigint;
  value: Buffer | null;
  manifest: ManifestBody;
  /** Sizes of the two checkpoints. */
  partitionSize: number;
  /** The hour of the root that covers it, and the root's checkpoint; null without. */
  root: {
    time: string;
    size: number;
    checkpoint: Buffer;
    stamp: Buffer | null;
    witness: Buffer | null;
  } | null;
  signedBy: Verifier[];
}

export class ProofError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ProofError';
  }
}

/** @throws ProofError */
export function parseProof(text: string): RecordProof {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ProofError('the file is not JSON');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ProofError(`the file is no proof: ${issue!.path.join('.')}: ${issue!.message}`);
}

/**
 * Follows the proof from the record's bytes to signatures of the keys. What others said of the root
 * is only handed back: `checkAnchors` judges it.
 * @throws ProofError that says at which step it does not hold.
 */
export function checkProof(proof: RecordProof, verifiers: readonly Verifier[]): Proven {
  try {
    return follow(proof, verifiers);
  } catch (error) {
    if (error instanceof NoteError || error instanceof LeafError) {
      throw new ProofError(error.message);
    }
    throw error;
  }
}

/** Null: of no such kind anybody is trusted, and it is not judged. */
export interface AnchorTrust {
  authorities: readonly Certificate[] | null;
  witnesses: readonly Verifier[] | null;
}

/** What others vouch for; null or empty where they do not, or were not judged. */
export interface Anchored {
  /** When the authority saw the root, seconds since the epoch. */
  stampedAt: number | null;
  cosigned: Cosigned[];
}

/** Judges the stamp and the witnesses of a proof, where there are any. @throws ProofError */
export function checkAnchors({ root }: Proven, { authorities, witnesses }: AnchorTrust): Anchored {
  const anchored: Anchored = { stampedAt: null, cosigned: [] };
  if (root === null) return anchored;
  if (root.stamp !== null && authorities !== null) {
    const verdict = judgeStamp(root.checkpoint, root.stamp, { trusted: authorities });
    if (!verdict.ok) throw new ProofError(`the time stamp of the root: ${verdict.detail}`);
    if (!isTimely(verdict.time, secondsOf(root.time)!)) {
      throw new ProofError(
        `the time stamp is of ${timeOf(verdict.time * 1000)}, its root of ${root.time}`,
      );
    }
    anchored.stampedAt = verdict.time;
  }
  if (root.witness !== null && witnesses !== null) {
    try {
      anchored.cosigned = cosignaturesIn(parseNote(root.checkpoint), root.witness, witnesses);
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      throw new ProofError(error.message);
    }
  }
  return anchored;
}

function follow(proof: RecordProof, verifiers: readonly Verifier[]): Proven {
  const { cluster, topic, topicId, partition } = proof;
  const log = partitionLog({ clusterId: cluster, topic, topicId, partition });
  const record = unsealed(proof.record);
  const manifestLeaf = Buffer.from(proof.manifest);
  const { head, body } = parseManifest(manifestLeaf);
  if (head.log !== log) throw new ProofError('the manifest is of another partition');
  checkRecord(proof, leafHash(recordLeaf(record)), body, record.offset);

  const hash = leafHash(manifestLeaf);
  const inLog = checkTlogProof(parseTlogProof(proof.partitionProof), hash, verifiers);
  if (inLog.log !== log) {
    throw new ProofError('the checkpoint is of another log than the manifest');
  }
  const root =
    proof.root === null ? null : checkRoot(proof.root, log, head.sequence, hash, verifiers);
  return {
    log,
    offset: record.offset,
    timestamp: record.timestamp,
    value: record.value,
    manifest: body,
    partitionSize: inLog.size,
    root,
    signedBy: inLog.signedBy,
  };
}

function checkRecord(
  proof: RecordProof,
  leaf: Buffer,
  manifest: ManifestBody,
  offset: bigint,
): void {
  const { recordIndex, recordHashes } = proof;
  const root = Buffer.from(manifest.recordsRoot, 'base64');
  const path = recordHashes.map((text) => Buffer.from(text, 'base64'));
  if (!verifyInclusion(recordIndex, manifest.records, leaf, path, root)) {
    throw new ProofError('the record is not one of those that the manifest tells of');
  }
  if (offset < BigInt(manifest.firstOffset) || offset >= BigInt(manifest.nextOffset)) {
    throw new ProofError('the record is outside the offsets of the manifest');
  }
}

function checkRoot(
  root: NonNullable<RecordProof['root']>,
  log: string,
  sequence: number,
  manifest: Buffer,
  verifiers: readonly Verifier[],
): Proven['root'] {
  const leaf = Buffer.from(root.leaf);
  const { body } = parseRootLeaf(leaf);
  const told = body.logs.find(([name]) => name === log);
  if (told === undefined) throw new ProofError('the root does not tell of the partition');
  const [, size, hash] = told;
  const path = root.manifestHashes.map((text) => Buffer.from(text, 'base64'));
  if (!verifyInclusion(sequence, size, manifest, path, Buffer.from(hash, 'base64'))) {
    throw new ProofError('the manifest is not in the tree that the root tells of');
  }
  const proof = parseTlogProof(root.proof);
  const checkpoint = checkTlogProof(proof, leafHash(leaf), verifiers);
  if (checkpoint.log !== ROOT_LOG) {
    throw new ProofError('the checkpoint of the root is of another log');
  }
  const stamp = root.stamp === null ? null : Buffer.from(root.stamp, 'base64');
  const witness = root.witness === null ? null : Buffer.from(root.witness);
  const { size: roots } = checkpoint;
  return { time: body.time, size: roots, checkpoint: proof.checkpoint, stamp, witness };
}

function unsealed({ offset, timestamp, key, headers, value }: RecordProof['record']) {
  return {
    offset: BigInt(offset),
    timestamp: BigInt(timestamp),
    key: bytesOf(key),
    headers: headers.map(([name, bytes]) => ({ key: name, value: bytesOf(bytes) })),
    value: bytesOf(value),
  };
}

function bytesOf(text: string | null): Buffer | null {
  return text === null ? null : Buffer.from(text, 'base64');
}

/** The partition a log is of. @throws ProofError */
export function addressOf(log: string) {
  const address = parsePartitionLog(log);
  if (address === null) throw new ProofError(`${log} is not the log of a partition`);
  return address;
}
