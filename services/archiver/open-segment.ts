/**
 * A segment that is still being filled: records are copied in, blocks are compressed in the thread
 * pool as they fill, and `finish` gives the bytes that are then sent and re-sent unchanged.
 * Nothing of it is durable: if the process dies here, the records are read from Kafka again.
 */
import type { WriterSchema } from '../../schemas/datum.ts';
import type { Slot } from '../../schemas/layout.ts';
import type { SegmentCodec, SegmentHeader } from '../../schemas/segment.ts';
import {
  assembleSegment,
  BlockBuilder,
  type RawBlock,
  type StoredBlock,
  type UnsealedRecord,
} from '../../schemas/segment-writer.ts';
import type { TreeGrower } from './record-tree.ts';
import type { OpenState } from './roll.ts';
import { FactsGatherer, type RecordFacts } from './segment-facts.ts';

export interface BlockOptions {
  codec: SegmentCodec;
  /** Uncompressed bytes at which a block is closed. */
  blockBytes: number;
  /** Compresses one block; resolves at once with the same bytes for the codec `null`. */
  compress: (bytes: Buffer) => Promise<Buffer> | Buffer;
  trees: TreeGrower;
}

export interface FinishedSegment {
  header: SegmentHeader;
  bytes: Buffer;
  /** Null where they were lost. */
  facts: RecordFacts | null;
}

/** Blocks of one segment that may wait for the thread pool before filling pauses. */
const COMPRESSING_MAX = 4;

export class OpenSegment implements OpenState {
  readonly slot: Slot;
  /** Where Kafka is to be read next; grows past control records and holes too. */
  nextOffset: bigint;
  records = 0;
  openedAtMs: number | null = null;
  schemaId: number | null = null;
  /** Bytes of keys, values and headers put in. */
  rawBytes = 0;

  readonly #options: BlockOptions;
  readonly #builder = new BlockBuilder();
  readonly #facts: FactsGatherer;
  readonly #blocks: Array<StoredBlock | null> = [];
  readonly #compressing = new Set<Promise<void>>();
  #schema: WriterSchema | null = null;
  #lastOffset: bigint | null = null;
  #timestampMin: bigint | null = null;
  #timestampMax: bigint | null = null;
  #storedBytes = 0;
  #heldBytes = 0;
  #problem: unknown;

  constructor(slot: Slot, options: BlockOptions) {
    this.slot = slot;
    this.nextOffset = slot.firstOffset;
    this.#options = options;
    this.#facts = new FactsGatherer(options.trees);
  }

  get storedBytes(): number {
    return this.#storedBytes + this.#builder.size;
  }

  /** Memory that sealing this segment gives back, bytes. */
  get memoryBytes(): number {
    return this.#heldBytes + this.#builder.capacity;
  }

  /** Adds a record that the caller has placed: with a schema, its framed datum has been walked. */
  add(record: UnsealedRecord, schemaId: number | null, nowMs: number): void {
    this.#builder.add(record, schemaId);
    this.#facts.add(record, schemaId !== null);
    this.openedAtMs ??= nowMs;
    this.records++;
    this.rawBytes += (record.key?.length ?? 0) + (record.value?.length ?? 0);
    this.nextOffset = record.offset + 1n;
    this.#lastOffset = record.offset;
    const { timestamp } = record;
    if (this.#timestampMin === null || timestamp < this.#timestampMin)
      this.#timestampMin = timestamp;
    if (this.#timestampMax === null || timestamp > this.#timestampMax)
      this.#timestampMax = timestamp;
    if (this.#builder.size >= this.#options.blockBytes) this.#closeBlock();
  }

  /** The first datum decides the writer schema of the file. */
  adoptSchema(schemaId: number, schema: WriterSchema): void {
    this.schemaId = schemaId;
    this.#schema = schema;
    this.#facts.adoptSchema(schema);
  }

  /** Null while filling may go on; else what to wait for. */
  get congestion(): Promise<unknown> | null {
    if (this.#compressing.size >= COMPRESSING_MAX) return Promise.race(this.#compressing);
    return this.#facts.congestion;
  }

  /** It is not going to be sealed. */
  discard(): void {
    this.#facts.discard();
  }

  /** The segment's bytes, and what they hold. To be called once; nothing may be added any more. */
  async finish(): Promise<FinishedSegment> {
    if (this.#builder.count > 0) this.#closeBlock();
    const [facts] = await Promise.all([this.#facts.finish(), ...this.#compressing]);
    if (this.#problem !== undefined) throw this.#problem;
    const header: SegmentHeader = {
      ...this.slot,
      kind: 'data',
      nextOffset: this.nextOffset,
      recordCount: this.records,
      lastOffset: this.#lastOffset,
      timestampMin: this.#timestampMin,
      timestampMax: this.#timestampMax,
      schemaId: this.schemaId,
    };
    const bytes = assembleSegment({
      header,
      codec: this.#options.codec,
      writerSchema: this.#schema?.text ?? null,
      blocks: this.#blocks as StoredBlock[],
    });
    this.#blocks.length = 0;
    return { header, bytes, facts };
  }

  #closeBlock(): void {
    const block = this.#builder.take();
    const place = this.#blocks.length;
    this.#blocks.push(null);
    this.#hold(block.bytes, 1);
    const compressed = this.#options.compress(block.bytes);
    if (Buffer.isBuffer(compressed)) {
      this.#place(place, block, compressed);
      return;
    }
    const work = compressed.then(
      (bytes) => this.#place(place, block, bytes),
      (error: unknown) => {
        this.#problem ??= error;
      },
    );
    this.#compressing.add(work);
    void work.then(() => this.#compressing.delete(work));
  }

  #place(place: number, raw: RawBlock, bytes: Buffer): void {
    this.#hold(raw.bytes, -1);
    this.#hold(bytes, 1);
    this.#blocks[place] = { count: raw.count, bytes };
  }

  #hold(bytes: Buffer, sign: 1 | -1): void {
    this.#storedBytes += sign * bytes.length;
    this.#heldBytes += sign * bytes.buffer.byteLength;
  }
}
