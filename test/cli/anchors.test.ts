/**
 * Stamps, witnesses and kept copies at the command line, as an auditor uses them: a copy of the
 * archive, the root certificate of the authority, and the copies of roots that were sent elsewhere.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { rootKey } from '../../services/archiver/anchors/root.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { hasOpenssl, TestTsa } from '../tsa/tsa.ts';
import { TestWitness } from '../tsa/witness.ts';
import { PREFIX, START_MS, signer, smallArchive } from '../verifier/proof-archive.ts';
import { hasPython, python } from '../verifier/readings.ts';
import { writeFolder } from '../verifier/write-folder.ts';
import { createScreen } from './screen.ts';

const skip = hasOpenssl ? false : 'openssl is not here: NOT tested';
const KEY = signer.verifier.vkey;

async function run(...argv: string[]) {
  const screen = createScreen({ LAKESEAL_STORAGE_PREFIX: PREFIX });
  const code = await runCommandLine(argv, screen);
  return { code, out: screen.output(), err: screen.errors() };
}

describe('anchors at the command line', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-anchors-'));
  after(() => rmSync(folder, { recursive: true }));
  const tsa = new TestTsa();
  after(() => tsa.close());
  const { root: ca, signer: authority } = tsa.usual();
  const stranger = tsa.usual().root;
  const witness = new TestWitness('witness.example.com/w1', 1);
  const copy = join(folder, 'copy');
  const kept = join(folder, 'kept');
  const trust = ['--tsa-ca', ca.certificate, '--witness', witness.key.vkey];

  before(async () => {
    const { bucket, seal, root } = smallArchive();
    await seal(3);
    await root(0);
    const note = bucket.current(rootKey(PREFIX, 'note', 1))!.bytes!;
    const time = START_MS / 1000 + 7;
    bucket.put(rootKey(PREFIX, 'tsr', 1), tsa.forge(note, authority, { time }));
    bucket.put(rootKey(PREFIX, 'witness', 1), Buffer.from(await witness.line(note)));
    await writeFolder(bucket, copy);
    await root(1);
    mkdirSync(kept);
    for (const size of [1, 2]) {
      writeFileSync(
        join(kept, `${size}.note`),
        bucket.current(rootKey(PREFIX, 'note', size))!.bytes!,
      );
    }
  });

  test('verify judges stamps of the authority that is named, and says when it does not', async () => {
    const counted = await run('verify', copy, '--key', KEY);
    assert.equal(counted.code, 0, counted.out + counted.err);
    assert.match(counted.out, /1 time stamp not judged \(--tsa-ca\)/);
    const judged = await run('verify', copy, '--key', KEY, ...trust, '--expect-stamps');
    assert.equal(judged.code, 0, judged.out + judged.err);
    assert.match(judged.out, /1 time stamp, expected from the root of 2026-11-24T00:00:00Z on\n/);
    const other = await run('verify', copy, '--key', KEY, '--tsa-ca', stranger.certificate);
    assert.equal(other.code, 1);
    assert.match(other.out, /stamp_invalid: .*\.tsr.*\n.*\n.*\n.*no chain leads to a trusted/);
  });

  test('verify expects stamps from when it is told, or from the first', async () => {
    const place = ['verify', copy, '--key', KEY, ...trust, '--stamps-since'];
    const later = await run(...place, '2026-11-25T00:00:00Z');
    assert.match(later.out, /1 time stamp, expected of no root yet\n/);
    const { root } = JSON.parse((await run(...place, 'first', '--json')).out);
    assert.equal(root.stampsFrom, '2026-11-24T00:00:00Z');
    const wrong = await run(...place, 'yesterday');
    assert.equal(wrong.code, 3);
    assert.match(wrong.err, /write it as 2026-/);
  });

  test('verify says what it was not given, or what is wrong with it', async () => {
    const place = ['verify', copy, '--key', KEY];
    for (const [argv, expected] of [
      [[...place, '--stamps-since', 'first'], /of no authority[\s\S]*--tsa-ca/],
      [[...place, '--expect-stamps'], /of no authority[\s\S]*--tsa-ca/],
      [[...place, '--tsa-ca', join(copy, 'versions.jsonl')], /no certificate in PEM form/],
      [[...place, '--tsa-ca', join(folder, 'none')], /none cannot be read/],
      [[...place, '--witness', KEY], /not the key of a witness/],
      [['verify', copy, '--key', witness.key.vkey], /it is the key of a witness/],
      [[...place, '--from', folder], /no checkpoint \(\.note\) in/],
    ] as const) {
      const { code, err } = await run(...argv);
      assert.equal(code, 3, err);
      assert.match(err, expected);
    }
  });

  test('verify holds an archive against every checkpoint in a folder', async () => {
    const { code, out } = await run('verify', copy, '--key', KEY, '--from', kept);
    assert.equal(code, 1);
    assert.match(out, /tampered: truncated/);
    if (!hasPython) return;
    const theirs = python(copy, '--prefix', PREFIX, '--key', KEY, '--from', kept);
    assert.equal(theirs.status, 1, theirs.stderr);
    assert.match(theirs.stdout, /tampered: truncated/);
  });

  test('prove carries them, and --check judges them', async () => {
    const out = join(folder, 'case');
    const place = ['--archive', copy, '--key', KEY, '--out', out];
    const made = await run('prove', 'databricks.audit/0/1', ...place);
    assert.equal(made.code, 0, made.err);
    assert.match(made.out, /with a time stamp that was not judged/);
    const check = ['prove', '--check', join(out, readdirSync(out)[0]!), '--key', KEY];
    const checked = await run(...check, ...trust);
    assert.equal(checked.code, 0, checked.err);
    assert.match(checked.out, /time-stamped 2026-11-24T00:00:07Z/);
    assert.match(checked.out, /witness {5}witness\.example\.com\/w1 at 2026-/);
    const json = JSON.parse((await run(...check, ...trust, '--json')).out) as {
      root: { stampedAt: string; witnesses: unknown[] };
    };
    assert.equal(json.root.stampedAt, '2026-11-24T00:00:07Z');
    assert.equal(json.root.witnesses.length, 1);
    const other = await run(...check, '--tsa-ca', stranger.certificate);
    assert.equal(other.code, 1);
    assert.match(other.err, /does not hold: the time stamp of the root: no chain/);
  });
});
