/** The walker of writer schemas: where a datum ends, what is refused, and that it costs no time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import avsc from 'avsc';
import fc from 'fast-check';
import { auditEventSchema } from '../../schemas/audit-event.ts';
import { parseWriterSchema } from '../../schemas/datum.ts';
import { longBytes } from '../../schemas/varint.ts';

function walkerOf(schema: object): (bytes: Buffer) => number {
  const parsed = parseWriterSchema(JSON.stringify(schema));
  assert.ok(!('problem' in parsed), JSON.stringify(parsed));
  return (bytes) => parsed.walk(bytes, 0, bytes.length);
}

function field(type: unknown): { type: 'record'; name: string; fields: object[] } {
  return { type: 'record', name: 'R', fields: [{ name: 'f', type }] };
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('datum walker', () => {
  test('ends where avsc ends, for random schemas and data', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        const schema = randomSchema(seed);
        const type = avsc.Type.forSchema(schema as avsc.Schema, { wrapUnions: true });
        const datum = type.toBuffer(type.random());
        const walk = walkerOf(schema);
        assert.equal(walk(Buffer.concat([datum, Buffer.from([9, 9])])), datum.length);
        assert.equal(walk(datum), datum.length);
        for (let length = 0; length < datum.length; length++) {
          const end = walk(datum.subarray(0, length));
          assert.ok(end === -1, `cut to ${length} of ${datum.length}, ended at ${end}`);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('never reads past the end, whatever the bytes', () => {
    const walk = walkerOf(auditEventSchema);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const end = walk(Buffer.from(bytes));
        assert.ok(end >= -1 && end <= bytes.length);
      }),
      { numRuns: 2_000 },
    );
  });

  const refused: Array<[string, unknown, string]> = [
    ['a boolean that is neither 0 nor 1', 'boolean', '02'],
    ['text that is not UTF-8', 'string', '04 c3 28'],
    ['long text that is not UTF-8', 'string', `c8 01 ${'61'.repeat(99)} ff`],
    ['a map key that is not UTF-8', { type: 'map', values: 'null' }, '02 02 ff 00'],
    ['a negative length', 'bytes', '01'],
    ['an int beyond 32 bits', 'int', '80 80 80 80 10'],
    ['a long beyond 64 bits', 'long', 'ff ff ff ff ff ff ff ff ff 02'],
    ['a varint without an end', 'long', '80 80 80 80 80 80 80 80 80 80 00'],
    ['an enum index beyond the symbols', { type: 'enum', name: 'E', symbols: ['A'] }, '02'],
    ['a negative enum index', { type: 'enum', name: 'E', symbols: ['A'] }, '01'],
    ['a union index beyond the branches', ['null', 'long'], '04'],
    ['a negative union index', ['null', 'long'], '01'],
    ['a fixed that is cut', { type: 'fixed', name: 'F', size: 3 }, '01 02'],
    ['a block size that is wrong', { type: 'array', items: 'long' }, '01 04 02 00'],
    ['a block size beyond the end', { type: 'array', items: 'long' }, '01 08 02 00'],
    ['a date that no calendar has', { type: 'int', logicalType: 'date' }, 'fe ff ff ff 0f'],
    [
      'a timestamp that no calendar has',
      { type: 'long', logicalType: 'timestamp-millis' },
      longBytes(2n ** 60n).toString('hex'),
    ],
    ['a time of day beyond the day', { type: 'int', logicalType: 'time-millis' }, '80 f0 e7 52'],
    ['a UUID that is none', { type: 'string', logicalType: 'uuid' }, '02 61'],
  ];
  for (const [what, type, bytes] of refused) {
    test(`refuses ${what}`, () => assert.equal(walkerOf(field(type))(hex(bytes)), -1));
  }

  const accepted: Array<[string, unknown, string]> = [
    ['the least int', 'int', 'ff ff ff ff 0f'],
    ['the greatest long', 'long', 'fe ff ff ff ff ff ff ff ff 01'],
    ['blocks with their sizes', { type: 'array', items: 'long' }, '03 04 02 04 02 06 00'],
    ['an unknown logical type', { type: 'long', logicalType: 'mystery' }, '02'],
    [
      'a UUID',
      { type: 'string', logicalType: 'uuid' },
      `48 ${Buffer.from('0f3a9d1c-1f0e-4f0e-9d5e-3b8f2a1c4d5e').toString('hex')}`,
    ],
  ];
  for (const [what, type, bytes] of accepted) {
    test(`accepts ${what}`, () => {
      assert.equal(walkerOf(field(type))(hex(bytes)), hex(bytes).length);
    });
  }

  test('hostile counts cost nothing', () => {
    const list = { type: 'record', name: 'L', fields: [{ name: 'next', type: ['null', 'L'] }] };
    const hostile: Array<[object, Buffer]> = [
      [field({ type: 'map', values: 'string' }), Buffer.concat([longBytes(2n ** 31n), hex('00')])],
      [field({ type: 'array', items: 'null' }), Buffer.concat([longBytes(2n ** 52n), hex('00')])],
      [field({ type: 'array', items: 'null' }), Buffer.concat([longBytes(50_000n), hex('00')])],
      [
        field({ type: 'array', items: { type: 'array', items: 'null' } }),
        Buffer.concat([longBytes(2000n), ...Array(2000).fill(hex('90 4e 00'))]),
      ],
      [list, Buffer.alloc(1_000_000, 2)],
      [{ type: 'record', name: 'S', fields: [{ name: 'self', type: 'S' }] }, Buffer.alloc(10)],
    ];
    const started = performance.now();
    for (const [schema, bytes] of hostile) assert.equal(walkerOf(schema)(bytes), -1);
    assert.ok(performance.now() - started < 500);
  });

  test('a schema that doubles itself without bytes is stopped', () => {
    let inner: object = { type: 'record', name: 'N0', fields: [] };
    for (let depth = 1; depth < 30; depth++) {
      const fields = [
        { name: 'a', type: inner },
        { name: 'b', type: `N${depth - 1}` },
      ];
      inner = { type: 'record', name: `N${depth}`, fields };
    }
    const started = performance.now();
    assert.equal(walkerOf(inner)(Buffer.alloc(10)), -1);
    assert.ok(performance.now() - started < 500);
  });
});

describe('writer schema', () => {
  const problems: Array<[string, string]> = [
    ['not JSON', '{'],
    ['a primitive at the top', '"string"'],
    ['a union at the top', '["null",{"type":"record","name":"R","fields":[]}]'],
    ['a name with a dash', '{"type":"record","name":"a-b","fields":[]}'],
    [
      'a field twice',
      JSON.stringify({
        type: 'record',
        name: 'R',
        fields: [
          { name: 'a', type: 'int' },
          { name: 'a', type: 'int' },
        ],
      }),
    ],
    ['an unknown type', JSON.stringify(field('nowhere'))],
    [
      'a type defined twice',
      JSON.stringify(field(['null', { type: 'record', name: 'R', fields: [] }])),
    ],
    ['a union in a union', JSON.stringify(field(['null', ['int']]))],
    ['a branch twice', JSON.stringify(field(['int', { type: 'int', logicalType: 'date' }]))],
    ['an enum without symbols', JSON.stringify(field({ type: 'enum', name: 'E', symbols: [] }))],
    [
      'nesting without end',
      '{"type":"record","name":"R","fields":[{"name":"f","type":'.concat(
        '{"type":"array","items":'.repeat(100),
        '"int"',
        '}'.repeat(100),
        '}]}',
      ),
    ],
  ];
  for (const [what, text] of problems) {
    test(`refuses ${what}`, () => assert.ok('problem' in parseWriterSchema(text)));
  }

  test('keeps the text as it is and knows the names', () => {
    const text =
      ' {"type":"record", "namespace":"a.b","name":"R","fields":[{"name":"f","type":{"type":"fixed","name":"F","size":1}}]}\n';
    const schema = parseWriterSchema(text);
    assert.ok(!('problem' in schema));
    assert.equal(schema.text, text);
    assert.deepEqual([...schema.names].sort(), ['a.b.F', 'a.b.R']);
  });
});

/** Seeded, so that a counterexample can be had again. */
function randomSchema(seed: number): object {
  let state = seed;
  let names = 0;
  const pick = (count: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * count);
  };
  const make = (depth: number): unknown => {
    const primitives = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'];
    const kind = depth > 3 ? pick(8) : pick(13);
    if (kind < 8) return primitives[kind];
    if (kind === 8) return { type: 'array', items: make(depth + 1) };
    if (kind === 9) return { type: 'map', values: make(depth + 1) };
    if (kind === 10) return { type: 'fixed', name: `F${names++}`, size: pick(5) };
    if (kind === 11) return ['null', 'string', { type: 'array', items: make(depth + 1) }];
    return record(depth + 1);
  };
  const record = (depth: number): object => {
    const name = `R${names++}`;
    const count = 1 + pick(4);
    const fields = Array.from({ length: count }, (_, at) => ({
      name: `f${at}`,
      type: make(depth),
    }));
    return { type: 'record', name, fields };
  };
  return record(0);
}
