/** Loading again: what has changed is read, the rest is known, and what comes of it is the same. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { describeProblem } from '../../../services/detector/sigma/problem.ts';
import type { Rule } from '../../../services/detector/sigma/rule.ts';
import { loadRules, type RuleFolders, RuleLoader } from '../../../services/detector/sigma/rules.ts';
import { correlationRule, detectionRule } from './layers.ts';

const root = mkdtempSync(join(tmpdir(), 'lakeseal-reload-'));
after(() => rmSync(root, { recursive: true }));

let folder: string;
let folders: RuleFolders;
beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'));
  for (const inner of ['shipped', 'own', 'lists']) mkdirSync(join(folder, inner));
  folders = {
    layers: [join(folder, 'shipped'), join(folder, 'own')],
    lists: [join(folder, 'lists')],
    nowMs: 0,
  };
});

/** null: the file goes. */
function write(name: string, text: string | null): void {
  if (text === null) rmSync(join(folder, name), { force: true });
  else writeFileSync(join(folder, name), text);
}

const LISTED = detectionRule(3, '"%names%"').replace('actionName:', 'actionName|expand:');
const TESTED = (tests: string) => detectionRule(4, 'logout', `lakeseal: {tests: ${tests}}\n`);
const GOOD_TEST = '[{name: x, hit: true, event: {actionName: logout}}]';
const COUNT = '{type: event_count, rules: [rule_1], timespan: 1h, condition: {gte: 2}}';

/** What each file may hold; the first is a rule set that loads. */
const CONTENTS: Record<string, Array<string | null>> = {
  'shipped/a.yml': [detectionRule(1, 'login'), detectionRule(1, 'mfaLogin'), 'title: [', null],
  'shipped/b.yml': [detectionRule(2, 'a') + correlationRule(9, COUNT), detectionRule(2, 'b')],
  'shipped/c.yml': [LISTED, LISTED.replace('names', 'nmaes')],
  'shipped/d.yml': [TESTED(GOOD_TEST), TESTED('[{name: x}]')],
  'own/a.yml': [
    null,
    detectionRule(1, 'samlLogin').replace('title: Rule 1', 'title: Mine'),
    'title: Less\nlakeseal: {override: {rule: rule_2, level: informational}}\n',
    'title: Off\nlakeseal: {override: {rule: rule_9, enabled: false}}\n',
    detectionRule(1, 'login', 'levels: wrong\n'),
  ],
  'lists/names.txt': ['one\ntwo\n', 'three\n', ''],
  'lists/other.txt': [null, 'x\n'],
};

function writeFirst(): void {
  for (const [name, [text]] of Object.entries(CONTENTS)) write(name, text!);
}

describe('rules that are loaded again', () => {
  it('are what loading them for the first time gives, whatever has changed', () => {
    const edits = Object.entries(CONTENTS).flatMap(([name, texts]) =>
      texts.map((text) => ({ name, text })),
    );
    const edit = fc.record({
      edit: fc.constantFrom(...edits),
      tests: fc.boolean(),
      nowMs: fc.constantFrom(0, 1),
    });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 8 }), (course) => {
        writeFirst();
        const loader = new RuleLoader();
        loader.load(folders);
        for (const { edit: one, tests, nowMs } of course) {
          write(one.name, one.text);
          const now = { ...folders, tests, nowMs };
          assert.deepEqual(loader.load(now), loadRules(now));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('are read only where their file or a list has changed', () => {
    writeFirst();
    const loader = new RuleLoader();
    const conditions = (): Rule['condition'][] => {
      const loaded = loader.load(folders);
      assert.ok(loaded.ok);
      return loaded.set.rules.map(({ condition }) => condition);
    };
    const changed = (before: Rule['condition'][]): boolean[] =>
      conditions().map((condition, at) => condition !== before[at]);
    let before = conditions();
    assert.deepEqual(changed(before), [false, false, false, false]);
    write('shipped/a.yml', `${detectionRule(1, 'login')}# changed\n`);
    assert.deepEqual(changed(before), [true, false, false, false]);
    before = conditions();
    write('lists/names.txt', 'other\n');
    assert.deepEqual(changed(before), [true, true, true, true]);
  });
});

describe('the tests of rules', () => {
  it('are read where they are asked for, and what is wrong with them is found there', () => {
    writeFirst();
    const testsOf = (tests?: boolean): number[] => {
      const loaded = loadRules(tests === undefined ? folders : { ...folders, tests });
      assert.ok(loaded.ok);
      return loaded.set.rules.map((rule) => rule.tests.length);
    };
    assert.deepEqual(testsOf(), [0, 0, 0, 1]);
    assert.deepEqual(testsOf(false), [0, 0, 0, 0]);
    write('shipped/d.yml', TESTED('[{name: x}]'));
    const loaded = loadRules(folders);
    assert.ok(!loaded.ok);
    assert.match(loaded.problems.map(describeProblem).join('\n'), /the test has no event/);
    assert.deepEqual(testsOf(false), [0, 0, 0, 0]);
    write('shipped/d.yml', `${TESTED('[')}`);
    assert.ok(!loadRules({ ...folders, tests: false }).ok, 'a file that is no YAML is refused');
  });
});
