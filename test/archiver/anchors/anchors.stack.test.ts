/**
 * Roots of a live archiver outside its archive, on real Kafka and MinIO: stamped by an authority made
 * with openssl, copied to a folder, over HTTP, and to a second bucket with a credential that may only
 * put there. The archiver is killed with all of them away, and amid its work. Then the administrator of
 * the first bucket, who has got hold of the signing key, rewrites history: the second bucket shows it.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { parseEvidenceKey } from '../../../schemas/evidence/log-layout.ts';
import { formatPrivateKey } from '../../../schemas/evidence/note.ts';
import { HOUR_MS } from '../../../schemas/evidence/root-leaf.ts';
import { rootKey } from '../../../services/archiver/anchors/root.ts';
import { runCommandLine } from '../../../services/cli/program.ts';
import { loadConfig } from '../../../services/runtime/config.ts';
import { createS3Store } from '../../../services/store/s3.ts';
import type { Finding } from '../../../services/verifier/findings.ts';
import { assertOneVersionEach, getObject, listVersions } from '../../chaos/archive.ts';
import { mixedMessage } from '../../chaos/events.ts';
import { connectedProducer, produceAll, registerSchema } from '../../chaos/kafka.ts';
import { openScene, type Scene } from '../../chaos/scene.ts';
import { until } from '../../chaos/wait.ts';
import { createScreen } from '../../cli/screen.ts';
import { clockEnv } from '../../stack/moved-clock.ts';
import { type ServiceProcess, startService } from '../../stack/service.ts';
import { uniqueStoreUser } from '../../stack/store-user.ts';
import { useStack } from '../../stack/use.ts';
import { hasOpenssl, serveTsa, TestTsa } from '../../tsa/tsa.ts';
import { NAME, PREFIX, signer, smallArchive } from '../../verifier/proof-archive.ts';
import { hasPython, python } from '../../verifier/readings.ts';
import { Receiver } from './receiver.ts';

const skip = hasOpenssl ? false : 'openssl is not here: NOT tested';
const KEY = signer.verifier.vkey;
/** Roots of the first hours come quickly, by a clock that is moved; the last is of this hour. */
const HOURS = 6;
const WAIT_MS = 120_000;
const COPIES = 'roots/';
const FAILURES = 'lakeseal_archiver_anchor_failures_total';

const stack = await useStack();
const tsa = new TestTsa();
const { root: ca, signer: authority } = tsa.usual();
const receiver = new Receiver('a secret of the receiver');
const isAway = { tsa: false };
let authorities: Awaited<ReturnType<typeof serveTsa>>;
let scene: Scene;
let archive: string;
let elsewhere: string;
let copier: S3Client;
/** The second bucket's own administrator, and the first one's: one user of MinIO, in two hands. */
let admin: S3Client;
let archiver: ServiceProcess | null = null;
let secret = '';
let settings: Record<string, string>;
const file = (name: string): string => join(scene.folder, name);

function start(): void {
  const env = { ...scene.env(settings), ...clockEnv(file('clock')) };
  archiver = startService(['archive'], env, file('archiver.log'));
}

async function kill(): Promise<void> {
  archiver!.signal('SIGKILL');
  const { signal } = await archiver!.exited;
  assert.equal(signal, 'SIGKILL', 'it had ended before');
}

/** A minute past the hour: no hour strikes while the test runs. */
const MINUTES_BACK_MS = (Date.now() % HOUR_MS) - 60_000;

/** The archiver's clock: so many hours ago. */
function setClock(hours: number): void {
  writeFileSync(file('clock'), String(-hours * HOUR_MS - MINUTES_BACK_MS));
}

/** The authority, the receiver and the login of the second bucket. */
function setAway(away: boolean): void {
  isAway.tsa = away;
  receiver.away = away;
  writeFileSync(file('secret'), away ? 'another secret' : secret);
}

async function produce(scope: number): Promise<void> {
  const schemaId = await registerSchema(stack.registryUrl, `${scene.topic}-value`);
  const producer = await connectedProducer(stack.brokers);
  const messages = Array.from({ length: 40 }, (_, number) =>
    mixedMessage(schemaId, { scope, number }),
  );
  await produceAll(producer, scene.topic, messages, 20);
  await producer.disconnect();
}

/** Files of roots in the archive, by their name without a folder. */
async function roots(bucket: string, prefix: string): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  const page = await admin.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }));
  for (const { Key } of page.Contents ?? []) {
    found.set(Key!.split('/').at(-1)!, await getObject(admin, bucket, Key!));
  }
  return found;
}

const ofArchive = () => roots(archive, `${PREFIX}evidence/root/`);
const inFolder = (folder: string) =>
  new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
const nameOf = (kind: 'leaf' | 'note' | 'tsr', number: number): string =>
  rootKey('', kind, number).split('/').at(-1)!;

const untilThere = (what: string, files: () => Promise<Map<string, Buffer>>, ...names: string[]) =>
  until(what, WAIT_MS, async () => {
    const there = await files();
    return names.every((name) => there.has(name)) && there;
  });

/** Until the newest root is stamped, and every place has what the archive has. */
async function untilAnchored(size: number): Promise<void> {
  await untilThere(`root ${size} is stamped`, ofArchive, nameOf('tsr', size));
  await until(`all places have ${size} roots`, WAIT_MS, async () => {
    const wanted = [...(await ofArchive()).keys()].sort().join();
    const places = [inFolder(file('copies')), receiver.files, await roots(elsewhere, COPIES)];
    return places.every((place) => [...place.keys()].sort().join() === wanted);
  });
}

before(async () => {
  if (skip !== false) return;
  scene = await openScene(stack, 'anchors', { partitions: 2 });
  admin = stack.rootS3();
  archive = await stack.createLockedBucket(undefined, { mode: 'GOVERNANCE', days: 2 });
  elsewhere = await stack.createLockedBucket(stack.unique('elsewhere'));
  const user = await uniqueStoreUser(stack, 'copier', {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Action: ['s3:PutObject'],
        Resource: [`arn:aws:s3:::${elsewhere}/${COPIES}*`],
      },
    ],
  });
  secret = user.secretAccessKey;
  const { endpoint, region } = stack.s3;
  copier = new S3Client({ endpoint, region, credentials: user, forcePathStyle: true });
  await receiver.listen();
  authorities = await serveTsa((question) => (isAway.tsa ? null : tsa.reply(question, authority)));
  writeFileSync(file('signing.key'), formatPrivateKey(NAME, Buffer.alloc(32, 11)), { mode: 0o600 });
  writeFileSync(file('login'), `${receiver.authorization}\n`, { mode: 0o600 });
  writeFileSync(file('secret'), `${secret}\n`, { mode: 0o600 });
  settings = {
    'storage.bucket': archive,
    'storage.prefix': PREFIX,
    'archive.segmentAgeMsMax': '500',
    'evidence.keyFile': file('signing.key'),
    'anchors.timestamps': JSON.stringify([{ url: authorities.url, caFile: ca.certificate }]),
    'anchors.copies': JSON.stringify([
      { kind: 'file', path: file('copies') },
      { kind: 'http', url: receiver.url, authorizationFile: file('login') },
      {
        kind: 's3',
        bucket: elsewhere,
        prefix: COPIES,
        region,
        endpoint,
        pathStyle: true,
        accessKeyId: user.accessKeyId,
        secretAccessKeyFile: file('secret'),
      },
    ]),
  };
  await live();
});

after(async () => {
  archiver?.signal('SIGKILL');
  receiver.close();
  authorities?.close();
  tsa.close();
  copier?.destroy();
  admin?.destroy();
  await scene?.close();
});

/** Some hours of an archiver that is killed again and again. */
async function live(): Promise<void> {
  setClock(HOURS);
  await produce(1);
  start();
  await untilAnchored(1);

  // Everything but the folder is away while a root is written; then the archiver dies.
  await kill();
  setAway(true);
  await produce(2);
  setClock(HOURS - 1);
  start();
  const name = nameOf('leaf', 1);
  await untilThere('the folder has the root', async () => inFolder(file('copies')), name);
  await until('the receiver was asked', WAIT_MS, () => receiver.refused > 0);
  await kill();
  assert.ok(!receiver.files.has(name));
  assert.ok(!(await roots(elsewhere, COPIES)).has(name));

  // All are back, and no root is due: what the dead one left is anchored by the next process.
  setAway(false);
  start();
  await untilAnchored(2);

  // A secret that is mended is read again, by the process that met the wrong one.
  await kill();
  writeFileSync(file('secret'), 'another secret');
  setClock(HOURS - 2);
  start();
  await until('the second bucket refuses', WAIT_MS, async () => {
    return (await archiver!.metric(FAILURES, { anchor: 'copies.2' })) > 0;
  });
  writeFileSync(file('secret'), secret);
  await untilAnchored(3);

  // Killed as soon as a root is signed, whatever of it is under way.
  for (let hours = HOURS - 3; hours > 0; hours--) {
    await produce(10 + hours);
    const size = HOURS - hours + 1;
    setClock(hours);
    await untilThere(`root ${size} is signed`, ofArchive, nameOf('note', size));
    await kill();
    start();
  }
  setClock(0);
  await untilAnchored(HOURS + 1);
  assert.equal((await archiver!.stop()).code, 0);
}

/** Runs the command as an auditor does: with a key, the root certificate, and the kept copies. */
async function verify(...argv: string[]) {
  const env = stack.configEnv({ 'storage.bucket': archive, 'storage.prefix': PREFIX });
  const screen = createScreen(env);
  const code = await runCommandLine(['verify', '--key', KEY, '--json', ...argv], screen);
  assert.equal(screen.errors(), '');
  const report = JSON.parse(screen.output()) as { findings: Finding[]; root: { stamps: number } };
  const codes = [...new Set(report.findings.map((finding) => finding.code))];
  return { code, codes, report };
}

/** The second bucket, fetched by its own administrator. */
async function keptCopies(): Promise<string> {
  const folder = file('kept');
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of await roots(elsewhere, COPIES)) {
    writeFileSync(join(folder, name), bytes);
  }
  return folder;
}

async function destroy(...keys: string[]): Promise<void> {
  for (const { key, versionId } of await listVersions(admin, archive)) {
    if (keys.length > 0 && !keys.includes(key)) continue;
    const version = { Bucket: archive, Key: key, VersionId: versionId };
    await admin.send(new DeleteObjectCommand({ ...version, BypassGovernanceRetention: true }));
  }
}

describe('roots outside the archive', { skip }, () => {
  test('are at every place, once, as they are in the archive, though the archiver was killed', async () => {
    assertOneVersionEach(await listVersions(admin, archive));
    assertOneVersionEach(await listVersions(admin, elsewhere));
    const wanted = await ofArchive();
    for (let size = 1; size <= HOURS + 1; size++) {
      assert.ok(wanted.has(nameOf('note', size)) && wanted.has(nameOf('leaf', size - 1)));
    }
    for (const [name, bytes] of wanted) {
      assert.deepEqual(inFolder(file('copies')).get(name), bytes, name);
      assert.deepEqual(receiver.files.get(name), bytes, name);
    }
    const copied = await roots(elsewhere, COPIES);
    assert.deepEqual([...copied].sort(), [...wanted].sort());
    const partial = readdirSync(file('copies')).filter((name) => !wanted.has(name));
    assert.deepEqual(partial, []);
  });

  test('were put by a credential that can do nothing else', async () => {
    const name = `${COPIES}${nameOf('note', 1)}`;
    const object = { Bucket: elsewhere, Key: name };
    for (const attempt of [
      () => copier.send(new GetObjectCommand(object)),
      () => copier.send(new ListObjectsV2Command({ Bucket: elsewhere })),
      () => copier.send(new DeleteObjectCommand(object)),
      () => copier.send(new GetObjectCommand({ Bucket: archive, Key: name })),
    ]) {
      await assert.rejects(attempt(), { name: 'AccessDenied' });
    }
  });

  test('fit the archive, which verifies with its stamps', async () => {
    const { code, codes, report } = await verify(
      '--tsa-ca',
      ca.certificate,
      '--from',
      await keptCopies(),
    );
    assert.deepEqual(codes, []);
    assert.equal(code, 0);
    // The newest of each time is stamped: the first, those that were waited for, the last.
    assert.ok(report.root.stamps >= 4, `${report.root.stamps} stamps`);
    for (const [name, stamp] of await ofArchive()) {
      const place = parseEvidenceKey('', `evidence/root/${name}`);
      if (place?.kind !== 'tsr') continue;
      const note = (await ofArchive()).get(nameOf('note', place.number))!;
      assert.ok(tsa.accepts(note, stamp, ca), name);
    }
  });

  test('show an end that was cut off, which nothing in the archive shows', async () => {
    const size = HOURS + 1;
    const last = [rootKey(PREFIX, 'leaf', size - 1), rootKey(PREFIX, 'note', size)];
    await destroy(...last, rootKey(PREFIX, 'tsr', size));
    const alone = await verify();
    assert.deepEqual(alone.codes, []);
    const { code, codes } = await verify('--from', await keptCopies());
    assert.deepEqual(codes, ['truncated']);
    assert.equal(code, 1);
  });

  test('show a history that was rewritten by who holds the key, and name it', async () => {
    await destroy();
    const config = loadConfig(
      undefined,
      stack.configEnv({ 'storage.bucket': archive, 'storage.prefix': PREFIX }),
    );
    const store = createS3Store(config.storage, config.archive);
    const { seal, root } = smallArchive({ elsewhere: store });
    for (let hour = 0; hour <= HOURS; hour++) {
      await seal(2);
      await root(hour);
    }
    store.close();
    const alone = await verify();
    assert.deepEqual([alone.code, alone.codes], [0, []], 'by itself it is without fault');
    const from = await keptCopies();
    const { code, codes, report } = await verify('--from', from);
    assert.deepEqual(codes, ['fork']);
    assert.equal(code, 1);
    assert.ok(report.findings.length >= HOURS, 'each root that was kept speaks against it');

    const screen = createScreen(scene.env(settings));
    await runCommandLine(['verify', '--key', KEY, '--from', from], screen);
    assert.match(screen.output(), /tampered: fork: .*\n {2}two histories were shown/);
    if (!hasPython) return;
    const copy = file('copy');
    const copying = createScreen(scene.env(settings));
    assert.equal(await runCommandLine(['copy', copy], copying), 0, copying.errors());
    const theirs = python(copy, '--prefix', PREFIX, '--key', KEY, '--from', from);
    assert.equal(theirs.status, 1, theirs.stderr);
    assert.match(theirs.stdout, /tampered: fork/);
  });
});
