/** Texts of which every match of a regular expression holds one: never more than is true. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { requiredTexts } from '../../../services/detector/match/regex-text.ts';

it('finds the longest run of plain characters', () => {
  assert.deepEqual(requiredTexts('^Tool12/[0-9]+', false), ['tool12/']);
  assert.deepEqual(requiredTexts('a\\.b\\.c', false), ['a.b.c']);
  assert.deepEqual(requiredTexts('abc?def', false), ['def']);
  assert.deepEqual(requiredTexts('abcd+ef', false), ['abcd']);
  assert.deepEqual(requiredTexts('[abc]def{2,3}gh', false), null);
  assert.deepEqual(requiredTexts('vacuum', true), ['vacuum']);
});

it('finds one for each alternative', () => {
  assert.deepEqual(requiredTexts('abc|def|abc', false), ['abc', 'def']);
  assert.deepEqual(requiredTexts('(one|two)three', false), ['three']);
  assert.deepEqual(requiredTexts('(exec|eval) *(b64decode|fromhex|a(b|c)unhex)', true), [
    'b64decode',
    'fromhex',
    'unhex',
  ]);
  assert.deepEqual(requiredTexts('(?:abcd|efgh)+ij', false), ['abcd', 'efgh']);
  for (const source of [
    '(abc|d)ef',
    '(abc)?',
    '(abc|def)*',
    '(abc|def){0,2}',
    'abc|',
    '|abc',
    '()',
  ]) {
    assert.equal(requiredTexts(source, false), null, source);
  }
  const many = Array.from({ length: 17 }, (_, n) => `text${n}`).join('|');
  assert.equal(requiredTexts(many, false), null);
});

it('claims nothing where it does not know', () => {
  for (const source of ['(?i)abc', 'ab', '\\Qabc\\E', '[a', '(abc', '\\x41bcd', '.*']) {
    assert.equal(requiredTexts(source, false), null, source);
  }
  // U+017F is an s, and U+212A a k, where case is ignored.
  assert.equal(requiredTexts('asks', true), null);
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
  '(abc|Bab)',
  '(abc|ab(abc|bab))',
  '|',
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
        const required = requiredTexts(source, ignoreCase);
        if (required === null) return;
        const expression = RE2JS.compile(source, ignoreCase ? RE2JS.CASE_INSENSITIVE : 0);
        for (const one of texts) {
          if (!expression.test(one)) continue;
          matched += 1;
          const lower = one.toLowerCase();
          const isThere = required.some((wanted) => lower.includes(wanted));
          assert.ok(isThere, JSON.stringify([source, one]));
        }
      },
    ),
    { numRuns: 8_000, seed: 20_261_128 },
  );
  assert.ok(matched > 500, String(matched));
});
