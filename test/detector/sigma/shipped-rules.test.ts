/** Every shipped rule: it loads without a warning, its own tests pass, and it is complete. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, it } from 'node:test';
import { describeProblem } from '../../../services/detector/sigma/problem.ts';
import { runRuleTests } from '../../../services/detector/sigma/rule-tests.ts';
import { loadRules, SHIPPED_RULES } from '../../../services/detector/sigma/rules.ts';

const loaded = loadRules([SHIPPED_RULES]);
const problems = loaded.ok ? loaded.warnings : loaded.problems;
const rules = loaded.ok ? loaded.rules : [];

describe('shipped rules', () => {
  it('load without an error or a warning', () => {
    assert.deepEqual(problems.map(describeProblem), []);
    assert.ok(rules.length >= 14);
  });

  for (const rule of rules) {
    describe(basename(rule.file), () => {
      it('has all that an analyst needs', () => {
        assert.match(basename(rule.file), /^[a-z0-9_]+\.yml$/);
        assert.match(
          rule.id,
          /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
        );
        assert.ok((rule.description ?? '').length > 40);
        assert.equal(rule.author, 'lakeseal');
        assert.equal(rule.status, 'experimental');
        assert.ok(rule.references.length >= 2);
        assert.ok(
          rule.references.every((url) =>
            /^https:\/\/(docs\.databricks\.com|attack\.mitre\.org)\//.test(url),
          ),
        );
        assert.ok(
          rule.tags.some((tag) => /^attack\.t\d{4}/.test(tag)),
          'a technique',
        );
        assert.ok(
          rule.tags.some((tag) => /^attack\.[a-z-]+$/.test(tag)),
          'a tactic',
        );
        assert.ok(rule.falsepositives.length >= 1);
        assert.ok(rule.runbook.length >= 3);
      });

      it('has hits and misses', () => {
        assert.ok(
          rule.tests.some((test) => test.hit),
          'a hit',
        );
        assert.ok(
          rule.tests.some((test) => !test.hit),
          'a miss',
        );
      });

      for (const { test, ok, detail } of runRuleTests([rule])) {
        it(`${test.hit ? 'hit' : 'miss'}: ${test.name}`, () => assert.ok(ok, detail));
      }
    });
  }

  it('use only public example addresses and names in their tests', () => {
    for (const rule of rules) {
      const text = readFileSync(rule.file, 'utf8');
      for (const [address] of text.matchAll(/\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b/g)) {
        assert.match(address, /^(192\.0\.2|198\.51\.100|203\.0\.113)\./, rule.file);
      }
      for (const [address] of text.matchAll(/[\w.]+@[\w.]+/g)) {
        assert.match(address, /[@.]example\.com$/, rule.file);
      }
    }
  });
});
