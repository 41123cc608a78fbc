/**
 * The shipped rules held against what public detections look for: each is covered by rules that
 * are there, raise alerts and are tested both ways, and what is mended is shown by a test. No rule
 * is without a reason to be there.
 */
import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { describe, it } from 'node:test';
import type { RuleHeader } from '../../../services/detector/sigma/rule.ts';
import { COVERED, type Covered, EXTRA } from './coverage.ts';
import { ALERTING } from './loaded.ts';

const COUNTS: Readonly<Record<string, number>> = {
  panther: 42,
  'databricks workspace detections': 38,
  'system tables audit logs': 30,
  'smaller collections': 34,
  gaps: 16,
};

/** Rules that raise alerts, by the name of their file. */
const alerting = new Map<string, RuleHeader[]>();
for (const rule of ALERTING) {
  const name = basename(rule.file, '.yml');
  alerting.set(name, [...(alerting.get(name) ?? []), rule]);
}

const testsOf = (name: string) => (alerting.get(name) ?? []).flatMap(({ tests }) => tests);
const titleOf = ({ reference, behaviour }: Covered): string => `${reference}: ${behaviour}`;

for (const [collection, count] of Object.entries(COUNTS)) {
  const entries = COVERED.filter((one) => one.collection === collection);
  describe(`what is looked for by ${collection}`, () => {
    it('is here whole, each once', () => {
      assert.equal(entries.length, count);
      assert.equal(new Set(entries.map(({ reference }) => reference)).size, count);
    });

    for (const entry of entries) {
      it(`${titleOf(entry)}`, () => {
        assert.ok(entry.reference !== '' && entry.behaviour !== '');
        assert.ok(entry.rules.length > 0, 'a rule looks for it');
        for (const name of entry.rules) {
          assert.ok(alerting.has(name), `${name} is a shipped rule that raises alerts`);
          const tests = testsOf(name);
          assert.ok(tests.some(({ hit }) => hit) && tests.some(({ hit }) => !hit), name);
        }
      });
    }

    it('is done better only where a test shows it', () => {
      for (const entry of entries) {
        assert.equal(entry.mended !== null, entry.shown.length > 0, titleOf(entry));
        for (const { rule, test } of entry.shown) {
          assert.ok(entry.rules.includes(rule), `${rule} is not named by ${entry.reference}`);
          const names = testsOf(rule).map(({ name }) => name);
          assert.ok(names.includes(test), `${rule} has no test ${JSON.stringify(test)}`);
        }
      }
    });
  });
}

it('every shipped rule is asked for, or is said why it is there', () => {
  const used = new Set(COVERED.flatMap((entry) => entry.rules));
  const shipped = [...alerting.keys()].sort();
  assert.deepEqual(
    shipped.filter((name) => !used.has(name)),
    Object.keys(EXTRA).sort(),
  );
  for (const why of Object.values(EXTRA)) assert.ok(why.length > 10);
});
