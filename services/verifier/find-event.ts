/**
 * Finds the record of an event in the archive by the event's id. Manifests tell which segments can
 * hold its time; those are searched for the bytes of the id, and records are told apart and decoded
 * only where they show it, or where the id is a hash that no byte shows. Reads only.
 */
import { readAuditEvent } from '../../schemas/audit-event.ts';
import { partitionLog } from '../../schemas/evidence/log-layout.ts';
import { type ManifestBody, parseManifest } from '../../schemas/evidence/manifest.ts';
import { type PartitionAddress, slotKey } from '../../schemas/layout.ts';
import {
  readSegmentHeader,
  type SealedRecord,
  scanRecords,
  showsBytes,
} from '../../schemas/segment.ts';
import { LogReader, partitionsOf } from '../evidence/log-reader.ts';
import { decodeJson } from '../ingest/decode.ts';
import { inParallel } from '../runtime/parallel.ts';
import type { ProveOptions, RecordAddress } from './prove.ts';

export interface EventSearch {
  /** Event times that it can have, epoch ms. */
  sinceMs: number;
  untilMs: number;
  /** Called before each segment is read: how many were looked at, and how many there are. */
  progress?: (done: number, all: number) => void;
}

/** Hex of SHA-256: the id of an event that came without one, found only by decoding. */
const CONTENT_HASH = /^[0-9a-f]{64}$/;

/** Manifests, and segments, read at the same time. */
const LEAVES_AT_ONCE = 16;
const SEGMENTS_AT_ONCE = 4;

/** Every record that holds the event: a duplicate is a record of its own. */
export async function findEvent(
  eventId: string,
  search: EventSearch,
  options: ProveOptions,
): Promise<RecordAddress[]> {
  const { store, prefix } = options;
  const candidates: Array<{ address: PartitionAddress; manifest: ManifestBody }> = [];
  for (const address of await partitionsOf(store, prefix)) {
    const log = new LogReader(store, prefix, partitionLog(address));
    const sequences = Array.from({ length: await log.count() }, (_, sequence) => sequence);
    const manifests = await inParallel(sequences, LEAVES_AT_ONCE, async (sequence) => {
      const { body } = parseManifest(await log.leaf(sequence));
      return canHold(body, search) ? body : null;
    });
    for (const manifest of manifests) if (manifest !== null) candidates.push({ address, manifest });
  }
  let begun = 0;
  const found = await inParallel(candidates, SEGMENTS_AT_ONCE, async ({ address, manifest }) => {
    search.progress?.(begun++, candidates.length);
    const { clusterId, topic, topicId, partition } = address;
    const offsets = await offsetsIn(eventId, address, manifest, options);
    return offsets.map((offset) => ({ clusterId, topic, topicId, partition, offset }));
  });
  return found.flat();
}

function canHold(manifest: ManifestBody, { sinceMs, untilMs }: EventSearch): boolean {
  if (manifest.kind !== 'data' || manifest.records === 0) return false;
  // Some of its records tell no time without being decoded.
  if (manifest.eventTimes < manifest.records) return true;
  return Number(manifest.eventTimeMin) <= untilMs && Number(manifest.eventTimeMax) >= sinceMs;
}

async function offsetsIn(
  eventId: string,
  address: PartitionAddress,
  manifest: ManifestBody,
  { store, prefix, open }: ProveOptions,
): Promise<bigint[]> {
  const firstOffset = BigInt(manifest.firstOffset);
  const object = await store.get(slotKey(prefix, { ...address, firstOffset }));
  if (object === null) return [];
  const bytes = open === undefined ? object.bytes : await open(object.bytes, manifest);
  const wanted = Buffer.from(eventId);
  const parsed = readSegmentHeader(bytes);
  // Only what was spliced gives a time without being decoded, and shows whatever id it has.
  const isShown = !CONTENT_HASH.test(eventId) || manifest.eventTimes === manifest.records;
  if (isShown && !showsBytes(bytes, parsed, wanted)) return [];
  const found: bigint[] = [];
  for (const record of scanRecords(bytes, parsed)) {
    if (holds(record, eventId, wanted)) found.push(record.offset);
  }
  return found;
}

function holds({ body, schemaId }: SealedRecord, eventId: string, wanted: Buffer): boolean {
  if (body === null) return false;
  const isShown = body.includes(wanted);
  if (schemaId !== null) return isShown && readAuditEvent(body)?.eventId === eventId;
  if (!isShown && !CONTENT_HASH.test(eventId)) return false;
  const decoded = decodeJson(body);
  return decoded.ok && decoded.events.some((event) => event.eventId === eventId);
}
