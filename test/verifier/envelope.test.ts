/**
 * An archive of encrypted segments, in its folder: what an auditor without the key can check, what
 * one with it can, and what is found where somebody had both keys.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { encrypt, readEnvelopeHeader } from '../../schemas/envelope.ts';
import { leafBytes } from '../../schemas/evidence/leaf.ts';
import { evidenceKey, partitionLog } from '../../schemas/evidence/log-layout.ts';
import { parseManifest } from '../../schemas/evidence/manifest.ts';
import { formatPrivateKey } from '../../schemas/evidence/note.ts';
import { slotKey } from '../../schemas/layout.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { wrappingKeyFromFile } from '../../services/evidence/keys.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { createScreen } from '../cli/screen.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { startDouble } from '../double/server.ts';
import { doubleStore } from '../double/store.ts';
import {
  ADDRESSES,
  NAME,
  PREFIX,
  type SmallArchive,
  START_MS,
  signer,
  smallArchive,
} from './proof-archive.ts';
import { writeFolder } from './write-folder.ts';

const root = mkdtempSync(join(tmpdir(), 'lakeseal-envelope-'));
after(() => rmSync(root, { recursive: true }));
const env = { LAKESEAL_STORAGE_PREFIX: PREFIX };
const VKEY = signer.verifier.vkey;
let folders = 0;

async function run(...argv: string[]) {
  const screen = createScreen(env);
  const code = await runCommandLine(argv, screen);
  return { code, out: screen.output(), err: screen.errors() };
}

async function newKey(name: string): Promise<string> {
  const file = join(root, name);
  const made = await run('keys', 'envelope', '--out', file);
  assert.equal(made.code, 0, made.err);
  assert.equal(made.out.trim(), (await wrappingKeyFromFile(file)).id);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  return file;
}

async function archiveOf(keyFile: string): Promise<SmallArchive> {
  const archive = smallArchive({ key: await wrappingKeyFromFile(keyFile) });
  for (const records of [4, 3]) await archive.seal(records);
  await archive.root(0);
  return archive;
}

async function folderOf({ bucket }: Pick<SmallArchive, 'bucket'>): Promise<string> {
  folders += 1;
  const folder = join(root, `copy-${folders}`);
  await writeFolder(bucket, folder);
  return folder;
}

function python(folder: string) {
  const script = join(import.meta.dirname, '..', '..', 'schemas', 'verify.py');
  const args = [script, folder, '--prefix', PREFIX, '--key', VKEY, '--deep', '--json'];
  const { status, stdout } = spawnSync('python3', args, { encoding: 'utf8' });
  return { status, stdout };
}

describe('an archive of encrypted segments', () => {
  test('verifies without the key as far as that goes, and with it to the last record', async () => {
    const keyFile = await newKey('one.key');
    const archive = await archiveOf(keyFile);
    const stored = archive.bucket.versions(`${PREFIX}data/`).map(({ bytes }) => bytes!);
    assert.ok(stored.every((bytes) => !bytes.includes('getTable')));
    const folder = await folderOf(archive);
    const without = await run('verify', folder, '--key', VKEY, '--deep');
    assert.equal(without.code, 0, without.out + without.err);
    assert.match(without.out, /encrypted: what is inside 2 segments was not looked at/);
    assert.equal(python(folder).status, 0, python(folder).stdout);
    const unwrap = ['--unwrap-key', await newKey('other.key'), '--unwrap-key', keyFile];
    const deep = await run('verify', folder, '--key', VKEY, '--deep', ...unwrap);
    assert.equal(deep.code, 0, deep.out + deep.err);
    assert.doesNotMatch(deep.out, /encrypted:/);
  });

  test('proves a record with the key, and says so without it', async () => {
    const keyFile = await newKey('prove.key');
    const folder = await folderOf(await archiveOf(keyFile));
    const out = join(root, 'proofs');
    const place = ['--archive', folder, '--key', VKEY, '--out', out];
    const refused = await run('prove', 'databricks.audit/1/5', ...place);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /\(ENVELOPE_KEY\)\nhint: .*--unwrap-key/);
    const made = await run('prove', 'databricks.audit/1/5', ...place, '--unwrap-key', keyFile);
    assert.equal(made.code, 0, made.err);
    const [file] = readdirSync(out);
    assert.equal((await run('prove', '--check', join(out, file!), '--key', VKEY)).code, 0);
  });

  test('a segment of other records, signed by somebody with every key, shows with the key only', async () => {
    const keyFile = await newKey('forged.key');
    const archive = await archiveOf(keyFile);
    const forged = await resealed(archive, keyFile);
    const folder = await folderOf({ bucket: forged });
    const without = await run('verify', folder, '--key', VKEY, '--deep');
    assert.equal(without.code, 0, without.out);
    const deep = await run('verify', folder, '--key', VKEY, '--deep', '--unwrap-key', keyFile);
    assert.equal(deep.code, 1);
    assert.match(deep.out, /segment_differs: .*00000000000000000000\.avro/);
    const bad = await resealed(archive, keyFile, (stored) => {
      stored[stored.length - 1]! ^= 1;
      return stored;
    });
    const found = await run(
      'verify',
      await folderOf({ bucket: bad }),
      '--key',
      VKEY,
      '--unwrap-key',
      keyFile,
    );
    assert.match(found.out, /segment_invalid: .*\n.*\n.*\n.*a chunk is not what was encrypted/);
    const moved = await resealed(archive, keyFile, (stored) =>
      Buffer.from(stored.toString('latin1').replace('"wrap":"local"', '"wrap":"LOCAL"'), 'latin1'),
    );
    const copy = await folderOf({ bucket: moved });
    const clear = await run('verify', copy, '--key', VKEY);
    assert.match(clear.out, /segment_invalid: .*\n.*\n.*\n.*the header is not as it is written/);
    assert.match(python(copy).stdout, /segment_invalid/);
  });

  test('is opened by a key that its keys were wrapped for, and no segment is touched', async () => {
    const [one, next, other] = [
      await newKey('a.key'),
      await newKey('b.key'),
      await newKey('c.key'),
    ];
    const archive = await archiveOf(one);
    const { bucket } = archive;
    const server = await startDouble({ buckets: new Map([['wraps', bucket]]) });
    try {
      const signing = join(root, 'signing.key');
      writeFileSync(signing, formatPrivateKey(NAME, Buffer.alloc(32, 11)), { mode: 0o600 });
      const store = {
        ...env,
        LAKESEAL_STORAGE_BUCKET: 'wraps',
        LAKESEAL_STORAGE_ENDPOINT: server.endpoint,
        LAKESEAL_STORAGE_PATH_STYLE: 'true',
        LAKESEAL_STORAGE_ACCESS_KEY_ID: 'archiver',
        LAKESEAL_STORAGE_SECRET_ACCESS_KEY: 'double',
        LAKESEAL_ARCHIVE_ENCRYPTION: 'none',
        LAKESEAL_EVIDENCE_KEY_FILE: signing,
      };
      const rewrap = async (to: string, ...from: string[]) => {
        const screen = createScreen(store);
        const keys = from.flatMap((file) => ['--unwrap-key', file]);
        const code = await runCommandLine(['keys', 'rewrap', '--to', to, ...keys], screen);
        return { code, out: screen.output(), err: screen.errors() };
      };
      const before = bucket.versions('').map(({ key, versionId }) => `${key} ${versionId}`);
      const none = await rewrap(next, other);
      assert.equal(none.code, 2);
      assert.match(none.err, /no key opens data\/.*\n4 segments left out/s);
      assert.deepEqual(bucket.versions('').length, before.length);
      const done = await rewrap(next, other, one);
      assert.equal(done.code, 0, done.err);
      assert.match(done.out, /^4 keys wrapped, signed and sealed: .*wraps\/0{19}1\.note/);
      assert.match((await rewrap(next, one)).err, /4 encrypted segments, 0 to be wrapped/);
      // From one that was wrapped for to a third.
      assert.match((await rewrap(other, next)).out, /^4 keys wrapped/);
      const now = bucket.versions('').map(({ key, versionId }) => `${key} ${versionId}`);
      assert.ok(before.every((version) => now.includes(version)));
      assert.equal(now.length, before.length + 4);
      const folder = await folderOf(archive);
      for (const file of [next, other]) {
        const verified = await run('verify', folder, '--key', VKEY, '--deep', '--unwrap-key', file);
        assert.equal(verified.code, 0, verified.out + verified.err);
        assert.doesNotMatch(verified.out, /encrypted:/);
      }
      assert.equal(python(folder).status, 0);
      const key = evidenceKey(PREFIX, { log: 'wraps', kind: 'leaf', number: 0 });
      const forged = bucket
        .current(key)!
        .bytes!.toString()
        .replace(/"time":"20/, '"time":"21');
      bucket.put(key, Buffer.from(forged));
      const copy = await folderOf(archive);
      const found = await run('verify', copy, '--key', VKEY, '--deep', '--unwrap-key', one);
      assert.equal(found.code, 1);
      assert.match(found.out, /extra_version: .*wraps/);
      assert.match(found.err, /keys that were wrapped again are left out/);
    } finally {
      await server.close();
    }
  });
});

/** The first segment of partition 0 replaced, and everything above it signed anew. */
async function resealed(
  archive: SmallArchive,
  keyFile: string,
  change?: (stored: Buffer) => Buffer,
): Promise<Bucket> {
  const address = ADDRESSES[0]!;
  const log = partitionLog(address);
  const key = slotKey(PREFIX, { ...address, firstOffset: 0n });
  const by = await wrappingKeyFromFile(keyFile);
  const slot = key.slice(PREFIX.length);
  const inside = (await archive.store.get(key))!.bytes;
  const plain = Buffer.from(inside.toString('latin1').replaceAll('ada@', 'eve@'), 'latin1');
  const hash = createHash('sha256')
    .update(change === undefined ? plain : inside)
    .digest();
  const whole = await encrypt(
    change === undefined ? plain : inside,
    hash,
    slot,
    by,
    async () => {},
  );
  const stored = change === undefined ? whole : change(whole);
  const bucket = new Bucket({
    nowMs: () => START_MS,
    defaultRetention: { mode: 'COMPLIANCE', days: 365 },
  });
  for (const { key: name, bytes } of archive.bucket.versions('')) {
    const isSigned =
      name.startsWith(`${PREFIX}evidence/${log}/`) || name.includes('evidence/root/');
    if (!isSigned) bucket.put(name, name === key ? stored : bytes!);
  }
  const store = doubleStore(bucket, new FaultPlan());
  const writer = await LogWriter.open(store, PREFIX, log);
  for (const number of [0, 1]) {
    const leaf = archive.bucket.current(evidenceKey(PREFIX, { log, kind: 'leaf', number }))!.bytes!;
    const {
      format: _1,
      log: _2,
      sequence: _3,
      previous: _4,
      tree: _5,
      ...body
    } = JSON.parse(leaf.toString());
    assert.equal(parseManifest(leaf).body.kind, 'data');
    if (number === 0) {
      body.bytes = stored.length;
      body.sha256 = createHash('sha256').update(stored).digest('hex');
      const { format: __, slot: ___, ...said } = readEnvelopeHeader(whole).header;
      body.encryption = { kind: 'envelope', ...said };
    }
    await writer.append((end) => leafBytes(end, body));
  }
  await writer.sign(signer);
  return bucket;
}
