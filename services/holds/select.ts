/**
 * Which segments a hold is about: those whose manifests, and where filters are given whose records,
 * meet what was asked. In doubt a segment is kept: one too many costs storage, one too few the case.
 * Reads only.
 */
import { MissingKeyError, openEnvelope, type Unwrap } from '../../schemas/envelope.ts';
import type { HoldAsked } from '../../schemas/evidence/hold-leaf.ts';
import { secondsOf } from '../../schemas/evidence/leaf.ts';
import { partitionLog } from '../../schemas/evidence/log-layout.ts';
import { type ManifestBody, parseManifest } from '../../schemas/evidence/manifest.ts';
import { type PartitionAddress, slotKey } from '../../schemas/layout.ts';
import { SegmentError } from '../../schemas/segment.ts';
import { EnvelopeError } from '../../schemas/wrapping-key.ts';
import { evidenceFailure, leavesOf, partitionsOf } from '../evidence/log-reader.ts';
import { inParallel } from '../runtime/parallel.ts';
import type { ObjectStore } from '../store/store.ts';
import { type HoldFilter, lookThrough, type Sighting } from './filter.ts';

export type HoldReader = Pick<ObjectStore, 'get' | 'list' | 'versions'>;

/** Why a segment is kept. */
export type Ground =
  /** Its event times meet the range. */
  | 'event_time'
  /** Not all of its records tell an event time: the times at which Kafka got them meet the range. */
  | 'arrival'
  /** It has no records, only a gap to tell of. */
  | 'no_time';

export interface Chosen {
  log: string;
  /** Number of the manifest. */
  sequence: number;
  segmentKey: string;
  ground: Ground;
  /** With filters: no event that could be read meets them, but some could not be read. */
  doubtful: boolean;
  manifest: ManifestBody;
}

export interface Selection {
  chosen: Chosen[];
  /** Segments behind the last manifest of their partition: nothing is known of them yet. */
  behind: number;
  /** Manifests that were looked at. */
  manifests: number;
}

export interface SelectOptions {
  store: HoldReader;
  prefix: string;
  /** What opens encrypted segments, for filters. */
  unwrap: Unwrap;
  breathe: () => Promise<void>;
  /** What is being done, how much of it is done, and how much there is where that is known. */
  progress: (what: string, done: number, all: number | null) => void;
}

/** @throws Failure `EVIDENCE` where the manifests are not as they were written. */
export async function select(
  asked: HoldAsked,
  filters: readonly HoldFilter[],
  options: SelectOptions,
): Promise<Selection> {
  const { store, prefix, progress } = options;
  const selection: Selection = { chosen: [], behind: 0, manifests: 0 };
  for (const address of await partitionsOf(store, prefix)) {
    if (!isAsked(asked, address)) continue;
    await fromPartition(address, asked, options, selection);
    progress('manifests read', selection.manifests, null);
  }
  if (filters.length > 0) {
    selection.chosen = await filtered(selection.chosen, asked, filters, options);
  }
  return selection;
}

function isAsked({ topics, partitions }: HoldAsked, { topic, partition }: PartitionAddress) {
  const ofTopic = topics.length === 0 || topics.includes(topic);
  return ofTopic && (partitions.length === 0 || partitions.includes(partition));
}

async function fromPartition(
  address: PartitionAddress,
  asked: HoldAsked,
  { store, prefix, progress }: SelectOptions,
  selection: Selection,
): Promise<void> {
  const log = partitionLog(address);
  let end = 0n;
  try {
    for await (const { sequence, bytes } of leavesOf(store, prefix, log)) {
      const { body } = parseManifest(bytes);
      end = BigInt(body.nextOffset);
      selection.manifests += 1;
      if (selection.manifests % TELL_EVERY === 0) {
        progress('manifests read', selection.manifests, null);
      }
      const ground = groundOf(body, asked);
      if (ground === null) continue;
      const segmentKey = slotKey(prefix, { ...address, firstOffset: BigInt(body.firstOffset) });
      const chosen = { log, sequence, segmentKey, ground, doubtful: false, manifest: body };
      selection.chosen.push(chosen);
    }
  } catch (error) {
    throw evidenceFailure(error);
  }
  selection.behind += await segmentsFrom(store, slotKey(prefix, { ...address, firstOffset: end }));
}

const TELL_EVERY = 100;
const PAGE_KEYS = 1_000;

/** Why the segment of this manifest meets the range; null where it does not, or there is none. */
export function groundOf(body: ManifestBody, { from, to }: HoldAsked): Ground | null {
  if (body.kind === 'anomaly') return null;
  if (body.records === 0) return 'no_time';
  const { fromMs, toMs } = boundsOf({ from, to });
  const meets = (min: string | null, max: string | null): boolean =>
    min !== null && max !== null && Number(min) <= toMs && Number(max) >= fromMs;
  if (meets(body.eventTimeMin, body.eventTimeMax)) return 'event_time';
  if (body.eventTimes === body.records) return null;
  return meets(body.timestampMin, body.timestampMax) ? 'arrival' : null;
}

/** Epoch ms, both included; the second that is named last is meant whole. */
export function boundsOf({ from, to }: Pick<HoldAsked, 'from' | 'to'>) {
  const fromMs = from === null ? Number.NEGATIVE_INFINITY : secondsOf(from)! * 1000;
  const toMs = to === null ? Number.POSITIVE_INFINITY : secondsOf(to)! * 1000 + 999;
  return { fromMs, toMs };
}

async function segmentsFrom(store: HoldReader, key: string): Promise<number> {
  const folder = key.slice(0, key.lastIndexOf('/') + 1);
  let count = 0;
  // Nothing has the key without its suffix: so the segment itself is among what follows.
  for (let after = key.slice(0, -'.avro'.length); ; ) {
    const keys = await store.list(folder, after, PAGE_KEYS);
    count += keys.length;
    if (keys.length < PAGE_KEYS) return count;
    after = keys.at(-1)!;
  }
}

/** What cannot be read, or not without a key that is not here. */
const DOUBTS = [SegmentError, EnvelopeError, MissingKeyError];

/** Segments read at the same time; each is whole in memory. */
const SEGMENTS_AT_ONCE = 4;

async function filtered(
  candidates: readonly Chosen[],
  asked: HoldAsked,
  filters: readonly HoldFilter[],
  { store, prefix, unwrap, breathe, progress }: SelectOptions,
): Promise<Chosen[]> {
  const search = { filters, ...boundsOf(asked) };
  let done = 0;
  const sightings = await inParallel(candidates, SEGMENTS_AT_ONCE, async (one) => {
    const sighting = await sight(one);
    done += 1;
    progress('segments searched', done, candidates.length);
    return sighting;
  });
  return candidates.flatMap((one, at): Chosen[] => {
    const sighting = sightings[at]!;
    return sighting === 'none' ? [] : [{ ...one, doubtful: sighting === 'doubt' }];
  });

  async function sight({ segmentKey, manifest }: Chosen): Promise<Sighting> {
    if (manifest.kind === 'gap') return 'met';
    const object = await store.get(segmentKey);
    // Whatever became of it: what is left of it is kept.
    if (object === null) return 'doubt';
    const isEnvelope = manifest.encryption?.kind === 'envelope';
    try {
      const slot = segmentKey.slice(prefix.length);
      const bytes = isEnvelope
        ? await openEnvelope(object.bytes, slot, unwrap, breathe)
        : object.bytes;
      return await lookThrough(bytes, search, breathe);
    } catch (error) {
      if (DOUBTS.some((kind) => error instanceof kind)) return 'doubt';
      throw error;
    }
  }
}
