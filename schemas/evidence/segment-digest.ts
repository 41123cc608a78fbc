/**
 * What a manifest says of a segment, read out of the segment's bytes. The writer gets the same
 * while it fills the segment; this is for segments that are there already: to catch up with them,
 * to go on behind another writer's, and to verify. Pure but for `breathe`.
 */
import { readSegment, readSegmentHeader, scanRecords } from '../segment.ts';
import { EventTimes, eventTimeReader } from './event-time.ts';
import type { SegmentDigest } from './manifest.ts';
import { EMPTY_ROOT, sha256 } from './merkle.ts';
import { RecordTree } from './record-tree.ts';

/** Records between two looks at the event loop. */
const SLICE_RECORDS = 2_000;

/**
 * @throws SegmentError where the bytes are not exactly one segment.
 */
export async function digestSegment(
  bytes: Buffer,
  breathe: () => Promise<void>,
): Promise<SegmentDigest> {
  const parsed = readSegmentHeader(bytes);
  const { header, writerSchema } = parsed;
  const common = { header, bytes: bytes.length, sha256: sha256(bytes) };
  if (header.kind === 'gap') {
    const { gap } = readSegment(bytes);
    const none = { eventTimeMin: null, eventTimeMax: null, eventTimes: 0 };
    return { ...common, ...none, gap, recordsRoot: EMPTY_ROOT };
  }
  const timeOf = writerSchema === null ? null : eventTimeReader(writerSchema);
  const times = new EventTimes();
  const tree = new RecordTree();
  for (const record of scanRecords(bytes, parsed)) {
    tree.addSealed(record);
    if (timeOf !== null && record.schemaId !== null) {
      const time = timeOf(record.body!, 0, record.body!.length);
      if (time !== null) times.add(time);
    }
    if (tree.size % SLICE_RECORDS === 0) await breathe();
  }
  return {
    ...common,
    gap: null,
    eventTimeMin: times.min,
    eventTimeMax: times.max,
    eventTimes: times.count,
    recordsRoot: tree.root(),
  };
}
