/** Loading is all or nothing, and finds every problem of every file (promise D3). */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { describeProblem } from '../../../services/detector/sigma/problem.ts';
import { type LoadedRules, loadRules } from '../../../services/detector/sigma/rules.ts';
import { ruleText } from '../events.ts';

const root = mkdtempSync(join(tmpdir(), 'lakeseal-rules-'));
after(() => rmSync(root, { recursive: true }));

const GOOD = ruleText('sel:\n  actionName: login\ncondition: sel');

function folder(files: Record<string, string>): string {
  const path = mkdtempSync(join(root, 'case-'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(path, name, '..'), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  return path;
}

function load(layers: string[], lists: string[] = []): LoadedRules {
  return loadRules({ layers, lists, nowMs: 0 });
}

function problems(paths: string[]): string[] {
  const loaded = load(paths);
  return loaded.ok ? assert.fail('loaded') : loaded.problems.map(describeProblem);
}

describe('loading rules', () => {
  it('reads folders below folders, .yml and .yaml, and passes over the rest', () => {
    const path = folder({
      'b.yml': GOOD,
      'a/x.yaml': GOOD.replace('0001', '0002'),
      'notes.txt': 'x',
      '.hidden.yml': 'x',
      '.git/c.yml': 'x',
    });
    symlinkSync(path, join(path, 'circle'));
    const loaded = load([path]);
    assert.ok(loaded.ok);
    assert.deepEqual(
      loaded.set.rules.map(({ id }) => id.slice(-4)),
      ['0002', '0001'],
    );
  });

  it('reads a file once when it is named twice', () => {
    const path = folder({ 'a.yml': GOOD });
    const loaded = load([path, join(path, 'a.yml')]);
    assert.ok(loaded.ok && loaded.set.rules.length === 1);
  });

  it('loads nothing when one file is wrong, and names all that is wrong', () => {
    const path = folder({ 'a.yml': GOOD, 'b.yml': 'title: x', 'c.yml': '- x' });
    const told = problems([path]);
    assert.ok(told.length >= 3);
    assert.ok(told.some((one) => one.includes('b.yml:1:1')));
    assert.ok(told.some((one) => one.includes('c.yml:1:1')));
    assert.ok(!told.some((one) => one.includes('a.yml')));
  });

  it('refuses an id or a name that is used twice, and says where', () => {
    const path = folder({ 'a.yml': `${GOOD}name: n\n`, 'b.yml': `\n${GOOD}name: n\n` });
    const told = problems([path]);
    assert.equal(told.length, 2);
    assert.match(
      told[0]!,
      /b\.yml:2:1: error: the id 0.* is already used at .*a\.yml:1; give each/,
    );
    assert.match(told[1]!, /the name n is already used/);
  });

  it('tells of files that are missing, or not text', () => {
    const path = folder({});
    writeFileSync(join(path, 'a.yml'), Buffer.from([0xff, 0xfe, 0x00]));
    const told = problems([path, join(path, 'absent.yml')]);
    assert.match(told[0]!, /a\.yml: error: not UTF-8 text; save the file as UTF-8/);
    assert.match(told[1]!, /absent\.yml: error: no such file or folder; check the path/);
  });

  it('passes warnings on beside the rules', () => {
    const path = folder({ 'a.yml': GOOD.replace('actionName', 'actonName') });
    const loaded = load([path]);
    assert.ok(loaded.ok);
    assert.equal(loaded.warnings.length, 1);
  });
});
