/**
 * From the address of a record to its proof: reads the segment that holds it, its manifest, and the
 * few leaves that the two proofs need. Reads only; nothing is believed that the finished proof does
 * not show, so an archive that was tampered with gives an error and no proof.
 */
import { partitionLog } from '../../schemas/evidence/log-layout.ts';
import { type ManifestBody, parseManifest } from '../../schemas/evidence/manifest.ts';
import { inclusionProof, rootOf, sha256, subtreesOf } from '../../schemas/evidence/merkle.ts';
import type { Verifier } from '../../schemas/evidence/note.ts';
import {
  checkProof,
  PROOF_KIND,
  type Proven,
  type RecordProof,
} from '../../schemas/evidence/proof.ts';
import { sealedLeafHash } from '../../schemas/evidence/record-leaf.ts';
import { parseRootLeaf, ROOT_LOG } from '../../schemas/evidence/root-leaf.ts';
import { formatTlogProof } from '../../schemas/evidence/tlog-proof.ts';
import { type PartitionAddress, slotKey } from '../../schemas/layout.ts';
import {
  kafkaValue,
  readSegmentHeader,
  type SealedRecord,
  SegmentError,
  scanRecords,
} from '../../schemas/segment.ts';
import { LogReader, MissingEvidence, partitionsOf } from '../evidence/log-reader.ts';
import { Failure } from '../runtime/errors.ts';
import type { ObjectStore } from '../store/store.ts';

export type ProofStore = Pick<ObjectStore, 'get' | 'list' | 'versions'>;

export interface ProveOptions {
  store: ProofStore;
  prefix: string;
  verifiers: readonly Verifier[];
  /** Of a segment as it is stored, what was sealed: the same bytes, or decrypted. */
  open?: (stored: Buffer, manifest: ManifestBody) => Promise<Buffer>;
}

/** A record somebody asks for. What is left out is found, where only one log can be meant. */
export interface RecordAddress {
  topic: string;
  partition: number;
  offset: bigint;
  topicId?: string;
  clusterId?: string;
}

/** Roots looked at, from the newest, for one that covers the record. */
const ROOTS_MAX = 3;

/**
 * @throws Failure `NOT_ARCHIVED` (no such record in the archive), `NOT_PROVABLE` (sealed, but not
 * signed yet), `AMBIGUOUS` (several logs could be meant), `DOES_NOT_VERIFY` (run `verify`).
 */
export async function prove(
  address: RecordAddress,
  options: ProveOptions,
): Promise<{ proof: RecordProof; proven: Proven }> {
  const partition = await findPartition(address, options);
  const log = new LogReader(options.store, options.prefix, partitionLog(partition));
  try {
    const { sequence, manifest, leaf } = await findManifest(log, address.offset);
    const record = await findRecord(partition, address.offset, manifest, options);
    const partitionProof = await proveManifest(log, sequence);
    const proof: RecordProof = {
      kind: PROOF_KIND,
      format: 1,
      cluster: partition.clusterId,
      topic: partition.topic,
      topicId: partition.topicId,
      partition: partition.partition,
      record: shown(record.record),
      recordIndex: record.index,
      recordHashes: record.hashes.map((hash) => hash.toString('base64')),
      manifest: leaf.toString('utf8'),
      partitionProof,
      root: await proveRoot(log, sequence, options),
    };
    return { proof, proven: checkProof(proof, options.verifiers) };
  } catch (error) {
    throw explained(error, log.log);
  }
}

function explained(error: unknown, log: string): unknown {
  if (error instanceof Failure) return error;
  const isKnown = error instanceof MissingEvidence || error instanceof SegmentError;
  const name = (error as Error).name;
  if (!isKnown && !['ProofError', 'LeafError', 'NoteError', 'BrokenLog'].includes(name))
    return error;
  return new Failure(`${log}: ${(error as Error).message}`, {
    code: 'DOES_NOT_VERIFY',
    hint: 'The archive is not as it was sealed, or the key is another: run `lakeseal verify`.',
    cause: error,
  });
}

// --- the partition -------------------------------------------------------------------------------

/** Logs of partitions in the archive with this topic and partition. */
async function findPartition(
  address: RecordAddress,
  { store, prefix }: ProveOptions,
): Promise<PartitionAddress> {
  const found = (await partitionsOf(store, prefix)).filter((one) => isMeant(one, address));
  const [only, ...others] = found;
  const place = `${address.topic}/${address.partition}`;
  if (only === undefined) {
    throw new Failure(`the archive has no evidence of ${place}`, {
      code: 'NOT_ARCHIVED',
      hint: 'Is it the right bucket and prefix, and does the archiver read that topic?',
    });
  }
  if (others.length === 0) return only;
  const names = found.map((one) => `${one.topicId} in cluster ${one.clusterId}`);
  throw new Failure(`several topics of the name ${address.topic} are archived`, {
    code: 'AMBIGUOUS',
    hint: `Say which with --topic-id: ${names.join(', ')}.`,
  });
}

function isMeant(one: PartitionAddress, address: RecordAddress): boolean {
  return (
    one.topic === address.topic &&
    one.partition === address.partition &&
    (address.topicId === undefined || address.topicId === one.topicId) &&
    (address.clusterId === undefined || address.clusterId === one.clusterId)
  );
}

// --- the manifest --------------------------------------------------------------------------------

interface FoundManifest {
  sequence: number;
  manifest: ManifestBody;
  leaf: Buffer;
}

/** Manifests tile, so the one of an offset is found by halving. */
async function findManifest(log: LogReader, offset: bigint): Promise<FoundManifest> {
  const size = await log.count();
  let low = 0;
  let high = size;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const { body } = parseManifest(await log.leaf(middle));
    if (BigInt(body.firstOffset) <= offset) low = middle;
    else high = middle;
  }
  // Anomalies cover no offsets and may stand behind the manifest that is meant.
  for (let sequence = low; sequence >= 0 && sequence < size; sequence--) {
    const leaf = await log.leaf(sequence);
    const { body } = parseManifest(leaf);
    if (body.kind === 'anomaly') continue;
    if (offset < BigInt(body.nextOffset)) return { sequence, manifest: body, leaf };
    break;
  }
  throw new Failure(`${log.log}: offset ${offset} is not sealed, or not yet`, {
    code: 'NOT_ARCHIVED',
    hint: 'Its segment is sealed when it is full or old enough, and its manifest follows at once.',
  });
}

// --- the record ----------------------------------------------------------------------------------

interface FoundRecord {
  record: SealedRecord;
  index: number;
  hashes: Buffer[];
}

async function findRecord(
  partition: PartitionAddress,
  offset: bigint,
  manifest: ManifestBody,
  { store, prefix, open }: ProveOptions,
): Promise<FoundRecord> {
  const slot = { ...partition, firstOffset: BigInt(manifest.firstOffset) };
  const key = slotKey(prefix, slot);
  if (manifest.kind === 'gap') {
    throw new Failure(`offset ${offset} lies in a gap: ${manifest.gap?.reason}`, {
      code: 'NOT_ARCHIVED',
      hint: 'Kafka no longer had it when it was to be sealed; the gap itself is sealed and signed.',
    });
  }
  const object = await store.get(key);
  if (object === null) throw new MissingEvidence(key);
  if (sha256(object.bytes).toString('hex') !== manifest.sha256) {
    throw new SegmentError('not_a_segment', 0, `${key} is not what its manifest says`);
  }
  const bytes = open === undefined ? object.bytes : await open(object.bytes, manifest);
  const leaves: Buffer[] = [];
  let found: { record: SealedRecord; index: number } | null = null;
  for (const record of scanRecords(bytes, readSegmentHeader(bytes))) {
    if (record.offset === offset) found = { record, index: leaves.length };
    leaves.push(sealedLeafHash(record));
  }
  if (found === null) {
    throw new Failure(`there is no record at offset ${offset} of ${partition.topic}`, {
      code: 'NOT_ARCHIVED',
      hint: 'It was a control record, or compacted away: its segment covers the offset.',
    });
  }
  const hashes = inclusionProof(found.index, leaves.length, subtreesOf(leaves));
  if (rootOf(leaves).toString('base64') !== manifest.recordsRoot) {
    throw new SegmentError('bad_record', 0, `${key}: its records are not those of its manifest`);
  }
  return { ...found, hashes };
}

function shown(record: SealedRecord): RecordProof['record'] {
  const text = (bytes: Buffer | null): string | null => bytes?.toString('base64') ?? null;
  return {
    offset: String(record.offset),
    timestamp: String(record.timestamp),
    key: text(record.key),
    headers: record.headers.map(({ key, value }) => [key, text(value)]),
    value: text(kafkaValue(record)),
  };
}

// --- the logs ------------------------------------------------------------------------------------

async function proveManifest(log: LogReader, sequence: number): Promise<string> {
  const size = await log.newestCheckpoint();
  const checkpoint = size > sequence ? await log.checkpoint(size) : null;
  if (checkpoint === null) {
    throw new Failure(`${log.log}: no checkpoint covers manifest ${sequence} yet`, {
      code: 'NOT_PROVABLE',
      hint: 'Is evidence.keyFile set, and does /readyz of the archiver say that its key works?',
    });
  }
  const hashes = await log.inclusion(sequence, size);
  return formatTlogProof({ index: sequence, hashes, checkpoint });
}

/** Null where no signed root covers the manifest yet: at most an hour after it was sealed. */
async function proveRoot(
  log: LogReader,
  sequence: number,
  { store, prefix }: ProveOptions,
): Promise<RecordProof['root']> {
  const roots = new LogReader(store, prefix, ROOT_LOG);
  const size = await roots.count();
  for (let at = size; at > 0 && at > size - ROOTS_MAX; at--) {
    const checkpoint = await roots.checkpoint(at);
    if (checkpoint === null) continue;
    const leaf = await roots.leaf(at - 1);
    const told = parseRootLeaf(leaf).body.logs.find(([name]) => name === log.log);
    if (told === undefined || told[1] <= sequence) return null;
    const [hashes, path, stamp, witness] = await Promise.all([
      log.inclusion(sequence, told[1]),
      roots.inclusion(at - 1, at),
      roots.stamp(at),
      roots.witness(at),
    ]);
    return {
      leaf: leaf.toString('utf8'),
      manifestHashes: hashes.map((hash) => hash.toString('base64')),
      proof: formatTlogProof({ index: at - 1, hashes: path, checkpoint }),
      stamp: stamp?.toString('base64') ?? null,
      witness: witness?.toString('utf8') ?? null,
    };
  }
  return null;
}
