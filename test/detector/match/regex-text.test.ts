/** Text that every match of a regular expression holds: never more than is true. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { requiredText } from '../../../services/detector/match/regex-text.ts';

it('finds the longest run of plain characters', () => {
  assert.equal(requiredText('^Tool12/[0-9]+', false), 'tool12/');
  assert.equal(requiredText('a\\.b\\.c', false), 'a.b.c');
  assert.equal(requiredText('abc?def', false), 'def');
  assert.equal(requiredText('abcd+ef', false), 'abcd');
  assert.equal(requiredText('(one|two)three', false), 'three');
  assert.equal(requiredText('[abc]def{2,3}gh', false), null);
  assert.equal(requiredText('vacuum', true), 'vacuum');
});

it('claims nothing where it does not know', () => {
  for (const source of ['abc|def', '(?i)abc', 'ab', '\\Qabc\\E', '[a', '(abc', '\\x41bcd', '.*']) {
    assert.equal(requiredText(source, false), null, source);
  }
  // U+017F is an s, and U+212A a k, where case is ignored.
  assert.equal(requiredText('asks', true), null);
});

/** Pieces of expressions, and pieces of texts that they may match. */
const piece = fc.constantFrom(
  'a',
  'ab',
  'abc',
  'B',
  'k',
  's',
  '.',
  '\\.',
  '\\d',
  '[ab]',
  '[^a]',
  '[]a]',
  '(ab)',
  '(?:a|bc)',
  'a*',
  'b+',
  'c?',
  'ab{2}',
  'a{0,1}',
  '(abc)?',
  '^',
  '$',
  '\\b',
  '/',
);
const text = fc
  .array(
    fc.constantFrom(
      'a',
      'b',
      'c',
      'ab',
      'abc',
      'B',
      'A',
      'k',
      's',
      '\u017f',
      '\u212a',
      '.',
      '1',
      '/',
      ']',
    ),
    {
      maxLength: 12,
    },
  )
  .map((parts) => parts.join(''));

it('is in every text that matches', () => {
  let matched = 0;
  fc.assert(
    fc.property(
      fc.array(piece, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('')),
      fc.boolean(),
      fc.array(text, { minLength: 20, maxLength: 20 }),
      (source, ignoreCase, texts) => {
        const required = requiredText(source, ignoreCase);
        if (required === null) return;
        const expression = RE2JS.compile(source, ignoreCase ? RE2JS.CASE_INSENSITIVE : 0);
        for (const one of texts) {
          if (!expression.test(one)) continue;
          matched += 1;
          assert.ok(one.toLowerCase().includes(required), JSON.stringify([source, one]));
        }
      },
    ),
    { numRuns: 8_000, seed: 20_261_128 },
  );
  assert.ok(matched > 500, String(matched));
});
