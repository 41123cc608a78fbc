/**
 * What a manifest says of a segment's records, gathered block by block while the segment fills: the
 * root of the tree over the record leaves and the event times. The same as `digestSegment` reads out
 * of the finished bytes, without expanding them again. Pure.
 */
import type { WriterSchema } from '../../schemas/datum.ts';
import { EventTimes, eventTimeReader } from '../../schemas/evidence/event-time.ts';
import type { SegmentDigest } from '../../schemas/evidence/manifest.ts';
import { EMPTY_ROOT } from '../../schemas/evidence/merkle.ts';
import { RecordTree } from '../../schemas/evidence/record-tree.ts';
import type { BlockCursor } from '../../schemas/segment.ts';
import type { RawBlock } from '../../schemas/segment-writer.ts';

export type RecordFacts = Pick<
  SegmentDigest,
  'eventTimeMin' | 'eventTimeMax' | 'eventTimes' | 'recordsRoot'
>;

/** Of a segment without records. */
export const NO_RECORDS: RecordFacts = {
  eventTimeMin: null,
  eventTimeMax: null,
  eventTimes: 0,
  recordsRoot: EMPTY_ROOT,
};

/** The schema of the datums that are spliced into a segment. */
export interface SegmentWriter {
  schemaId: number;
  schema: WriterSchema;
}

export class FactsGatherer {
  readonly #tree = new RecordTree();
  readonly #times = new EventTimes();

  /**
   * Blocks in their order. Without a writer there is no datum in the block.
   * @throws Error for bytes that are none.
   */
  add(block: RawBlock, writer: SegmentWriter | null): void {
    const timeOf = writer === null ? null : eventTimeReader(writer.schema);
    const schemaId = writer?.schemaId ?? null;
    const cursor: BlockCursor = { bytes: block.bytes, at: 0, end: 0 };
    for (const end of block.ends) {
      cursor.end = end;
      const datumAt = this.#tree.addBuilt(cursor, schemaId);
      cursor.at = end;
      if (timeOf === null || datumAt < 0) continue;
      const time = timeOf(block.bytes, datumAt, end);
      if (time !== null) this.#times.add(time);
    }
  }

  facts(): RecordFacts {
    const { min, max, count } = this.#times;
    return {
      eventTimeMin: min,
      eventTimeMax: max,
      eventTimes: count,
      recordsRoot: this.#tree.root(),
    };
  }
}
