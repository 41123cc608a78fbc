/**
 * The two tools that `schemas/verify.py` stands on, each by itself: `read_segment.py` gives the same
 * records as `readSegment`, byte for byte, of every shape of schema; `check_proof.py` needs no file
 * beside it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { deflateRawSync, zstdCompressSync } from 'node:zlib';
import avsc from 'avsc';
import fc from 'fast-check';
import { frame } from '../../schemas/audit-event.ts';
import { kafkaValue, readSegment, type SegmentCodec } from '../../schemas/segment.ts';
import { assembleSegment, BlockBuilder, gapSegment } from '../../schemas/segment-writer.ts';
import { prove } from '../../services/verifier/prove.ts';
import { EXAMPLE_HEADER, exampleSegment } from '../schemas/example-segment.ts';
import { PREFIX, signer } from './proof-archive.ts';
import { hasPython, KEY } from './readings.ts';
import { scene, stranger } from './tamperings.ts';

const SCHEMAS = join(import.meta.dirname, '..', '..', 'schemas');
const skip = hasPython
  ? false
  : 'python3 is not here: read_segment.py and check_proof.py were NOT tested';
if (!hasPython) console.error(`\n*** ${skip} ***\n`);

const RECORDS = 40;
const SEED = 20_261_128;
/** Every kind of type; names with a namespace, inherited and of themselves; a field behind a datum's time. */
const SCHEMA = JSON.stringify({
  type: 'record',
  name: 'com.example.Event',
  fields: [
    { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['A', 'B'] } },
    { name: 'eventTime', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'hash', type: { type: 'fixed', name: 'Hash', size: 4 } },
    { name: 'tags', type: { type: 'map', values: ['null', 'string'] } },
    { name: 'scores', type: { type: 'array', items: 'double' } },
    { name: 'flag', type: ['null', 'boolean', 'float'] },
    {
      name: 'inner',
      type: {
        type: 'record',
        name: 'org.example.Inner',
        fields: [
          { name: 'again', type: ['null', 'Inner'] },
          { name: 'hash', type: 'com.example.Hash' },
        ],
      },
    },
  ],
});
const hash = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes));
const events = fc.record({
  kind: fc.constantFrom('A', 'B'),
  eventTime: fc.integer({ min: 0, max: 2 ** 41 }),
  hash,
  tags: fc.dictionary(fc.string({ maxLength: 4 }), fc.option(fc.string()), {
    maxKeys: 3,
    noNullPrototype: true,
  }),
  scores: fc.array(fc.double(), { maxLength: 3 }),
  flag: fc.oneof(fc.constant(null), fc.boolean(), fc.constant(0.5)),
  inner: fc.record({ again: fc.option(hash.map((one) => ({ again: null, hash: one }))), hash }),
});

function madeSegment(codec: SegmentCodec): Buffer {
  const type = avsc.Type.forSchema(JSON.parse(SCHEMA));
  const blocks = [];
  const builder = new BlockBuilder();
  const made = fc.sample(events, { seed: SEED, numRuns: RECORDS });
  for (const [at, event] of made.entries()) {
    const headers = at % 3 === 0 ? [] : [{ key: 'ø', value: at % 2 ? null : Buffer.alloc(0) }];
    const key = at % 4 === 0 ? null : Buffer.from(`key ${at}`);
    const value = at % 7 === 0 ? null : frame(EXAMPLE_HEADER.schemaId!, type.toBuffer(event));
    const record = { offset: 100n + BigInt(at), timestamp: BigInt(at), key, value, headers };
    builder.add(record, value === null ? null : EXAMPLE_HEADER.schemaId);
    if (at % 9 !== 8 && at !== RECORDS - 1) continue;
    const { count, bytes } = builder.take();
    const squeeze = codec === 'deflate' ? deflateRawSync : zstdCompressSync;
    blocks.push({ count, bytes: codec === 'null' ? bytes : squeeze(bytes) });
  }
  const lastOffset = 100n + BigInt(RECORDS - 1);
  return assembleSegment({
    header: {
      ...EXAMPLE_HEADER,
      nextOffset: lastOffset + 1n,
      recordCount: RECORDS,
      lastOffset,
      timestampMin: 0n,
      timestampMax: BigInt(RECORDS - 1),
    },
    codec,
    writerSchema: SCHEMA,
    blocks,
  });
}

const text = (bytes: Buffer | null): string | null => bytes?.toString('base64') ?? null;

function expected(bytes: Buffer): unknown[] {
  return readSegment(bytes).records.map((record) => ({
    offset: String(record.offset),
    timestamp: String(record.timestamp),
    key: text(record.key),
    headers: record.headers.map(({ key, value }) => [key, text(value)]),
    value: text(kafkaValue(record)),
  }));
}

describe('read_segment.py', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-segment-'));
  after(() => rmSync(folder, { recursive: true }));
  const read = (bytes: Buffer) => {
    const file = join(folder, 'one.avro');
    writeFileSync(file, bytes);
    return spawnSync('python3', [join(SCHEMAS, 'read_segment.py'), file], { encoding: 'utf8' });
  };
  const linesOf = (bytes: Buffer): unknown[] => {
    const { status, stdout, stderr } = read(bytes);
    assert.equal(status, 0, stderr);
    return stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
  };

  test('reads the example of segment.md, and every kind of type', () => {
    for (const bytes of [exampleSegment(), madeSegment('null'), madeSegment('deflate')]) {
      assert.deepEqual(linesOf(bytes), expected(bytes));
    }
  });

  test('reads a gap', () => {
    const gap = { from: 5n, to: 9n, reason: 'retention', logStartOffset: 9n } as const;
    const found = linesOf(gapSegment(EXAMPLE_HEADER, gap));
    assert.deepEqual(found, [{ reason: 'retention', logStartOffset: '9' }]);
  });

  test('tells a file that is none from a codec that it lacks', () => {
    const whole = exampleSegment();
    assert.equal(read(whole.subarray(0, whole.length - 1)).status, 1);
    assert.equal(read(Buffer.concat([whole, Buffer.of(2)])).status, 1);
    assert.equal(read(Buffer.from('x')).status, 1);
    assert.equal(read(madeSegment('zstandard')).status, 3);
  });
});

test('check_proof.py needs nothing but itself, openssl and the key', { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-proof-'));
  after(() => rmSync(folder, { recursive: true }));
  const script = join(folder, 'check_proof.py');
  copyFileSync(join(SCHEMAS, 'check_proof.py'), script);
  const options = { store: (await scene()).store, prefix: PREFIX, verifiers: [signer.verifier] };
  const address = { topic: 'databricks.audit', partition: 1, offset: 5n };
  const { proof } = await prove(address, options);
  const file = join(folder, 'proof.json');
  const check = (changes: object, ...args: string[]) => {
    writeFileSync(file, JSON.stringify({ ...proof, ...changes }));
    return spawnSync('python3', [script, file, ...args], { encoding: 'utf8' });
  };
  const whole = check({}, '--key', KEY);
  assert.equal(whole.status, 0, whole.stdout + whole.stderr);
  assert.match(whole.stdout, /^holds: partition\/.* offset 5: .*, root of /);
  assert.equal(check({ record: { ...proof.record, offset: '4' } }, '--key', KEY).status, 1);
  assert.equal(check({}, '--key', stranger.verifier.vkey).status, 1);
  assert.equal(check({}).status, 3);
});

test('a command line that is wrong is no verdict', { skip }, () => {
  for (const [tool, args] of [
    ['verify.py', ['--nonsense']],
    ['check_proof.py', []],
    ['read_segment.py', []],
  ] as const) {
    const { status, stderr } = spawnSync('python3', [join(SCHEMAS, tool), ...args], {
      encoding: 'utf8',
    });
    assert.equal(status, 3, tool);
    assert.match(stderr, new RegExp(`^(usage: )?${tool}`));
  }
});
