/** `verify --state` at the command line, over a copy in a folder that grows. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { runCommandLine } from '../../services/cli/program.ts';
import { PREFIX, signer } from '../verifier/proof-archive.ts';
import { dataKey, scene } from '../verifier/tamperings.ts';
import { writeFolder } from '../verifier/write-folder.ts';
import { createScreen } from './screen.ts';

const folder = mkdtempSync(join(tmpdir(), 'lakeseal-verify-state-'));
after(() => rmSync(folder, { recursive: true }));

async function run(...argv: string[]) {
  const screen = createScreen({ LAKESEAL_STORAGE_PREFIX: PREFIX });
  const code = await runCommandLine(argv, screen);
  return { code, out: screen.output(), err: screen.errors() };
}

test('verify goes on where it ended, says so, and reads everything with --whole', async () => {
  const archive = await scene();
  const copy = join(folder, 'copy');
  const state = join(folder, 'state.json');
  await writeFolder(archive.bucket, copy);
  const verify = (...more: string[]) =>
    run('verify', copy, '--key', signer.verifier.vkey, '--state', state, ...more);
  const first = await verify();
  assert.equal(first.code, 0, first.out + first.err);
  assert.doesNotMatch(first.out, /what is new/);
  await archive.seal(2);
  await archive.root(2);
  await writeFolder(archive.bucket, copy);
  const second = await verify('--json');
  assert.equal(second.code, 0);
  assert.deepEqual(JSON.parse(second.out).incremental, true);
  writeFileSync(join(copy, ...dataKey(0n).split('/')), 'forged');
  const later = await verify();
  assert.equal(later.code, 0, 'it lies before the state');
  assert.match(later.out, /what is new since the run that left the state/);
  const whole = await verify('--whole');
  assert.equal(whole.code, 1);
  assert.match(whole.out, /segment_altered/);
  assert.equal((await verify()).code, 1, 'and is not forgotten');
  writeFileSync(state, readFileSync(state, 'utf8').replace('"format": 1', '"format": 2'));
  const wrong = await verify();
  assert.equal(wrong.code, 3);
  assert.match(wrong.err, /is no state of a verification: format[\s\S]*--whole/);
  const alone = await run('verify', copy, '--key', signer.verifier.vkey, '--whole');
  assert.equal(alone.code, 3);
  assert.match(alone.err, /--state FILE/);
});
