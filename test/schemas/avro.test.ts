/** The guards on avsc: hostile bytes cost time in proportion to their number, and poison nothing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import avsc from 'avsc';
import fc from 'fast-check';
import { type AvroType, datumValidator, parseAvroSchema } from '../../schemas/avro.ts';
import { longBytes } from '../../schemas/varint.ts';

/** Far above what any of these takes guarded, far below what they take unguarded. */
const HANG_MS = 1_000;

const mapType = parseAvroSchema({ type: 'map', values: 'string' });
const nullsType = parseAvroSchema({ type: 'array', items: 'null' });
const listType = parseAvroSchema({ type: 'array', items: 'string' });
const recordWith = (type: unknown): AvroType =>
  parseAvroSchema({ type: 'record', name: 'R', fields: [{ name: 'v', type }] });

/** Reads nothing of a record, and so skips all of it. */
function skipper(type: AvroType): (bytes: Buffer) => unknown {
  const empty = parseAvroSchema({ type: 'record', name: 'R', fields: [] });
  const resolver = empty.createResolver(type);
  return (bytes) => empty.fromBuffer(bytes, resolver);
}

function within<T>(work: () => T): T {
  const start = performance.now();
  const result = work();
  const ms = performance.now() - start;
  assert.ok(ms < HANG_MS, `took ${Math.round(ms)} ms`);
  return result;
}

/** Reading, skipping and validating all refuse the bytes, and none takes long. */
function refuses(schema: unknown, bytes: Buffer): void {
  const type = recordWith(schema);
  within(() => assert.throws(() => type.fromBuffer(bytes)));
  within(() => assert.throws(() => skipper(type)(bytes)));
  within(() => assert.equal(datumValidator(type)(bytes, 0), false));
}

describe('block counts', () => {
  const types = [
    { type: 'map', values: 'string' },
    { type: 'map', values: 'null' },
    { type: 'array', items: 'null' },
    { type: 'array', items: 'string' },
    { type: 'array', items: { type: 'array', items: 'null' } },
    { type: 'array', items: { type: 'record', name: 'E', fields: [] } },
    { type: 'array', items: { type: 'fixed', name: 'F', size: 0 } },
  ];
  const powers = [24, 26, 28, 30, 31, 32, 40, 52, 53, 62];
  for (const type of types) {
    it(`of ${JSON.stringify(type)} cannot claim more than the bytes hold`, () => {
      for (const power of powers) {
        const count = longBytes(2n ** BigInt(power));
        refuses(type, Buffer.concat([count, Buffer.from([0])]));
        refuses(type, Buffer.concat([count, Buffer.alloc(16, 1)]));
        const negative = longBytes(-(2n ** BigInt(power)));
        refuses(type, Buffer.concat([negative, Buffer.from([0, 0])]));
      }
      refuses(type, longBytes(-(2n ** 63n)));
      refuses(type, longBytes(2n ** 63n - 1n));
    });
  }

  it('cannot be multiplied by nesting', () => {
    // 100,000 inner lists, each of which claims as many nulls as there are bytes left.
    const inner = Buffer.concat([longBytes(10_000n), Buffer.from([0])]);
    const bytes = Buffer.concat([
      longBytes(100_000n),
      ...new Array<Buffer>(100_000).fill(inner),
      Buffer.from([0]),
    ]);
    refuses({ type: 'array', items: { type: 'array', items: 'null' } }, bytes);
  });

  it('leave honest lists of nulls alone', () => {
    const nulls = new Array<null>(5_000).fill(null);
    assert.deepEqual(nullsType.fromBuffer(nullsType.toBuffer(nulls)), nulls);
  });

  it('may be negative, with the size of the block, and the size is checked where it is used', () => {
    const entry = Buffer.concat([
      Buffer.from([2]),
      Buffer.from('k'),
      Buffer.from([2]),
      Buffer.from('v'),
    ]);
    const honest = Buffer.concat([longBytes(-1n), longBytes(4n), entry, Buffer.from([0])]);
    assert.deepEqual({ ...(mapType.fromBuffer(honest) as object) }, { k: 'v' });
    assert.ok(datumValidator(mapType)(honest, 0));
    for (const size of [-4n, -1n, 3n, 5n, 2n ** 40n, -(2n ** 40n)]) {
      const lying = Buffer.concat([longBytes(-1n), longBytes(size), entry, Buffer.from([0])]);
      assert.equal(datumValidator(mapType)(lying, 0), false);
      within(() => skipper(recordWith({ type: 'map', values: 'string' }))(lying));
    }
  });

  it('that jump backwards do not loop', () => {
    // Stock avsc skips -3 bytes, to the start of the same block, for ever.
    const loop = Buffer.concat([longBytes(-1n), longBytes(-2n), Buffer.alloc(8)]);
    within(() => {
      try {
        skipper(recordWith({ type: 'map', values: 'string' }))(loop);
      } catch {
        // Refused is as good as skipped: it ends.
      }
    });
    assert.equal(datumValidator(mapType)(loop, 0), false);
  });
});

describe('map keys', () => {
  const hostile = JSON.parse('{"__proto__":"a","constructor":"b","toString":"c","k":"d"}');

  it('named like parts of an object are plain entries', () => {
    const map = mapType.fromBuffer(mapType.toBuffer(hostile)) as Record<string, string>;
    assert.equal(Object.getPrototypeOf(map), null);
    assert.deepEqual(Object.entries(map).sort(), Object.entries(hostile).sort());
  });

  it('cannot set the prototype of what is read', () => {
    const type = parseAvroSchema({ type: 'map', values: { type: 'map', values: 'string' } });
    const bytes = type.toBuffer(JSON.parse('{"__proto__":{"role":"admin"}}'));
    const value = type.fromBuffer(bytes) as Record<string, unknown>;
    assert.equal(value.role, undefined);
    assert.deepEqual(Object.keys(value), ['__proto__']);
  });

  it('survive a clone and a default', () => {
    const copy = mapType.clone(hostile) as Record<string, string>;
    assert.deepEqual(Object.entries(copy), Object.entries(hostile));
    assert.equal(Object.getPrototypeOf(copy), null);
  });

  it('may not be smuggled in as a field name', () => {
    const schema = JSON.parse(
      '{"type":"record","name":"R","fields":[{"name":"__proto__","type":{"type":"map","values":"string"}}]}',
    );
    assert.throws(() => parseAvroSchema(schema), /__proto__/);
  });
});

describe('longs', () => {
  const type = parseAvroSchema('long');
  const edges = [
    0n,
    -1n,
    2n ** 52n,
    2n ** 53n - 2n,
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 53n + 1n,
    2n ** 63n - 1n,
    -(2n ** 53n) + 1n,
    -(2n ** 53n),
    -(2n ** 63n),
  ];

  it('are numbers where a double holds them and bigints beyond', () => {
    for (const value of edges) {
      const read = type.fromBuffer(longBytes(value)) as number | bigint;
      const isSafe = Number.isSafeInteger(Number(value));
      assert.equal(typeof read, isSafe ? 'number' : 'bigint', String(value));
      assert.equal(BigInt(read), value);
      assert.deepEqual(type.toBuffer(read), longBytes(value));
    }
  });

  it('read back as written, all 64 bits of them', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        assert.equal(BigInt(type.fromBuffer(longBytes(value)) as number), value);
      }),
    );
  });

  it('of more than 64 bits are refused', () => {
    const tooLong = Buffer.concat([Buffer.alloc(10, 0xff), Buffer.from([0x01])]);
    assert.throws(() => type.fromBuffer(tooLong));
    assert.throws(() => type.fromBuffer(Buffer.concat([Buffer.alloc(9, 0xff), Buffer.from([2])])));
    const megabyte = Buffer.concat([Buffer.alloc(1_000_000, 0x80), Buffer.from([0])]);
    within(() => assert.throws(() => type.fromBuffer(megabyte)));
    assert.equal(datumValidator(type)(tooLong, 0), false);
  });

  it('that are none are not written', () => {
    for (const value of [1.5, Number.NaN, 2n ** 63n, 2 ** 53, '1', null]) {
      assert.equal(type.isValid(value), false, String(value));
      assert.throws(() => type.toBuffer(value), String(value));
    }
  });
});

describe('texts and bytes', () => {
  it('longer than the buffer are refused', () => {
    for (const size of [5n, 2n ** 31n, 2n ** 52n, 2n ** 62n, -1n, -(2n ** 62n)]) {
      refuses('string', Buffer.concat([longBytes(size), Buffer.from('abcd')]));
      refuses('bytes', Buffer.concat([longBytes(size), Buffer.from('abcd')]));
    }
  });

  it('that are no UTF-8 are no datum', () => {
    const isDatum = datumValidator(listType);
    assert.ok(isDatum(listType.toBuffer(['grüße', '\u{1f600}', '\ufffd']), 0));
    for (const bad of [
      [0xff],
      [0xc3],
      [0xc3, 0x28],
      [0xed, 0xa0, 0x80],
      [0xf5, 0x80, 0x80, 0x80],
    ]) {
      const bytes = Buffer.from([2, bad.length * 2, ...bad, 0]);
      assert.equal(isDatum(bytes, 0), false, bad.join());
    }
  });
});

describe('schemas', () => {
  it('that nest without end are refused or read in bounded time', () => {
    const type = parseAvroSchema({
      type: 'record',
      name: 'Node',
      fields: [{ name: 'next', type: ['null', 'Node'] }],
    });
    const deep = Buffer.alloc(4_000_000, 2);
    deep[deep.length - 1] = 0;
    within(() => assert.throws(() => type.fromBuffer(deep)));
    within(() => assert.equal(datumValidator(type)(deep, 0), false));
    assert.deepEqual(JSON.parse(JSON.stringify(type.fromBuffer(Buffer.from([2, 2, 0])))), {
      next: { next: { next: null } },
    });
  });

  it('that multiply work without bytes are refused', () => {
    let type: unknown = { type: 'record', name: 'R0', fields: [] };
    for (let level = 1; level <= 10; level++) {
      const fields = [
        { name: 'a', type },
        { name: 'b', type: `R${level - 1}` },
      ];
      type = { type: 'record', name: `R${level}`, fields };
    }
    assert.throws(() => parseAvroSchema({ type: 'array', items: type }), /no bytes/);
  });

  it('that are nested too deep or are too large are refused', () => {
    let deep: unknown = 'string';
    for (let level = 0; level < 5_000; level++) deep = { type: 'array', items: deep };
    assert.throws(() => parseAvroSchema(deep), /too deep/);
    const symbols = Array.from({ length: 30_000 }, (_, index) => ({
      name: `f${index}`,
      type: 'null',
    }));
    assert.throws(
      () => parseAvroSchema({ type: 'record', name: 'R', fields: symbols }),
      /too many/,
    );
  });

  it('that are none throw', () => {
    const none = [null, 7, {}, { type: 'recrd' }, 'nope', '{"type":', { type: 'map' }, []];
    for (const schema of none) assert.throws(() => parseAvroSchema(schema), JSON.stringify(schema));
  });

  it('may come as text', () => {
    assert.equal(parseAvroSchema('"string"').typeName, 'string');
    assert.equal(parseAvroSchema(' {"type":"map","values":"long"}').typeName, 'map');
  });
});

/** Schemas of all kinds, each with a name of its own. */
function schemas(): fc.Arbitrary<unknown> {
  let names = 0;
  const name = (): string => `N${names++}`;
  const leaf = fc.constantFrom(
    'null',
    'boolean',
    'int',
    'long',
    'float',
    'double',
    'bytes',
    'string',
  );
  const named = fc.oneof(
    fc.constant(0).map(() => ({ type: 'enum', name: name(), symbols: ['A', 'B', 'C'] })),
    fc.integer({ min: 0, max: 9 }).map((size) => ({ type: 'fixed', name: name(), size })),
  );
  const { type } = fc.letrec((tie) => ({
    type: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      leaf,
      named,
      tie('record'),
      tie('list'),
      tie('map'),
      tie('optional'),
    ),
    record: fc.array(tie('type'), { maxLength: 4 }).map((types) => ({
      type: 'record',
      name: name(),
      fields: types.map((part, index) => ({ name: `f${index}`, type: part })),
    })),
    list: tie('type').map((items) => ({ type: 'array', items })),
    map: tie('type').map((values) => ({ type: 'map', values })),
    optional: fc.constantFrom('int', 'string', 'double').map((part) => ['null', part]),
  }));
  return type;
}

describe('datumValidator', () => {
  it('takes every datum that avsc writes, at any place, and nothing longer or shorter', () => {
    fc.assert(
      fc.property(schemas(), fc.nat(7), (schema, from) => {
        const type = parseAvroSchema(schema);
        const isDatum = datumValidator(type);
        const datum = type.toBuffer(type.random());
        const placed = Buffer.concat([Buffer.alloc(from, 0xff), datum]);
        assert.ok(isDatum(placed, from));
        assert.equal(isDatum(Buffer.concat([placed, Buffer.from([0])]), from), false);
        if (datum.length > 0) assert.equal(isDatum(placed.subarray(0, -1), from), false);
      }),
      { seed: 20_260_101, numRuns: 1_000 },
    );
  });

  it('never takes what avsc refuses, and what it takes avsc reads whole', () => {
    const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    let taken = 0;
    fc.assert(
      fc.property(schemas(), flips, (schema, changes) => {
        const type = parseAvroSchema(schema);
        const datum = type.toBuffer(type.random());
        for (const [place, byte] of changes)
          if (datum.length > 0) datum[place % datum.length] = byte;
        if (!datumValidator(type)(datum, 0)) return;
        taken++;
        assert.doesNotThrow(() => type.fromBuffer(datum));
      }),
      { seed: 20_260_102, numRuns: 3_000 },
    );
    assert.ok(taken > 300, `only ${taken} changed data were still data`);
  });

  it('is about the bytes, not about logical types', () => {
    const type = parseAvroSchema({ type: 'long', logicalType: 'timestamp-millis' });
    assert.ok(type instanceof avsc.types.LongType);
    assert.ok(datumValidator(type)(longBytes(-1n), 0));
  });
});
