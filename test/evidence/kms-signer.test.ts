/**
 * Signing with AWS KMS, on a double of it: what its signatures are worth, what becomes of every
 * answer that is none, and rotation to and from it. There is no KMS to run here: AWS itself was not
 * asked.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { KEYS_LOG } from '../../schemas/evidence/key-leaf.ts';
import { leafBytes } from '../../schemas/evidence/leaf.ts';
import {
  formatPrivateKey,
  isSignedBy,
  parseNote,
  parseVkey,
  signNote,
  verifyNote,
} from '../../schemas/evidence/note.ts';
import { Signing } from '../../services/archiver/signing.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { kmsSigner } from '../../services/evidence/kms-signer.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { withSuccessors } from '../../services/evidence/trust.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { silentLog } from '../../services/runtime/log.ts';
import { createScreen } from '../cli/screen.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { ARN, type KmsDouble, startKms } from '../double/kms.ts';
import { startDouble } from '../double/server.ts';
import { doubleStore } from '../double/store.ts';
import { KMS_ANSWERS, type KmsAnswer } from './kms-answers.ts';

const NAME = 'audit.example.com/lakeseal';
const AWS = { AWS_ACCESS_KEY_ID: 'double', AWS_SECRET_ACCESS_KEY: 'double' };
const ANSWER_MS_MAX = 500;
const TEXT = Buffer.from('origin\n1\nAAAA\n');

let kms: KmsDouble;
const environment = { ...process.env };

before(async () => {
  Object.assign(process.env, AWS);
  kms = await startKms();
  kms.add('p256', 'ECC_NIST_P256');
  kms.add('ed', 'ECC_NIST_EDWARDS25519');
  kms.add('p384', 'ECC_NIST_P384');
});

afterEach(() => {
  assert.deepEqual(kms.faults.splice(0), [], 'a planned fault was not reached');
});

after(async () => {
  process.env = environment;
  await kms.close();
});

const signerOf = (keyId: string, name = NAME) =>
  kmsSigner({ keyId, name, region: 'us-east-1', endpoint: kms.endpoint }, ANSWER_MS_MAX);

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  const error = await work.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  assert.ok(error instanceof Failure, String(error));
  return error;
}

describe('a key in KMS', () => {
  for (const [keyId, type] of [
    ['p256', 2],
    ['ed', 1],
  ] as const) {
    test(`signs notes that anybody with the vkey verifies: ${keyId}`, async () => {
      const signer = await signerOf(keyId);
      const given = parseVkey(signer.verifier.vkey);
      assert.equal(given.type, type);
      const note = parseNote(await signNote(TEXT.toString(), signer));
      assert.deepEqual(verifyNote(note, [given]), { signed: [given], forged: [] });
      // With the ARN that KMS gave, whatever the key was called at the start.
      assert.equal(kms.calls.at(-1)?.input.KeyId, `${ARN}${keyId}`);
    });
  }

  for (const [what, keyId, name, expected] of [
    ['no such key', 'none', NAME, /KMS_NO_KEY: .*there is no such key/],
    ['a curve that notes do not know', 'p384', NAME, /KMS_KEY: .*neither ECC_NIST_P256/],
    ['a name that no key has', 'p256', 'two words', /KMS_KEY: .*no blanks/],
  ] as const) {
    test(`is refused at the start: ${what}`, async () => {
      const { code, message } = await failureOf(signerOf(keyId, name));
      assert.match(`${code}: ${message}`, expected);
    });
  }

  const answers: KmsAnswer[] = [
    ...KMS_ANSWERS,
    [{ error: 'InvalidKeyUsageException', status: 400 }, 'KMS_KEY', 1],
    [{ error: 'KMSInternalException', status: 500 }, 'KMS_UNREACHABLE', 3],
    ['malformed', 'KMS_SIGNATURE', 1],
    ['other_text', 'KMS_SIGNATURE', 1],
  ];
  for (const [fault, code, times] of answers) {
    const what = typeof fault === 'object' ? fault.error : fault;
    test(`tells what became of a signature: ${what}`, async () => {
      const signer = await signerOf('p256');
      for (let at = 0; at < times; at++) kms.faults.push({ operation: 'Sign', fault });
      const failure = await failureOf(signer.sign(TEXT));
      assert.equal(failure.code, code);
      assert.ok(failure.retryable || failure.hint !== undefined);
      assert.ok(isSignedBy(TEXT.toString(), await signer.sign(TEXT), signer.verifier));
    });
  }

  test('throttled twice, it signs all the same', async () => {
    const signer = await signerOf('ed');
    const fault = { error: 'ThrottlingException', status: 400 };
    kms.faults.push({ operation: 'Sign', fault }, { operation: 'Sign', fault });
    assert.ok(isSignedBy(TEXT.toString(), await signer.sign(TEXT), signer.verifier));
  });
});

describe('while KMS does not sign', () => {
  /** A clock that stands until it is moved; sleeping ends when it is aborted. */
  function scene() {
    const store = doubleStore(new Bucket({ nowMs: () => 0 }), new FaultPlan());
    const unready = new Map<string, string>();
    const time = { nowMs: 0 };
    const clock = {
      now: () => time.nowMs,
      sleep: (_: number, signal?: AbortSignal) =>
        new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve())),
    };
    const signing = new Signing({
      signer: () => signerOf('p256'),
      clock,
      log: silentLog,
      ready: (check, ok, reason) => {
        if (ok) unready.delete(check);
        else unready.set(check, reason ?? '');
      },
    });
    return { store, unready, time, signing };
  }

  test('leaves are written unsigned, and signed when it does again', async () => {
    const { store, unready, time, signing } = scene();
    const log = await LogWriter.open(store, '', 'holds');
    const leaf = async () => void (await log.append((end) => leafBytes(end, {})));
    await leaf();
    assert.equal(await signing.sign(log), true);
    kms.keys.get('p256')!.enabled = false;
    for (let times = 0; times < 3; times++) {
      await leaf();
      assert.equal(await signing.sign(log), false);
      assert.match(unready.get('signing')!, /disabled/);
      time.nowMs += 60_000;
    }
    assert.equal(log.unsigned, 3);
    kms.keys.get('p256')!.enabled = true;
    assert.equal(await signing.sign(log), true);
    assert.equal(unready.size, 0);
    assert.equal(log.unsigned, 0);
  });

  test('two writers sign one size: one checkpoint, and no quarrel', async () => {
    const { store, signing } = scene();
    const [one, other] = await Promise.all([1, 2].map(() => LogWriter.open(store, '', 'holds')));
    await one!.append((end) => leafBytes(end, {}));
    await other!.append((end) => leafBytes(end, {}));
    // ECDSA gives another signature each time.
    assert.equal(await signing.sign(one!), true);
    assert.equal(await signing.sign(other!), false);
    assert.equal(other!.isSigned, true);
  });
});

describe('lakeseal keys, with KMS', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-kms-'));
  after(() => rmSync(folder, { recursive: true }));
  const keyFile = join(folder, 'signing.key');
  writeFileSync(keyFile, formatPrivateKey(NAME, Buffer.alloc(32, 4)));
  chmodSync(keyFile, 0o600);

  async function run(env: Record<string, string>, ...argv: string[]) {
    const screen = createScreen({ ...env, LAKESEAL_EVIDENCE_KMS_ENDPOINT: kms.endpoint });
    const code = await runCommandLine(['keys', ...argv], screen);
    return { code, out: screen.output().trim(), err: screen.errors() };
  }
  const inFile = { LAKESEAL_EVIDENCE_KEY_FILE: keyFile };
  const inKms = { LAKESEAL_EVIDENCE_KMS_KEY_ID: 'p256', LAKESEAL_EVIDENCE_KMS_KEY_NAME: NAME };

  test('show prints the vkey', async () => {
    const { code, out, err } = await run(inKms, 'show');
    assert.equal(code, 0, err);
    assert.equal(out, (await signerOf('p256')).verifier.vkey);
    const none = await run({ ...inKms, LAKESEAL_EVIDENCE_KMS_KEY_ID: 'none' }, 'show');
    assert.equal(none.code, 1);
    assert.match(none.err, /KMS_NO_KEY.*hint: Check evidence\.kmsKeyId/s);
    const alias = await run({ ...inKms, LAKESEAL_EVIDENCE_KMS_KEY_ID: 'alias/audit' }, 'show');
    assert.match(alias.err, /kmsKeyId: must be a key id or key ARN, not an alias/);
    assert.match((await run({ ...inKms, ...inFile }, 'show')).err, /one key signs/);
  });

  test('rotate hands over to KMS and back, and who trusted the first trusts the last', async () => {
    const bucket = new Bucket({ nowMs: Date.now });
    const server = await startDouble({ buckets: new Map([['kms', bucket]]) });
    try {
      const place = {
        LAKESEAL_STORAGE_BUCKET: 'kms',
        LAKESEAL_STORAGE_ENDPOINT: server.endpoint,
        LAKESEAL_STORAGE_PATH_STYLE: 'true',
        LAKESEAL_ARCHIVE_ENCRYPTION: 'none',
      };
      const there = await run({ ...place, ...inFile }, 'rotate', '--to-kms', 'p256');
      assert.equal(there.code, 0, there.err);
      assert.match(there.err, /set evidence\.kmsKeyId to p256, evidence\.kmsKeyName to audit/);
      const next = join(folder, 'next.key');
      writeFileSync(next, formatPrivateKey(NAME, Buffer.alloc(32, 5)), { mode: 0o600 });
      const back = await run({ ...place, ...inKms }, 'rotate', '--to', next);
      assert.equal(back.code, 0, back.err);
      const store = doubleStore(bucket, new FaultPlan());
      const first = parseVkey((await run(inFile, 'show')).out);
      const trusted = await withSuccessors(store, '', [first]);
      const last = await run({ LAKESEAL_EVIDENCE_KEY_FILE: next }, 'show');
      assert.deepEqual(
        trusted.map(({ vkey }) => vkey),
        [first.vkey, (await signerOf('p256')).verifier.vkey, last.out],
      );
      assert.equal((await LogWriter.open(store, '', KEYS_LOG)).unsigned, 0);
      const both = await run({ ...place, ...inFile }, 'rotate', '--to', next, '--to-kms', 'ed');
      assert.match(both.err, /name the key that takes over/);
    } finally {
      await server.close();
    }
  });
});
