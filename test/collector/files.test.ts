import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { expandInputs, isDeliveryName } from '../../services/collector/files.ts';

/** In seconds; 1 where nothing is said. */
const DELIVERED = new Map([['workspaceId=2/date=2026-11-23/auditlogs_a.json.gz', 2]]);

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'lakeseal-files-'));
  for (const name of [
    'workspaceId=2/date=2026-11-23/auditlogs_b.json.gz',
    'workspaceId=2/date=2026-11-23/auditlogs_a.json.gz',
    'workspaceId=10/date=2026-11-23/auditlogs_c.json',
    'workspaceId=10/date=2026-11-23/_SUCCESS',
    'workspaceId=10/date=2026-11-23/.hidden.json',
    'notes/readme.txt',
    'odd [name].json',
  ]) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), name);
    await utimes(join(root, name), DELIVERED.get(name) ?? 1, DELIVERED.get(name) ?? 1);
  }
});
after(() => rm(root, { recursive: true, force: true }));

const stdin = Readable.from([]);

async function expand(...inputs: string[]) {
  const { sources, missing } = await expandInputs(
    inputs.map((input) => (input === '-' ? input : join(root, input))),
    stdin,
  );
  const names = sources.map(({ name }) => name.replace(`${root}/`, ''));
  return { names, missing: missing.map((text) => text.replace(`${root}/`, '')), sources };
}

test('delivery names are told by their ending, compressed or not', () => {
  for (const name of ['a.json', 'x/a.JSON.gz', 'a.ndjson.zst', 'a.jsonl.zstd', 'a.json.gzip']) {
    assert.ok(isDeliveryName(name), name);
  }
  for (const name of ['a.txt', 'a.json.bak', '_a.json', 'x/.a.json', 'a.parquet', 'json']) {
    assert.ok(!isDeliveryName(name), name);
  }
});

test('a folder gives its delivery files in order of delivery, at any depth', async () => {
  const { names, missing } = await expand('.');
  assert.deepEqual(missing, []);
  assert.deepEqual(names, [
    'odd [name].json',
    'workspaceId=10/date=2026-11-23/auditlogs_c.json',
    'workspaceId=2/date=2026-11-23/auditlogs_b.json.gz',
    'workspaceId=2/date=2026-11-23/auditlogs_a.json.gz',
  ]);
});

test('a glob gives what it matches, whatever its name', async () => {
  const { names } = await expand('workspaceId=2/**/*.gz', 'notes/*');
  assert.deepEqual(names, [
    'workspaceId=2/date=2026-11-23/auditlogs_b.json.gz',
    'workspaceId=2/date=2026-11-23/auditlogs_a.json.gz',
    'notes/readme.txt',
  ]);
});

test('a file whose name looks like a glob is that file', async () => {
  assert.deepEqual((await expand('odd [name].json')).names, ['odd [name].json']);
});

test('a file named twice is taken once, in the place of the first', async () => {
  const { names } = await expand('workspaceId=2/date=2026-11-23/auditlogs_b.json.gz', '.');
  assert.equal(names.length, 4);
  assert.equal(names[0], 'workspaceId=2/date=2026-11-23/auditlogs_b.json.gz');
});

test('everything that is missing is named at once', async () => {
  const { missing } = await expand('nope.json', 'x*.json', 'notes', 'odd [name].json/x');
  assert.deepEqual(missing, [
    'nope.json: no such file',
    'x*.json: no file matches',
    'notes: no .json, .jsonl or .ndjson file (.gz, .zst) inside',
    'odd [name].json/x: no file matches',
  ]);
});

test('a dangling link and an unreadable file are missing', async () => {
  await symlink('nowhere', join(root, 'notes', 'dangling.json'));
  const { missing } = await expand('notes/dangling.json');
  assert.deepEqual(missing, ['notes/dangling.json: no such file']);
  await rm(join(root, 'notes', 'dangling.json'));
  // Root reads everything, so there it cannot be shown.
  if (process.getuid?.() !== 0) {
    await chmod(join(root, 'notes', 'readme.txt'), 0);
    const locked = await expand('notes/readme.txt');
    await chmod(join(root, 'notes', 'readme.txt'), 0o644);
    assert.deepEqual(locked.missing, ['notes/readme.txt: not readable by this user']);
  }
});

test('sizes are known but of standard input, which is `-`', async () => {
  const { sources } = await expand('notes/readme.txt', '-');
  assert.equal(sources[0]!.bytes, 'notes/readme.txt'.length);
  assert.equal(sources[1]!.name, 'stdin');
  assert.equal(sources[1]!.bytes, null);
  const chunks = await sources[0]!.open().toArray();
  assert.equal(Buffer.concat(chunks).toString(), 'notes/readme.txt');
});
