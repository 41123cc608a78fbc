/** Kept state byte for byte: varints as everybody writes them, and all that is written read back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Reader, Writer } from '../../../services/detector/correlate/bytes.ts';

const VERSION = 2;
const EDGES = [7, 14, 28, 31, 32, 35, 53].flatMap((bits) => [2 ** bits - 1, 2 ** bits]);
const whole = fc.oneof(
  fc.constantFrom(...EDGES.filter(Number.isSafeInteger)),
  fc.nat(),
  fc.maxSafeNat(),
);

function leb128(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

test('a count is a LEB128 varint', () => {
  fc.assert(
    fc.property(whole, (value) => {
      const writer = new Writer();
      writer.count(value);
      assert.deepEqual([...writer.written()], leb128(value));
    }),
    { numRuns: 2_000 },
  );
});

const ids = fc.oneof(
  fc.uuid(),
  fc.uuid().map((id) => id.toUpperCase()),
  fc.uuid().map((id) => `${id.slice(0, 35)}${'g/:@\u0141\uff10'[id.charCodeAt(0) % 6]}`),
  fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((id) => Buffer.from(id).toString('base64url')),
  fc.string({ unit: 'grapheme', maxLength: 45 }),
);

test('what is written is read back, and nothing more', () => {
  const values = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('count' as const), value: whole }),
      fc.record({
        kind: fc.constant('text' as const),
        value: fc.string({ unit: 'grapheme', maxLength: 60 }),
      }),
      fc.record({ kind: fc.constant('id' as const), value: ids }),
      fc.record({
        kind: fc.constant('repeated' as const),
        value: fc.constantFrom('audit', 'ä', ''),
      }),
      fc.record({
        kind: fc.constant('offset' as const),
        value: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
      }),
      fc.record({
        kind: fc.constant('whole' as const),
        value: fc.integer({ min: -(2 ** 51), max: 2 ** 51 }),
      }),
    ),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(values, (written) => {
      const writer = new Writer();
      for (const { kind, value } of written) writer[kind](value as never);
      const reader = new Reader(Buffer.from(writer.written()), VERSION);
      for (const { kind, value } of written) assert.equal(reader[kind](), value);
      assert.ok(reader.complete);
    }),
    { numRuns: 1_000 },
  );
});
