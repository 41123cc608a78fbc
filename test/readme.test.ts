/** The README says what is so: commands, scripts, settings, links and the example are held to it. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { runCommandLine } from '../services/cli/program.ts';
import { processTerminal } from '../services/cli/terminal.ts';
import { scan } from '../services/detector/scan.ts';
import { loadRules, SHIPPED_LISTS, SHIPPED_RULES } from '../services/detector/sigma/rules.ts';
import { configKeys, loadConfig } from '../services/runtime/config.ts';

const ROOT = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const readme = read('README.md');
const inside = read('services/README.md');

function blocks(language: string): string[] {
  return [...readme.matchAll(/```(\w+)\n([\s\S]*?)```/g)]
    .filter(([, name]) => name === language)
    .map(([, , body]) => body!);
}

test('the example: scanning the event gives the alert', async () => {
  const [event, alert] = blocks('json');
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-readme-'));
  try {
    writeFileSync(join(folder, 'event.json'), event!);
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const file = join(folder, 'event.json');
    const printed = text(stdout);
    const code = await scan(
      { files: [file], rules: [SHIPPED_RULES], format: 'json' },
      { stdin: new PassThrough(), stdout, stderr, now: Date.now },
    );
    stdout.end();
    assert.equal(code, 0);
    assert.equal((await printed).replace(file, 'event.json'), alert);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the configuration example is valid', () => {
  const [yaml] = blocks('yaml');
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-readme-'));
  try {
    writeFileSync(join(folder, 'lakeseal.yaml'), yaml!);
    const config = loadConfig(join(folder, 'lakeseal.yaml'), {});
    assert.equal(config.storage.bucket, 'example-audit-archive');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the table of commands is the list of commands', async () => {
  const told = [...readme.matchAll(/^\| `lakeseal (\w+)/gm)].map(([, name]) => name);
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  const terminal = { ...processTerminal(), out: say, err: say };
  await runCommandLine(['--help'], terminal);
  const help = lines.join('\n');
  const listed = [
    ...help.slice(help.indexOf('Commands:')).matchAll(/^ {2}(\w+) {2,}|^ {2}(\w+) \[/gm),
  ]
    .map(([, plain, withOptions]) => plain ?? withOptions)
    .filter((name) => name !== 'help');
  assert.deepEqual([...told].sort(), [...listed].sort());
});

test('every npm script and every setting it names exists', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const [, name] of `${readme}${inside}`.matchAll(/npm run (?:-s )?([\w:]+)/g)) {
    assert.ok(name! in scripts, `npm run ${name}`);
  }
  const names = new Set(configKeys.map(({ env }) => env));
  for (const [name] of `${readme}${inside}`.matchAll(/LAKESEAL_[A-Z0-9_]+/g)) {
    const known = names.has(name) || names.has(name.replace(/_FILE$/, ''));
    assert.ok(known || name === 'LAKESEAL_CONFIG' || name === 'LAKESEAL_CACHE', name);
  }
});

test('every relative link leads somewhere', () => {
  for (const path of ['README.md', 'services/README.md', 'schemas/segment.md']) {
    for (const [, target] of read(path).matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      assert.ok(existsSync(join(ROOT, dirname(path), target!)), `${path}: ${target}`);
    }
  }
});

test('the number of shipped rules is the number of those that alert', () => {
  const loaded = loadRules({ layers: [SHIPPED_RULES], lists: [SHIPPED_LISTS], nowMs: Date.now() });
  assert.ok(loaded.ok);
  const count = [...loaded.set.rules, ...loaded.set.stateful].filter(({ alerts }) => alerts).length;
  assert.ok(readme.includes(`${count} rules are shipped`), `there are ${count}`);
  assert.ok(read('CHANGELOG.md').includes(`${count} rules shipped`), `there are ${count}`);
});

test('the first runs and the figures are filled in', () => {
  assert.ok(!readme.includes('FIGURES_'), 'a place for figures is still empty');
});
