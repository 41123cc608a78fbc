/**
 * Audit events out of an archive's segments, for what they say of access. Manifests tell which
 * segments there are; each segment must have the SHA-256 of its manifest. Whether the manifests are
 * signed and whole is for `verify` to say. Reads only.
 */
import { auditEventType } from '../../schemas/audit-event.ts';
import { parseAvroSchema } from '../../schemas/avro.ts';
import type { ReadState } from '../../schemas/evidence/access-leaf.ts';
import { partitionLog } from '../../schemas/evidence/log-layout.ts';
import { type ManifestBody, parseManifest } from '../../schemas/evidence/manifest.ts';
import { sha256 } from '../../schemas/evidence/merkle.ts';
import { type PartitionAddress, slotKey } from '../../schemas/layout.ts';
import { kafkaValue, readSegmentHeader, SegmentError, scanRecords } from '../../schemas/segment.ts';
import { LogReader, partitionsOf } from '../evidence/log-reader.ts';
import type { SchemaLookUp } from '../ingest/decode.ts';
import { Failure } from '../runtime/errors.ts';
import type { ObjectStore } from '../store/store.ts';
import { AccessReader, type Heard } from './read-events.ts';

export type ReadableStore = Pick<ObjectStore, 'get' | 'list' | 'versions'>;

export interface ArchiveLocation {
  store: ReadableStore;
  prefix: string;
  /** Topics that hold no audit events: dead letters. */
  withoutTopics: readonly string[];
  /** Of a segment as it is stored, what was sealed: the same bytes, or decrypted. */
  open?: (stored: Buffer, manifest: ManifestBody) => Promise<Buffer>;
}

/** A manifest, and where it stands. */
export interface ManifestPlace {
  log: string;
  sequence: number;
  body: ManifestBody;
}

export interface ArchiveReading {
  /** How many manifests of each log there were when reading began. */
  read: ReadState[];
  /** Those that were read, and all that there are. */
  segments: number;
  all: number;
  /** Stretches of offsets that were not there to be sealed. */
  gaps: number;
}

export interface ReadOptions {
  /** Which segments are wanted; all where it is left out. */
  wants?: (manifest: ManifestPlace) => boolean;
  /** Called before each segment is read. */
  progress?: (done: number, all: number) => void;
  /** Of every event and record, in the order of the archive. */
  heard: (manifest: ManifestPlace) => Heard;
}

/** @throws Failure `DOES_NOT_VERIFY` */
export async function readArchive(
  { store, prefix, withoutTopics, open }: ArchiveLocation,
  { wants = () => true, progress, heard }: ReadOptions,
): Promise<ArchiveReading> {
  const reading: ArchiveReading = { read: [], segments: 0, all: 0, gaps: 0 };
  const wanted: Array<{ address: PartitionAddress; manifest: ManifestPlace }> = [];
  for (const address of await partitionsOf(store, prefix)) {
    if (withoutTopics.includes(address.topic)) continue;
    const log = new LogReader(store, prefix, partitionLog(address));
    const size = await log.count();
    reading.read.push([log.log, size]);
    for (let sequence = 0; sequence < size; sequence++) {
      const manifest = { log: log.log, sequence, body: await manifestAt(log, sequence) };
      if (manifest.body.kind === 'gap') reading.gaps += 1;
      if (manifest.body.kind !== 'data') continue;
      reading.all += 1;
      if (wants(manifest)) wanted.push({ address, manifest });
    }
  }
  const reader = new AccessReader();
  for (const [done, { address, manifest }] of wanted.entries()) {
    progress?.(done, wanted.length);
    const key = slotKey(prefix, { ...address, firstOffset: BigInt(manifest.body.firstOffset) });
    await readSegment({ store, open }, key, address, manifest, reader, heard(manifest));
    reading.segments += 1;
  }
  return reading;
}

async function manifestAt(log: LogReader, sequence: number): Promise<ManifestBody> {
  try {
    return parseManifest(await log.leaf(sequence)).body;
  } catch (error) {
    throw doesNotVerify(`${log.log}: manifest ${sequence}: ${(error as Error).message}`);
  }
}

async function readSegment(
  { store, open }: { store: ReadableStore; open: ArchiveLocation['open'] },
  key: string,
  { topic, partition }: PartitionAddress,
  { body }: ManifestPlace,
  reader: AccessReader,
  heard: Heard,
): Promise<void> {
  const object = await store.get(key);
  if (object === null) throw doesNotVerify(`${key} is not there`);
  if (sha256(object.bytes).toString('hex') !== body.sha256) {
    throw doesNotVerify(`${key} is not what its manifest says`);
  }
  const bytes = open === undefined ? object.bytes : await open(object.bytes, body);
  try {
    const parsed = readSegmentHeader(bytes);
    const lookUp = lookUpOf(parsed.header.schemaId, parsed.writerSchema?.text ?? null);
    for (const record of scanRecords(bytes, parsed)) {
      const at = { topic, partition, offset: record.offset };
      reader.record(kafkaValue(record), lookUp, at, Number(record.timestamp), heard);
    }
  } catch (error) {
    if (error instanceof SegmentError) throw doesNotVerify(`${key}: ${error.message}`);
    throw error;
  }
}

/**
 * A segment holds the schema that its spliced records were written with. A record of another schema
 * is kept as plain bytes; it is an event where it is exactly one of the schema of this version.
 */
function lookUpOf(schemaId: number | null, schema: string | null): SchemaLookUp {
  const type = schema === null ? auditEventType : parseAvroSchema(JSON.parse(schema));
  return (id) => (id === schemaId ? type : auditEventType);
}

function doesNotVerify(message: string): Failure {
  return new Failure(message, {
    code: 'DOES_NOT_VERIFY',
    hint: 'The archive is not as it was sealed: run `lakeseal verify`.',
  });
}
