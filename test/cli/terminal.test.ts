import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatTable, paint, printable, toJson } from '../../services/cli/terminal.ts';
import { createScreen } from './screen.ts';

test('a table has aligned columns and no trailing blanks', () => {
  const table = formatTable(
    createScreen(),
    ['A', 'LONG'],
    [
      ['1', 'x'],
      ['22', ['bad', 'yy']],
    ],
  );
  assert.equal(table, 'A   LONG\n1   x\n22  yy');
});

test('colour only where the terminal takes it', () => {
  assert.equal(paint(createScreen(), 'bad', 'x'), 'x');
  assert.equal(paint(createScreen({}, true), 'bad', 'x'), '\u001b[31mx\u001b[39m');
});

test('what comes from outside cannot move the cursor or turn the text', () => {
  assert.equal(printable('a\u001b[2Jb\u202ec\r'), 'a\\u001b[2Jb\\u202ec\\u000d');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(printable(text), /(?![\t\n])\p{Cc}/u);
    }),
  );
  const rows = formatTable(createScreen(), ['A'], [['\u001b]0;evil']]);
  assert.equal(rows, 'A\n\\u001b]0;evil');
});

test('offsets keep every digit in JSON', () => {
  assert.equal(toJson({ at: 2n ** 63n - 1n }), '{\n  "at": "9223372036854775807"\n}');
});
