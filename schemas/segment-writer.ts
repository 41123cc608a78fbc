/**
 * Writes segments (`segment.md`): records into blocks, blocks and a header into one object.
 * Pure but for allocation: the caller compresses the blocks. The same input gives the same bytes,
 * apart from what a compressor does between its versions.
 */
import assert from 'node:assert';
import { CALENDAR_MS_MAX, CALENDAR_MS_MIN } from './datum.ts';
import type { PartitionAddress } from './layout.ts';
import {
  envelopeSchema,
  FRAME_BYTES,
  GAP_SCHEMA,
  type Gap,
  headerEntries,
  OCF_MAGIC,
  SEGMENT_CODECS,
  type SegmentCodec,
  type SegmentHeader,
  SYNC_ATTEMPTS_MAX,
  SYNC_BYTES,
  syncMarker,
  VALUE_DATUM,
  VALUE_OPAQUE,
  VALUE_TOMBSTONE,
} from './segment.ts';
import { longBytes, VARINT_BYTES_MAX, writeInteger, writeLong } from './varint.ts';

/** A Kafka record as it is given to the writer. Its bytes are copied. */
export interface UnsealedRecord {
  offset: bigint;
  timestamp: bigint;
  key: Buffer | null;
  value: Buffer | null;
  headers: ReadonlyArray<{ key: string; value: Buffer | null }>;
}

/** A block as it is stored: `bytes` went through the codec. */
export interface StoredBlock {
  count: number;
  bytes: Buffer;
}

/** A block before compression. Its bytes and ends each have a memory that holds nothing else. */
export interface RawBlock extends StoredBlock {
  /** Where each record ends. */
  ends: Uint32Array<ArrayBuffer>;
}

/** A block starts with this much memory and doubles, so that a thousand idle partitions are cheap. */
const FIRST_BLOCK_BYTES = 4096;
/** After a full block the next is likely to fill too, but not to be one record of megabytes. */
const NEXT_BLOCK_BYTES_MAX = 1024 * 1024;
/** Everything of an envelope that is neither key, value nor headers, at its longest. */
const ENVELOPE_BYTES_MAX = 8 * VARINT_BYTES_MAX;

/** Collects encoded records until the caller takes them as a block. */
export class BlockBuilder {
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BLOCK_BYTES);
  #at = 0;
  #ends: number[] = [];

  /** Encoded bytes waiting. */
  get size(): number {
    return this.#at;
  }

  /** Memory held, bytes. */
  get capacity(): number {
    return this.#bytes.length;
  }

  get count(): number {
    return this.#ends.length;
  }

  /**
   * Adds a record. With a `schemaId` the value is a framed datum that the caller has walked: what
   * follows the frame is spliced in. Without, the whole value is kept as bytes.
   */
  add(record: UnsealedRecord, schemaId: number | null): void {
    const { key, value, headers } = record;
    let need = ENVELOPE_BYTES_MAX + (key?.length ?? 0) + (value?.length ?? 0);
    if (headers.length > 0) need += headersBytesMax(headers);
    if (this.#at + need > this.#bytes.length) this.#grow(this.#at + need);

    const bytes = this.#bytes;
    let at = writeLong(bytes, this.#at, record.offset);
    at = writeLong(bytes, at, record.timestamp);
    at = writeOptional(bytes, at, key);
    at = headers.length === 0 ? writeInteger(bytes, at, 0) : writeHeaders(bytes, at, headers);
    if (value === null) {
      bytes[at++] = 0;
      at = writeInteger(bytes, at, VALUE_TOMBSTONE);
    } else if (schemaId === null) {
      bytes[at++] = 0;
      at = writeInteger(bytes, at, VALUE_OPAQUE);
      at = writeInteger(bytes, at, value.length);
      at += value.copy(bytes, at);
    } else {
      bytes[at++] = 2;
      at = writeInteger(bytes, at, schemaId);
      at = writeInteger(bytes, at, VALUE_DATUM);
      at += value.copy(bytes, at, FRAME_BYTES);
    }
    this.#at = at;
    this.#ends.push(at);
  }

  /** Hands over what was collected and starts anew. The memory goes with it. */
  take(): RawBlock {
    const bytes = this.#bytes.subarray(0, this.#at);
    const block = { count: this.count, bytes, ends: Uint32Array.from(this.#ends) };
    // An eighth more, since the last record usually goes past the size at which a block is taken.
    const next = Math.min(NEXT_BLOCK_BYTES_MAX, Math.ceil(this.#at * 1.125));
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(FIRST_BLOCK_BYTES, next));
    this.#at = 0;
    this.#ends = [];
    return block;
  }

  #grow(need: number): void {
    const bytes = Buffer.allocUnsafeSlow(Math.max(need, this.#bytes.length * 2));
    this.#bytes.copy(bytes, 0, 0, this.#at);
    this.#bytes = bytes;
  }
}

function headersBytesMax(headers: UnsealedRecord['headers']): number {
  let size = 2 * VARINT_BYTES_MAX;
  for (const { key, value } of headers) {
    // A UTF-16 unit becomes at most three bytes of UTF-8.
    size += 3 * VARINT_BYTES_MAX + key.length * 3 + (value?.length ?? 0);
  }
  return size;
}

function writeOptional(bytes: Buffer, at: number, value: Buffer | null): number {
  if (value === null) {
    bytes[at] = 0;
    return at + 1;
  }
  bytes[at] = 2;
  const place = writeInteger(bytes, at + 1, value.length);
  return place + value.copy(bytes, place);
}

function writeHeaders(bytes: Buffer, at: number, headers: UnsealedRecord['headers']): number {
  let place = writeInteger(bytes, at, headers.length);
  for (const { key, value } of headers) {
    place = writeInteger(bytes, place, Buffer.byteLength(key));
    place += bytes.write(key, place, 'utf8');
    place = writeOptional(bytes, place, value);
  }
  return writeInteger(bytes, place, 0);
}

export interface SegmentParts {
  header: SegmentHeader;
  codec: SegmentCodec;
  /** Exactly as the registry gives it; null where no record was spliced. */
  writerSchema: string | null;
  /** In order. */
  blocks: readonly StoredBlock[];
}

/** The segment's bytes. */
export function assembleSegment(parts: SegmentParts): Buffer {
  const { header, blocks } = parts;
  const sync = freeSyncMarker(header, blocks);
  const pieces = [containerHeader(parts, sync)];
  for (const block of blocks) {
    pieces.push(longBytes(BigInt(block.count)), longBytes(BigInt(block.bytes.length)));
    pieces.push(block.bytes, sync);
  }
  return Buffer.concat(pieces);
}

/** A gap as a segment. Two writers that saw the same gap write the same bytes. */
export function gapSegment(address: PartitionAddress, gap: Gap): Buffer {
  const header: SegmentHeader = {
    ...address,
    kind: 'gap',
    firstOffset: gap.from,
    nextOffset: gap.to,
    recordCount: 0,
    lastOffset: null,
    timestampMin: null,
    timestampMax: null,
    schemaId: null,
  };
  const bytes = Buffer.concat([
    longBytes(gap.from),
    longBytes(gap.to),
    lengthPrefixed(gap.reason),
    longBytes(gap.logStartOffset),
  ]);
  const blocks = [{ count: 1, bytes }];
  return assembleSegment({ header, codec: 'null', writerSchema: null, blocks });
}

/** True where a reader that turns milliseconds into a date can do so. */
export function isCalendarTime(timestampMin: bigint | null, timestampMax: bigint | null): boolean {
  if (timestampMin === null || timestampMax === null) return true;
  return timestampMin >= BigInt(CALENDAR_MS_MIN) && timestampMax <= BigInt(CALENDAR_MS_MAX);
}

function containerHeader(parts: SegmentParts, sync: Buffer): Buffer {
  const { header, codec, writerSchema } = parts;
  assert(SEGMENT_CODECS.includes(codec), 'a codec of the format');
  assert((writerSchema === null) === (header.schemaId === null), 'schema and id go together');
  const calendarTime = isCalendarTime(header.timestampMin, header.timestampMax);
  const schema =
    header.kind === 'gap' ? GAP_SCHEMA : envelopeSchema({ writerSchema, calendarTime });
  const entries: Array<[string, string]> = [
    ['avro.schema', schema],
    ['avro.codec', codec],
    ...headerEntries(header),
  ];
  const pieces = [OCF_MAGIC, longBytes(BigInt(entries.length))];
  for (const [key, value] of entries) pieces.push(lengthPrefixed(key), lengthPrefixed(value));
  pieces.push(longBytes(0n), sync);
  return Buffer.concat(pieces);
}

function lengthPrefixed(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  return Buffer.concat([longBytes(BigInt(bytes.length)), bytes]);
}

function freeSyncMarker(header: SegmentHeader, blocks: readonly StoredBlock[]): Buffer {
  for (let attempt = 0; attempt < SYNC_ATTEMPTS_MAX; attempt++) {
    const sync = syncMarker(header, attempt);
    if (!blocks.some(({ bytes }) => bytes.includes(sync))) return sync;
  }
  // Eight planted markers: splitting readers may stumble, the evidence is the same.
  const sync = syncMarker(header, 0);
  assert(sync.length === SYNC_BYTES);
  return sync;
}
