/** Record sets of fetch responses, written by kafkajs' encoder and read by ours. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { crc32c } from '@node-rs/crc32';
import fc from 'fast-check';
import { createCodecs } from '../../services/ingest/codecs.ts';
import {
  CorruptBatch,
  decodeRecordSet,
  type FetchedRecord,
} from '../../services/ingest/record-batch.ts';
import { type PlainMessage, recordBatch } from './record-batches.ts';

const codecs = createCodecs(64 * 1024 * 1024);
const byNumber = [undefined, codecs.gzip, codecs.snappy, codecs.lz4, codecs.zstd];
const decode = (set: Buffer): Promise<FetchedRecord[]> =>
  decodeRecordSet(set, async (codec, bytes) => byNumber[codec]!.decompress(bytes));

const blob = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const message: fc.Arbitrary<PlainMessage> = fc.record({
  key: fc.option(blob),
  value: fc.option(blob),
  timestamp: fc.integer({ min: -1, max: 8_640_000_000_000_000 }),
  headers: fc.dictionary(
    fc.string({ maxLength: 8 }),
    fc.oneof(blob, fc.array(blob, { minLength: 1 })),
    {
      maxKeys: 4,
      noNullPrototype: false,
    },
  ),
});

function flatHeaders(headers: PlainMessage['headers']): Array<[string, string]> {
  return Object.keys(headers).flatMap((key) =>
    [headers[key]!].flat().map((value): [string, string] => [key, value.toString('hex')]),
  );
}

function check(read: FetchedRecord[], written: PlainMessage[], baseOffset: bigint): void {
  assert.equal(read.length, written.length);
  read.forEach((record, i) => {
    const expected = written[i]!;
    assert.equal(record.offset, String(baseOffset + BigInt(i)));
    assert.equal(record.timestamp, String(expected.timestamp));
    assert.deepEqual(record.key, expected.key);
    assert.deepEqual(record.value, expected.value);
    assert.deepEqual(
      record.headerList.map(({ key, value }) => [key, value?.toString('hex')]),
      flatHeaders(expected.headers),
    );
  });
}

test('any messages, any codec, any offsets come out as they went in', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(message, { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 0, max: 4 }),
      fc.bigInt({ min: 0n, max: 2n ** 63n - 100n }),
      async (messages, compression, baseOffset) => {
        const set = await recordBatch(messages, { compression, baseOffset });
        check(await decode(set), messages, baseOffset);
      },
    ),
    { numRuns: 300, seed: 1 },
  );
});

const plain = (value: string): PlainMessage => ({
  key: null,
  value: Buffer.from(value),
  timestamp: 1_700_000_000_000,
  headers: {},
});

test('batches that were cut off at the end of the response are left for the next fetch', async () => {
  const first = await recordBatch([plain('a'), plain('b')]);
  const second = await recordBatch([plain('c')], { baseOffset: 2n });
  const set = Buffer.concat([first, second]);
  for (let length = 0; length <= set.length; length++) {
    const whole = length === set.length ? 3 : length >= first.length ? 2 : 0;
    assert.equal((await decode(set.subarray(0, length))).length, whole, `${length} bytes`);
  }
});

test('150,000 records in one batch, which overflows the stack of stock kafkajs', async () => {
  const count = 150_000;
  const messages = Array.from({ length: count }, () => plain('x'));
  const records = await decode(await recordBatch(messages, { compression: 1 }));
  assert.equal(records.length, count);
  assert.equal(records.at(-1)!.offset, String(count - 1));
});

test('a changed bit under the checksum is an error that names the batch', async () => {
  const set = await recordBatch([plain('one'), plain('two')], { baseOffset: 77n });
  for (let at = 17; at < set.length; at++) {
    const altered = Buffer.from(set);
    altered[at]! ^= 0x10;
    await assert.rejects(decode(altered), (error) => {
      assert.ok(error instanceof CorruptBatch, String(error));
      assert.match(error.message, /offset 77/);
      return true;
    });
  }
});

test('lengths that point outside the batch are errors even under a right checksum', async () => {
  const set = await recordBatch([plain('0123456789')]);
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 57, max: set.length - 1 }),
      fc.integer({ min: 0, max: 255 }),
      async (at, byte) => {
        const altered = Buffer.from(set);
        altered[at] = byte;
        altered.writeUInt32BE(crc32c(altered.subarray(21)), 17);
        try {
          const records = await decode(altered);
          for (const { value } of records) assert.ok((value?.length ?? 0) <= set.length);
        } catch (error) {
          assert.ok(error instanceof CorruptBatch, String(error));
          refused++;
        }
      },
    ),
    { numRuns: 2_000, seed: 3 },
  );
  assert.ok(refused > 200, `${refused} refused`);
});

test('a header that repeats, a null header, and names of Object.prototype', async () => {
  const load = createRequire(import.meta.url);
  const Encoder = load('kafkajs/src/protocol/encoder') as new () => {
    writeVarInt(n: number): unknown;
    writeInt8(n: number): unknown;
    writeVarIntString(text: string): unknown;
    writeVarIntBytes(bytes: Buffer | null): unknown;
    buffer: Buffer;
  };
  const body = new Encoder();
  body.writeInt8(0);
  for (const n of [0, 0, -1, -1]) body.writeVarInt(n);
  const headers: Array<[string, Buffer | null]> = [
    ['2', Buffer.from('b')],
    ['__proto__', Buffer.from('p')],
    ['1', null],
    ['2', Buffer.alloc(0)],
    ['constructor', Buffer.from('c')],
  ];
  body.writeVarInt(headers.length);
  for (const [key, value] of headers) {
    body.writeVarIntString(key);
    body.writeVarIntBytes(value);
  }
  const length = new Encoder();
  length.writeVarInt(body.buffer.length);
  const set = Buffer.concat([(await recordBatch([])).subarray(0, 61), length.buffer, body.buffer]);
  set.writeInt32BE(1, 57);
  set.writeInt32BE(set.length - 12, 8);
  set.writeUInt32BE(crc32c(set.subarray(21)), 17);
  const [record] = await decode(set);
  assert.deepEqual(
    record!.headerList.map(({ key, value }) => [key, value]),
    headers,
  );
  assert.equal(Object.getPrototypeOf(record!.headers), null);
  assert.deepEqual(record!.headers['2'], [Buffer.from('b'), Buffer.alloc(0)]);
  assert.deepEqual(record!.headers.constructor, Buffer.from('c'));
});

test('log append time, control and transaction flags', async () => {
  const set = await recordBatch([plain('a'), plain('b')]);
  set.writeInt16BE(0x08 | 0x10 | 0x20, 21);
  set.writeBigInt64BE(1_800_000_000_123n, 35);
  set.writeBigInt64BE(42n, 43);
  set.writeUInt32BE(crc32c(set.subarray(21)), 17);
  for (const record of await decode(set)) {
    assert.equal(record.timestamp, '1800000000123');
    assert.equal(record.isControlRecord, true);
    assert.deepEqual(record.batchContext, {
      producerId: '42',
      inTransaction: true,
      isControlBatch: true,
    });
  }
});

test('CRC-32C of the native library: the vectors of RFC 3720, and what kafkajs computes', () => {
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
  assert.equal(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43);
  assert.equal(crc32c(Buffer.from(Array.from({ length: 32 }, (_, i) => i))), 0x46dd794e);
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  const stock = createRequire(import.meta.url)('kafkajs/src/protocol/recordBatch/crc32C') as (
    bytes: Uint8Array,
  ) => number;
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 20 }), (bytes, start) => {
      const from = Math.min(start, bytes.length);
      assert.equal(crc32c(bytes.subarray(from)), stock(Buffer.from(bytes.subarray(from))) >>> 0);
    }),
  );
});
