/**
 * Audit events out of an archive's segments, for what they say of access. Manifests tell which
 * segments there are, and each must follow the one before it; each segment must have the SHA-256 of
 * its manifest. Whether the manifests are signed is for `verify` to say. Reads only.
 */
import { auditEventType } from '../../schemas/audit-event.ts';
import { parseAvroSchema } from '../../schemas/avro.ts';
import type { ReadState } from '../../schemas/evidence/access-leaf.ts';
import { LeafError } from '../../schemas/evidence/leaf.ts';
import { partitionLog } from '../../schemas/evidence/log-layout.ts';
import { type ManifestBody, parseManifest } from '../../schemas/evidence/manifest.ts';
import { sha256 } from '../../schemas/evidence/merkle.ts';
import { type PartitionAddress, slotKey } from '../../schemas/layout.ts';
import { kafkaValue, readSegmentHeader, SegmentError, scanRecords } from '../../schemas/segment.ts';
import { leavesOf, MissingEvidence, partitionsOf } from '../evidence/log-reader.ts';
import type { SchemaLookUp } from '../ingest/decode.ts';
import { Failure } from '../runtime/errors.ts';
import type { ObjectStore, StoredObject } from '../store/store.ts';
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
  const wanted: Wanted[] = [];
  for (const address of await partitionsOf(store, prefix)) {
    if (withoutTopics.includes(address.topic)) continue;
    const log = partitionLog(address);
    let size = 0;
    for await (const manifest of manifestsOf(store, prefix, log)) {
      size += 1;
      if (manifest.body.kind === 'gap') reading.gaps += 1;
      if (manifest.body.kind !== 'data') continue;
      reading.all += 1;
      if (wants(manifest)) wanted.push({ address, manifest });
    }
    reading.read.push([log, size]);
  }
  const reader = new AccessReader();
  for await (const { address, manifest, fetched } of fetchAhead(store, prefix, wanted)) {
    progress?.(reading.segments, wanted.length);
    await readSegment(await fetched, open, address, manifest, reader, heard(manifest));
    reading.segments += 1;
  }
  return reading;
}

interface Wanted {
  address: PartitionAddress;
  manifest: ManifestPlace;
}

interface Fetched {
  key: string;
  object: StoredObject | null;
}

/** In the order given; while one is read, the next is on its way. */
async function* fetchAhead(
  store: ReadableStore,
  prefix: string,
  wanted: readonly Wanted[],
): AsyncGenerator<Wanted & { fetched: Promise<Fetched> }> {
  let before: (Wanted & { fetched: Promise<Fetched> }) | null = null;
  for (const { address, manifest } of wanted) {
    const key = slotKey(prefix, { ...address, firstOffset: BigInt(manifest.body.firstOffset) });
    const fetched = store.get(key).then((object) => ({ key, object }));
    // Thrown where it is awaited; until then it is nobody's unhandled rejection.
    fetched.catch(() => {});
    if (before !== null) yield before;
    before = { address, manifest, fetched };
  }
  if (before !== null) yield before;
}

async function* manifestsOf(
  store: ReadableStore,
  prefix: string,
  log: string,
): AsyncGenerator<ManifestPlace> {
  try {
    for await (const { sequence, bytes } of leavesOf(store, prefix, log)) {
      yield { log, sequence, body: parseManifest(bytes).body };
    }
  } catch (error) {
    if (!(error instanceof LeafError) && !(error instanceof MissingEvidence)) throw error;
    throw doesNotVerify(`${log}: ${error.message}`);
  }
}

async function readSegment(
  { key, object }: Fetched,
  open: ArchiveLocation['open'],
  { topic, partition }: PartitionAddress,
  { body }: ManifestPlace,
  reader: AccessReader,
  heard: Heard,
): Promise<void> {
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
