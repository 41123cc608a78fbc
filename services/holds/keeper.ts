/**
 * Holds in the store as the log wants them: which versions belong to a segment, setting and lifting,
 * and comparing. Everything here may be done again.
 */
import type { HeldObject, HoldBook, Segments } from '../../schemas/evidence/hold-leaf.ts';
import { evidenceKey, parsePartitionLog } from '../../schemas/evidence/log-layout.ts';
import { parseManifest } from '../../schemas/evidence/manifest.ts';
import { slotKey } from '../../schemas/layout.ts';
import { evidenceFailure, MissingEvidence } from '../evidence/log-reader.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';
import { inParallel } from '../runtime/parallel.ts';
import type { HoldStore } from '../store/legal-hold.ts';
import type { SelectOptions } from './select.ts';

/** Objects asked about at the same time. */
const AT_ONCE = 16;

export interface KeepOptions extends SelectOptions {
  store: HoldStore;
}

export interface SegmentObjects {
  log: string;
  sequence: number;
  /** Every version of the segment and of its manifest: a second one is evidence too. */
  objects: HeldObject[];
  /** Keys of which there is no version any more. */
  missing: string[];
}

/** @throws Failure `EVIDENCE` where a manifest is not one any more. */
export async function objectsOf(
  segments: Segments,
  { store, prefix, progress }: KeepOptions,
): Promise<SegmentObjects[]> {
  const all = [...segments].flatMap(([log, numbers]) =>
    [...numbers].map((sequence) => ({ log, sequence })),
  );
  let done = 0;
  return inParallel(all, AT_ONCE, async ({ log, sequence }) => {
    const manifestKey = evidenceKey(prefix, { log, kind: 'leaf', number: sequence });
    const leaf = await store.get(manifestKey);
    const found: SegmentObjects = { log, sequence, objects: [], missing: [] };
    const keys = [manifestKey];
    if (leaf === null) found.missing.push(`the segment of ${manifestKey}`);
    else keys.push(segmentKeyOf(log, leaf.bytes, prefix));
    for (const key of keys) {
      const versions = (await store.versions(key)).filter((one) => !one.isDeleteMarker);
      if (versions.length === 0) found.missing.push(key);
      found.objects.push(...versions.map(({ versionId }) => ({ key, versionId })));
    }
    done += 1;
    progress('segments looked up', done, all.length);
    return found;
  });
}

function segmentKeyOf(log: string, leaf: Buffer, prefix: string): string {
  const address = parsePartitionLog(log);
  if (address === null) throw evidenceFailure(new MissingEvidence(log));
  try {
    const { firstOffset } = parseManifest(leaf).body;
    return slotKey(prefix, { ...address, firstOffset: BigInt(firstOffset) });
  } catch (error) {
    throw evidenceFailure(error);
  }
}

export interface Unkept extends HeldObject {
  reason: string;
}

export interface Changed {
  /** Holds that were set or lifted now. */
  changed: number;
  /** Those that were so already. */
  already: number;
  failed: Unkept[];
}

/** What only an operator can mend would be told of every object. */
const HOPELESS = new Set(['S3_ACCESS_DENIED', 'S3_CREDENTIALS', 'S3_NO_BUCKET', 'S3_NETWORK']);

/** @throws Failure where no object could be done. */
export async function setHolds(
  objects: readonly HeldObject[],
  on: boolean,
  { store, progress }: KeepOptions,
): Promise<Changed> {
  const outcome: Changed = { changed: 0, already: 0, failed: [] };
  let done = 0;
  await inParallel(objects, AT_ONCE, async ({ key, versionId }) => {
    try {
      if ((await store.legalHold(key, versionId)) === on) outcome.already += 1;
      else {
        await store.setLegalHold(key, versionId, on);
        outcome.changed += 1;
      }
    } catch (error) {
      if (!(error instanceof Failure) || HOPELESS.has(error.code)) throw error;
      outcome.failed.push({ key, versionId, reason: reasonOf(error) });
    }
    done += 1;
    progress(on ? 'objects held' : 'objects let go', done, objects.length);
  });
  return outcome;
}

/** Of these, what no open case keeps. */
export function unneeded(book: HoldBook, segments: readonly SegmentObjects[]): SegmentObjects[] {
  return segments.filter(({ log, sequence }) => !book.isHeld(log, sequence));
}

/** Of these, the versions that are there and whose hold is so. */
export async function heldAs(
  objects: readonly HeldObject[],
  on: boolean,
  { store, progress }: KeepOptions,
): Promise<HeldObject[]> {
  let done = 0;
  const holds = await inParallel(objects, AT_ONCE, async ({ key, versionId }) => {
    const hold = await store.legalHold(key, versionId);
    done += 1;
    progress('holds compared', done, objects.length);
    return hold;
  });
  return objects.filter((_, at) => holds[at] === on);
}
