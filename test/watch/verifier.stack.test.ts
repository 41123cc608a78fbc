/**
 * The verifier as a process of its own, on real MinIO and OpenSearch, with the credential of the Compose
 * file, which can only read. The administrator tampers with the archive and widens its posture, and puts
 * both back; OpenSearch goes away; the process is killed: each fact is told once, and once that it is over.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  DeleteObjectCommand,
  GetBucketPolicyCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  PutObjectLegalHoldCommand,
  PutObjectRetentionCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { formatPrivateKey } from '../../schemas/evidence/note.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { runSetup } from '../../services/cli/setup.ts';
import { silentLog } from '../../services/runtime/log.ts';
import { createS3Store, type S3Store } from '../../services/store/s3.ts';
import { assertOneVersionEach, listVersions } from '../chaos/archive.ts';
import { until } from '../chaos/wait.ts';
import { createInstallation, type Installation, NO_ADMINISTRATOR } from '../cli/installation.ts';
import { createScreen } from '../cli/screen.ts';
import { composePolicy } from '../stack/compose-file.ts';
import type { Setting } from '../stack/environment.ts';
import { type ServiceProcess, startService } from '../stack/service.ts';
import { setDefaultRetention } from '../stack/stack.ts';
import { uniqueStoreUser } from '../stack/store-user.ts';
import { useStack } from '../stack/use.ts';
import {
  NAME,
  PREFIX,
  type SmallArchive,
  signer,
  smallArchive,
} from '../verifier/proof-archive.ts';
import { dataKey } from '../verifier/tamperings.ts';

const DAYS = 2;
const WAIT_MS = 120_000;
/** Runs that must pass before nothing new counts as nothing new. */
const RUNS = 4;
const QUICK: Record<string, Setting> = {
  'verifier.incrementalEveryMs': 300,
  'verifier.postureEveryMs': 300,
};

const stack = await useStack();
const folder = mkdtempSync(join(tmpdir(), 'lakeseal-verifier-'));
const logFile = join(folder, 'verifier.log');
let installation: Installation;
let index: string;
let Bucket: string;
let settings: Record<string, Setting>;
let admin: S3Client;
let reader: S3Client;
let store: S3Store;
let archive: SmallArchive;
let verifier: ServiceProcess;

type Told = Record<'_id' | 'code' | 'key' | 'status' | 'class', string>;

/** Every document there ever was of this test's index. */
async function told(): Promise<Told[]> {
  const { opensearch } = installation;
  await opensearch.indices.refresh({ index, ignore_unavailable: true });
  const { body } = await opensearch.search({ index, size: 1_000, ignore_unavailable: true });
  return body.hits.hits.map(({ _id, _source }) => ({ ...(_source as unknown as Told), _id: _id! }));
}

const asFacts = (all: readonly Told[]): string[] =>
  all.map(({ code, key, status }) => `${status} ${code} ${key}`).sort();

function start(): void {
  verifier = startService(['verifier'], installation.env(settings), logFile);
}

async function kill(): Promise<void> {
  verifier.signal('SIGKILL');
  assert.equal((await verifier.exited).signal, 'SIGKILL');
}

const runs = (kind: string): Promise<number> =>
  verifier.metric('lakeseal_verifier_runs_total', { kind });
const open = (name: string): Promise<number> =>
  verifier.metric('lakeseal_verifier_open_findings', { class: name });

/** Until so many runs of each kind have come to their end since now. */
async function morePasses(count = RUNS): Promise<void> {
  await until('metrics are served', WAIT_MS, async () => (await runs('posture')) >= 0);
  const [incremental, posture] = [await runs('incremental'), await runs('posture')];
  await until(`${count} runs more`, WAIT_MS, async () => {
    return (
      (await runs('incremental')) >= incremental + count &&
      (await runs('posture')) >= posture + count
    );
  });
}

async function hide(Key: string): Promise<() => Promise<unknown>> {
  const { VersionId } = await admin.send(new DeleteObjectCommand({ Bucket, Key }));
  return () => admin.send(new DeleteObjectCommand({ Bucket, Key, VersionId }));
}

const lock = (days: number) => setDefaultRetention(admin, Bucket, { mode: 'COMPLIANCE', days });

/** Offsets of each partition that are sealed. */
let sealed = 0;

/** One more segment in each partition; the key of the first partition's. */
async function seal(records = 2): Promise<string> {
  const key = dataKey(BigInt(sealed));
  sealed += records;
  await archive.seal(records);
  return key;
}

/** The archive goes on, and what is new is hidden before the verifier looks. */
async function sealAndHide(): Promise<{ key: string; mend: () => Promise<unknown> }> {
  await morePasses(1);
  verifier.signal('SIGSTOP');
  try {
    const key = await seal();
    return { key, mend: await hide(key) };
  } finally {
    verifier.signal('SIGCONT');
  }
}

/** What is told from now on. What a look amid the archiver's work finds incomplete is brief, and left out. */
async function newFacts() {
  const before = new Set((await told()).map(({ _id }) => _id));
  const facts = async (): Promise<string[]> =>
    asFacts((await told()).filter((one) => !before.has(one._id) && one.class !== 'incomplete'));
  return {
    facts,
    until: (wanted: string[]) =>
      until(`${wanted} is told`, WAIT_MS, async () => (await facts()).join() === wanted.join()),
  };
}

const unsent = (): Promise<number> => verifier.metric('lakeseal_verifier_unsent_findings');
const logSize = (): number => statSync(logFile).size;
const logSince = (from: number, text: string): number =>
  readFileSync(logFile).subarray(from).toString().split(text).length - 1;

before(async () => {
  installation = createInstallation(stack, 'verifier');
  index = stack.unique('verifier-findings');
  admin = stack.rootS3();
  const user = await uniqueStoreUser(stack, 'verifier', composePolicy('VERIFIER_POLICY'));
  const { endpoint, region } = stack.s3;
  reader = new S3Client({ endpoint, region, credentials: user, forcePathStyle: true });
  const keyFile = join(folder, 'signing.key');
  writeFileSync(keyFile, formatPrivateKey(NAME, Buffer.alloc(32, 11)), { mode: 0o600 });
  const common = {
    'storage.prefix': PREFIX,
    'archive.retentionDays': DAYS,
    'opensearch.findingIndex': index,
  };
  const config = installation.config(common);
  Bucket = config.storage.bucket;
  await runSetup(config, silentLog, false);
  const screen = createScreen(installation.env({ ...common, 'evidence.keyFile': keyFile }));
  const record = ['preflight', '--record-baseline', '--reason', 'bucket made', '--json'];
  await runCommandLine(record, screen);
  assert.match(screen.output(), /baseline is recorded[^}]*"ok"|"ok"[^}]*baseline is recorded/s);
  store = createS3Store(config.storage, config.archive);
  archive = smallArchive({ elsewhere: store });
  await seal();
  await archive.root(0);
  settings = {
    ...common,
    ...NO_ADMINISTRATOR,
    ...QUICK,
    'storage.accessKeyId': user.accessKeyId,
    'storage.secretAccessKey': user.secretAccessKey,
    'evidence.publicKeys': signer.verifier.vkey,
    'verifier.stateFolder': join(folder, 'state'),
  };
  start();
  await verifier.ready();
});

after(async () => {
  verifier?.signal('SIGKILL');
  await verifier?.exited;
  store?.close();
  admin?.destroy();
  reader?.destroy();
  await installation?.close();
  if (process.env.LAKESEAL_TEST_KEEP) process.stderr.write(`kept: ${folder}\n`);
  else rmSync(folder, { recursive: true });
});

describe('the verifier on real servers', () => {
  test('finds nothing in an archive that grows while it looks', async () => {
    let growing = true;
    const passes = morePasses(2 * RUNS).finally(() => {
      growing = false;
    });
    let hour = 1;
    for (; growing; hour++) {
      await seal();
      await archive.root(hour);
    }
    await passes;
    assert.ok(hour > RUNS, `only ${hour} roots`);
    await morePasses();
    // Of class incomplete there may have been some, briefly.
    const all = await told();
    assert.deepEqual(asFacts(all.filter((one) => one.class !== 'incomplete')), []);
    assert.deepEqual(asFacts(all.filter((one) => one.status === 'open')), []);
  });

  test('tells once of what is tampered with, however often it looks, and once that it is over', async () => {
    const since = await newFacts();
    const { key, mend } = await sealAndHide();
    await since.until([`open delete_marker ${key}`]);
    await morePasses();
    assert.deepEqual(await since.facts(), [`open delete_marker ${key}`]);
    assert.equal(await open('tampered'), 1);
    await mend();
    await since.until([`recovered delete_marker ${key}`]);
    await morePasses();
    assert.deepEqual(await since.facts(), [`recovered delete_marker ${key}`]);
    assert.equal(await open('tampered'), 0);
  });

  test('tells of a posture that is widened, and of its recovery', async () => {
    const since = await newFacts();
    const { Policy } = await admin.send(new GetBucketPolicyCommand({ Bucket }));
    const { Statement, ...rest } = JSON.parse(Policy!) as { Statement: object[] };
    const Resource = [`arn:aws:s3:::${Bucket}/*`];
    const everyone = { Effect: 'Allow', Principal: '*', Action: ['s3:GetObject'], Resource };
    await lock(1);
    await since.until(['open default_retention defaultRetention']);
    const widened = JSON.stringify({
      ...rest,
      Statement: [...Statement, { Sid: 'Open', ...everyone }],
    });
    await admin.send(new PutBucketPolicyCommand({ Bucket, Policy: widened }));
    const all = [
      'open default_retention defaultRetention',
      'open policy_grant policy',
      'open policy_public policy',
    ];
    await since.until(all);
    await morePasses();
    assert.deepEqual(await since.facts(), all);
    assert.equal(await open('widened'), 3);
    await admin.send(new PutBucketPolicyCommand({ Bucket, Policy: Policy! }));
    await lock(DAYS);
    await since.until(all.map((one) => one.replace('open', 'recovered')));
    await morePasses();
    assert.equal((await since.facts()).length, 3);
    assert.equal(await open('widened'), 0);
  });

  test('killed again and again, it tells nothing twice', async () => {
    const since = await newFacts();
    const { key, mend } = await sealAndHide();
    const life = logSize();
    for (let kills = 0; kills < 3; kills++) {
      // One is killed before it has seen it, the others when they have.
      if (kills > 0) await since.until([`open delete_marker ${key}`]);
      await kill();
      start();
      await verifier.ready();
    }
    await morePasses();
    assert.deepEqual(await since.facts(), [`open delete_marker ${key}`]);
    assert.equal(await open('tampered'), 1);
    assert.equal(logSince(life, '"msg":"found"'), 1, 'a process that is new finds nothing new');
    await mend();
    await since.until([`recovered delete_marker ${key}`]);
  });

  test('loses nothing while OpenSearch is away, not even when it is killed then', async () => {
    const since = await newFacts();
    await stack.kill('opensearch');
    const { key, mend } = await sealAndHide();
    await until('a finding waits', WAIT_MS, async () => (await unsent()) === 1);
    await until('it says that it is not ready', WAIT_MS, async () => {
      await assert.rejects(verifier.ready(1), /opensearch/);
      return true;
    });
    await kill();
    start();
    await until('it still waits', WAIT_MS, async () => (await unsent()) === 1);
    // Seen, mended and forgotten by the store, before OpenSearch hears of it at all.
    await mend();
    await until('it is over', WAIT_MS, async () => (await unsent()) === 2);
    await stack.restart('opensearch');
    await since.until([`recovered delete_marker ${key}`]);
    assert.equal(await unsent(), 0);
    await verifier.ready();
  });

  test('can only read, and has written nothing into the archive', async () => {
    const versions = await listVersions(admin, Bucket);
    const { key: Key, versionId: VersionId } = versions[0]!;
    const object = { Bucket, Key };
    const version = { ...object, VersionId };
    const RetainUntilDate = new Date(Date.now() + 10 * 86_400_000);
    const { Policy } = await reader.send(new GetBucketPolicyCommand({ Bucket }));
    for (const attempt of [
      () => reader.send(new PutObjectCommand({ ...object, Body: 'x' })),
      () => reader.send(new PutObjectCommand({ Bucket, Key: 'new', Body: 'x' })),
      () => reader.send(new DeleteObjectCommand(object)),
      () => reader.send(new DeleteObjectCommand(version)),
      () => reader.send(new DeleteObjectCommand({ ...version, BypassGovernanceRetention: true })),
      () =>
        reader.send(
          new PutObjectRetentionCommand({
            ...version,
            Retention: { Mode: 'COMPLIANCE', RetainUntilDate },
          }),
        ),
      () => reader.send(new PutObjectLegalHoldCommand({ ...version, LegalHold: { Status: 'ON' } })),
      () => reader.send(new PutBucketPolicyCommand({ Bucket, Policy: Policy! })),
    ]) {
      await assert.rejects(attempt(), { name: 'AccessDenied' });
    }
    await morePasses();
    assert.equal((await verifier.stop()).code, 0);
    assert.deepEqual(await listVersions(admin, Bucket), versions);
    const foreign = versions.filter(({ key }) => !/^sealed\/(data|evidence|preflight)\//.test(key));
    assert.deepEqual(foreign, []);
    assertOneVersionEach(versions);
  });
});
