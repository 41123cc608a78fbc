/**
 * What `status` tells of the evidence: how far manifests and signatures are behind what is sealed,
 * the newest root, and the key. Reads only.
 */
import { LeafError } from '../../schemas/evidence/leaf.ts';
import type { PartitionAddress } from '../../schemas/layout.ts';
import { partitionEvidence, type RootEvidence, rootEvidence } from '../archiver/evidence-state.ts';
import { BrokenLog } from '../evidence/log-writer.ts';
import { configuredSigner } from '../evidence/signer.ts';
import type { Config } from '../runtime/config.ts';
import { reasonOf } from '../runtime/errors.ts';
import type { ObjectStore } from '../store/store.ts';

/** The end of a log is not as a writer leaves it; `verify` says more. */
interface Broken {
  state: 'broken';
  /** The object at fault; null where it is not known. */
  key: string | null;
  detail: string;
}

/** How far the manifests of a partition are. */
export type PartitionEvidenceStatus =
  | {
      state: 'at';
      /** Everything before this offset has a manifest. */
      nextOffset: bigint;
      /** Offsets that are sealed and have no manifest yet; null where that is not known. */
      behind: bigint | null;
      manifests: number;
      /** Manifests that no checkpoint covers. */
      unsigned: number;
      /** What stands at the end of the log, where that is an anomaly. */
      anomaly: { reason: string; key: string; detail: string } | null;
    }
  | Broken;

export type RootStatus =
  | ({
      state: 'at';
      /** Hour of the newest root, ISO 8601; null where there is none yet. */
      time: string | null;
      ageMs: number | null;
      /** What the configuration asks others to vouch for. */
      wanted: { stamps: boolean; witnesses: boolean };
    } & Omit<RootEvidence, 'timeMs'>)
  | Broken;

/** The signing key as it is found here, which need not be where the archiver runs. */
export type KeyStatus =
  | { state: 'missing' }
  | { state: 'unusable'; detail: string }
  | { state: 'usable'; publicKey: string };

export async function readPartitionEvidence(
  store: ObjectStore,
  prefix: string,
  address: PartitionAddress,
): Promise<PartitionEvidenceStatus> {
  return orBroken(async () => {
    const found = await partitionEvidence(store, prefix, address);
    return { state: 'at', behind: null, ...found };
  });
}

/** With how far the manifests are behind the segments, where both are known. */
export function withBehind(
  evidence: PartitionEvidenceStatus,
  sealed: { state: 'empty' } | { state: 'broken' } | { state: 'at'; nextOffset: bigint },
): PartitionEvidenceStatus {
  if (evidence.state !== 'at' || sealed.state === 'broken') return evidence;
  const end = sealed.state === 'empty' ? 0n : sealed.nextOffset;
  return { ...evidence, behind: end > evidence.nextOffset ? end - evidence.nextOffset : 0n };
}

export async function readRoot(
  store: ObjectStore,
  prefix: string,
  { timestamps, witnesses }: Pick<Config['anchors'], 'timestamps' | 'witnesses'>,
  nowMs: number,
): Promise<RootStatus> {
  return orBroken(async () => {
    const { timeMs, ...told } = await rootEvidence(store, prefix);
    const time = timeMs === null ? null : new Date(timeMs).toISOString();
    const wanted = { stamps: timestamps.length > 0, witnesses: witnesses.length > 0 };
    return { state: 'at', time, ageMs: timeMs === null ? null : nowMs - timeMs, ...told, wanted };
  });
}

export async function readKey(config: Pick<Config, 'evidence'>): Promise<KeyStatus> {
  try {
    const signer = await configuredSigner(config);
    if (signer === null) return { state: 'missing' };
    return { state: 'usable', publicKey: signer.verifier.vkey };
  } catch (error) {
    return { state: 'unusable', detail: reasonOf(error) };
  }
}

async function orBroken<Found>(read: () => Promise<Found>): Promise<Found | Broken> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof BrokenLog) {
      return { state: 'broken', key: error.key, detail: error.message };
    }
    if (error instanceof LeafError) return { state: 'broken', key: null, detail: error.message };
    throw error;
  }
}
