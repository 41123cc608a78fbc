/**
 * Leaves of the log `holds` (`schemas/evidence.md`): which segments are kept under legal hold for
 * which case, and when a case ends. The log is what should be; the store is made to follow. Pure.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { hexText, type Leaf, leafSchema, parseLeaf, timeText } from './leaf.ts';
import { parsePartitionLog } from './log-layout.ts';

export const HOLDS_LOG = 'holds';

const CASE = /^[A-Za-z0-9][A-Za-z0-9._/#-]{0,99}$/;
const REASON_CHARS_MAX = 1_000;

/** Ascending, apart from each other, from the first up to before the second. */
const ranges = z
  .array(z.tuple([z.int().nonnegative(), z.int().positive()]))
  .min(1)
  .refine(
    (all) => all.every(([from, to], at) => from < to && (at === 0 || all[at - 1]![1] < from)),
    'not ascending ranges',
  );

const schema = leafSchema({
  time: timeText,
  case: z.string().refine(isCaseName, 'not the name of a case'),
  action: z.enum(['add', 'release']),
  reason: z.string().refine(isReason, 'not one line of text'),
  asked: z
    .strictObject({
      from: timeText.nullable(),
      to: timeText.nullable(),
      topics: z.array(z.string()),
      partitions: z.array(z.int().nonnegative()),
      filters: z.array(z.string()),
    })
    .nullable(),
  segments: z
    .array(
      z.tuple([
        z.string().refine((log) => parsePartitionLog(log) !== null, 'not the log of a partition'),
        ranges,
      ]),
    )
    .refine((all) => all.every(([log], at) => at === 0 || all[at - 1]![0] < log), 'not sorted'),
  objects: z.int().nonnegative(),
  objectsSha256: hexText,
}).refine(
  ({ action, asked, segments }) =>
    action === 'add'
      ? asked !== null && segments.length > 0
      : asked === null && segments.length === 0,
  'what was asked, and segments, belong to an addition',
);

/** What was asked for when segments were chosen. Null and empty: any. */
export interface HoldAsked {
  /** Event times, both included; RFC 3339, whole seconds. */
  from: string | null;
  to: string | null;
  topics: string[];
  partitions: number[];
  /** `FIELD=VALUE`; one event has them all. */
  filters: string[];
}

export interface HoldBody {
  time: string;
  case: string;
  action: 'add' | 'release';
  reason: string;
  asked: HoldAsked | null;
  /** By the log of the partition, ascending: sequence numbers of manifests. */
  segments: Array<[log: string, ranges: Array<[from: number, to: number]>]>;
  /** How many versions of objects, and the digest of their names. */
  objects: number;
  objectsSha256: string;
}

export function isCaseName(name: string): boolean {
  return CASE.test(name);
}

export function isReason(text: string): boolean {
  return /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(text) && text.length <= REASON_CHARS_MAX;
}

/** @throws LeafError where the bytes are no leaf of this log. */
export function parseHold(bytes: Buffer): Leaf<HoldBody> {
  return parseLeaf<HoldBody>(bytes, schema);
}

/** Manifests by the log they are in. */
export type Segments = ReadonlyMap<string, ReadonlySet<number>>;

export function holdBody(
  what: Pick<HoldBody, 'time' | 'case' | 'action' | 'reason' | 'asked'>,
  segments: Segments,
  objects: readonly HeldObject[],
): HoldBody {
  const sorted = [...segments].filter(([, numbers]) => numbers.size > 0).sort(byLog);
  return {
    ...what,
    segments: sorted.map(([log, numbers]) => [log, rangesOf(numbers)]),
    objects: objects.length,
    objectsSha256: objectsDigest(objects),
  };
}

function byLog([one]: [string, unknown], [other]: [string, unknown]): number {
  return one < other ? -1 : 1;
}

export function rangesOf(numbers: Iterable<number>): Array<[from: number, to: number]> {
  const found: Array<[number, number]> = [];
  for (const number of [...numbers].sort((one, other) => one - other)) {
    const last = found.at(-1);
    if (last !== undefined && last[1] === number) last[1] = number + 1;
    else found.push([number, number + 1]);
  }
  return found;
}

/** One version of an object that is kept. */
export interface HeldObject {
  key: string;
  versionId: string;
}

/** Hex of SHA-256 over `KEY TAB VERSION LF` of each, in the order of their bytes. */
export function objectsDigest(objects: readonly HeldObject[]): string {
  const lines = objects.map(({ key, versionId }) => Buffer.from(`${key}\t${versionId}\n`));
  const hash = createHash('sha256');
  for (const line of lines.sort(Buffer.compare)) hash.update(line);
  return hash.digest('hex');
}

/** One addition to a case that has not been released since. */
export interface HoldAddition {
  /** Of its leaf. */
  sequence: number;
  body: HoldBody;
  segments: Segments;
}

export interface HoldCase {
  name: string;
  additions: HoldAddition[];
  /** Null while the case is open. */
  released: HoldBody | null;
  /** What the newest release let go. */
  let: HoldAddition[];
}

/** What the log says, leaf by leaf. */
export class HoldBook {
  readonly cases = new Map<string, HoldCase>();

  take({ head, body }: Leaf<HoldBody>): void {
    const known = this.cases.get(body.case) ?? emptyCase(body.case);
    this.cases.set(body.case, known);
    if (body.action === 'release') {
      known.let.push(...known.additions.splice(0));
      known.released = body;
      return;
    }
    const segments = body.segments.map(([log, all]): [string, Set<number>] => [
      log,
      numbersOf(all),
    ]);
    known.additions.push({ sequence: head.sequence, body, segments: new Map(segments) });
    known.released = null;
  }

  /** Whether an open case, other than this one where one is given, keeps the segment of a manifest. */
  isHeld(log: string, sequence: number, besides?: string): boolean {
    for (const { name, additions } of this.cases.values()) {
      if (name === besides) continue;
      if (additions.some(({ segments }) => segments.get(log)?.has(sequence) === true)) return true;
    }
    return false;
  }

  /** Of these, what the case does not keep yet. */
  missing(name: string, wanted: Segments): Segments {
    const additions = this.cases.get(name)?.additions ?? [];
    const isKept = (log: string, sequence: number): boolean =>
      additions.some(({ segments }) => segments.get(log)?.has(sequence) === true);
    const left = new Map<string, Set<number>>();
    for (const [log, numbers] of wanted) {
      const more = [...numbers].filter((sequence) => !isKept(log, sequence));
      if (more.length > 0) left.set(log, new Set(more));
    }
    return left;
  }
}

function emptyCase(name: string): HoldCase {
  return { name, additions: [], released: null, let: [] };
}

function numbersOf(all: ReadonlyArray<[from: number, to: number]>): Set<number> {
  const numbers = new Set<number>();
  for (const [from, to] of all) for (let at = from; at < to; at++) numbers.add(at);
  return numbers;
}
