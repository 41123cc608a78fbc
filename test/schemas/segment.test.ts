/** The segment format: what is written is read back, the page is true, and damage is refused. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { deflateRawSync, zstdCompressSync } from 'node:zlib';
import avsc from 'avsc';
import fc from 'fast-check';
import { slotKey } from '../../schemas/layout.ts';
import {
  envelopeSchema,
  type Gap,
  kafkaValue,
  parseSpliceSchema,
  readSegment,
  readSegmentHeader,
  type SegmentCodec,
  SegmentError,
  type SegmentErrorCode,
  type SegmentHeader,
  scanRecords,
  syncMarker,
} from '../../schemas/segment.ts';
import {
  assembleSegment,
  BlockBuilder,
  gapSegment,
  type StoredBlock,
  type UnsealedRecord,
} from '../../schemas/segment-writer.ts';
import { EXAMPLE_HEADER, EXAMPLE_SCHEMA, exampleSegment, hexDump } from './example-segment.ts';

const ADDRESS = { clusterId: 'cluster', topic: 'topic', topicId: 'id', partition: 1 };
const SCHEMA_ID = 7;

const spliceable = parseSpliceSchema(EXAMPLE_SCHEMA);
assert.ok(!('problem' in spliceable));

interface Plan {
  records: UnsealedRecord[];
  spliced: boolean[];
}

function compress(codec: SegmentCodec, bytes: Buffer): Buffer {
  if (codec === 'null') return bytes;
  return codec === 'deflate' ? deflateRawSync(bytes) : zstdCompressSync(bytes);
}

function seal({ records, spliced }: Plan, codec: SegmentCodec = 'null', blockRecords = 3): Buffer {
  const blocks: StoredBlock[] = [];
  const builder = new BlockBuilder();
  const close = (): void => {
    if (builder.count === 0) return;
    const { count, bytes } = builder.take();
    blocks.push({ count, bytes: compress(codec, bytes) });
  };
  for (const [index, record] of records.entries()) {
    builder.add(record, spliced[index] ? SCHEMA_ID : null);
    if (builder.count === blockRecords) close();
  }
  close();
  const times = records.map(({ timestamp }) => timestamp).sort((a, b) => (a < b ? -1 : 1));
  const hasDatum = spliced.some((is) => is);
  return assembleSegment({
    header: {
      ...ADDRESS,
      kind: 'data',
      firstOffset: 0n,
      nextOffset: (records.at(-1)?.offset ?? 0n) + 5n,
      recordCount: records.length,
      lastOffset: records.at(-1)?.offset ?? null,
      timestampMin: times[0] ?? null,
      timestampMax: times.at(-1) ?? null,
      schemaId: hasDatum ? SCHEMA_ID : null,
    },
    codec,
    writerSchema: hasDatum ? EXAMPLE_SCHEMA : null,
    blocks,
  });
}

const optionalBytes = fc.option(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
);
const value = fc.oneof(
  optionalBytes.map((bytes) => ({ value: bytes, spliced: false })),
  fc.string({ unit: 'grapheme', maxLength: 60 }).map((text) => {
    const datum = avsc.Type.forSchema(JSON.parse(EXAMPLE_SCHEMA)).toBuffer({ user: text });
    return { value: Buffer.concat([Buffer.from([0, 0, 0, 0, SCHEMA_ID]), datum]), spliced: true };
  }),
);
const header = fc.record(
  { key: fc.string({ maxLength: 8 }), value: optionalBytes },
  { noNullPrototype: true },
);
const record = fc.record({
  value,
  key: optionalBytes,
  timestamp: fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.bigInt(0n, 2n ** 42n)),
  skip: fc.bigInt(1n, 2n ** 50n),
  headers: fc.array(header, {
    maxLength: 3,
  }),
});
const plans = fc.array(record, { maxLength: 12 }).map((parts): Plan => {
  let offset = -1n;
  const records = parts.map(({ value: part, key, timestamp, skip, headers }) => {
    offset += skip;
    return { offset, timestamp, key, value: part.value, headers };
  });
  return { records, spliced: parts.map(({ value: part }) => part.spliced) };
});

describe('segment', () => {
  test('A1: reads back every record byte for byte, in every codec', () => {
    fc.assert(
      fc.property(plans, fc.constantFrom('null', 'deflate', 'zstandard'), (plan, codec) => {
        const segment = readSegment(seal(plan, codec as SegmentCodec));
        assert.equal(segment.records.length, plan.records.length);
        for (const [index, sealed] of segment.records.entries()) {
          const { offset, timestamp, key, headers, value: expected } = plan.records[index]!;
          assert.deepEqual(
            [sealed.offset, sealed.timestamp, sealed.key, kafkaValue(sealed), sealed.headers],
            [offset, timestamp, key, expected, headers],
          );
          assert.equal(sealed.schemaId, plan.spliced[index] ? SCHEMA_ID : null);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('another Avro library reads it', async () => {
    const plan = fc.sample(plans, { numRuns: 50, seed: 3 });
    for (const { records, spliced } of plan) {
      // avsc has no longs beyond 2^53.
      const small = records.map((one) => ({ ...one, timestamp: one.timestamp % 2n ** 40n }));
      const bytes = seal({ records: small, spliced }, 'deflate');
      const decoder = new avsc.streams.BlockDecoder({
        parseHook: (schema) => avsc.Type.forSchema(schema, { wrapUnions: true }),
      });
      const offsets: number[] = [];
      decoder.on('data', ({ offset }: { offset: number }) => offsets.push(offset));
      const done = new Promise((resolve, reject) => decoder.on('end', resolve).on('error', reject));
      decoder.end(bytes);
      await done;
      assert.deepEqual(
        offsets,
        small.map(({ offset }) => Number(offset)),
      );
    }
  });

  test('a header can be read from a part of the object', () => {
    const bytes = exampleSegment();
    const { size, header } = readSegmentHeader(bytes);
    assert.deepEqual(header, EXAMPLE_HEADER);
    for (let length = 0; length < size; length++) {
      assert.throws(() => readSegmentHeader(bytes.subarray(0, length)), { code: 'truncated' });
    }
    assert.deepEqual(readSegmentHeader(bytes.subarray(0, size)).header, EXAMPLE_HEADER);
  });

  test('the same records give the same bytes, and nothing of the writer is in them', () => {
    assert.deepEqual(exampleSegment(), exampleSegment());
  });

  test('a segment of control records only has no records', () => {
    const segment = readSegment(seal({ records: [], spliced: [] }));
    assert.deepEqual([segment.records, segment.header.recordCount], [[], 0]);
  });

  test('a gap is read back', () => {
    const gap: Gap = { from: 5n, to: 2n ** 60n, reason: 'retention', logStartOffset: 2n ** 60n };
    const segment = readSegment(gapSegment(ADDRESS, gap));
    assert.deepEqual(segment.gap, gap);
    assert.equal(segment.header.kind, 'gap');
    assert.deepEqual(segment.records, []);
    assert.throws(() => [...scanRecords(gapSegment(ADDRESS, gap))], SegmentError);
  });

  test('a time that no calendar shows takes the logical type away, not the record', () => {
    const at = (timestamp: bigint): string => {
      const one = { offset: 0n, timestamp, key: null, value: null, headers: [] };
      return seal({ records: [one], spliced: [false] }).toString('latin1');
    };
    assert.ok(at(1_790_000_000_000n).includes('timestamp-millis'));
    assert.ok(!at(2n ** 60n).includes('timestamp-millis'));
  });

  test('a sync marker planted in a record is avoided', () => {
    const planted = syncMarker({ ...ADDRESS, firstOffset: 0n }, 0);
    const one = { offset: 0n, timestamp: 0n, key: null, value: planted, headers: [] };
    const bytes = seal({ records: [one], spliced: [false] });
    const { sync } = readSegmentHeader(bytes);
    assert.deepEqual(sync, syncMarker({ ...ADDRESS, firstOffset: 0n }, 1));
    assert.deepEqual(kafkaValue(readSegment(bytes).records[0]!), planted);
  });

  test('names of the envelope cannot be taken by a writer schema', () => {
    for (const name of ['LakesealEnvelope', 'LakesealHeader']) {
      const text = JSON.stringify({ type: 'record', name, fields: [] });
      assert.ok('problem' in parseSpliceSchema(text), name);
    }
    const elsewhere = '{"type":"record","name":"a.LakesealEnvelope","fields":[]}';
    assert.ok(!('problem' in parseSpliceSchema(elsewhere)));
    // The envelope must not lend its namespace to a schema that has none.
    const schema = envelopeSchema({ writerSchema: EXAMPLE_SCHEMA, calendarTime: true });
    const type = avsc.Type.forSchema(JSON.parse(schema)) as avsc.types.RecordType;
    const union = type.fields.at(-1)!.type as avsc.types.UnwrappedUnionType;
    assert.equal(union.types[2]!.name, 'Login');
  });
});

describe('segment: damage', () => {
  const refuse = (bytes: Buffer, code?: SegmentErrorCode): void => {
    assert.throws(
      () => readSegment(bytes),
      (error: unknown) => {
        assert.ok(error instanceof SegmentError, String(error));
        if (code !== undefined) assert.equal(error.code, code);
        return true;
      },
    );
  };

  test('every truncation is refused', () => {
    const bytes = exampleSegment();
    for (let length = 0; length < bytes.length; length++) refuse(bytes.subarray(0, length));
  });

  test('bytes behind the end are refused', () => {
    for (const codec of ['null', 'deflate', 'zstandard'] as const) {
      const one = { offset: 0n, timestamp: 0n, key: null, value: null, headers: [] };
      const bytes = seal({ records: [one], spliced: [false] }, codec);
      refuse(Buffer.concat([bytes, Buffer.from([0])]), 'trailing_bytes');
      refuse(Buffer.concat([bytes, bytes]), 'trailing_bytes');
    }
  });

  test('bytes behind a compressed stream, inside its block, are refused', () => {
    const builder = new BlockBuilder();
    builder.add({ offset: 0n, timestamp: 0n, key: null, value: null, headers: [] }, null);
    const raw = builder.take();
    for (const codec of ['deflate', 'zstandard'] as const) {
      const bytes = Buffer.concat([compress(codec, raw.bytes), Buffer.from('hidden')]);
      const header: SegmentHeader = {
        ...EXAMPLE_HEADER,
        ...{ firstOffset: 0n, nextOffset: 1n, recordCount: 1, lastOffset: 0n, schemaId: null },
        ...{ timestampMin: 0n, timestampMax: 0n },
      };
      const blocks = [{ count: 1, bytes }];
      refuse(assembleSegment({ header, codec, writerSchema: null, blocks }), 'bad_block');
    }
  });

  test('no changed byte goes unseen outside the values, and none crashes the reader', () => {
    const bytes = exampleSegment();
    const before = readSegment(bytes);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 0x01;
      try {
        assert.notDeepEqual(readSegment(changed), before, `byte ${at}`);
      } catch (error) {
        assert.ok(error instanceof SegmentError, `byte ${at}: ${error}`);
      }
    }
  });

  test('a header that does not agree with the records is refused', () => {
    const plan = (change: Partial<SegmentHeader>): Buffer => {
      const builder = new BlockBuilder();
      for (const offset of [100n, 101n]) {
        builder.add({ offset, timestamp: 1000n, key: null, value: null, headers: [] }, null);
      }
      const header: SegmentHeader = {
        ...EXAMPLE_HEADER,
        ...{ recordCount: 2, lastOffset: 101n, schemaId: null, timestampMax: 1000n },
        ...change,
      };
      return assembleSegment({
        header,
        codec: 'null',
        writerSchema: null,
        blocks: [builder.take()],
      });
    };
    assert.equal(readSegment(plan({})).records.length, 2);
    refuse(plan({ recordCount: 3 }), 'truncated');
    refuse(plan({ recordCount: 1 }), 'bad_block');
    refuse(plan({ lastOffset: 102n }), 'bad_header');
    refuse(plan({ timestampMin: 999n }), 'bad_header');
    refuse(plan({ firstOffset: 101n }), 'bad_offset');
    refuse(plan({ nextOffset: 101n, lastOffset: 100n }), 'bad_header');
    refuse(plan({ nextOffset: 100n }), 'bad_header');
  });

  test('offsets that do not ascend are refused', () => {
    const one = { offset: 4n, timestamp: 0n, key: null, value: null, headers: [] };
    const records = [one, { ...one, offset: 4n }];
    refuse(seal({ records, spliced: [false, false] }), 'bad_offset');
  });

  test('a block that claims to expand beyond all bounds is refused quickly', () => {
    const bomb = deflateRawSync(Buffer.alloc(64 * 1024 * 1024));
    const header: SegmentHeader = { ...EXAMPLE_HEADER, schemaId: null };
    const blocks = [{ count: 3, bytes: bomb }];
    refuse(assembleSegment({ header, codec: 'deflate', writerSchema: null, blocks }));
  });
});

describe('segment.md', () => {
  const page = new URL('../../schemas/segment.md', import.meta.url);

  test('shows the example as it is written (LAKESEAL_UPDATE=1 renews it)', () => {
    const fence = /```hex\n[\s\S]*?```/;
    const shown = readFileSync(page, 'utf8');
    const expected = shown.replace(fence, () => `\`\`\`hex\n${hexDump(exampleSegment())}\n\`\`\``);
    if (process.env.LAKESEAL_UPDATE === '1') writeFileSync(page, expected);
    else assert.equal(shown, expected);
    assert.ok(shown.includes(slotKey('', EXAMPLE_HEADER)));
    for (const [, line] of shown.matchAll(/^([0-9a-f]{2}(?: +[0-9a-f]{2})+)(?: … 7d)? {3,}10/gm)) {
      const bytes = Buffer.from(line!.replaceAll(' ', ''), 'hex');
      assert.ok(exampleSegment().includes(bytes), line);
    }
    assert.equal([...shown.matchAll(/^c[8ac] 01 .* 10\d, \d000 ms/gm)].length, 3);
  });
});
