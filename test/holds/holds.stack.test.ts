/**
 * Holds on MinIO: what is held outlives its retention and the administrator, the archiver can
 * neither set nor lift it, and a release ends it. The holder is the store's administrator here.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DeleteObjectCommand, PutObjectLegalHoldCommand, type S3Client } from '@aws-sdk/client-s3';
import { formatPrivateKey } from '../../schemas/evidence/note.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { loadConfig } from '../../services/runtime/config.ts';
import { createHoldStore } from '../../services/store/legal-hold.ts';
import { createScreen } from '../cli/screen.ts';
import { type Stack, useStack } from '../stack/use.ts';
import { NAME, PREFIX, smallArchive } from '../verifier/proof-archive.ts';

let stack: Stack;
let root: S3Client;
let bucket: string;
let env: Record<string, string>;
let keys: string[];
const folder = mkdtempSync(join(tmpdir(), 'lakeseal-holds-'));

before(async () => {
  stack = await useStack();
  root = stack.rootS3();
  bucket = await stack.createLockedBucket(undefined, { mode: 'GOVERNANCE', days: 1 });
  const keyFile = join(folder, 'signing.key');
  writeFileSync(keyFile, formatPrivateKey(NAME, Buffer.alloc(32, 11)));
  chmodSync(keyFile, 0o600);
  const { accessKeyId, secretAccessKey } = stack.s3.root;
  env = stack.configEnv({
    'storage.bucket': bucket,
    'storage.prefix': PREFIX,
    'archive.encryption': 'none',
    'evidence.keyFile': keyFile,
    'holds.accessKeyId': accessKeyId,
    'holds.secretAccessKey': secretAccessKey,
  });
  const small = smallArchive();
  for (const records of [4, 3]) await small.seal(records);
  keys = small.bucket.list('', undefined, 1_000);
  const store = createHoldStore(loadConfig(undefined, env));
  for (const key of keys) await store.putIfAbsent(key, small.bucket.current(key)!.bytes!);
  store.close();
});

after(() => {
  root?.destroy();
  rmSync(folder, { recursive: true });
});

async function hold(...argv: string[]) {
  const screen = createScreen(env);
  const code = await runCommandLine(['hold', ...argv], screen);
  return { code, out: screen.output(), err: screen.errors() };
}

test('holds on MinIO', async () => {
  const added = await hold('add', 'CASE-7', '--reason', 'leaver', '--partition', '1');
  assert.equal(added.code, 0, added.err);
  assert.match(added.out, /4 objects held, 0 already/);
  const Key = keys.find((key) => /data\/.*\/00001\//.test(key))!;
  const store = createHoldStore(loadConfig(undefined, env));
  try {
    const [{ versionId: VersionId } = { versionId: '' }] = await store.versions(Key);
    const version = { Bucket: bucket, Key, VersionId };
    assert.equal(await store.legalHold(Key, VersionId), true);
    const other = keys.find((key) => /data\/.*\/00000\//.test(key))!;
    const [unheld] = await store.versions(other);
    assert.equal(await store.legalHold(other, unheld!.versionId), false);

    const bypass = { ...version, BypassGovernanceRetention: true };
    await assert.rejects(root.send(new DeleteObjectCommand(bypass)));
    const archiver = stack.archiverS3();
    const lift = new PutObjectLegalHoldCommand({ ...version, LegalHold: { Status: 'OFF' } });
    await assert.rejects(archiver.send(lift), { name: 'AccessDenied' });
    archiver.destroy();
    assert.equal((await hold('list')).code, 0);

    await root.send(lift);
    const found = await hold('list');
    assert.equal(found.code, 2);
    assert.match(found.out, /not_held: CASE-7/);
    assert.match(
      (await hold('add', 'CASE-7', '--reason', 'again', '--partition', '1')).out,
      /1 obj/,
    );

    assert.equal((await hold('release', 'CASE-7', '--reason', 'settled')).code, 0);
    assert.equal(await store.legalHold(Key, VersionId), false);
    await root.send(new DeleteObjectCommand(bypass));
    assert.deepEqual(await store.versions(Key), []);
    assert.equal(await store.legalHold(Key, VersionId), null);
  } finally {
    store.close();
  }
});
