/** Keys and slots: one to one, in the order of offsets, and nothing that leaves the folder. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OFFSET_MAX, parseSlotKey, partitionPrefix, slotKey } from '../../schemas/layout.ts';

const ADDRESS = { clusterId: 'cluster', topic: 'audit', topicId: 'id', partition: 7 };
const name = fc
  .stringMatching(/^[A-Za-z0-9._-]{1,40}$/)
  .filter((text) => text !== '.' && text !== '..');
const slots = fc.record(
  {
    clusterId: name,
    topic: name,
    topicId: name,
    partition: fc.integer({ min: 0, max: 99_999 }),
    firstOffset: fc.bigInt(0n, OFFSET_MAX),
  },
  { noNullPrototype: true },
);

test('a key names its slot', () => {
  fc.assert(
    fc.property(slots, fc.constantFrom('', 'a/', 'a/b=c/'), (slot, prefix) => {
      const key = slotKey(prefix, slot);
      assert.deepEqual(parseSlotKey(prefix, key), slot);
      assert.ok(key.startsWith(partitionPrefix(prefix, slot)));
    }),
  );
});

test('the byte order of keys is the order of offsets', () => {
  fc.assert(
    fc.property(fc.bigInt(0n, OFFSET_MAX), fc.bigInt(0n, OFFSET_MAX), (left, right) => {
      const keys = [left, right].map((firstOffset) => slotKey('', { ...ADDRESS, firstOffset }));
      const order = Buffer.compare(Buffer.from(keys[0]!), Buffer.from(keys[1]!));
      assert.equal(order, left < right ? -1 : left > right ? 1 : 0);
    }),
  );
});

test('what is no slot is refused', () => {
  const slot = { ...ADDRESS, firstOffset: 0n };
  for (const bad of ['', '.', '..', 'a/b', 'a b', 'ä', 'x'.repeat(250)]) {
    assert.throws(() => slotKey('', { ...slot, topic: bad }), RangeError, bad);
    assert.equal(parseSlotKey('', slotKey('', slot).replace('/audit/', `/${bad}/`)), null, bad);
  }
  assert.throws(() => slotKey('', { ...slot, firstOffset: -1n }), RangeError);
  assert.throws(() => slotKey('', { ...slot, firstOffset: OFFSET_MAX + 1n }), RangeError);
  assert.throws(() => slotKey('', { ...slot, partition: 100_000 }), RangeError);
  const key = slotKey('p/', slot);
  for (const bad of [`${key}.tmp`, `x${key}`, key.replace('.avro', ''), key.slice(0, -6)]) {
    assert.equal(parseSlotKey('p/', bad), null, bad);
  }
  assert.equal(parseSlotKey('', `data/a/b/c/00000/${'9'.repeat(20)}.avro`), null);
});
