/**
 * `prove` and `keys` as an auditor and an operator use them: a copy of an archive in a folder, a
 * public key, and no server.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { evidenceKey, partitionLog } from '../../schemas/evidence/log-layout.ts';
import { formatPrivateKey } from '../../schemas/evidence/note.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import {
  ADDRESSES,
  eventIdOf,
  NAME,
  PREFIX,
  signer,
  smallArchive,
} from '../verifier/proof-archive.ts';
import { createScreen } from './screen.ts';

const root = mkdtempSync(join(tmpdir(), 'lakeseal-prove-'));
after(() => rmSync(root, { recursive: true }));

const archive = join(root, 'copy');
const env = { LAKESEAL_STORAGE_PREFIX: PREFIX };
const KEY = signer.verifier.vkey;

async function run(...argv: string[]) {
  const screen = createScreen(env);
  const code = await runCommandLine(argv, screen);
  return { code, out: screen.output(), err: screen.errors() };
}

before(async () => {
  const small = smallArchive();
  for (const records of [4, 3, 6]) await small.seal(records);
  await small.root(0);
  for (const key of small.bucket.list('', undefined, 1_000)) {
    const path = join(archive, ...key.split('/'));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, small.bucket.current(key)!.bytes!);
  }
});

describe('lakeseal prove', () => {
  test('writes a proof from a copy, and checks it with nothing but the key', async () => {
    const out = join(root, 'case');
    const place = ['--archive', archive, '--key', KEY, '--out', out];
    const made = await run('prove', 'databricks.audit/1/5', ...place);
    assert.equal(made.code, 0, made.err);
    assert.match(made.out, /sealed in +4 to 7, 3 records/);
    assert.match(made.out, /root of 2026-11-24T00:00:00Z, without time stamp/);
    const [file] = readdirSync(out);
    const checked = await run('prove', '--check', join(out, file!), '--key', KEY);
    assert.equal(checked.code, 0, checked.err);
    assert.match(checked.out, /^holds: /);
    const again = await run('prove', 'databricks.audit/1/5', ...place);
    assert.equal(again.code, 0, again.err);
  });

  test('a changed proof, or another key, does not hold', async () => {
    const out = join(root, 'changed');
    await run('prove', 'databricks.audit/0/2', '--archive', archive, '--key', KEY, '--out', out);
    const file = join(out, readdirSync(out)[0]!);
    const other = KEY.replace(/^[^+]+/, 'else.example.com');
    const wrongKey = await run('prove', '--check', file, '--key', other);
    assert.equal(wrongKey.code, 1);
    assert.match(wrongKey.err, /key id .* is not that of this name/);
    writeFileSync(file, readFileSync(file, 'utf8').replace('"offset": "2"', '"offset": "3"'));
    const changed = await run('prove', '--check', file, '--key', KEY);
    assert.equal(changed.code, 1);
    assert.match(changed.err, /does not hold/);
  });

  test('finds an event by its id in the time that is said', async () => {
    const out = join(root, 'event');
    const found = await run(
      ...['prove', '--event', eventIdOf(0, 9n), '--since', '2026-11-24T00:00:00Z'],
      ...['--archive', archive, '--key', KEY, '--out', out],
    );
    assert.equal(found.code, 0, found.err);
    assert.match(found.out, /databricks\.audit\/0 offset 9/);
  });

  test('shows that a log was only appended to since a checkpoint that was kept', async () => {
    const log = partitionLog(ADDRESSES[0]!);
    const key = evidenceKey(PREFIX, { log, kind: 'note', number: 2 });
    const out = join(root, 'consistency');
    const place = ['--archive', archive, '--key', KEY, '--out', out];
    const made = await run('prove', '--consistency', join(archive, key), ...place);
    assert.equal(made.code, 0, made.err);
    assert.match(made.out, /the first 2 of 3 leaves are what they were/);
    const file = join(out, readdirSync(out)[0]!);
    const checked = await run('prove', '--check', file, '--key', KEY);
    assert.equal(checked.code, 0, checked.err);
  });

  test('says what is missing or wrong in what it was asked', async () => {
    for (const [argv, expected] of [
      [['prove'], /name one thing to prove/],
      [['prove', 'nonsense', '--archive', archive, '--key', KEY], /not a record: nonsense/],
      [['prove', 'databricks.audit/0/99', '--archive', archive, '--key', KEY], /not sealed/],
      [['prove', 'else/0/1', '--archive', archive, '--key', KEY], /no evidence of else\/0/],
      [['prove', 'databricks.audit/0/1', '--archive', archive], /no public key/],
      [
        ['prove', 'databricks.audit/0/1', '--archive', join(root, 'x'), '--key', KEY],
        /not a folder/,
      ],
      [['prove', '--check', join(root, 'none'), '--key', KEY], /cannot read/],
    ] as const) {
      const { code, err } = await run(...argv);
      assert.equal(code, 1);
      assert.match(err, expected);
      assert.match(err, /error: /);
    }
  });
});

describe('lakeseal keys', () => {
  test('makes a key that only its owner may read, and shows its public half', async () => {
    const path = join(root, 'signing.key');
    const made = await run('keys', 'new', '--name', NAME, '--out', path);
    assert.equal(made.code, 0, made.err);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const shown = await run('keys', 'show', '--key-file', path);
    assert.equal(shown.out, made.out);
    assert.match(shown.out, /^audit\.example\.com\/lakeseal\+[0-9a-f]{8}\+/);
    const again = await run('keys', 'new', '--name', NAME, '--out', path);
    assert.equal(again.code, 1);
    assert.match(again.err, /never overwritten/);
    assert.equal((await run('keys', 'show', '--key-file', path)).out, made.out);
  });

  test('refuses a key that others may read, and one that is none, without showing it', async () => {
    const path = join(root, 'shared.key');
    const text = formatPrivateKey(NAME, Buffer.alloc(32, 5));
    writeFileSync(path, text, { mode: 0o644 });
    chmodSync(path, 0o644);
    const shared = await run('keys', 'show', '--key-file', path);
    assert.equal(shared.code, 1);
    assert.match(shared.err, /may be read by others \(mode 644\)/);
    writeFileSync(path, text.replace(NAME, 'else'));
    chmodSync(path, 0o600);
    const changed = await run('keys', 'show', '--key-file', path);
    assert.match(changed.err, /key id/);
    assert.ok(!changed.err.includes(text.slice(-20)));
  });
});

describe('lakeseal verify', () => {
  test('verifies a copy in a folder with nothing but the key', async () => {
    const verified = await run('verify', archive, '--key', KEY, '--deep');
    assert.equal(verified.code, 0, verified.out + verified.err);
    assert.match(verified.out, /databricks\.audit\/0 {2}3 segments, 13 records/);
    assert.match(verified.out, /VERIFIED/);
    assert.match(verified.out, /Not checked here: delete markers/);
    const json = await run('verify', archive, '--key', KEY, '--json');
    assert.equal(JSON.parse(json.out).exitCode, 0);
  });

  test('names what was changed, and says when it could not run', async () => {
    const changed = join(root, 'tampered');
    cpSync(archive, changed, { recursive: true });
    const [key] = readdirSync(changed, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.avro'),
    );
    const path = join(changed, key!);
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.fill(0, bytes.length - 20));
    const found = await run('verify', changed, '--key', KEY);
    assert.equal(found.code, 1);
    assert.match(found.out, /tampered: segment_altered: .*\.avro/);
    assert.match(found.out, /TAMPERED/);
    assert.equal((await run('verify', join(root, 'nowhere'), '--key', KEY)).code, 3);
    mkdirSync(join(root, 'empty'));
    const empty = await run('verify', join(root, 'empty'), '--key', KEY);
    assert.equal(empty.code, 2);
    assert.match(empty.out, /INCOMPLETE/);
  });
});
