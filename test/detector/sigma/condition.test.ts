import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseCondition } from '../../../services/detector/sigma/condition.ts';
import type { Expression } from '../../../services/detector/sigma/rule.ts';

const NAMES = ['sel_a', 'sel_b', 'filter', '_hidden', 'x-1'];

/** The tree as text, fully parenthesised. */
function shown(expression: Expression): string {
  switch (expression.kind) {
    case 'and':
    case 'or':
      return `(${expression.terms.map(shown).join(` ${expression.kind} `)})`;
    case 'not':
      return `!${shown(expression.term)}`;
    case 'selection':
      return expression.name;
    default:
      return assert.fail(expression.kind);
  }
}

describe('conditions', () => {
  const vectors: Array<[string, string]> = [
    ['sel_a', 'sel_a'],
    ['sel_a and sel_b or filter', '((sel_a and sel_b) or filter)'],
    ['sel_a or sel_b and filter', '(sel_a or (sel_b and filter))'],
    ['not sel_a and sel_b', '(!sel_a and sel_b)'],
    ['not not sel_a', '!!sel_a'],
    ['not (sel_a or sel_b)', '!(sel_a or sel_b)'],
    ['sel_a and (sel_b or filter)', '(sel_a and (sel_b or filter))'],
    ['(sel_a)', 'sel_a'],
    ['1 of sel_*', '(sel_a or sel_b)'],
    ['any of sel_*', '(sel_a or sel_b)'],
    ['all of sel_*', '(sel_a and sel_b)'],
    ['1 of them', '(sel_a or sel_b or filter or x-1)'],
    ['all of them', '(sel_a and sel_b and filter and x-1)'],
    ['1 of _*', '_hidden'],
    ['1 of *_a', 'sel_a'],
    ['1 of *', '(sel_a or sel_b or filter or x-1)'],
    ['not 1 of sel_*', '!(sel_a or sel_b)'],
    ['all of sel_* and not filter', '((sel_a and sel_b) and !filter)'],
    ['x-1 and _hidden', '(x-1 and _hidden)'],
    ['  sel_a\n  and\tsel_b ', '(sel_a and sel_b)'],
  ];
  for (const [source, tree] of vectors) {
    it(source, () => {
      const parsed = parseCondition(source, NAMES);
      assert.ok(parsed.ok, JSON.stringify(parsed));
      assert.equal(shown(parsed.expression), tree);
    });
  }

  it('reads names that begin like operators', () => {
    const parsed = parseCondition('android or notes and 1 of of_*', ['android', 'notes', 'of_x']);
    assert.ok(parsed.ok);
    assert.equal(shown(parsed.expression), '(android or (notes and of_x))');
  });

  const problems: Array<[string, number, RegExp]> = [
    ['', 0, /empty/],
    ['sel_a AND sel_b', 6, /lower case: write "and"/],
    ['NOT sel_a', 0, /lower case: write "not"/],
    ['1 OF sel_*', 2, /lower case: write "of"/],
    ['sel_c', 0, /did you mean "sel_a"/],
    ['sel_a and 1 of nope*', 15, /matches no selection/],
    ['2 of sel_*', 0, /not part of Sigma/],
    ['sel_a and', 9, /ends where/],
    ['(sel_a', 6, /ends where/],
    ['sel_a)', 5, /unexpected "\)"/],
    ['sel_a sel_b', 6, /put "and" or "or"/],
    ['sel_a | count() > 5', 6, /no longer part of Sigma/],
    ['sel_a & sel_b', 6, /unexpected "&"/],
    ['and sel_a', 0, /operator/],
    [`${'('.repeat(100)}sel_a${')'.repeat(100)}`, 64, /nests deeper/],
  ];
  for (const [source, at, told] of problems) {
    it(`refuses ${source.slice(0, 30) || 'an empty condition'}`, () => {
      const parsed = parseCondition(source, NAMES);
      assert.ok(!parsed.ok);
      assert.equal(parsed.at, at);
      assert.match(`${parsed.message}; ${parsed.hint}`, told);
    });
  }
});
