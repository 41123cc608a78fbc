/** How far the evidence of an archive is, read from the store: for `status`. Reads only. */
import {
  type EvidenceKind,
  evidenceKey,
  logPrefix,
  parseEvidenceKey,
  partitionLog,
} from '../../schemas/evidence/log-layout.ts';
import { parseManifest } from '../../schemas/evidence/manifest.ts';
import { parseRootLeaf, ROOT_LOG } from '../../schemas/evidence/root-leaf.ts';
import type { PartitionAddress } from '../../schemas/layout.ts';
import { LogWriter } from '../evidence/log-writer.ts';
import type { ObjectStore } from '../store/store.ts';

export interface PartitionEvidence {
  /** Everything before this offset has a manifest. */
  nextOffset: bigint;
  manifests: number;
  /** Manifests that no checkpoint covers. */
  unsigned: number;
  /** Of the newest leaf, where it is an anomaly. */
  anomaly: { reason: string; key: string; detail: string } | null;
}

/** @throws BrokenLog, LeafError where the end of the log is not as a writer leaves it. */
export async function partitionEvidence(
  store: ObjectStore,
  prefix: string,
  address: PartitionAddress,
): Promise<PartitionEvidence> {
  const log = await LogWriter.open(store, prefix, partitionLog(address));
  const newest = log.last === null ? null : parseManifest(log.last).body;
  return {
    nextOffset: newest === null ? 0n : BigInt(newest.nextOffset),
    manifests: log.size,
    unsigned: log.unsigned,
    anomaly: newest?.anomaly ?? null,
  };
}

export interface RootEvidence {
  /** Hour of the newest root, ms since the epoch; null where there is none. */
  timeMs: number | null;
  roots: number;
  unsigned: number;
  /** Roots from the first to the newest that has a time stamp, or cosignatures; 0 where none of the last days has. */
  stamped: number;
  cosigned: number;
}

/** Roots that are looked at for stamps: some two days. */
const RECENT_ROOTS = 48;
/** A leaf, a checkpoint, a stamp and cosignatures. */
const FILES_OF_ROOT = 4;

/** @throws BrokenLog, LeafError */
export async function rootEvidence(store: ObjectStore, prefix: string): Promise<RootEvidence> {
  const log = await LogWriter.open(store, prefix, ROOT_LOG);
  const timeMs = log.last === null ? null : Date.parse(parseRootLeaf(log.last).body.time);
  const from = evidenceKey(prefix, {
    log: ROOT_LOG,
    kind: 'leaf',
    number: Math.max(0, log.size - RECENT_ROOTS),
  });
  const keys = await store.list(logPrefix(prefix, ROOT_LOG), from, RECENT_ROOTS * FILES_OF_ROOT);
  const places = keys.map((key) => parseEvidenceKey(prefix, key));
  const newest = (kind: EvidenceKind): number =>
    places.findLast((place) => place?.kind === kind)?.number ?? 0;
  return {
    timeMs,
    roots: log.size,
    unsigned: log.unsigned,
    stamped: newest('tsr'),
    cosigned: newest('witness'),
  };
}
