/** Blocks finished here or in threads: the bytes that are stored, and what the manifest says of them. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import avsc from 'avsc';
import fc from 'fast-check';
import { leafHash, rootOf } from '../../schemas/evidence/merkle.ts';
import { recordLeaf } from '../../schemas/evidence/record-leaf.ts';
import { parseSpliceSchema, type SegmentCodec } from '../../schemas/segment.ts';
import { BlockBuilder, type RawBlock, type UnsealedRecord } from '../../schemas/segment-writer.ts';
import {
  type BlockFinisher,
  finishHere,
  type SegmentFinisher,
} from '../../services/archiver/block-finisher.ts';
import { type BlockThreads, startBlockThreads } from '../../services/archiver/block-threads.ts';
import { blockCompressor } from '../../services/archiver/compress.ts';
import { NO_RECORDS, type SegmentWriter } from '../../services/archiver/segment-facts.ts';

function threadsOf(threads: number, codec: SegmentCodec = 'deflate'): BlockThreads {
  const died = (error: Error): never => {
    throw error;
  };
  return startBlockThreads({ codec, level: undefined, threads, died });
}

const pair = threadsOf(2);
const plain = threadsOf(1, 'null');
after(() => Promise.all([pair.close(), plain.close()]));

const SCHEMA_ID = 7;
const SCHEMA_TEXT = JSON.stringify({
  type: 'record',
  name: 'Event',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'eventTime', type: 'long' },
    { name: 'more', type: 'bytes' },
  ],
});
const type = avsc.Type.forSchema(JSON.parse(SCHEMA_TEXT));
const WRITER = writer();

function writer(): SegmentWriter {
  const schema = parseSpliceSchema(SCHEMA_TEXT);
  if ('problem' in schema) throw new Error(schema.problem);
  return { schemaId: SCHEMA_ID, schema };
}

/** With a time, its value is a framed datum. */
interface Made {
  record: UnsealedRecord;
  time: number | null;
}

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
/** As records mostly have them: those are made into leaves in another way. */
const PLAIN = fc.bigInt({ min: 0n, max: 2n ** 52n });
const made: fc.Arbitrary<Made> = fc
  .record({
    offset: fc.oneof(PLAIN, fc.bigInt({ min: 0n, max: 2n ** 63n - 1n })),
    timestamp: fc.oneof(
      PLAIN,
      PLAIN.map((time) => -time),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    ),
    key: fc.option(bytes),
    value: fc.option(bytes),
    headers: fc.oneof(
      fc.constant([]),
      fc.array(fc.record({ key: fc.string({ unit: 'grapheme' }), value: fc.option(bytes) }), {
        maxLength: 3,
      }),
    ),
    // Beyond it avsc writes other numbers.
    time: fc.option(fc.integer({ min: -(2 ** 50), max: 2 ** 50 })),
    text: fc.string({ unit: 'grapheme' }),
  })
  .map(({ time, text, ...record }) => {
    if (time === null) return { record, time };
    const datum = type.toBuffer({ id: text, eventTime: time, more: record.value ?? Buffer.of(0) });
    return { record: { ...record, value: framed(datum) }, time };
  });

function framed(datum: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0, 0, 0, 0, SCHEMA_ID]), datum]);
}

function blockOf(all: readonly Made[]): RawBlock {
  const builder = new BlockBuilder();
  for (const { record, time } of all) builder.add(record, time === null ? null : SCHEMA_ID);
  return builder.take();
}

/** By the plain definition of the root. */
function expected(all: readonly Made[]): object {
  const times = all.flatMap(({ time }) => (time === null ? [] : [BigInt(time)]));
  const sorted = times.toSorted((one, other) => (one < other ? -1 : 1));
  return {
    eventTimeMin: sorted[0] ?? null,
    eventTimeMax: sorted.at(-1) ?? null,
    eventTimes: times.length,
    recordsRoot: rootOf(all.map(({ record }) => leafHash(recordLeaf(record)))),
  };
}

function sized(size: number, offset: number): Made {
  const value = Buffer.alloc(size, offset);
  const record = { offset: BigInt(offset), timestamp: 0n, key: null, value, headers: [] };
  return { record, time: null };
}

function give(segment: SegmentFinisher, all: readonly Made[]): Promise<Buffer> | Buffer {
  const writerOf = all.some(({ time }) => time !== null) ? WRITER : null;
  return segment.block(blockOf(all), writerOf);
}

const finishers: Array<[string, BlockFinisher]> = [
  ['here', finishHere(blockCompressor('deflate', undefined))],
  ['in two threads', pair],
];

describe('blocks of segments', () => {
  for (const [where, finisher] of finishers) {
    test(`${where}: several segments at once, any number of blocks and records`, async () => {
      const blocks = fc.array(fc.array(made, { minLength: 1, maxLength: 12 }), { maxLength: 4 });
      await fc.assert(
        fc.asyncProperty(fc.array(blocks, { minLength: 1, maxLength: 5 }), async (all) => {
          const segments = all.map(() => finisher.segment());
          const stored: Array<Promise<void>> = [];
          for (let at = 0; at < 4; at++) {
            for (const [index, segment] of segments.entries()) {
              const records = all[index]![at];
              if (records === undefined) continue;
              const raw = Buffer.from(blockOf(records).bytes);
              const answer = Promise.resolve(give(segment, records));
              stored.push(
                answer.then((one) => assert.deepEqual(inflateRawSync(one), raw, 'what is stored')),
              );
            }
          }
          for (const [index, segment] of segments.entries()) {
            assert.deepEqual(await segment.facts(), expected(all[index]!.flat()));
          }
          await Promise.all(stored);
        }),
        { numRuns: 50 },
      );
    });

    test(`${where}: large records between small ones`, async () => {
      const segment = finisher.segment();
      const records = [10, 300_000, 20, 1_000_000, 5].map(sized);
      for (const one of records) await give(segment, [one]);
      assert.deepEqual(await segment.facts(), expected(records));
    });
  }

  test('a segment without records', async () => {
    assert.deepEqual(await pair.segment().facts(), NO_RECORDS);
  });

  test('the codec null stores what was built', async () => {
    const records = [1, 2, 3].map((offset) => sized(offset * 10, offset));
    const raw = Buffer.from(blockOf(records).bytes);
    assert.deepEqual(await give(plain.segment(), records), raw);
  });

  test('what is discarded takes nothing with it', async () => {
    const [one, other] = [plain.segment(), plain.segment()];
    const lost = give(one, [sized(10, 1)]);
    one.discard();
    await give(other, [sized(10, 2)]);
    assert.deepEqual(await other.facts(), expected([sized(10, 2)]));
    assert.ok((await lost).length > 0);
  });

  test('the memory of a block is given away', async () => {
    const block = blockOf([sized(10, 1)]);
    await plain.segment().block(block, null);
    assert.equal(block.bytes.length, 0);
  });

  for (const [how, end, deaths] of [
    ['is closed', (mortal: BlockThreads) => mortal.close(), 0],
    ['dies', async (mortal: BlockThreads) => void kill(mortal), 1],
  ] as const) {
    test(`a thread that ${how}: what is awaited rejects, and so does what follows`, async () => {
      const died: Error[] = [];
      const options = { codec: 'deflate', level: undefined, threads: 1 } as const;
      const mortal = startBlockThreads({ ...options, died: (error) => died.push(error) });
      const segment = mortal.segment();
      await give(segment, [sized(10, 1)]);
      const ended = end(mortal);
      const answers = [give(segment, [sized(10, 2)]), segment.facts()];
      const settled = await Promise.allSettled(answers);
      for (const one of settled) assert.equal(one.status, 'rejected');
      await ended;
      await assert.rejects(async () => give(mortal.segment(), [sized(10, 3)]), {
        code: 'BLOCK_THREAD_FAILED',
      });
      assert.equal(died.length, deaths);
      await mortal.close();
    });
  }

  /** By bytes that are no block. */
  function kill(mortal: BlockThreads): void {
    const block = blockOf([sized(10, 1)]);
    block.ends[0]! -= 1;
    const answer = Promise.resolve(mortal.segment().block(block, null));
    answer.catch(() => {});
  }
});
