/**
 * Secrets that AWS KMS keeps, on a double of it that is held to what AWS documents: what is sealed with
 * them is the same bytes for every writer, every refusal says what to do, and an archive is handed from
 * a file to KMS and from one KMS key to another. There is no KMS to run here: AWS itself was not asked.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { DecryptCommand, GenerateDataKeyCommand } from '@aws-sdk/client-kms';
import { encrypt, openEnvelope, readEnvelopeHeader, unwrapWith } from '../../schemas/envelope.ts';
import { sha256 } from '../../schemas/evidence/merkle.ts';
import { formatPrivateKey } from '../../schemas/evidence/note.ts';
import { slotKey } from '../../schemas/layout.ts';
import { kmsSecretText, parseKmsSecret, type WrappingKey } from '../../schemas/wrapping-key.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { archiveStore } from '../../services/evidence/archive-store.ts';
import { wrappingKeyFromFile } from '../../services/evidence/keys.ts';
import { kmsClient } from '../../services/evidence/kms-client.ts';
import { newKmsSecret, openKmsSecret } from '../../services/evidence/kms-envelope.ts';
import { loadConfig } from '../../services/runtime/config.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { createScreen } from '../cli/screen.ts';
import { ARN, type KmsDouble, startKms } from '../double/kms.ts';
import { startDouble } from '../double/server.ts';
import { ADDRESSES, NAME, PREFIX, signer, smallArchive } from '../verifier/proof-archive.ts';
import { writeFolder } from '../verifier/write-folder.ts';
import { KMS_ANSWERS, type KmsAnswer } from './kms-answers.ts';

const AWS = { AWS_ACCESS_KEY_ID: 'double', AWS_SECRET_ACCESS_KEY: 'double' };
const ANSWER_MS_MAX = 500;
const BUCKET = 'audit';
const ARCHIVE = `${BUCKET}/${PREFIX}`;
const REGION = 'us-east-1';
const VKEY = signer.verifier.vkey;

let kms: KmsDouble;
const environment = { ...process.env };
const root = mkdtempSync(join(tmpdir(), 'lakeseal-kms-envelope-'));

before(async () => {
  Object.assign(process.env, AWS);
  kms = await startKms();
  kms.add('one', 'SYMMETRIC_DEFAULT');
  kms.add('two', 'SYMMETRIC_DEFAULT');
  kms.add('p256', 'ECC_NIST_P256');
  kms.aliases.set('alias/segments', 'one');
});

afterEach(() => {
  assert.deepEqual(kms.faults.splice(0), [], 'a planned fault was not reached');
});

after(async () => {
  process.env = environment;
  rmSync(root, { recursive: true });
  await kms.close();
});

const made = (keyId: string, archive = ARCHIVE): Promise<WrappingKey> =>
  newKmsSecret({ keyId, archive, region: REGION, endpoint: kms.endpoint }, ANSWER_MS_MAX);
const opened = (text: string): Promise<WrappingKey> =>
  openKmsSecret(parseKmsSecret(text), kms.endpoint, ANSWER_MS_MAX);

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  const error = await work.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  assert.ok(error instanceof Failure, String(error));
  return error;
}

describe('the double does what AWS documents', () => {
  const client = () => kmsClient({ region: REGION, endpoint: kms.endpoint }, ANSWER_MS_MAX);
  const context = { a: '1', b: '2' };
  const generate = (KeyId: string) =>
    client().send(
      new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256', EncryptionContext: context }),
    );
  const decrypt = (
    KeyId: string,
    CiphertextBlob: Uint8Array | undefined,
    EncryptionContext?: Record<string, string>,
  ) => client().send(new DecryptCommand({ KeyId, CiphertextBlob, EncryptionContext }));

  test('a data key is new each time, and comes back in its context, whatever the order', async () => {
    const [one, other] = await Promise.all([generate('one'), generate('alias/segments')]);
    assert.equal(one.KeyId, `${ARN}one`);
    assert.equal(other.KeyId, `${ARN}one`, 'an alias is told as what it stands for');
    assert.equal(one.Plaintext!.length, 32);
    assert.notDeepEqual(one.Plaintext, other.Plaintext);
    const back = await decrypt(one.KeyId!, one.CiphertextBlob, { b: '2', a: '1' });
    assert.deepEqual(back.Plaintext, one.Plaintext);
  });

  for (const [what, name, ask] of [
    ['another context', 'InvalidCiphertextException', ['one', { a: '1' }]],
    ['no context', 'InvalidCiphertextException', ['one', undefined]],
    ['another key', 'IncorrectKeyException', ['two', context]],
    ['a key that signs', 'InvalidKeyUsageException', ['p256', context]],
    ['no key', 'NotFoundException', ['none', context]],
  ] as const) {
    test(`decrypts nothing with ${what}`, async () => {
      const { CiphertextBlob } = await generate('one');
      await assert.rejects(decrypt(ask[0], CiphertextBlob, ask[1]), { name });
    });
  }

  test('a key that is disabled does nothing until it is enabled', async () => {
    const { CiphertextBlob } = await generate('two');
    kms.keys.get('two')!.enabled = false;
    await assert.rejects(generate('two'), { name: 'DisabledException' });
    await assert.rejects(decrypt('two', CiphertextBlob, context), { name: 'DisabledException' });
    kms.keys.get('two')!.enabled = true;
    await decrypt('two', CiphertextBlob, context);
    const changed = Buffer.from(CiphertextBlob!);
    changed[changed.length - 1]! ^= 1;
    const refused = decrypt('two', changed, context);
    await assert.rejects(refused, { name: 'InvalidCiphertextException' });
  });
});

describe('a secret that KMS keeps', () => {
  const plain = Buffer.alloc(100_000, 'a segment of some records');
  const slot = slotKey('', { ...ADDRESSES[0]!, firstOffset: 0n });
  const seal = (key: WrappingKey) => encrypt(plain, sha256(plain), slot, key, async () => {});

  test('makes the same bytes for every writer, which say all that opening them takes', async () => {
    const text = kmsSecretText((await made('one')).name);
    const [one, other] = await Promise.all([opened(text), opened(text)]);
    const stored = await seal(one);
    assert.ok((await seal(other)).equals(stored));
    const { wrap, key } = readEnvelopeHeader(stored).header;
    assert.equal(wrap, 'kms');
    // With nothing but the object and a right at KMS.
    const unwrap = unwrapWith([await opened(kmsSecretText(key))]);
    assert.ok((await openEnvelope(stored, slot, unwrap, async () => {})).equals(plain));
  });

  test('is asked for with the key and the archive it is bound to', async () => {
    await opened(kmsSecretText((await made('alias/segments')).name));
    const [asked, given] = kms.calls.slice(-2).map(({ input }) => input);
    const bound = { 'lakeseal-archive': ARCHIVE };
    assert.deepEqual([asked!.KeyId, asked!.EncryptionContext], ['alias/segments', bound]);
    assert.deepEqual([given!.KeyId, given!.EncryptionContext], [`${ARN}one`, bound]);
  });

  const answers: KmsAnswer[] = [
    ...KMS_ANSWERS,
    [{ error: 'KeyUnavailableException', status: 500 }, 'KMS_UNREACHABLE', 3],
    ['other_secret', 'KMS_SECRET', 1],
  ];
  for (const [fault, code, times] of answers) {
    const what = typeof fault === 'object' ? fault.error : fault;
    test(`tells what became of it: ${what}`, async () => {
      const text = kmsSecretText((await made('one')).name);
      for (let at = 0; at < times; at++) kms.faults.push({ operation: 'Decrypt', fault });
      const failure = await failureOf(opened(text));
      assert.equal(failure.code, code);
      assert.ok(failure.retryable || failure.hint !== undefined);
      await opened(text);
    });
  }

  for (const [what, keyId, code, hint] of [
    ['no such key', 'none', 'KMS_NO_KEY', /account and region/],
    ['a key that signs', 'p256', 'KMS_KEY', /SYMMETRIC_DEFAULT/],
  ] as const) {
    test(`is not made with ${what}`, async () => {
      const failure = await failureOf(made(keyId));
      assert.equal(failure.code, code);
      assert.match(failure.hint!, hint);
    });
  }

  test('opens for nobody who changed what is written down of it', async () => {
    const { name } = await made('one');
    const other = await made('two', 'audit/elsewhere/');
    for (const [from, to, code] of [
      [ARCHIVE, 'audit/elsewhere/', 'KMS_CIPHERTEXT'],
      [`${ARN}one`, `${ARN}two`, 'KMS_CIPHERTEXT'],
      [name.slice(0, 16), other.name.slice(0, 16), 'KMS_SECRET'],
      [name, other.name.replace('elsewhere', 'another'), 'KMS_CIPHERTEXT'],
    ] as const) {
      const failure = await failureOf(opened(kmsSecretText(name.replace(from, to))));
      assert.equal(failure.code, code, to);
      assert.notEqual(failure.hint, undefined);
    }
    for (const wrong of ['', `${ARN}one`, `${name} x`, name.replace('+arn', '+urn')]) {
      assert.throws(() => parseKmsSecret(kmsSecretText(wrong)), /looks like ENVELOPE\+KMS\+/);
    }
  });
});

describe('an archive whose secrets KMS keeps', () => {
  const env = {
    LAKESEAL_STORAGE_BUCKET: BUCKET,
    LAKESEAL_STORAGE_PREFIX: PREFIX,
    LAKESEAL_STORAGE_PATH_STYLE: 'true',
    LAKESEAL_STORAGE_ACCESS_KEY_ID: 'archiver',
    LAKESEAL_STORAGE_SECRET_ACCESS_KEY: 'double',
    LAKESEAL_ARCHIVE_ENCRYPTION: 'none',
  };
  async function run(more: Record<string, string>, ...argv: string[]) {
    const endpoint = { LAKESEAL_ARCHIVE_ENVELOPE_KMS_ENDPOINT: kms.endpoint };
    const screen = createScreen({ ...env, ...endpoint, ...more });
    const code = await runCommandLine(argv, screen);
    return { code, out: screen.output(), err: screen.errors() };
  }
  async function newKey(file: string, ...kmsKey: string[]): Promise<string> {
    const path = join(root, file);
    const { code, out, err } = await run({}, 'keys', 'envelope', '--out', path, ...kmsKey);
    assert.equal(code, 0, err);
    const key = await wrappingKeyFromFile(path, { envelopeKmsEndpoint: kms.endpoint });
    assert.equal(out.trim(), key.id);
    return path;
  }

  test('the file may be read by anybody; a local secret may not', async () => {
    const [kept, local] = [await newKey('a.kms', '--kms', 'one'), await newKey('a.key')];
    for (const file of [kept, local]) chmodSync(file, 0o644);
    await wrappingKeyFromFile(kept, { envelopeKmsEndpoint: kms.endpoint });
    assert.match((await failureOf(wrappingKeyFromFile(local))).message, /may be read by others/);
  });

  test('an archiver does not start with a secret of another archive, or one it may not have', async () => {
    const file = await newKey('b.kms', '--kms', 'one');
    const config = (prefix: string) =>
      loadConfig(undefined, {
        ...env,
        LAKESEAL_STORAGE_PREFIX: prefix,
        LAKESEAL_ARCHIVE_ENVELOPE_KEYS: file,
        LAKESEAL_ARCHIVE_ENVELOPE_KMS_ENDPOINT: kms.endpoint,
      });
    const other = await failureOf(archiveStore(config('other/')));
    assert.match(`${other.code}: ${other.message}`, /^ENVELOPE_KEY: .*audit\/sealed\/.*audit\/oth/);
    const fault = { error: 'AccessDeniedException', status: 400 };
    kms.faults.push({ operation: 'Decrypt', fault });
    const denied = await failureOf(archiveStore(config(PREFIX)));
    assert.match(denied.hint!, /kms:Decrypt on the key.*lakeseal-archive = audit\/sealed\//);
    (await archiveStore(config(PREFIX))).close();
  });

  test('is handed from a file to KMS, and from one key of KMS to another', async () => {
    const local = await newKey('c.key');
    const [one, two] = [
      await newKey('one.kms', '--kms', 'alias/segments'),
      await newKey('two.kms', '--kms', `${ARN}two`),
    ];
    const archive = smallArchive({ key: await wrappingKeyFromFile(local) });
    await archive.seal(4);
    await archive.root(0);
    const { bucket } = archive;
    const server = await startDouble({ buckets: new Map([[BUCKET, bucket]]) });
    try {
      const signing = join(root, 'signing.key');
      writeFileSync(signing, formatPrivateKey(NAME, Buffer.alloc(32, 11)), { mode: 0o600 });
      const more = {
        LAKESEAL_STORAGE_ENDPOINT: server.endpoint,
        LAKESEAL_EVIDENCE_KEY_FILE: signing,
      };
      const before = bucket.versions('').map(({ key, versionId }) => `${key} ${versionId}`);
      for (const [to, from] of [
        [one, local],
        [two, one],
      ] as const) {
        const done = await run(more, 'keys', 'rewrap', '--to', to, '--unwrap-key', from);
        assert.match(done.out, /^2 keys wrapped, signed and sealed/, done.err);
        const again = await run(more, 'keys', 'rewrap', '--to', to, '--unwrap-key', from);
        assert.match(again.err, /2 encrypted segments, 0 to be wrapped/);
      }
      const now = bucket.versions('').map(({ key, versionId }) => `${key} ${versionId}`);
      assert.ok(before.every((version) => now.includes(version)));
      const folder = join(root, 'copy');
      await writeFolder(bucket, folder);
      for (const file of [local, one, two]) {
        const deep = await run({}, 'verify', folder, '--key', VKEY, '--deep', '--unwrap-key', file);
        assert.equal(deep.code, 0, deep.out + deep.err);
        assert.doesNotMatch(deep.out, /encrypted:/);
      }
      const place = ['--archive', folder, '--key', VKEY, '--out', join(root, 'proofs')];
      const proof = await run({}, 'prove', 'databricks.audit/1/2', ...place, '--unwrap-key', two);
      assert.equal(proof.code, 0, proof.err);
      kms.keys.get('two')!.enabled = false;
      const off = await run({}, 'verify', folder, '--key', VKEY, '--deep', '--unwrap-key', two);
      kms.keys.get('two')!.enabled = true;
      assert.equal(off.code, 3);
      assert.match(off.err, /KMS_DISABLED.*hint: Enable it again/s);
    } finally {
      await server.close();
    }
  });

  test('verifies without KMS, here and in Python; what it lacks is a line to be copied', async () => {
    const file = await newKey('d.kms', '--kms', 'one');
    const key = await wrappingKeyFromFile(file, { envelopeKmsEndpoint: kms.endpoint });
    const archive = smallArchive({ key });
    await archive.seal(4);
    await archive.root(0);
    const folder = join(root, 'sealed');
    await writeFolder(archive.bucket, folder);
    const asked = kms.calls.length;
    const without = await run({}, 'verify', folder, '--key', VKEY, '--deep');
    assert.equal(without.code, 0, without.out + without.err);
    assert.match(without.out, /encrypted: what is inside 1 segment was not looked at/);
    const script = join(import.meta.dirname, '..', '..', 'schemas', 'verify.py');
    const args = [script, folder, '--prefix', PREFIX, '--key', VKEY, '--deep', '--json'];
    const { status, stdout } = spawnSync('python3', args, { encoding: 'utf8' });
    assert.equal(status, 0, stdout);
    const place = ['--archive', folder, '--key', VKEY, '--out', join(root, 'refused')];
    const refused = await run({}, 'prove', 'databricks.audit/1/2', ...place);
    assert.ok(refused.err.includes(readFileSync(file, 'utf8').trim()), refused.err);
    assert.equal(kms.calls.length, asked);
  });
});
