import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { counted, grouped, printable } from '../../services/runtime/wording.ts';

test('text of others stays one line that hides nothing', () => {
  assert.equal(printable('a\u001b[2Jb\u202ec\r\n\td\u2028e'), 'a?[2Jb?c???d?e');
  assert.equal(printable('Grüße, 日本語 🙂'), 'Grüße, 日本語 🙂');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(printable(text), /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
      assert.equal([...printable(text)].length, [...text].length);
    }),
  );
});

test('numbers are grouped, nouns agree', () => {
  assert.equal(grouped(1_234_567), '1,234,567');
  assert.deepEqual(
    [0, 1, 2_000].map((count) => counted(count, 'line')),
    ['0 lines', '1 line', '2,000 lines'],
  );
});
