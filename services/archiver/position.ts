/**
 * Where a partition stands, read from the store: S3, not the consumer group, is the position of
 * record. Reads only. What does not look as lakeseal left it is never continued over: it is
 * answered as `broken`, and the partition halts.
 */
import assert from 'node:assert';
import {
  OFFSET_MAX,
  type PartitionAddress,
  parseSlotKey,
  partitionPrefix,
  type Slot,
  slotKey,
} from '../../schemas/layout.ts';
import {
  HEADER_BYTES_MAX,
  readSegmentHeader,
  SegmentError,
  type SegmentHeader,
} from '../../schemas/segment.ts';
import type { ObjectStore } from '../store/store.ts';

export type BrokenReason =
  /** A slot has a delete marker or more than one version: somebody tampered with it. */
  | 'versions'
  /** The object in a slot is not a segment of that slot. */
  | 'not_our_segment'
  /** The last segment does not start where the one before it ends. */
  | 'tiling';

export type Position =
  /** No segment yet: the chain begins at slot 0. */
  | { state: 'empty' }
  | { state: 'at'; nextOffset: bigint; last: SegmentHeader }
  | { state: 'broken'; reason: BrokenReason; key: string; detail: string };

type Reader = Pick<ObjectStore, 'get' | 'list' | 'versions'>;

/** Keys of one LIST page. */
const PAGE_KEYS = 1000;
/** Enough for the header of most segments; more is fetched where it is not. */
const HEADER_BYTES = 64 * 1024;
const GALLOP_OFFSETS = 65_536n;

/**
 * `hint` is an offset near the end, such as the group's committed one; a wrong hint costs calls and
 * nothing else.
 */
export async function readPosition(
  store: Reader,
  prefix: string,
  address: PartitionAddress,
  hint: bigint | null,
): Promise<Position> {
  const last = await findLastSlot(store, prefix, address, { hint });
  if (last !== null) {
    const broken = await checkTiling(store, prefix, last);
    if (broken !== null) return broken;
  }
  // Another writer may go on while we look, so what follows is asked for until there is nothing.
  // A deleted successor would leave a slot looking like the last one: its marker is found here.
  let found: SegmentHeader | null = null;
  let slot: Slot = last ?? { ...address, firstOffset: 0n };
  for (;;) {
    const header = await readSlot(store, prefix, slot);
    if (header === null) break;
    if ('state' in header) return header;
    found = header;
    slot = { ...address, firstOffset: header.nextOffset };
  }
  if (found !== null) return { state: 'at', nextOffset: found.nextOffset, last: found };
  if (last === null) return { state: 'empty' };
  const key = slotKey(prefix, last);
  return { state: 'broken', reason: 'versions', key, detail: 'it is listed but holds nothing' };
}

/** A slot ahead of the chain would make the archiver skip what lies between: look back once. */
async function checkTiling(store: Reader, prefix: string, last: Slot): Promise<Position | null> {
  const key = slotKey(prefix, last);
  if (last.firstOffset === 0n) return null;
  const options = { hint: last.firstOffset - 1n, below: last.firstOffset };
  const previous = await findLastSlot(store, prefix, last, options);
  if (previous === null) {
    const detail = 'the chain does not begin at offset 0';
    return { state: 'broken', reason: 'tiling', key, detail };
  }
  const found = await readSlot(store, prefix, previous);
  if (found !== null && 'state' in found) return found;
  if (found?.nextOffset === last.firstOffset) return null;
  const detail = `the segment before it ends at ${found?.nextOffset ?? 'no offset'}`;
  return { state: 'broken', reason: 'tiling', key, detail };
}

/** Null where the key never held anything. */
async function readSlot(
  store: Reader,
  prefix: string,
  slot: Slot,
): Promise<SegmentHeader | (Position & { state: 'broken' }) | null> {
  const key = slotKey(prefix, slot);
  const versions = await store.versions(key);
  if (versions.length === 0) return null;
  if (versions.length !== 1 || versions[0]!.isDeleteMarker) {
    const detail = versionsDetail(versions.length);
    return { state: 'broken', reason: 'versions', key, detail };
  }
  const header = await readHeader(store, key);
  if (typeof header === 'string') {
    return { state: 'broken', reason: 'not_our_segment', key, detail: header };
  }
  if (!sameSlot(header, slot)) {
    const detail = 'its header names another slot';
    return { state: 'broken', reason: 'not_our_segment', key, detail };
  }
  return header;
}

/** What is said of a key that does not hold exactly one version. */
export function versionsDetail(count: number): string {
  return `${count} versions or delete markers where one version should be`;
}

export function sameSlot(left: Slot, right: Slot): boolean {
  return slotKey('', left) === slotKey('', right);
}

/** The header, or why there is none. */
async function readHeader(store: Reader, key: string): Promise<SegmentHeader | string> {
  for (let to = HEADER_BYTES; ; to *= 8) {
    const object = await store.get(key, { from: 0, to });
    if (object === null) return 'it is listed but cannot be read';
    try {
      return readSegmentHeader(object.bytes).header;
    } catch (error) {
      if (!(error instanceof SegmentError)) throw error;
      const more = error.code === 'truncated' && object.size > to && to < HEADER_BYTES_MAX;
      if (!more) return error.message;
    }
  }
}

// --- search ----------------------------------------------------------------------------------

export interface SlotSearch {
  hint?: bigint | null;
  /** Slots from here on do not count. */
  below?: bigint;
}

/**
 * The last slot of a partition, or null, in a number of LIST calls that grows with the logarithm
 * of the offsets: a store lists only upwards, so the end is found by asking what comes after a
 * guess. Keys that are no slots are passed over.
 */
export async function findLastSlot(
  store: Pick<ObjectStore, 'list'>,
  prefix: string,
  address: PartitionAddress,
  { hint = null, below = OFFSET_MAX + 1n }: SlotSearch = {},
): Promise<Slot | null> {
  /** The greatest slot seen, and an offset from which on there is none. */
  let low: Slot | null = null;
  let high = below;
  let step = GALLOP_OFFSETS;
  let guess = hint !== null && hint > 0n && hint < below ? hint : 0n;
  for (;;) {
    const page = await slotsFrom(store, prefix, address, guess, below);
    const end = page.slots.at(-1);
    if (end === undefined) high = guess;
    else low = end;
    if (end !== undefined && page.complete) return end;
    if (high === 0n) return null;

    const floor: bigint = low === null ? 0n : low.firstOffset + 1n;
    if (low !== null && floor >= high) return low;
    if (low === null) guess = high > step ? high - step : 0n;
    else if (high === below) guess = floor + step < high ? floor + step : (floor + high) / 2n;
    else guess = (floor + high) / 2n;
    step *= 4n;
    assert(guess < high, 'the search narrows');
  }
}

interface SlotPage {
  slots: Slot[];
  /** True where no slot below the bound follows. */
  complete: boolean;
}

async function slotsFrom(
  store: Pick<ObjectStore, 'list'>,
  prefix: string,
  address: PartitionAddress,
  from: bigint,
  below: bigint,
): Promise<SlotPage> {
  const folder = partitionPrefix(prefix, address);
  let after = from === 0n ? undefined : slotKey(prefix, { ...address, firstOffset: from - 1n });
  for (;;) {
    const keys = await store.list(folder, after, PAGE_KEYS);
    const all = keys.map((key) => parseSlotKey(prefix, key)).filter((slot) => slot !== null);
    const slots = all.filter(({ firstOffset }) => firstOffset < below);
    const complete = keys.length < PAGE_KEYS || slots.length < all.length;
    if (slots.length > 0 || complete) return { slots, complete };
    after = keys.at(-1);
  }
}
