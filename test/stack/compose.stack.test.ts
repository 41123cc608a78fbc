/**
 * The parts of `docker-compose.yml` that are programs, run here without an engine: the script that
 * makes the archiver's user, with the real client against the real store.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { parse } from 'yaml';
import { fetchPrograms } from './artifacts.ts';
import { createProgress } from './progress.ts';
import { useStack } from './use.ts';

const run = promisify(execFile);
const COMPOSE_FILE = join(import.meta.dirname, '..', '..', 'docker-compose.yml');

test('minio-init makes the archiver, and running it again changes nothing', async (t) => {
  const stack = await useStack();
  if (stack.state.mode === 'docker') return t.skip('Compose itself has just run it');
  const { services } = parse(readFileSync(COMPOSE_FILE, 'utf8'), { merge: true });
  const { entrypoint, command, environment } = services['minio-init'];
  const programs = await fetchPrograms(
    ['minio'],
    createProgress(() => {}),
  );
  const folder = await mkdtemp(join(tmpdir(), 'lakeseal-test-'));

  // A user and policy of another name, so that the stack's own archiver is left as it is.
  const user = stack.unique('user').slice(-20);
  const script = (command[0] as string)
    .replaceAll('$$', '$')
    .replaceAll('/tmp/', `${folder}/`)
    .replaceAll(/store archiver/g, `store ${user}`)
    .replaceAll(/--user archiver/g, `--user ${user}`)
    .replaceAll("*'Policies:'*archiver*", `*'Policies:'*${user}*`);
  const secretAccessKey = 'a-secret-of-this-test';
  const { root, endpoint, region } = stack.s3;
  const env = {
    PATH: `${dirname(programs.mc)}:${process.env.PATH}`,
    HOME: folder,
    MC_HOST_store: endpoint.replace('://', `://${root.accessKeyId}:${root.secretAccessKey}@`),
    MC_CONFIG_DIR: join(folder, 'mc'),
    ARCHIVER_PASSWORD: secretAccessKey,
    ARCHIVER_POLICY: environment.ARCHIVER_POLICY as string,
  };
  const [shell, flags] = entrypoint as [string, string];
  const first = await run(shell, [flags, script], { env });
  assert.match(first.stdout, /Attached Policies/);
  const second = await run(shell, [flags, script], { env });
  assert.doesNotMatch(second.stdout, /Attached Policies/);

  const bucket = await stack.createLockedBucket();
  const credentials = { accessKeyId: user, secretAccessKey };
  const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
  const object = { Bucket: bucket, Key: 'x' };
  await client.send(new PutObjectCommand({ ...object, Body: 'x' }));
  await assert.rejects(client.send(new DeleteObjectCommand(object)), /Access Denied/);
  client.destroy();
  await rm(folder, { recursive: true });
});
