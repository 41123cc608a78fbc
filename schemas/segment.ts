/**
 * The sealed segment: what it promises, its names and limits, and a strict reader.
 *
 * A segment is an Avro Object Container File that holds every record of [firstOffset, nextOffset)
 * of one Kafka partition, byte for byte, or states that Kafka had lost that range (a gap). The
 * page for people is `segment.md`; the writer is `segment-writer.ts`.
 *
 * The reader accepts what the format allows and nothing else: it throws `SegmentError` for bytes
 * that are cut, changed, out of order, or followed by others. It does not judge whether the
 * content is genuine: that takes the manifests.
 */
import { createHash } from 'node:crypto';
import { inflateRawSync, zstdDecompressSync } from 'node:zlib';
import { parseWriterSchema, type WriterSchema } from './datum.ts';
import { OFFSET_MAX, type PartitionAddress, type Slot, slotKey } from './layout.ts';
import { type Cursor, readLong, readLongExact } from './varint.ts';

export const SEGMENT_FORMAT = 1;
export const OCF_MAGIC = Buffer.from('Obj\x01', 'latin1');
export const SYNC_BYTES = 16;
/** A block may grow to this many bytes before compression; it holds one record at least. */
export const BLOCK_BYTES_MAX = 1024 * 1024 * 1024;
/** The header, schema included. */
export const HEADER_BYTES_MAX = 16 * 1024 * 1024;
/** Sync markers that a writer may try, see `syncMarker`. */
export const SYNC_ATTEMPTS_MAX = 8;

export const SEGMENT_CODECS = ['null', 'deflate', 'zstandard'] as const;
export type SegmentCodec = (typeof SEGMENT_CODECS)[number];

/** Branches of the `value` union of an envelope. */
export const VALUE_TOMBSTONE = 0;
export const VALUE_OPAQUE = 1;
export const VALUE_DATUM = 2;

/** First byte of a Confluent-framed value; the schema id follows as four bytes, big-endian. */
export const FRAME_MAGIC = 0;
export const FRAME_BYTES = 5;

/** Names that a writer schema must not define, because the envelope does. */
export const ENVELOPE_NAMES = ['LakesealEnvelope', 'LakesealHeader', 'LakesealGap'] as const;

export interface SegmentHeader extends PartitionAddress {
  kind: 'data' | 'gap';
  /** The slot: where the segment before this one ended. */
  firstOffset: bigint;
  /** Where the next segment starts. */
  nextOffset: bigint;
  /** Kafka records held; 0 in a gap. */
  recordCount: number;
  /** Offset of the last record held; null where there is none. */
  lastOffset: bigint | null;
  /** Least and greatest Kafka record time, milliseconds since the epoch; null with no record. */
  timestampMin: bigint | null;
  timestampMax: bigint | null;
  /** Registry id of the writer schema of the spliced datums; null where there are none. */
  schemaId: number | null;
}

/** Why Kafka did not have a range any more, or why it was not asked for. */
export type GapReason =
  /** Kafka's retention had deleted it when the archiver came to it. */
  | 'retention'
  /** The partition was first archived after Kafka had deleted it. */
  | 'before_archive'
  /** The operator asked to start at the newest record. */
  | 'start_latest';

export const GAP_REASONS: readonly GapReason[] = ['retention', 'before_archive', 'start_latest'];

export interface Gap {
  from: bigint;
  to: bigint;
  reason: GapReason;
  /** First offset that Kafka held when the gap was seen. */
  logStartOffset: bigint;
}

/** A place in a block. */
export interface BlockCursor extends Cursor {
  bytes: Buffer;
}

/** A record as it stands in a segment. Buffers may be slices of the segment's bytes. */
export interface SealedRecord {
  offset: bigint;
  /** Kafka record time, milliseconds since the epoch. */
  timestamp: bigint;
  key: Buffer | null;
  headers: Array<{ key: string; value: Buffer | null }>;
  /** Of the datum in `body`; null where the body is the Kafka value itself. */
  schemaId: number | null;
  /** The Kafka value, or with a schema id what followed its 5-byte frame; null is a tombstone. */
  body: Buffer | null;
}

export interface Segment {
  header: SegmentHeader;
  codec: SegmentCodec;
  /** Of the spliced datums, as JSON text; null where there are none. */
  writerSchema: string | null;
  records: SealedRecord[];
  /** Set exactly where `header.kind` is `gap`. */
  gap: Gap | null;
}

export type SegmentErrorCode =
  | 'truncated'
  | 'not_a_segment'
  | 'bad_header'
  | 'unknown_format'
  | 'bad_schema'
  | 'bad_sync'
  | 'bad_block'
  | 'bad_record'
  | 'bad_offset'
  | 'bad_count'
  | 'trailing_bytes';

export class SegmentError extends Error {
  readonly code: SegmentErrorCode;
  /** Where in the stored bytes, as far as it is known: the start of the header or of the block. */
  readonly at: number;

  constructor(code: SegmentErrorCode, at: number, message: string) {
    super(message);
    this.name = 'SegmentError';
    this.code = code;
    this.at = at;
  }
}

/** The Kafka value of a sealed record, byte for byte. */
export function kafkaValue(record: Pick<SealedRecord, 'schemaId' | 'body'>): Buffer | null {
  const { schemaId, body } = record;
  if (body === null || schemaId === null) return body;
  const value = Buffer.allocUnsafe(FRAME_BYTES + body.length);
  value[0] = FRAME_MAGIC;
  value.writeUInt32BE(schemaId, 1);
  body.copy(value, FRAME_BYTES);
  return value;
}

/**
 * The `attempt`-th sync marker of a slot. It depends on the slot alone, so that writers agree. A
 * marker that occurs inside a block would mislead readers that split files, and who knows the slot
 * could plant it; so a writer takes the first attempt that does not occur.
 */
export function syncMarker(slot: Slot, attempt: number): Buffer {
  const key = slotKey('', slot);
  const text = attempt === 0 ? key : `${key}#${attempt}`;
  return createHash('sha256').update(text).digest().subarray(0, SYNC_BYTES);
}

// --- schemas -----------------------------------------------------------------------------------

export interface EnvelopeOptions {
  /** The writer schema of spliced datums, exactly as the registry gives it. */
  writerSchema: string | null;
  /** False leaves the logical type of `timestamp` out, see `segment.md`. */
  calendarTime: boolean;
}

/**
 * The schema of a data segment as JSON text. The names have no namespace, because a name inside
 * `writerSchema` that has none either would inherit it and become another name.
 */
export function envelopeSchema({ writerSchema, calendarTime }: EnvelopeOptions): string {
  const time = calendarTime ? '{"type":"long","logicalType":"timestamp-millis"}' : '"long"';
  const value = writerSchema === null ? '["null","bytes"]' : `["null","bytes",${writerSchema}]`;
  const fields = [
    '{"name":"offset","type":"long"}',
    `{"name":"timestamp","type":${time}}`,
    '{"name":"key","type":["null","bytes"]}',
    '{"name":"headers","type":{"type":"array","items":{"type":"record","name":"LakesealHeader",' +
      '"fields":[{"name":"key","type":"string"},{"name":"value","type":["null","bytes"]}]}}}',
    '{"name":"schemaId","type":["null","int"]}',
    `{"name":"value","type":${value}}`,
  ];
  return `{"type":"record","name":"LakesealEnvelope","fields":[${fields.join(',')}]}`;
}

export const GAP_SCHEMA =
  '{"type":"record","name":"LakesealGap","fields":[{"name":"from","type":"long"},' +
  '{"name":"to","type":"long"},{"name":"reason","type":"string"},' +
  '{"name":"logStartOffset","type":"long"}]}';

/**
 * The walker of a writer schema, or why its datums cannot stand in a segment: they are then kept
 * as plain bytes.
 */
export function parseSpliceSchema(text: string): WriterSchema | { problem: string } {
  const schema = parseWriterSchema(text);
  if ('problem' in schema) return schema;
  if (ENVELOPE_NAMES.some((name) => schema.names.has(name))) {
    return { problem: 'a type has the name of an envelope type' };
  }
  return schema;
}

// --- header ------------------------------------------------------------------------------------

export interface ParsedHeader {
  header: SegmentHeader;
  codec: SegmentCodec;
  sync: Buffer;
  /** Of the spliced datums; null where the file holds none. */
  writerSchema: WriterSchema | null;
  /** Where the first block starts. */
  size: number;
}

/** The header metadata of a segment, in the order in which a writer puts them. */
export function headerEntries(header: SegmentHeader): Array<[string, string]> {
  const entries: Array<[string, string | null]> = [
    ['lakeseal.format', String(SEGMENT_FORMAT)],
    ['lakeseal.kind', header.kind],
    ['lakeseal.cluster', header.clusterId],
    ['lakeseal.topic', header.topic],
    ['lakeseal.topicId', header.topicId],
    ['lakeseal.partition', String(header.partition)],
    ['lakeseal.firstOffset', String(header.firstOffset)],
    ['lakeseal.nextOffset', String(header.nextOffset)],
    ['lakeseal.recordCount', String(header.recordCount)],
    ['lakeseal.lastOffset', header.lastOffset === null ? null : String(header.lastOffset)],
    ['lakeseal.timestampMin', header.timestampMin === null ? null : String(header.timestampMin)],
    ['lakeseal.timestampMax', header.timestampMax === null ? null : String(header.timestampMax)],
    ['lakeseal.schemaId', header.schemaId === null ? null : String(header.schemaId)],
  ];
  return entries.filter((entry): entry is [string, string] => entry[1] !== null);
}

/**
 * Reads the header from the start of a segment; `bytes` may end anywhere behind it. Throws
 * `SegmentError`: `truncated` where the header is longer than `bytes`, so fetch more.
 */
export function readSegmentHeader(bytes: Buffer): ParsedHeader {
  const cursor: Cursor = { bytes, at: 0, end: bytes.length };
  const metadata = readMetadata(bytes, cursor);
  if (cursor.end - cursor.at < SYNC_BYTES) throw new SegmentError('truncated', 0, 'header is cut');
  const sync = bytes.subarray(cursor.at, cursor.at + SYNC_BYTES);
  const size = cursor.at + SYNC_BYTES;

  const take = takeEntries(metadata);
  const codec = take('avro.codec') as SegmentCodec;
  if (!SEGMENT_CODECS.includes(codec)) throw bad('bad_header', 'avro.codec is none of ours');
  const schemaText = take('avro.schema');
  const header = parseEntries(take);
  const unknown = [...metadata.keys()];
  if (unknown.length > 0) throw bad('bad_header', `unknown metadata: ${unknown[0]}`);
  checkHeader(header);
  checkSync(header, sync);
  return { header, codec, sync, writerSchema: checkSchema(header, schemaText), size };
}

function bad(code: SegmentErrorCode, message: string): SegmentError {
  return new SegmentError(code, 0, message);
}

function readMetadata(bytes: Buffer, cursor: Cursor): Map<string, string> {
  const magic = bytes.subarray(0, OCF_MAGIC.length);
  if (!magic.equals(OCF_MAGIC.subarray(0, magic.length))) {
    throw bad('not_a_segment', 'not an Avro object container file');
  }
  if (magic.length < OCF_MAGIC.length) throw bad('truncated', 'header is cut');
  cursor.at = OCF_MAGIC.length;
  const count = readLong(cursor);
  if (!(count > 0 && count <= 100)) {
    throw cut(cursor, count) ?? bad('bad_header', 'metadata is not one block');
  }
  const metadata = new Map<string, string>();
  for (let left = count; left > 0; left--) {
    const key = readText(bytes, cursor);
    if (metadata.has(key)) throw bad('bad_header', `metadata twice: ${key}`);
    metadata.set(key, readText(bytes, cursor));
  }
  const end = readLong(cursor);
  if (end !== 0) throw cut(cursor, end) ?? bad('bad_header', 'metadata is more than one block');
  return metadata;
}

/** A NaN at the very end of what we have is a header that goes on, not a bad one. */
function cut(cursor: Cursor, value: number): SegmentError | null {
  const short = Number.isNaN(value) && cursor.end - cursor.at < 10;
  return short && cursor.end < HEADER_BYTES_MAX ? bad('truncated', 'header is cut') : null;
}

function readText(bytes: Buffer, cursor: Cursor): string {
  const size = readLong(cursor);
  if (!(size >= 0 && size <= HEADER_BYTES_MAX)) {
    throw cut(cursor, size) ?? bad('bad_header', 'metadata has a bad length');
  }
  if (size > cursor.end - cursor.at) throw bad('truncated', 'header is cut');
  const text = bytes.toString('utf8', cursor.at, cursor.at + size);
  cursor.at += size;
  return text;
}

type Take = (name: string) => string;

/** Takes entries out, so that what is left at the end is known to be unknown. */
function takeEntries(
  metadata: Map<string, string>,
): Take & { maybe: (name: string) => string | null } {
  const maybe = (name: string): string | null => {
    const value = metadata.get(name) ?? null;
    metadata.delete(name);
    return value;
  };
  const take = (name: string): string => {
    const value = maybe(name);
    if (value === null) throw bad('bad_header', `metadata missing: ${name}`);
    return value;
  };
  return Object.assign(take, { maybe });
}

const INTEGER = /^(0|-?[1-9][0-9]{0,18})$/;

function parseEntries(take: ReturnType<typeof takeEntries>): SegmentHeader {
  if (take('lakeseal.format') !== String(SEGMENT_FORMAT)) {
    throw bad('unknown_format', 'a format that this reader does not know');
  }
  const kind = take('lakeseal.kind');
  if (kind !== 'data' && kind !== 'gap') throw bad('bad_header', 'lakeseal.kind is unknown');
  const integer = (name: string, text: string | null): bigint | null => {
    if (text !== null && !INTEGER.test(text)) throw bad('bad_header', `${name} is no integer`);
    return text === null ? null : BigInt(text);
  };
  const must = (name: string): bigint => integer(name, take(name))!;
  const may = (name: string): bigint | null => integer(name, take.maybe(name));
  const schemaId = may('lakeseal.schemaId');
  return {
    kind,
    clusterId: take('lakeseal.cluster'),
    topic: take('lakeseal.topic'),
    topicId: take('lakeseal.topicId'),
    partition: Number(must('lakeseal.partition')),
    firstOffset: must('lakeseal.firstOffset'),
    nextOffset: must('lakeseal.nextOffset'),
    recordCount: Number(must('lakeseal.recordCount')),
    lastOffset: may('lakeseal.lastOffset'),
    timestampMin: may('lakeseal.timestampMin'),
    timestampMax: may('lakeseal.timestampMax'),
    schemaId: schemaId === null ? null : Number(schemaId),
  };
}

function checkHeader(header: SegmentHeader): void {
  const { firstOffset, nextOffset, recordCount, lastOffset, timestampMin, timestampMax } = header;
  const ordered = firstOffset >= 0n && nextOffset > firstOffset && nextOffset <= OFFSET_MAX;
  if (!ordered) throw bad('bad_header', 'the offset range is empty or out of bounds');
  const empty = recordCount === 0;
  const blank = [lastOffset, timestampMin, timestampMax].map((value) => value === null);
  if (blank.some((isBlank) => isBlank !== empty)) {
    throw bad('bad_header', 'last offset and times must be given exactly where there are records');
  }
  if (recordCount < 0 || BigInt(recordCount) > nextOffset - firstOffset) {
    throw bad('bad_header', 'more records than offsets');
  }
  if (lastOffset !== null && (lastOffset < firstOffset || lastOffset >= nextOffset)) {
    throw bad('bad_header', 'the last offset is outside the range');
  }
  if (header.kind === 'gap' && !empty) throw bad('bad_header', 'a gap holds no records');
  if (header.schemaId !== null && (empty || !(header.schemaId >= 0 && header.schemaId < 2 ** 31))) {
    throw bad('bad_header', 'the schema id is out of bounds');
  }
}

function checkSync(header: SegmentHeader, sync: Buffer): void {
  try {
    for (let attempt = 0; attempt < SYNC_ATTEMPTS_MAX; attempt++) {
      if (syncMarker(header, attempt).equals(sync)) return;
    }
  } catch {
    throw bad('bad_header', 'the slot cannot be named');
  }
  throw bad('bad_sync', 'the sync marker is not that of the slot');
}

/** The schema must be exactly ours around the writer schema, up to JSON white space. */
function checkSchema(header: SegmentHeader, text: string): WriterSchema | null {
  if (header.kind === 'gap') {
    if (text !== GAP_SCHEMA) throw bad('bad_schema', 'not the gap schema');
    return null;
  }
  const writerSchema = innerSchema(text);
  if ((writerSchema === null) !== (header.schemaId === null)) {
    throw bad('bad_schema', 'a schema id without a writer schema, or the other way round');
  }
  if (writerSchema === null) return null;
  const schema = knownSchema(writerSchema);
  if ('problem' in schema) throw bad('bad_schema', `writer schema: ${schema.problem}`);
  return schema;
}

let newest: { text: string; schema: ReturnType<typeof parseSpliceSchema> } | null = null;

/** Segments that are read one after the other mostly have one schema: it is not parsed for each. */
function knownSchema(text: string): ReturnType<typeof parseSpliceSchema> {
  if (newest?.text !== text) newest = { text, schema: parseSpliceSchema(text) };
  return newest.schema;
}

function innerSchema(text: string): string | null {
  for (const calendarTime of [true, false]) {
    if (text === envelopeSchema({ writerSchema: null, calendarTime })) return null;
    // The writer schema stands between two texts that are the same in every segment.
    const [before, after] = envelopeSchema({ writerSchema: '\0', calendarTime }).split('\0');
    if (text.startsWith(before!) && text.endsWith(after!)) {
      return text.slice(before!.length, text.length - after!.length);
    }
  }
  throw bad('bad_schema', 'not the envelope schema');
}

// --- blocks and records --------------------------------------------------------------------------

/** Reads a whole segment. Throws `SegmentError` for anything that is not exactly one. */
export function readSegment(bytes: Buffer): Segment {
  const parsed = readSegmentHeader(bytes);
  const { header, codec } = parsed;
  const writerSchema = parsed.writerSchema?.text ?? null;
  const isGap = header.kind === 'gap';
  const gap = isGap ? readGap(bytes, parsed) : null;
  const records = isGap ? [] : [...scanRecords(bytes, parsed)];
  return { header, codec, writerSchema, records, gap };
}

/**
 * The records of a data segment, one block in memory at a time. What was yielded is right as far
 * as it goes; only the end of the iteration says that the segment is whole.
 */
export function* scanRecords(
  bytes: Buffer,
  parsed: ParsedHeader = readSegmentHeader(bytes),
): Generator<SealedRecord, void> {
  const { header, writerSchema } = parsed;
  if (header.kind !== 'data') throw bad('bad_header', 'a gap has no records');
  let count = 0;
  let last: bigint | null = null;
  let timestampMin: bigint | null = null;
  let timestampMax: bigint | null = null;
  for (const block of readBlocks(bytes, parsed)) {
    const cursor: Cursor = { bytes: block.bytes, at: 0, end: block.bytes.length };
    for (let left = block.count; left > 0; left--) {
      const record = readRecord(block.bytes, cursor, header.schemaId, writerSchema);
      if (record === null) throw new SegmentError('bad_record', block.at, 'a record is malformed');
      const { offset, timestamp } = record;
      if (offset < header.firstOffset || offset >= header.nextOffset) {
        throw new SegmentError('bad_offset', block.at, 'an offset is outside the segment');
      }
      if (last !== null && offset <= last) {
        throw new SegmentError('bad_offset', block.at, 'offsets do not ascend');
      }
      last = offset;
      if (timestampMin === null || timestamp < timestampMin) timestampMin = timestamp;
      if (timestampMax === null || timestamp > timestampMax) timestampMax = timestamp;
      count++;
      yield record;
    }
    if (cursor.at !== cursor.end) {
      throw new SegmentError('bad_block', block.at, 'bytes after the last record of a block');
    }
  }
  if (count !== header.recordCount) throw bad('bad_count', 'the record count is not that held');
  const same =
    last === header.lastOffset &&
    timestampMin === header.timestampMin &&
    timestampMax === header.timestampMax;
  if (!same) throw bad('bad_header', 'last offset or times are not those of the records');
}

/**
 * Whether those bytes stand anywhere in the records of a data segment, which are not looked at one by
 * one: a part of a record never lies in two blocks. Throws `SegmentError`.
 */
export function showsBytes(bytes: Buffer, parsed: ParsedHeader, wanted: Buffer): boolean {
  for (const block of readBlocks(bytes, parsed)) if (block.bytes.includes(wanted)) return true;
  return false;
}

function readGap(bytes: Buffer, parsed: ParsedHeader): Gap {
  const { header } = parsed;
  const blocks = [...readBlocks(bytes, parsed)];
  if (blocks.length !== 1 || blocks[0]!.count !== 1) throw bad('bad_count', 'a gap is one record');
  const block = blocks[0]!;
  const cursor: Cursor = { bytes: block.bytes, at: 0, end: block.bytes.length };
  const from = readLongExact(cursor);
  const to = readLongExact(cursor);
  const reason = readBytes(block.bytes, cursor)?.toString('utf8') as GapReason | undefined;
  const logStartOffset = readLongExact(cursor);
  const whole = cursor.at === cursor.end && reason !== undefined && GAP_REASONS.includes(reason);
  if (from === null || to === null || logStartOffset === null || !whole) {
    throw new SegmentError('bad_record', block.at, 'the gap record is malformed');
  }
  if (from !== header.firstOffset || to !== header.nextOffset) {
    throw new SegmentError('bad_offset', block.at, 'the gap is not that of the header');
  }
  return { from, to, reason, logStartOffset };
}

interface Block {
  at: number;
  count: number;
  bytes: Buffer;
}

function* readBlocks(bytes: Buffer, parsed: ParsedHeader): Generator<Block, void> {
  const cursor: Cursor = { bytes, at: parsed.size, end: bytes.length };
  // A gap or an empty segment has nothing, or one record, behind its header.
  let left = parsed.header.kind === 'gap' ? 1 : parsed.header.recordCount;
  while (left > 0) {
    const at = cursor.at;
    if (at === cursor.end) throw new SegmentError('truncated', at, 'records are missing');
    const count = readLong(cursor);
    const size = readLong(cursor);
    if (Number.isNaN(count) || Number.isNaN(size)) {
      throw new SegmentError('truncated', at, 'a block is cut');
    }
    if (!(count > 0 && count <= left && size >= 0)) {
      throw new SegmentError('bad_block', at, 'a block has an impossible count or size');
    }
    if (size + SYNC_BYTES > cursor.end - cursor.at) {
      throw new SegmentError('truncated', at, 'a block is cut');
    }
    const stored = bytes.subarray(cursor.at, cursor.at + size);
    cursor.at += size;
    const sync = bytes.subarray(cursor.at, cursor.at + SYNC_BYTES);
    if (!sync.equals(parsed.sync)) throw new SegmentError('bad_sync', at, 'a block ends wrongly');
    cursor.at += SYNC_BYTES;
    left -= count;
    yield { at, count, bytes: expand(stored, parsed.codec, at) };
  }
  if (cursor.at !== cursor.end) {
    throw new SegmentError('trailing_bytes', cursor.at, 'bytes after the last block');
  }
}

/** With `info`, which the types do not know: the bytes that were used up tell of any behind them. */
type Decompress = (
  bytes: Buffer,
  options: { maxOutputLength: number; chunkSize: number; info: true },
) => { buffer: Buffer; engine: { bytesWritten: number; _outBuffer: unknown } };

/** Times that audit events mostly shrink at least: a block that comes in one piece is not put together. */
const EXPANSION = 8;
const CHUNK_BYTES_MIN = 4 * 1024;
const CHUNK_BYTES_MAX = 1024 * 1024;

function expand(stored: Buffer, codec: SegmentCodec, at: number): Buffer {
  if (codec === 'null') return stored;
  const chunkSize = Math.min(Math.max(stored.length * EXPANSION, CHUNK_BYTES_MIN), CHUNK_BYTES_MAX);
  const options = { maxOutputLength: BLOCK_BYTES_MAX, chunkSize };
  try {
    const decompress: unknown = codec === 'zstandard' ? zstdDecompressSync : inflateRawSync;
    const { buffer, engine } = (decompress as Decompress)(stored, { ...options, info: true });
    // V8 keeps the engine until it collects everything, and with it a chunk that nobody reads again.
    engine._outBuffer = null;
    if (engine.bytesWritten !== stored.length) throw new RangeError('bytes after the stream');
    return buffer;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SegmentError('bad_block', at, `a block does not expand: ${reason}`);
  }
}

function readRecord(
  bytes: Buffer,
  cursor: Cursor,
  schemaId: number | null,
  writerSchema: WriterSchema | null,
): SealedRecord | null {
  const offset = readLongExact(cursor);
  const timestamp = readLongExact(cursor);
  if (offset === null || timestamp === null) return null;
  const key = readOptional(bytes, cursor);
  if (key === undefined) return null;
  const headers = readHeaders(bytes, cursor);
  if (headers === null) return null;
  const hasSchema = readLong(cursor);
  if (hasSchema !== 0 && hasSchema !== 1) return null;
  const id = hasSchema === 1 ? readLong(cursor) : null;
  const branch = readLong(cursor);
  // A schema id stands exactly at spliced datums, and there is one per segment.
  if ((branch === VALUE_DATUM) !== (id !== null) || (id !== null && id !== schemaId)) return null;
  const record: SealedRecord = { offset, timestamp, key, headers, schemaId: id, body: null };
  if (branch === VALUE_TOMBSTONE) return record;
  if (branch === VALUE_OPAQUE) {
    record.body = readBytes(bytes, cursor);
    return record.body === null ? null : record;
  }
  if (branch !== VALUE_DATUM || writerSchema === null) return null;
  const end = writerSchema.walk(bytes, cursor.at, cursor.end);
  if (end < 0) return null;
  record.body = bytes.subarray(cursor.at, end);
  cursor.at = end;
  return record;
}

/** A datum whose end is known. */
const TO_THE_END: WriterSchema = {
  text: '',
  names: new Set(),
  walk: (_bytes, _from, end) => end,
};

/**
 * The record between the cursor and its end, in a block that was just built: its datum was walked
 * before and is not walked again. @throws Error where it was not.
 */
export function readBuiltRecord(cursor: BlockCursor, schemaId: number | null): SealedRecord {
  const record = readRecord(cursor.bytes, cursor, schemaId, TO_THE_END);
  if (record === null || cursor.at !== cursor.end) throw new Error('a record is malformed');
  return record;
}

function readBytes(bytes: Buffer, cursor: Cursor): Buffer | null {
  const size = readLong(cursor);
  if (!(size >= 0 && size <= cursor.end - cursor.at)) return null;
  const slice = bytes.subarray(cursor.at, cursor.at + size);
  cursor.at += size;
  return slice;
}

/** A `["null","bytes"]` union; undefined where it is malformed. */
function readOptional(bytes: Buffer, cursor: Cursor): Buffer | null | undefined {
  const branch = readLong(cursor);
  if (branch === 0) return null;
  return branch === 1 ? (readBytes(bytes, cursor) ?? undefined) : undefined;
}

function readHeaders(bytes: Buffer, cursor: Cursor): SealedRecord['headers'] | null {
  const headers: SealedRecord['headers'] = [];
  const count = readLong(cursor);
  if (count === 0) return headers;
  if (!(count > 0 && count <= cursor.end - cursor.at)) return null;
  for (let left = count; left > 0; left--) {
    const key = readBytes(bytes, cursor);
    const value = readOptional(bytes, cursor);
    if (key === null || value === undefined) return null;
    headers.push({ key: key.toString('utf8'), value });
  }
  return readLong(cursor) === 0 ? headers : null;
}
