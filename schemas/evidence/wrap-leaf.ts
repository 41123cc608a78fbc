/**
 * Leaves of the log `wraps` (`schemas/evidence.md`): keys of encrypted segments, wrapped once more by
 * another secret, so that whoever has only that one opens them. Segments are not touched. Pure.
 */
import { z } from 'zod';
import type { EnvelopeHeader, RewrappedKey } from '../envelope.ts';
import { slotKey } from '../layout.ts';
import { SECRET_NAMES } from '../wrapping-key.ts';
import { type Leaf, leafSchema, longText, parseLeaf, timeText } from './leaf.ts';
import { parsePartitionLog } from './log-layout.ts';

export const WRAPS_LOG = 'wraps';

const ascending = <Entry extends [string, ...unknown[]]>(
  all: readonly Entry[],
  isBefore: (one: string, other: string) => boolean,
): boolean => all.every(([name], at) => at === 0 || isBefore(all[at - 1]![0], name));

const schema = leafSchema({
  time: timeText,
  wrap: z.enum(['local', 'kms']),
  key: z.string(),
  segments: z
    .array(
      z.tuple([
        z.string().refine((log) => parsePartitionLog(log) !== null, 'not the log of a partition'),
        z
          .array(z.tuple([longText, z.base64()]))
          .min(1)
          .refine(
            (all) => ascending(all, (one, other) => BigInt(one) < BigInt(other)),
            'not sorted',
          ),
      ]),
    )
    .min(1)
    .refine((all) => ascending(all, (one, other) => one < other), 'not sorted'),
}).refine(({ wrap, key }) => SECRET_NAMES[wrap].test(key), 'not what is said of a secret');

export interface WrapBody {
  time: string;
  wrap: EnvelopeHeader['wrap'];
  /** Which secret wrapped them: `WrappingKey.name`. */
  key: string;
  /** By log of the partition, then by first offset of the segment: its wrapped key, base64. */
  segments: Array<[log: string, keys: Array<[firstOffset: string, wrapped: string]>]>;
}

/** @throws LeafError where the bytes are no leaf of this log. */
export function parseWraps(bytes: Buffer): Leaf<WrapBody> {
  return parseLeaf<WrapBody>(bytes, schema);
}

/** Adds what a leaf says to what is known, by slot. */
export function addWraps(known: Map<string, RewrappedKey[]>, { key, segments }: WrapBody): void {
  for (const [log, keys] of segments) {
    const address = parsePartitionLog(log)!;
    for (const [firstOffset, wrapped] of keys) {
      const slot = slotKey('', { ...address, firstOffset: BigInt(firstOffset) });
      const before = known.get(slot);
      if (before === undefined) known.set(slot, [{ key, wrapped }]);
      else before.push({ key, wrapped });
    }
  }
}
