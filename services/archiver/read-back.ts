/**
 * What the notary reads to go on: a sealed segment, where its digest is not at hand, and another
 * writer's manifest, to compare. Reads only.
 */
import type {
  AnomalyReason,
  ManifestBody,
  SegmentDigest,
} from '../../schemas/evidence/manifest.ts';
import { digestSegment } from '../../schemas/evidence/segment-digest.ts';
import type { Slot } from '../../schemas/layout.ts';
import { SegmentError } from '../../schemas/segment.ts';
import type { ObjectStore } from '../store/store.ts';
import { sameSlot, versionsDetail } from './position.ts';

export interface Anomaly {
  reason: AnomalyReason;
  key: string;
  detail: string;
}

/** Something that the notary cannot go on over, and that belongs into the log. */
export class Irregular extends Error {
  readonly anomaly: Anomaly;

  constructor(anomaly: Anomaly) {
    super(`${anomaly.reason}: ${anomaly.detail}`);
    this.name = 'Irregular';
    this.anomaly = anomaly;
  }
}

/**
 * The segment under the key of that slot; null where there is none, and none has to be there.
 * @throws Irregular where it is hidden, doubled or no segment of that slot.
 */
export async function readBack(
  store: Pick<ObjectStore, 'get' | 'versions'>,
  key: string,
  slot: Slot,
  isThere: boolean,
  breathe: () => Promise<void>,
): Promise<SegmentDigest | null> {
  const versions = await store.versions(key);
  if (versions.length === 0 && !isThere) return null;
  const isOne = versions.length === 1 && !versions[0]!.isDeleteMarker;
  const object = isOne ? await store.get(key) : null;
  if (object === null) {
    throw new Irregular({ reason: 'versions', key, detail: versionsDetail(versions.length) });
  }
  let detail = 'its header names another slot';
  try {
    const digest = await digestSegment(object.bytes, breathe);
    if (sameSlot(digest.header, slot)) return digest;
  } catch (error) {
    if (!(error instanceof SegmentError)) throw error;
    detail = error.message;
  }
  throw new Irregular({ reason: 'not_our_segment', key, detail });
}

/** What depends on the segment, and not on when it was looked at. */
const FACTS = [
  'kind',
  'firstOffset',
  'nextOffset',
  'records',
  'lastOffset',
  'timestampMin',
  'timestampMax',
  'eventTimeMin',
  'eventTimeMax',
  'eventTimes',
  'schemaId',
  'bytes',
  'sha256',
  'recordsRoot',
] as const satisfies ReadonlyArray<keyof ManifestBody>;

/** The first fact that is not the same in both manifests, or null. */
export function differingFact(left: ManifestBody, right: ManifestBody): string | null {
  const fact = FACTS.find((name) => left[name] !== right[name]);
  if (fact !== undefined) return fact;
  return JSON.stringify(left.gap) === JSON.stringify(right.gap) ? null : 'gap';
}
