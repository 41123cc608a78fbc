/**
 * Reads the record set of a fetch response (record batch format v2, magic 2).
 *
 * Promises: every record of every whole batch is returned once, in order, headers in the order of
 * the wire with null told from empty; each batch's CRC-32C is checked; a length that points outside
 * its batch is an error, never a short slice; the number of records of a batch has no limit but
 * memory. A batch cut off at the end of the response (how `maxBytes` works) is left for the next
 * fetch. Transactions are not judged here.
 *
 * Layout: https://kafka.apache.org/documentation/#recordbatch
 */
import { crc32c } from '@node-rs/crc32';
import type { RecordHeader } from './record.ts';

/** Bytes of a batch that its length field does not count: base offset and the length itself. */
const LENGTH_END = 12;
const MAGIC_AT = 16;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
const RECORDS_AT = 61;
export const MAGIC = 2;

const CODEC_MASK = 0x07;
const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

/** The bytes are not what the format allows, or were altered on the way. */
export class CorruptBatch extends Error {
  /** First offset of the batch, where its header could be read. */
  readonly baseOffset: bigint | null;
  constructor(what: string, baseOffset: bigint | null) {
    super(baseOffset === null ? what : `${what}, in the batch at offset ${baseOffset}`);
    this.name = 'CorruptBatch';
    this.baseOffset = baseOffset;
  }
}

export interface BatchContext {
  producerId: string;
  inTransaction: boolean;
  isControlBatch: boolean;
}

/** One record, with the members that kafkajs itself reads (offset and timestamp as text). */
export class FetchedRecord {
  readonly magicByte = MAGIC;
  readonly attributes = 0;
  readonly offset: string;
  readonly timestamp: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headerList: RecordHeader[];
  readonly isControlRecord: boolean;
  readonly batchContext: BatchContext;

  constructor(
    offset: string,
    timestamp: string,
    key: Buffer | null,
    value: Buffer | null,
    headerList: RecordHeader[],
    batchContext: BatchContext,
  ) {
    this.offset = offset;
    this.timestamp = timestamp;
    this.key = key;
    this.value = value;
    this.headerList = headerList;
    this.isControlRecord = batchContext.isControlBatch;
    this.batchContext = batchContext;
  }

  /** Headers as kafkajs shows them: by key, a list where a key repeats. */
  get headers(): Record<string, Buffer | null | Array<Buffer | null>> {
    const byKey = Object.create(null) as Record<string, Buffer | null | Array<Buffer | null>>;
    for (const { key, value } of this.headerList) {
      const before = byKey[key];
      if (before === undefined) byKey[key] = value;
      else if (Array.isArray(before)) before.push(value);
      else byKey[key] = [before, value];
    }
    return byKey;
  }
}

/** Turns the compressed records of a batch into plain ones; undefined where the codec is unknown. */
export type Decompress = (codec: number, bytes: Buffer) => Promise<Buffer>;

/** All records of the whole batches in `set`, which must start with a batch of magic 2. */
export async function decodeRecordSet(
  set: Buffer,
  decompress: Decompress,
): Promise<FetchedRecord[]> {
  const records: FetchedRecord[] = [];
  let at = 0;
  while (set.length - at >= RECORDS_AT) {
    const baseOffset = set.readBigInt64BE(at);
    const length = set.readInt32BE(at + 8);
    if (length < RECORDS_AT - LENGTH_END) {
      throw new CorruptBatch(`batch length ${length} is too small`, baseOffset);
    }
    const end = at + LENGTH_END + length;
    if (end > set.length) break;
    await decodeBatch(set.subarray(at, end), baseOffset, decompress, records);
    at = end;
  }
  return records;
}

async function decodeBatch(
  batch: Buffer,
  baseOffset: bigint,
  decompress: Decompress,
  into: FetchedRecord[],
): Promise<void> {
  const magic = batch.readInt8(MAGIC_AT);
  if (magic !== MAGIC) throw new CorruptBatch(`unexpected magic ${magic}`, baseOffset);
  const crc = batch.readUInt32BE(CRC_AT);
  if (crc32c(batch.subarray(ATTRIBUTES_AT)) !== crc)
    throw new CorruptBatch('CRC mismatch', baseOffset);

  const attributes = batch.readInt16BE(ATTRIBUTES_AT);
  const count = batch.readInt32BE(RECORDS_AT - 4);
  const codec = attributes & CODEC_MASK;
  const packed = batch.subarray(RECORDS_AT);
  const plain = codec === 0 || count <= 0 ? packed : await decompress(codec, packed);
  const reader = new RecordReader(plain, baseOffset);
  const context: BatchContext = {
    producerId: String(batch.readBigInt64BE(43)),
    inTransaction: (attributes & TRANSACTIONAL) !== 0,
    isControlBatch: (attributes & CONTROL) !== 0,
  };
  const stamp =
    (attributes & LOG_APPEND_TIME) === 0
      ? stampFrom(batch.readBigInt64BE(27))
      : constantStamp(batch.readBigInt64BE(35));
  const offsetOf = offsetFrom(baseOffset);
  for (let i = 0; i < count; i++) into.push(reader.next(offsetOf, stamp, context));
}

type OffsetOf = (delta: number) => string;
type StampOf = (delta: number | bigint) => string;

/** Plain numbers where they are exact, which is always except in tests: several times faster. */
function offsetFrom(base: bigint): OffsetOf {
  const exact = Number(base);
  return base >= 0n && exact < Number.MAX_SAFE_INTEGER - 2 ** 32
    ? (delta) => String(exact + delta)
    : (delta) => String(base + BigInt(delta));
}

function stampFrom(first: bigint): StampOf {
  const exact = Number(first);
  const small = Number.isSafeInteger(exact);
  return (delta) => {
    if (small && typeof delta === 'number') {
      const sum = exact + delta;
      if (Number.isSafeInteger(sum)) return String(sum);
    }
    return String(BigInt.asIntN(64, first + BigInt(delta)));
  };
}

function constantStamp(time: bigint): StampOf {
  const text = String(time);
  return () => text;
}

class RecordReader {
  readonly #bytes: Buffer;
  readonly #baseOffset: bigint;
  #at = 0;

  constructor(bytes: Buffer, baseOffset: bigint) {
    this.#bytes = bytes;
    this.#baseOffset = baseOffset;
  }

  next(offsetOf: OffsetOf, stampOf: StampOf, context: BatchContext): FetchedRecord {
    const length = this.#varint();
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length) this.#fail('a record is longer than its batch');
    this.#at += 1; // record attributes, unused by the format
    const timeDelta = this.#varlong();
    const offsetDelta = this.#varint();
    const key = this.#blob();
    const value = this.#blob();
    const headers = this.#headers();
    if (this.#at !== end) this.#fail('a record is not as long as it says');
    return new FetchedRecord(
      offsetOf(offsetDelta),
      stampOf(timeDelta),
      key,
      value,
      headers,
      context,
    );
  }

  #headers(): RecordHeader[] {
    const count = this.#varint();
    if (count < 0 || count > this.#bytes.length - this.#at) this.#fail('impossible header count');
    const headers: RecordHeader[] = [];
    for (let i = 0; i < count; i++) {
      const key = this.#blob();
      if (key === null) this.#fail('a header without a key');
      headers.push({ key: key!.toString('utf8'), value: this.#blob() });
    }
    return headers;
  }

  #blob(): Buffer | null {
    const length = this.#varint();
    if (length === -1) return null;
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length) this.#fail('a field is longer than its batch');
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  /** Zigzag varint of 32 bits. */
  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) this.#fail('a record ends early');
      value |= (byte! & 0x7f) << shift;
      if (byte! < 0x80) return (value >>> 1) ^ -(value & 1);
    }
    return this.#fail('a varint is too long');
  }

  /** Zigzag varint of 64 bits; a number where it is exact. */
  #varlong(): number | bigint {
    const start = this.#at;
    let value = 0;
    for (let shift = 0; shift < 49; shift += 7) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) this.#fail('a record ends early');
      value += (byte! & 0x7f) * 2 ** shift;
      if (byte! < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
    this.#at = start;
    return this.#bigVarlong();
  }

  #bigVarlong(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) this.#fail('a record ends early');
      value |= BigInt(byte! & 0x7f) << shift;
      if (byte! < 0x80) return (value >> 1n) ^ -(value & 1n);
    }
    return this.#fail('a varint is too long');
  }

  #fail(what: string): never {
    throw new CorruptBatch(what, this.#baseOffset);
  }
}
