/**
 * What is kept of a partition besides its groups: event time, and who has owned it. Each owner begins
 * by reading the state topic to its end; whatever another process writes behind that place did not
 * know of it. Compaction keeps the later entry of a key, so such a one may be all that is left of a
 * group: with the owners it is known for what it is (`restore.ts`). JSON; pure.
 */
import type { WatermarkState } from './watermark.ts';

/** A process that has owned the partition, from an offset of the state topic on. */
export interface Owner {
  writer: bigint;
  since: bigint;
}

export interface Checkpoint {
  /** Every group is folded up to this offset of the matches topic, or further. */
  folded: bigint;
  watermark: WatermarkState;
  /** In their order, the newest last; as many as `OWNERS_MAX`. */
  owners: readonly Owner[];
}

/** Who owned it long ago tells nothing: each owner mends what it finds of the time before it. */
const OWNERS_MAX = 16;

export function encodeCheckpoint(watermark: WatermarkState, owners: readonly Owner[]): Buffer {
  const told = owners.map(({ writer, since }) => [String(writer), String(since)]);
  return Buffer.from(JSON.stringify({ ...watermark, owners: told }));
}

/** null where it is none, or not of this version. */
export function decodeCheckpoint(folded: bigint, state: Buffer): Checkpoint | null {
  try {
    const { owners, ...watermark } = JSON.parse(state.toString('utf8')) as WatermarkState & {
      owners?: unknown;
    };
    if (!Array.isArray(watermark.sources) || !Array.isArray(watermark.retired)) return null;
    return { folded, watermark, owners: ownersOf(owners) };
  } catch {
    return null;
  }
}

/** Empty for a checkpoint of before there were any. */
function ownersOf(told: unknown): Owner[] {
  if (!Array.isArray(told)) return [];
  return told.map(([writer, since]) => ({ writer: BigInt(writer), since: BigInt(since) }));
}

/** The owners, with the one who has read the state topic up to `since` now. */
export function succeeded(owners: readonly Owner[], writer: bigint, since: bigint): Owner[] {
  if (owners.at(-1)?.writer === writer) return [...owners];
  return [...owners, { writer, since }].slice(-OWNERS_MAX);
}

export function sameOwners(some: readonly Owner[], others: readonly Owner[]): boolean {
  return (
    some.length === others.length &&
    some.every(({ writer, since }, n) => {
      return writer === others[n]!.writer && since === others[n]!.since;
    })
  );
}

/** Whether the entry at this offset of the state topic was written by one who was not the owner then. */
export function isForeign(owners: readonly Owner[], offset: bigint, writer: bigint): boolean {
  const owner = owners.findLast(({ since }) => since <= offset);
  return owner !== undefined && owner.writer !== writer;
}
