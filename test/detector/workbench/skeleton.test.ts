/** New rules, whatever they are called. That their tests pass is shown in `test/cli/rules.test.ts`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SKELETON_KINDS, skeleton } from '../../../services/detector/workbench/skeleton.ts';
import { snakeCase } from '../../../services/detector/workbench/skeleton-parts.ts';
import { idOf, layered } from '../sigma/layers.ts';

function made(title: string, kind: (typeof SKELETON_KINDS)[number] | null) {
  let ids = 0;
  const newId = (): string => {
    ids += 1;
    return idOf(ids);
  };
  return layered([skeleton({ title, kind, newId, date: '2026-11-24' })]);
}

describe('a new rule', () => {
  it('loads without a problem and has its title, whatever that is', () => {
    const titles = fc.oneof(
      fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }),
      fc.constantFrom(
        'yes',
        'NULL',
        '7',
        '- a',
        'a: b',
        '"',
        "it's #1",
        '%x%',
        '*',
        '&a',
        '2026-11-24',
      ),
    );
    const shown = titles.filter((title) => title.trim() !== '');
    fc.assert(
      fc.property(shown, fc.constantFrom(null, ...SKELETON_KINDS), (title, kind) => {
        const { set, problems } = made(title, kind);
        assert.deepEqual(problems, []);
        const rule = [...set.stateful, ...set.rules].find(({ id }) => id === idOf(1));
        assert.equal(rule?.title.trim(), title.trim());
        assert.ok(rule.tests.some(({ hit }) => hit) && rule.tests.some(({ hit }) => !hit));
        assert.ok(rule.runbook.length >= 3 && rule.tags.length > 0);
      }),
      { numRuns: 150 },
    );
  });

  it('is named after its title in letters that every file system has', () => {
    assert.equal(snakeCase('Secrets read at night!'), 'secrets_read_at_night');
    assert.equal(snakeCase('Résumé – ÜBER'), 'resume_uber');
    assert.equal(snakeCase('2 keys'), 'rule_2_keys');
    assert.equal(snakeCase('日本'), 'rule');
  });
});
