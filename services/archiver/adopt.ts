/**
 * What to think of an object that is in our slot already. Ours, from an attempt whose answer was
 * lost; or another writer's, to be continued from if it holds what we hold; or neither.
 */
import type { Slot } from '../../schemas/layout.ts';
import {
  kafkaValue,
  type ParsedHeader,
  readSegment,
  readSegmentHeader,
  type SealedRecord,
  SegmentError,
  type SegmentHeader,
  scanRecords,
} from '../../schemas/segment.ts';
import { sameSlot } from './position.ts';

export type Verdict =
  | { verdict: 'ours' }
  | {
      verdict: 'adopt';
      header: SegmentHeader;
      /** Theirs declares lost what we hold: valid, but somebody should know. */
      coversRecords: boolean;
    }
  | { verdict: 'mismatch'; detail: string };

/** Records compared between two looks at the event loop. */
const SLICE_RECORDS = 2_000;

/**
 * Compares the offsets that both cover, record by record, on the Kafka bytes: how each writer
 * encoded them does not matter. `breathe` is awaited between slices.
 */
export async function judge(
  slot: Slot,
  ours: Buffer,
  theirs: Buffer,
  breathe: () => Promise<void>,
): Promise<Verdict> {
  if (theirs.equals(ours)) return { verdict: 'ours' };
  try {
    const parsed = readSegmentHeader(theirs);
    const { header } = parsed;
    if (!sameSlot(header, slot)) return mismatch('its header names another slot');
    const mine = readSegmentHeader(ours);
    if (header.kind === 'gap') {
      readSegment(theirs);
      return { verdict: 'adopt', header, coversRecords: mine.header.recordCount > 0 };
    }
    const difference = await compare(mine, ours, parsed, theirs, breathe);
    if (difference !== null) return mismatch(difference);
    return { verdict: 'adopt', header, coversRecords: false };
  } catch (error) {
    if (error instanceof SegmentError) return mismatch(`not a segment: ${error.message}`);
    throw error;
  }
}

function mismatch(detail: string): Verdict {
  return { verdict: 'mismatch', detail };
}

/** Reads theirs to the end, so that it is known to be whole. Null where nothing differs. */
async function compare(
  mine: ParsedHeader,
  ours: Buffer,
  their: ParsedHeader,
  theirs: Buffer,
  breathe: () => Promise<void>,
): Promise<string | null> {
  const end =
    mine.header.nextOffset < their.header.nextOffset
      ? mine.header.nextOffset
      : their.header.nextOffset;
  const held = mine.header.kind === 'gap' ? null : scanRecords(ours, mine);
  let count = 0;
  for (const record of scanRecords(theirs, their)) {
    if (++count % SLICE_RECORDS === 0) await breathe();
    if (held === null || record.offset >= end) continue;
    const own = held.next().value ?? null;
    if (own === null || !sameRecord(own, record)) return `offset ${record.offset} differs`;
  }
  const rest = held?.next().value ?? null;
  if (rest !== null && rest.offset < end) return `offset ${rest.offset} is missing`;
  return null;
}

function sameRecord(left: SealedRecord, right: SealedRecord): boolean {
  return (
    left.offset === right.offset &&
    left.timestamp === right.timestamp &&
    sameBytes(left.key, right.key) &&
    sameBytes(kafkaValue(left), kafkaValue(right)) &&
    left.headers.length === right.headers.length &&
    left.headers.every(({ key, value }, index) => {
      const other = right.headers[index]!;
      return key === other.key && sameBytes(value, other.value);
    })
  );
}

function sameBytes(left: Buffer | null, right: Buffer | null): boolean {
  if (left === null || right === null) return left === right;
  return left.equals(right);
}
