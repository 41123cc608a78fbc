/**
 * What a manifest says of a segment's records, gathered while the segment fills: the root of the
 * tree over the record leaves (RFC 6962, section 2.1) and the event times. The same as
 * `digestSegment` reads out of the finished bytes, without reading them again.
 *
 * This runs for every record, so hashes stay in flat memory: a hash as a `Buffer` of its own costs
 * more than the hashing. Of the tree only the roots of its perfect subtrees are kept.
 */
import { hash } from 'node:crypto';
import type { WriterSchema } from '../../schemas/datum.ts';
import {
  type EventTimeReader,
  EventTimes,
  eventTimeReader,
} from '../../schemas/evidence/event-time.ts';
import type { SegmentDigest } from '../../schemas/evidence/manifest.ts';
import { EMPTY_ROOT, HASH_BYTES } from '../../schemas/evidence/merkle.ts';
import { recordLeafSize, writeRecordLeaf } from '../../schemas/evidence/record-leaf.ts';
import { FRAME_BYTES } from '../../schemas/segment.ts';
import type { UnsealedRecord } from '../../schemas/segment-writer.ts';

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

/** A tree of so many leaves has at most as many perfect subtrees as a safe integer has bits. */
const LEVELS_MAX = 53;
const LEAF_MARK = 0;
const NODE_MARK = 1;

/** Where every leaf is put together; grows to the largest record. All segments share it. */
let leaf = Buffer.allocUnsafeSlow(64 * 1024);
const node = Buffer.alloc(1 + 2 * HASH_BYTES, NODE_MARK);

/** The tree over the records of one segment. */
export class RecordTree {
  size = 0;
  /** One hash for each level that has a perfect subtree waiting, as a binary string. */
  readonly #levels: string[] = [];

  add(record: UnsealedRecord): void {
    const need = 1 + recordLeafSize(record);
    if (need > leaf.length) leaf = Buffer.allocUnsafeSlow(need * 2);
    leaf[0] = LEAF_MARK;
    const end = writeRecordLeaf(leaf, 1, record);
    let top = hash('sha256', leaf.subarray(0, end), 'binary');
    let level = 0;
    // As a binary counter carries: each one bit of the size is a subtree that is complete.
    for (let rest = this.size; rest % 2 === 1; rest = (rest - 1) / 2) {
      top = join(this.#levels[level]!, top);
      level++;
    }
    this.#levels[level] = top;
    this.size++;
  }

  root(): Buffer {
    let top: string | null = null;
    let rest = this.size;
    for (let level = 0; level < LEVELS_MAX && rest > 0; level++) {
      if (rest % 2 === 1) {
        const left = this.#levels[level]!;
        top = top === null ? left : join(left, top);
      }
      rest = Math.floor(rest / 2);
    }
    return top === null ? EMPTY_ROOT : Buffer.from(top, 'binary');
  }
}

function join(left: string, right: string): string {
  node.write(left, 1, HASH_BYTES, 'binary');
  node.write(right, 1 + HASH_BYTES, HASH_BYTES, 'binary');
  return hash('sha256', node, 'binary');
}

const readers = new WeakMap<WriterSchema, { read: EventTimeReader | null }>();

function readerOf(schema: WriterSchema): EventTimeReader | null {
  let known = readers.get(schema);
  if (known === undefined) {
    known = { read: eventTimeReader(schema.text) };
    readers.set(schema, known);
  }
  return known.read;
}

export class FactsGatherer {
  readonly #tree = new RecordTree();
  readonly #times = new EventTimes();
  #eventTime: EventTimeReader | null = null;

  /** The writer schema of the datums that follow. */
  adoptSchema(schema: WriterSchema): void {
    this.#eventTime = readerOf(schema);
  }

  /** `isDatum`: its value is a framed datum of the schema, to be spliced. */
  add(record: UnsealedRecord, isDatum: boolean): void {
    this.#tree.add(record);
    const { value } = record;
    if (!isDatum || value === null || this.#eventTime === null) return;
    const time = this.#eventTime(value, FRAME_BYTES, value.length);
    if (time !== null) this.#times.add(time);
  }

  finish(): RecordFacts {
    const { min, max, count } = this.#times;
    return {
      eventTimeMin: min,
      eventTimeMax: max,
      eventTimes: count,
      recordsRoot: this.#tree.root(),
    };
  }
}
