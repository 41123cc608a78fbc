/** How far the evidence of an archive is, read from the store: for `status`. Reads only. */
import { partitionLog } from '../../schemas/evidence/log-layout.ts';
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
}

/** @throws BrokenLog, LeafError */
export async function rootEvidence(store: ObjectStore, prefix: string): Promise<RootEvidence> {
  const log = await LogWriter.open(store, prefix, ROOT_LOG);
  const timeMs = log.last === null ? null : Date.parse(parseRootLeaf(log.last).body.time);
  return { timeMs, roots: log.size, unsigned: log.unsigned };
}
