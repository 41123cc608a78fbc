import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  compilePattern,
  ONE,
  type Pattern,
  parsePattern,
  RUN,
  widened,
} from '../../../services/detector/sigma/pattern.ts';

describe('Sigma strings: escaping (Sigma 2.1, "Escaping")', () => {
  const vectors: Array<[string, Pattern]> = [
    ['plain', ['plain']],
    ['', []],
    ['a*b', ['a', RUN, 'b']],
    ['a?b', ['a', ONE, 'b']],
    ['a**b', ['a', RUN, 'b']],
    ['a\\*b', ['a*b']],
    ['a\\?b', ['a?b']],
    ['a\\\\*b', ['a\\', RUN, 'b']],
    ['a\\\\\\*b', ['a\\*b']],
    ['a\\b', ['a\\b']],
    ['a\\\\b', ['a\\b']],
    ['a\\\\\\b', ['a\\\\b']],
    ['a\\\\\\\\b', ['a\\\\b']],
    ['ends\\', ['ends\\']],
    ['C:\\Windows\\*', ['C:\\Windows*']],
    ['C:\\Windows\\\\*', ['C:\\Windows\\', RUN]],
  ];
  for (const [source, parts] of vectors) {
    it(JSON.stringify(source), () => assert.deepEqual(parsePattern(source), parts));
  }
});

describe('Sigma strings: matching', () => {
  const vectors: Array<[string, string, boolean]> = [
    ['foo', 'foo', true],
    ['foo', 'FOO', true],
    ['foo', 'food', false],
    ['foo*', 'foo', true],
    ['foo*', 'foobar', true],
    ['foo*', 'xfoo', false],
    ['*foo', 'barfoo', true],
    ['*foo', 'foo1', false],
    ['*foo*', 'a foo b', true],
    ['f?o', 'fXo', true],
    ['f?o', 'fo', false],
    ['f?o', 'fxyo', false],
    ['f?o', 'f😀o', true],
    ['?', '😀', true],
    ['??', '😀', false],
    ['*?', '', false],
    ['*?', '😀', true],
    ['a*b*c', 'a-b-c', true],
    ['a*b*c', 'abc', true],
    ['a*b*c', 'acb', false],
    ['a*bc*c', 'abc', false],
    ['*', '', true],
    ['', '', true],
    ['', 'a', false],
    ['a\\*', 'a*', true],
    ['a\\*', 'ab', false],
    ['*a?c*e', 'xxabc--e', true],
    ['a*?b', 'ab', false],
    ['a*?b', 'axb', true],
  ];
  for (const [pattern, value, expected] of vectors) {
    it(`${pattern} ${expected ? 'matches' : 'does not match'} ${JSON.stringify(value)}`, () => {
      const test = compilePattern(parsePattern(pattern), false);
      assert.equal(test(value.toLowerCase()), expected);
    });
  }

  it('compares as written when cased', () => {
    const test = compilePattern(parsePattern('Foo*'), true);
    assert.equal(test('Food'), true);
    assert.equal(test('food'), false);
  });

  it('agrees with a backtracking matcher on short texts', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '😀'), maxLength: 9 });
    const pattern = fc.array(fc.constantFrom<string | symbol>('a', 'b', '😀', RUN, ONE, RUN), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(pattern, letters, (parts, value) => {
        const parsed = widened(parts as Pattern, { start: false, end: false });
        assert.equal(compilePattern(parsed, true)(value), slowMatch(parts, [...value]));
      }),
      { numRuns: 5_000, seed: 7 },
    );
  });

  it('stays fast on a pattern that makes backtracking matchers explode', () => {
    const test = compilePattern(parsePattern(`${'*a'.repeat(40)}*b`), false);
    const started = performance.now();
    assert.equal(test('a'.repeat(100_000)), false);
    assert.ok(performance.now() - started < 1_000);
  });
});

function slowMatch(pattern: readonly (string | symbol)[], value: readonly string[]): boolean {
  const [head, ...tail] = pattern;
  if (head === undefined) return value.length === 0;
  if (head === RUN) {
    return slowMatch(tail, value) || (value.length > 0 && slowMatch(pattern, value.slice(1)));
  }
  if (value.length === 0) return false;
  return (head === ONE || head === value[0]) && slowMatch(tail, value.slice(1));
}
