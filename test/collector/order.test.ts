/** The order in which delivery files are read, and a part of a long list at a time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { byDelivery, type Delivered, Earliest } from '../../services/collector/order.ts';

const file = (path: string, deliveredMs: number | null = null): Delivered => ({
  path,
  deliveredMs,
});

test('by date, then by delivery, then by the bytes of the name', () => {
  const inOrder = [
    file('a.json', 9),
    file('b.json', 1),
    file('date=2026-11-24', 5),
    file('p/workspaceId=9/date=2026-11-23/b.json'),
    file('p/workspaceId=9/date=2026-11-23/a.json', 1),
    file('p/workspaceId=1/date=2026-11-23/a.json', 2),
    file('p/workspaceId=10/date=2026-11-23/a.json', 2),
    file('p/workspaceId=2/date=2026-11-23/a.json', 2),
    file('date=2026-11-24/z.json', 0),
    file('p/workspaceId=1/date=2026-11-24/a.json', 0),
  ];
  assert.deepEqual(inOrder.toReversed().sort(byDelivery), inOrder);
});

const delivered = fc.record({
  path: fc
    .tuple(fc.constantFrom('1', '2', '10'), fc.constantFrom('', '23', '24'), fc.nat(5))
    .map(([id, day, name]) => `w=${id}/${day === '' ? '' : `date=2026-11-${day}/`}${name}.json`),
  deliveredMs: fc.option(fc.nat(4)),
});

test('a list taken in parts is the list in order, whatever the parts', () => {
  const unique = fc.uniqueArray(delivered, { selector: ({ path }) => path, maxLength: 30 });
  fc.assert(
    fc.property(unique, fc.integer({ min: 1, max: 7 }), (list, max) => {
      const parts: Delivered[] = [];
      for (let last: Delivered | null = null; ; ) {
        const earliest: Earliest<Delivered> = new Earliest<Delivered>(max, last);
        for (const item of list) earliest.add(item);
        const { items, more }: { items: Delivered[]; more: boolean } = earliest.take();
        assert.ok(items.length <= max);
        parts.push(...items);
        if (!more) break;
        last = items.at(-1)!;
      }
      assert.deepEqual(parts, list.toSorted(byDelivery));
    }),
  );
});
