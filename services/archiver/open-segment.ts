/**
 * A segment that is still being filled: records are copied in, blocks are compressed elsewhere
 * as they fill, and `finish` gives the bytes that are then sent and re-sent unchanged.
 * Nothing of it is durable: if the process dies here, the records are read from Kafka again.
 */
import type { WriterSchema } from '../../schemas/datum.ts';
import type { Slot } from '../../schemas/layout.ts';
import type { SegmentCodec, SegmentHeader } from '../../schemas/segment.ts';
import {
  assembleSegment,
  BlockBuilder,
  type StoredBlock,
  type UnsealedRecord,
} from '../../schemas/segment-writer.ts';
import type { BlockFinisher, SegmentFinisher } from './block-finisher.ts';
import type { OpenState } from './roll.ts';
import type { RecordFacts, SegmentWriter } from './segment-facts.ts';

export interface BlockOptions {
  codec: SegmentCodec;
  /** Uncompressed bytes at which a block is closed. */
  blockBytes: number;
  /** Compresses by that codec. */
  finisher: BlockFinisher;
}

export interface FinishedSegment {
  header: SegmentHeader;
  bytes: Buffer;
  facts: RecordFacts;
}

/** Blocks of one segment that may be unfinished before filling pauses. */
const FINISHING_MAX = 4;

export class OpenSegment implements OpenState {
  readonly slot: Slot;
  /** Where Kafka is to be read next; grows past control records and holes too. */
  nextOffset: bigint;
  records = 0;
  openedAtMs: number | null = null;
  #writer: SegmentWriter | null = null;
  /** Bytes of keys, values and headers put in. */
  rawBytes = 0;

  readonly #options: BlockOptions;
  readonly #builder = new BlockBuilder();
  readonly #finisher: SegmentFinisher;
  readonly #blocks: Array<StoredBlock | null> = [];
  readonly #unfinished = new Set<Promise<void>>();
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
    this.#finisher = options.finisher.segment();
  }

  get schemaId(): number | null {
    return this.#writer?.schemaId ?? null;
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
    this.#writer = { schemaId, schema };
  }

  /** Null while filling may go on; else what to wait for. */
  get congestion(): Promise<unknown> | null {
    return this.#unfinished.size < FINISHING_MAX ? null : Promise.race(this.#unfinished);
  }

  /** It is not going to be sealed. */
  discard(): void {
    this.#finisher.discard();
  }

  /** The segment's bytes, and what they hold. To be called once; nothing may be added any more. */
  async finish(): Promise<FinishedSegment> {
    if (this.#builder.count > 0) this.#closeBlock();
    await Promise.all(this.#unfinished);
    if (this.#problem !== undefined) throw this.#problem;
    const facts = await this.#finisher.facts();
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
      writerSchema: this.#writer?.schema.text ?? null,
      blocks: this.#blocks as StoredBlock[],
    });
    this.#blocks.length = 0;
    return { header, bytes, facts };
  }

  #closeBlock(): void {
    const block = this.#builder.take();
    const place = this.#blocks.length;
    this.#blocks.push(null);
    // Asked before the memory goes.
    const raw = { count: block.count, size: sizeOf(block.bytes) };
    this.#hold(raw.size, 1);
    const stored = this.#finisher.block(block, this.#writer);
    if (Buffer.isBuffer(stored)) {
      this.#place(place, raw, stored);
      return;
    }
    const work = stored.then(
      (bytes) => this.#place(place, raw, bytes),
      (error: unknown) => {
        this.#problem ??= error;
      },
    );
    this.#unfinished.add(work);
    void work.then(() => this.#unfinished.delete(work));
  }

  #place(place: number, { count, size }: { count: number; size: Size }, bytes: Buffer): void {
    this.#hold(size, -1);
    this.#hold(sizeOf(bytes), 1);
    this.#blocks[place] = { count, bytes };
  }

  #hold({ bytes, memory }: Size, sign: 1 | -1): void {
    this.#storedBytes += sign * bytes;
    this.#heldBytes += sign * memory;
  }
}

interface Size {
  bytes: number;
  memory: number;
}

function sizeOf({ length, buffer }: Buffer): Size {
  return { bytes: length, memory: buffer.byteLength };
}
