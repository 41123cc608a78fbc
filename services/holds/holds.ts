/** Adding to a case and releasing it: first the log, then the store. */
import {
  type HeldObject,
  type HoldAddition,
  type HoldAsked,
  type HoldBody,
  type HoldBook,
  type HoldCase,
  holdBody,
  type Segments,
} from '../../schemas/evidence/hold-leaf.ts';
import { timeOf } from '../../schemas/evidence/leaf.ts';
import type { Signer } from '../../schemas/evidence/note.ts';
import { Failure } from '../runtime/errors.ts';
import type { HoldFilter } from './filter.ts';
import {
  type Changed,
  type KeepOptions,
  objectsOf,
  type SegmentObjects,
  setHolds,
  unneeded,
} from './keeper.ts';
import { readBook, record } from './ledger.ts';
import { type Selection, select } from './select.ts';

export interface WriteOptions extends KeepOptions {
  signer: Signer;
  /** Epoch ms. */
  nowMs: number;
}

export interface AddPlan {
  selection: Selection;
  wanted: Segments;
  /** What the case does not keep yet. */
  fresh: SegmentObjects[];
}

export interface AddRequest {
  name: string;
  reason: string;
  asked: HoldAsked;
  filters: readonly HoldFilter[];
}

/** What an addition would be; nothing is written. */
export async function planAddition(request: AddRequest, options: KeepOptions): Promise<AddPlan> {
  const selection = await select(request.asked, request.filters, options);
  const wanted = new Map<string, Set<number>>();
  for (const { log, sequence } of selection.chosen) {
    const numbers = wanted.get(log) ?? new Set();
    wanted.set(log, numbers.add(sequence));
  }
  const { book } = await readBook(options.store, options.prefix);
  const fresh = await objectsOf(book.missing(request.name, wanted), options);
  return { selection, wanted, fresh };
}

export interface Done extends Changed {
  /** Number of the leaf that was written; null where the log said it already. */
  leaf: number | null;
  unsigned: string | null;
  segments: number;
  /** Keys that should be there and are not. */
  missing: string[];
}

/** Writes the addition, then sets every hold of the case: also those that an earlier run did not. */
export async function add(
  { name, reason, asked }: AddRequest,
  { wanted, fresh }: AddPlan,
  options: WriteOptions,
): Promise<Done> {
  const { store, prefix, signer, nowMs } = options;
  const known = new Map(fresh.map((one) => [placeOf(one), one]));
  const decide = async (book: HoldBook): Promise<HoldBody | null> => {
    const missing = book.missing(name, wanted);
    if (missing.size === 0) return null;
    const objects = flat(await lookedUp(missing, known, options));
    const what = { time: timeOf(nowMs), case: name, action: 'add', reason, asked } as const;
    return holdBody(what, missing, objects);
  };
  const { book, leaf, unsigned } = await record(store, prefix, signer, decide);
  const segments: SegmentObjects[] = [];
  for (const addition of book.cases.get(name)?.additions ?? []) {
    segments.push(...(await lookedUp(addition.segments, known, options)));
  }
  const changed = await setHolds(flat(segments), true, options);
  return summary(changed, segments, leaf?.sequence ?? null, unsigned);
}

/** Those that were looked up before are not looked up again. */
async function lookedUp(
  segments: Segments,
  known: ReadonlyMap<string, SegmentObjects>,
  options: KeepOptions,
): Promise<SegmentObjects[]> {
  const found: SegmentObjects[] = [];
  const unknown = new Map<string, Set<number>>();
  for (const [log, numbers] of segments) {
    for (const sequence of numbers) {
      const one = known.get(placeOf({ log, sequence }));
      if (one !== undefined) found.push(one);
      else unknown.set(log, (unknown.get(log) ?? new Set()).add(sequence));
    }
  }
  return unknown.size === 0 ? found : [...found, ...(await objectsOf(unknown, options))];
}

function placeOf({ log, sequence }: Pick<SegmentObjects, 'log' | 'sequence'>): string {
  return `${log} ${sequence}`;
}

export function flat(segments: readonly SegmentObjects[]): HeldObject[] {
  return segments.flatMap(({ objects }) => objects);
}

function summary(
  changed: Changed,
  segments: readonly SegmentObjects[],
  leaf: number | null,
  unsigned: string | null,
): Done {
  const missing = segments.flatMap((one) => one.missing);
  return { ...changed, leaf, unsigned, segments: segments.length, missing };
}

/** The case, or a failure that names those that are there. */
export function caseOf(book: HoldBook, name: string): HoldCase {
  const found = book.cases.get(name);
  if (found !== undefined) return found;
  const names = [...book.cases.keys()];
  throw new Failure(`there is no case ${name}`, {
    code: 'NO_CASE',
    hint: names.length === 0 ? 'No hold was ever set.' : `There are: ${names.join(', ')}.`,
  });
}

export interface ReleasePlan {
  /** Segments that the case keeps, or kept. */
  segments: number;
  /** Of these, those that no other open case keeps. */
  let: number;
}

/** @throws Failure `NO_CASE` */
export async function planRelease(name: string, options: KeepOptions): Promise<ReleasePlan> {
  const { book } = await readBook(options.store, options.prefix);
  const found = caseOf(book, name);
  const places = new Set<string>();
  let free = 0;
  for (const { segments } of [...found.let, ...found.additions]) {
    for (const [log, numbers] of segments) {
      for (const sequence of numbers) {
        const place = placeOf({ log, sequence });
        if (places.has(place)) continue;
        places.add(place);
        if (!book.isHeld(log, sequence, name)) free += 1;
      }
    }
  }
  return { segments: places.size, let: free };
}

/**
 * Writes the release, then lifts what no open case keeps; what another case asked for meanwhile is
 * set again. A case that was released already is gone through again.
 */
export async function release(name: string, reason: string, options: WriteOptions): Promise<Done> {
  const { store, prefix, signer, nowMs } = options;
  const decide = async (book: HoldBook): Promise<HoldBody | null> => {
    if (caseOf(book, name).released !== null) return null;
    const what = { time: timeOf(nowMs), case: name, action: 'release', reason } as const;
    return holdBody({ ...what, asked: null }, new Map(), []);
  };
  const { book, size, leaf, unsigned } = await record(store, prefix, signer, decide);
  const segments = await objectsOf(allOf(caseOf(book, name).let), options);
  const free = unneeded(book, segments);
  const changed = await setHolds(flat(free), false, options);
  const now = await readBook(store, prefix);
  if (now.size !== size) {
    const again = free.filter(({ log, sequence }) => now.book.isHeld(log, sequence));
    const { failed } = await setHolds(flat(again), true, options);
    changed.failed.push(...failed);
  }
  return summary(changed, free, leaf?.sequence ?? null, unsigned);
}

export function allOf(additions: readonly HoldAddition[]): Segments {
  const all = new Map<string, Set<number>>();
  for (const { segments } of additions) {
    for (const [log, numbers] of segments) {
      all.set(log, new Set([...(all.get(log) ?? []), ...numbers]));
    }
  }
  return all;
}
