/**
 * The leaf of one Kafka record in the tree of its segment (`schemas/evidence.md`): what Kafka held,
 * whatever way a segment encodes it. Pure.
 */
import {
  type BlockCursor,
  FRAME_BYTES,
  FRAME_MAGIC,
  type SealedRecord,
  VALUE_DATUM,
  VALUE_OPAQUE,
  VALUE_TOMBSTONE,
} from '../segment.ts';
import type { UnsealedRecord } from '../segment-writer.ts';
import { EXACT, readLong } from '../varint.ts';
import { leafHash } from './merkle.ts';

const LONG_BYTES = 8;
const LENGTH_BYTES = 4;
const FIXED_BYTES = 2 * LONG_BYTES + 3 * LENGTH_BYTES;

/** Bytes of the leaf of a record as Kafka gives it. */
export function recordLeaf(record: UnsealedRecord): Buffer {
  const bytes = Buffer.allocUnsafe(recordLeafSize(record));
  writeRecordLeaf(bytes, 0, record);
  return bytes;
}

/** An upper bound where headers are not plain ASCII is not needed: this is the exact size. */
export function recordLeafSize({
  key,
  value,
  headers,
}: Pick<UnsealedRecord, 'key' | 'value' | 'headers'>): number {
  let size = FIXED_BYTES + (key?.length ?? 0) + (value?.length ?? 0);
  for (const header of headers) {
    size += 2 * LENGTH_BYTES + Buffer.byteLength(header.key) + (header.value?.length ?? 0);
  }
  return size;
}

/** Writes the leaf at `at`; returns where it ends. There must be `recordLeafSize` bytes. */
export function writeRecordLeaf(bytes: Buffer, at: number, record: UnsealedRecord): number {
  const view = viewOf(bytes);
  view.setBigInt64(bytes.byteOffset + at, record.offset);
  view.setBigInt64(bytes.byteOffset + at + LONG_BYTES, record.timestamp);
  let end = writeBytes(bytes, at + 2 * LONG_BYTES, record.key);
  end = bytes.writeInt32BE(record.headers.length, end);
  for (const { key, value } of record.headers) {
    const start = end + LENGTH_BYTES;
    const length = bytes.write(key, start, 'utf8');
    bytes.writeInt32BE(length, end);
    end = writeBytes(bytes, start + length, value);
  }
  return writeBytes(bytes, end, record.value);
}

/** The memory written last: leaf after leaf goes into the same. */
let view: DataView = new DataView(new ArrayBuffer(0));

/** Ten times as fast as `writeBigInt64BE`, which this is called too often for. */
function viewOf({ buffer }: Buffer): DataView {
  if (view.buffer !== buffer) view = new DataView(buffer);
  return view;
}

function writeBytes(bytes: Buffer, at: number, value: Buffer | null): number {
  if (value === null) return bytes.writeInt32BE(-1, at);
  const start = bytes.writeInt32BE(value.length, at);
  bytes.set(value, start);
  return start + value.length;
}

/** Hash of the leaf of a record as it stands in a segment. */
export function sealedLeafHash(record: SealedRecord): Buffer {
  return leafHash(sealedLeaf(record));
}

/** Bytes of the leaf of a record as it stands in a segment. */
export function sealedLeaf(record: SealedRecord): Buffer {
  const bytes = Buffer.allocUnsafe(sealedLeafSize(record));
  writeSealedLeaf(bytes, 0, record);
  return bytes;
}

/** The exact size of that leaf. */
export function sealedLeafSize({ schemaId, body, key, headers }: SealedRecord): number {
  const size = recordLeafSize({ key, headers, value: body });
  return schemaId === null || body === null ? size : size + FRAME_BYTES;
}

const HIGH = 2 ** 32;
/** What the leaf of a plain record is longer than the record in its block, at most. */
export const PLAIN_LEAF_MORE_BYTES = FIXED_BYTES + FRAME_BYTES;

/**
 * The leaf of the record that stands between the cursor and its end, in a block that was just built,
 * out of its bytes at once: records come by the ten thousand a second. Returns where the leaf ends, and
 * leaves the cursor at the datum, or at the end where there is none. -1 where the record is not plain
 * (it has headers, or numbers beyond ± 2^51) or no record: that is for `readBuiltRecord` to tell.
 */
export function writePlainLeaf(
  cursor: BlockCursor,
  schemaId: number | null,
  out: Buffer,
  at: number,
): number {
  const offset = readLong(cursor);
  const timestamp = readLong(cursor);
  if (!(isPlain(offset) && isPlain(timestamp))) return -1;
  const view = viewOf(out);
  writeNumber(view, out.byteOffset + at, offset);
  writeNumber(view, out.byteOffset + at + LONG_BYTES, timestamp);
  let end = at + 2 * LONG_BYTES;
  end = readLong(cursor) === 0 ? writeBytes(out, end, null) : copyBytes(cursor, out, end);
  if (readLong(cursor) !== 0) return -1;
  view.setInt32(out.byteOffset + end, 0);
  end += LENGTH_BYTES;
  const hasSchema = readLong(cursor) === 1;
  if (hasSchema && readLong(cursor) !== schemaId) return -1;
  const branch = readLong(cursor);
  if (branch === VALUE_TOMBSTONE || branch === VALUE_OPAQUE) {
    end = branch === VALUE_OPAQUE ? copyBytes(cursor, out, end) : writeBytes(out, end, null);
    return cursor.at === cursor.end && !hasSchema ? end : -1;
  }
  if (branch !== VALUE_DATUM || !hasSchema) return -1;
  const size = cursor.end - cursor.at;
  view.setInt32(out.byteOffset + end, FRAME_BYTES + size);
  end += LENGTH_BYTES;
  out[end] = FRAME_MAGIC;
  view.setUint32(out.byteOffset + end + 1, schemaId!);
  cursor.bytes.copy(out, end + FRAME_BYTES, cursor.at, cursor.end);
  return end + FRAME_BYTES + size;
}

function isPlain(value: number): boolean {
  return value > -EXACT && value < EXACT;
}

/** As `setBigInt64` of the same number. */
function writeNumber(target: DataView, at: number, value: number): void {
  target.setInt32(at, Math.floor(value / HIGH));
  target.setInt32(at + LENGTH_BYTES, value);
}

/** Up to here a loop is faster than the call. */
const FEW_BYTES = 48;

/** The bytes at the cursor, behind their size. */
function copyBytes(cursor: BlockCursor, out: Buffer, at: number): number {
  const size = readLong(cursor);
  const { bytes, at: from } = cursor;
  const to = at + LENGTH_BYTES;
  cursor.at += size;
  viewOf(out).setInt32(out.byteOffset + at, size);
  if (size > FEW_BYTES) bytes.copy(out, to, from, cursor.at);
  else for (let index = 0; index < size; index++) out[to + index] = bytes[from + index]!;
  return to + size;
}

/** As `writeRecordLeaf`. The frame is put back in place, so that a datum is copied once. */
export function writeSealedLeaf(
  bytes: Buffer,
  at: number,
  { schemaId, body, offset, timestamp, key, headers }: SealedRecord,
): number {
  if (schemaId === null || body === null) {
    return writeRecordLeaf(bytes, at, { offset, timestamp, key, headers, value: body });
  }
  const end = writeRecordLeaf(bytes, at, { offset, timestamp, key, headers, value: null });
  bytes.writeInt32BE(FRAME_BYTES + body.length, end - LENGTH_BYTES);
  bytes[end] = FRAME_MAGIC;
  bytes.writeUInt32BE(schemaId, end + 1);
  bytes.set(body, end + FRAME_BYTES);
  return end + FRAME_BYTES + body.length;
}
