/** The shipped catalogue: it loads without a doubt, each rule's tests pass, each rule is complete. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { doubtsOf } from '../../../services/detector/sigma/doubts.ts';
import { describeProblem } from '../../../services/detector/sigma/problem.ts';
import type { RuleHeader, RuleSet } from '../../../services/detector/sigma/rule.ts';
import { loadRules, SHIPPED_LISTS, SHIPPED_RULES } from '../../../services/detector/sigma/rules.ts';
import { tacticsOf, techniquesOf } from '../../../services/detector/workbench/attack.ts';
import { TestBench } from '../../../services/detector/workbench/tests.ts';

/** Rules that raise alerts: fewer would leave rows of the catalogue uncovered. */
const ALERTING_RULES_MIN = 75;
const RULES_PER_SECOND_MIN = 100;
const PUBLIC_DOCUMENTATION =
  /^https:\/\/(docs\.databricks\.com|learn\.microsoft\.com|docs\.aws\.amazon\.com|docs\.delta\.io|github\.com\/delta-io|attack\.mitre\.org)\//;

const loaded = loadRules({
  layers: [SHIPPED_RULES],
  lists: [SHIPPED_LISTS],
  nowMs: Date.UTC(2026, 10, 24),
});
const set: RuleSet = loaded.ok
  ? loaded.set
  : { rules: [], stateful: [], exceptions: [], disabled: [] };
const bench = new TestBench(set, () => performance.now());
const headers = bench.headers();
const alerting = new Set(
  [...set.rules, ...set.stateful].filter(({ alerts }) => alerts).map(({ id }) => id),
);

/** The document of a YAML file that one of its rules is. */
function nameOf({ file, title }: RuleHeader): string {
  return `${basename(file)}: ${title}`;
}

describe('the shipped catalogue', () => {
  it('loads without an error, a warning or a doubt', () => {
    const problems = loaded.ok ? [...loaded.warnings, ...doubtsOf(set)] : loaded.problems;
    assert.deepEqual(problems.map(describeProblem), []);
  });

  it(`has at least ${ALERTING_RULES_MIN} rules that raise alerts`, () => {
    assert.ok(alerting.size >= ALERTING_RULES_MIN, `${alerting.size} rules`);
  });

  it('has no id and no title twice', () => {
    for (const key of ['id', 'title'] as const) {
      const all = headers.map((rule) => rule[key]);
      assert.deepEqual(
        all.filter((one, at) => all.indexOf(one) !== at),
        [],
      );
    }
  });

  it('excepts nobody: exceptions are the operator’s', () => {
    assert.deepEqual(set.exceptions, []);
    assert.deepEqual(set.disabled, []);
  });

  it('uses only public example addresses and names', () => {
    const texts = [SHIPPED_RULES, SHIPPED_LISTS].flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((file) => /\.(ya?ml|txt)$/.test(file))
        .map((file) => [file, readFileSync(join(folder, file), 'utf8')] as const),
    );
    assert.ok(texts.length > 0);
    for (const [file, text] of texts) {
      for (const [address] of text.matchAll(/\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b/g)) {
        // Private networks are nobody's, and rules tell them from public ones.
        assert.match(address, /^(192\.0\.2|198\.51\.100|203\.0\.113|10\.\d+\.\d+)\./, file);
      }
      for (const [address] of text.matchAll(/[\w.+-]+@[\w.-]+\w/g)) {
        assert.match(address, /[@.]example\.(com|org|net)(-\d+)?$/, file);
      }
    }
  });

  it(`is tested at ${RULES_PER_SECOND_MIN} rules a second or more`, () => {
    const fresh = new TestBench(set, () => performance.now());
    // Of the processor: what else the machine does is no matter of the rules.
    const before = process.cpuUsage();
    for (const { id } of headers) fresh.run(id);
    const { user, system } = process.cpuUsage(before);
    const rate = headers.length / ((user + system) / 1_000_000);
    assert.ok(rate >= RULES_PER_SECOND_MIN, `${rate.toFixed(0)} rules/s`);
  });
});

for (const rule of headers) {
  const { results, alerts, kind } = bench.run(rule.id);
  describe(nameOf(rule), () => {
    for (const { test, ok, why } of results) {
      it(`${test.hit ? 'hit' : 'miss'}: ${test.name}`, () => assert.ok(ok, why.join('\n')));
    }
    if (!alerts) return;

    it('has all that an analyst needs', () => {
      assert.match(basename(rule.file), /^[a-z0-9_]+\.yml$/);
      assert.match(
        rule.id,
        /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
      assert.ok((rule.description ?? '').length > 40, 'a description');
      assert.equal(rule.author, 'lakeseal');
      assert.ok(rule.status === 'experimental' || rule.status === 'test', 'a status');
      assert.ok(rule.references.length >= 1, 'references');
      for (const url of rule.references) assert.match(url, /^https:\/\/[a-z0-9.-]+\.[a-z]+\//);
      assert.ok(
        rule.references.some((url) => PUBLIC_DOCUMENTATION.test(url)),
        'a reference to public documentation',
      );
      assert.ok(techniquesOf(rule.tags).length > 0, 'a technique');
      assert.ok(tacticsOf(rule.tags).length > 0, 'a tactic');
      assert.ok(rule.falsepositives.length >= 1, 'known false positives');
      assert.ok(rule.runbook.length >= 3, 'three steps or more of a runbook');
    });

    it('has hits and misses', () => {
      assert.ok(
        results.some(({ test }) => test.hit),
        'a hit',
      );
      assert.ok(
        results.some(({ test }) => !test.hit),
        'a miss',
      );
      // What only many events can show needs a sequence that shows it.
      if (kind !== 'event') {
        const longest = Math.max(...results.map(({ test }) => test.events.length));
        const timed = results.some(({ test }) => test.untilMs !== null);
        assert.ok(longest > 1 || timed, 'a timed sequence');
      }
    });
  });
}
