/**
 * The parts of `docker-compose.yml` that are programs, run here without an engine: the script that makes
 * the archiver's and the verifier's user, with the real client against the real store; and lakeseal's
 * own containers of the profile `verify`, each with the environment and the command that the file gives it. Only what
 * an engine would provide is put in its place: addresses, volumes, ports, and users of this test.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { listVersions } from '../chaos/archive.ts';
import { mixedMessage } from '../chaos/events.ts';
import { connectedProducer, produceAll, registerSchema } from '../chaos/kafka.ts';
import { until } from '../chaos/wait.ts';
import { fetchPrograms } from './artifacts.ts';
import { asContainer, compose } from './compose-file.ts';
import { freshFetch } from './fresh-fetch.ts';
import { createProgress } from './progress.ts';
import { LAKESEAL_MAIN, type ServiceProcess, startService } from './service.ts';
import { useStack } from './use.ts';

const run = promisify(execFile);
const WAIT_MS = 120_000;
const TOPIC = 'databricks.audit';
const PASSWORD = 'a-secret-of-this-test';

const stack = await useStack();
const skip = stack.state.mode === 'docker' ? 'Compose itself runs it' : false;
const folder = mkdtempSync(join(tmpdir(), 'lakeseal-test-'));
const { root, endpoint, region } = stack.s3;
// Users and policies of other names, so that the stack's own archiver is left as it is.
const archiverName = stack.unique('user').slice(-20);
const verifierName = stack.unique('reader').slice(-20);

after(() => rmSync(folder, { recursive: true }));

/** The script of `minio-init`, as it is but for the names; its output. */
async function init(): Promise<string> {
  const { entrypoint, command, environment } = compose.services['minio-init']!;
  const { mc } = await fetchPrograms(
    ['minio'],
    createProgress(() => {}),
  );
  const script = command![0]!
    .replaceAll('$$', '$')
    .replaceAll('/tmp/', `${folder}/`)
    .replace('login archiver', `login ${archiverName}`)
    .replace('login verifier', `login ${verifierName}`);
  const env = {
    ...environment,
    PATH: `${dirname(mc)}:${process.env.PATH}`,
    HOME: folder,
    MC_HOST_store: endpoint.replace('://', `://${root.accessKeyId}:${root.secretAccessKey}@`),
    MC_CONFIG_DIR: join(folder, 'mc'),
    ARCHIVER_PASSWORD: PASSWORD,
    VERIFIER_PASSWORD: PASSWORD,
  };
  const [shell, flags] = entrypoint as [string, string];
  return (await run(shell, [flags, script], { env })).stdout;
}

describe('docker-compose.yml without an engine', { skip }, () => {
  let first = '';
  before(async () => {
    for (const volume of ['keys', 'verifier']) mkdirSync(join(folder, volume));
    first = await init();
  });

  test('minio-init makes the archiver and the verifier, and running it again changes nothing', async () => {
    assert.match(first, /Attached Policies/);
    assert.doesNotMatch(await init(), /Attached Policies/);
    const bucket = await stack.createLockedBucket();
    const clientOf = (accessKeyId: string): S3Client => {
      const credentials = { accessKeyId, secretAccessKey: PASSWORD };
      return new S3Client({ endpoint, region, credentials, forcePathStyle: true });
    };
    const [archiver, verifier] = [clientOf(archiverName), clientOf(verifierName)];
    const object = { Bucket: bucket, Key: 'x' };
    const put = (): PutObjectCommand => new PutObjectCommand({ ...object, Body: 'x' });
    await archiver.send(put());
    await assert.rejects(archiver.send(new DeleteObjectCommand(object)), /Access Denied/);
    await verifier.send(new GetObjectCommand(object));
    await assert.rejects(verifier.send(put()), /Access Denied/);
    archiver.destroy();
    verifier.destroy();
  });

  test('setup, keys, baseline, archiver and verifier work together as they are written', async (t) => {
    const bucket = stack.unique('compose');
    const variables: Record<string, string> = {
      LAKESEAL_STORAGE_BUCKET: bucket,
      MINIO_ROOT_PASSWORD: root.secretAccessKey,
      ARCHIVER_PASSWORD: PASSWORD,
      VERIFIER_PASSWORD: PASSWORD,
      EVIDENCE_KEY_FILE: '/keys/signing.key',
    };
    const setup = runOnce('setup', variables);
    assert.equal(setup.status, 0, setup.stderr);
    const keys = runOnce('keys', variables);
    assert.equal(keys.status, 0, keys.stderr);
    const [vkey] = /audit\.example\.com\+\S+/.exec(keys.stdout)!;

    const baseline = runOnce('baseline', variables);
    assert.equal(baseline.status, 0, `${baseline.stdout}${baseline.stderr}`);

    const admin = stack.rootS3();
    t.after(() => admin.destroy());
    await produce();
    const archiver = startContainer(t, 'archiver', variables);
    await probeAccepts('archiver', archiver);
    await until('records were read', WAIT_MS, async () => {
      return (await archiver.metric('lakeseal_consumer_records_total')) > 0;
    });
    assert.equal((await archiver.stop()).code, 0);
    const segment = (await listVersions(admin, bucket)).find(({ key }) => key.endsWith('.avro'))!;
    await admin.send(new DeleteObjectCommand({ Bucket: bucket, Key: segment.key }));

    const verifier = startContainer(t, 'verifier', { ...variables, EVIDENCE_PUBLIC_KEY: vkey });
    const found = await until('findings are told', WAIT_MS, async () => {
      const all = await findingsOf(`s3://${bucket}/`);
      return all.length >= 1 && all;
    });
    assert.deepEqual(found, [`delete_marker ${segment.key}`]);
    await probeAccepts('verifier', verifier);
    const posture = { kind: 'posture', outcome: 'clean' };
    await until('the posture was compared', WAIT_MS, async () => {
      return (await verifier.metric('lakeseal_verifier_runs_total', posture)) === 1;
    });
    assert.equal(await verifier.metric('lakeseal_verifier_runs_total', { outcome: 'failed' }), 0);
    assert.equal((await verifier.stop()).code, 0);
  });

  test('without a public key the verifier says which setting it wants', () => {
    const { status, stderr } = runOnce('verifier', { VERIFIER_PASSWORD: PASSWORD });
    assert.notEqual(status, 0);
    assert.match(stderr, /no public key was given[\s\S]*evidence\.publicKeys/);
  });
});

/** What an engine would provide, in a text of the file. */
function provided(text: string): string {
  const places: Array<[from: string, to: string]> = [
    ['http://minio:9000', endpoint],
    ['http://opensearch:9200', stack.opensearchUrl],
    ['kafka:19092', stack.brokers.join(',')],
    ['http://registry:8080/apis/ccompat/v7', stack.registryUrl],
  ];
  for (const [from, to] of places) if (text === from) return to;
  return /^\/(keys|verifier)\b/.test(text) ? join(folder, text) : text;
}

function container(name: string, variables: Record<string, string>) {
  const { environment, command } = asContainer(name, variables);
  const users: Record<string, string> = {
    archiver: archiverName,
    verifier: verifierName,
    root: root.accessKeyId,
  };
  const env = Object.fromEntries(
    Object.entries(environment).map(([key, value]) => {
      if (key.endsWith('_ACCESS_KEY_ID')) return [key, users[value]!];
      // One machine, many tests: each takes a free one, as a container has its own.
      return key === 'LAKESEAL_HTTP_PORT' ? [key, '0'] : [key, provided(value)];
    }),
  );
  return { env, command: command.map(provided) };
}

function runOnce(name: string, variables: Record<string, string>) {
  const { env, command } = container(name, variables);
  const { PATH = '' } = process.env;
  return spawnSync(process.execPath, [LAKESEAL_MAIN, ...command], {
    env: { PATH, HOME: folder, ...env },
    encoding: 'utf8',
  });
}

function startContainer(
  t: { after: (work: () => void) => void },
  name: string,
  variables: Record<string, string>,
): ServiceProcess {
  const { env, command } = container(name, variables);
  const service = startService(command, env, join(folder, `${name}.log`));
  t.after(() => service.signal('SIGKILL'));
  return service;
}

/** The health check of the file, on the port that was taken. */
async function probeAccepts(name: string, service: ServiceProcess): Promise<void> {
  const [how, program, flag, script] = asContainer(name, {}).probe;
  assert.deepEqual([how, program, flag], ['CMD', 'node', '-e']);
  await service.ready(WAIT_MS);
  const port = /"port":(\d+),"msg":"serving/.exec(readFileSync(service.logFile, 'utf8'))![1]!;
  await run(process.execPath, ['-e', script!.replace(':9464/', `:${port}/`)]);
}

async function produce(): Promise<void> {
  const schemaId = await registerSchema(stack.registryUrl, `${TOPIC}-value`);
  const producer = await connectedProducer(stack.brokers);
  const messages = Array.from({ length: 20 }, (_, number) =>
    mixedMessage(schemaId, { scope: 1, number }),
  );
  await produceAll(producer, TOPIC, messages, 20);
  await producer.disconnect();
}

/** Code and key of each, of one archive, in the index that the file leaves at its default. */
async function findingsOf(archive: string): Promise<string[]> {
  const index = `${stack.opensearchUrl}/lakeseal-findings`;
  await freshFetch(`${index}/_refresh?ignore_unavailable=true`, { method: 'POST' });
  const answer = await freshFetch(`${index}/_search?ignore_unavailable=true&size=100`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: { term: { archive } } }),
  });
  const { hits } = (await answer.json()) as {
    hits: { hits: Array<{ _source: { code: string; key: string } }> };
  };
  return hits.hits.map(({ _source: { code, key } }) => `${code} ${key}`).sort();
}
