/**
 * Leaves of the log `root` (`schemas/evidence.md`): once an hour, the size and root of every other
 * log. Pure.
 */
import { z } from 'zod';
import { hashText, type Leaf, leafSchema, parseLeaf, timeText } from './leaf.ts';
import { isLog } from './log-layout.ts';

export const ROOT_LOG = 'root';
export const HOUR_MS = 3_600_000;

const schema = leafSchema({
  time: timeText.refine((text) => text.endsWith(':00:00Z'), 'not a full hour'),
  logs: z
    .array(z.tuple([z.string().refine(isLog, 'not a log'), z.int().nonnegative(), hashText]))
    .refine((logs) => logs.every(([log], at) => at === 0 || logs[at - 1]![0] < log), 'not sorted'),
});

export type LogState = [log: string, size: number, root: string];

export interface RootBody {
  /** The full hour. */
  time: string;
  /** Ascending by log. */
  logs: LogState[];
}

export function rootBody(time: string, logs: readonly LogState[]): RootBody {
  const sorted = [...logs].sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0));
  return { time, logs: sorted };
}

/** @throws LeafError where the bytes are no root leaf. */
export function parseRootLeaf(bytes: Buffer): Leaf<RootBody> {
  return parseLeaf<RootBody>(bytes, schema);
}
