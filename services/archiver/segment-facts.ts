/**
 * What a manifest says of a segment's records, gathered while the segment fills: the root of the
 * tree over the record leaves and the event times. The same as `digestSegment` reads out of the
 * finished bytes, without reading them again.
 */
import type { WriterSchema } from '../../schemas/datum.ts';
import {
  type EventTimeReader,
  EventTimes,
  eventTimeReader,
} from '../../schemas/evidence/event-time.ts';
import type { SegmentDigest } from '../../schemas/evidence/manifest.ts';
import { EMPTY_ROOT } from '../../schemas/evidence/merkle.ts';
import { FRAME_BYTES } from '../../schemas/segment.ts';
import type { UnsealedRecord } from '../../schemas/segment-writer.ts';
import type { GrowingTree, TreeGrower } from './record-tree.ts';

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

export class FactsGatherer {
  readonly #tree: GrowingTree;
  readonly #times = new EventTimes();
  #eventTime: EventTimeReader | null = null;

  constructor(trees: TreeGrower) {
    this.#tree = trees.tree();
  }

  /** Null while adding may go on; else what to wait for. */
  get congestion(): Promise<void> | null {
    return this.#tree.congestion();
  }

  /** The writer schema of the datums that follow. */
  adoptSchema(schema: WriterSchema): void {
    this.#eventTime = eventTimeReader(schema);
  }

  /** `isDatum`: its value is a framed datum of the schema, to be spliced. */
  add(record: UnsealedRecord, isDatum: boolean): void {
    this.#tree.add(record);
    const { value } = record;
    if (!isDatum || value === null || this.#eventTime === null) return;
    const time = this.#eventTime(value, FRAME_BYTES, value.length);
    if (time !== null) this.#times.add(time);
  }

  /** Null where they were lost: they are then to be read back. */
  async finish(): Promise<RecordFacts | null> {
    const recordsRoot = await this.#tree.root();
    if (recordsRoot === null) return null;
    const { min, max, count } = this.#times;
    return { eventTimeMin: min, eventTimeMax: max, eventTimes: count, recordsRoot };
  }

  discard(): void {
    this.#tree.discard();
  }
}
