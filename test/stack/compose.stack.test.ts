/**
 * The parts of `docker-compose.yml` that are programs, run here without an engine: the script that
 * makes the archiver's and the verifier's user, with the real client against the real store.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { parse } from 'yaml';
import { fetchPrograms } from './artifacts.ts';
import { createProgress } from './progress.ts';
import { useStack } from './use.ts';

const run = promisify(execFile);
const COMPOSE_FILE = join(import.meta.dirname, '..', '..', 'docker-compose.yml');

test('minio-init makes the archiver and the verifier, and running it again changes nothing', async (t) => {
  const stack = await useStack();
  if (stack.state.mode === 'docker') return t.skip('Compose itself has just run it');
  const { services } = parse(readFileSync(COMPOSE_FILE, 'utf8'), { merge: true });
  const { entrypoint, command, environment } = services['minio-init'];
  const programs = await fetchPrograms(
    ['minio'],
    createProgress(() => {}),
  );
  const folder = await mkdtemp(join(tmpdir(), 'lakeseal-test-'));

  // Users and policies of other names, so that the stack's own archiver is left as it is.
  const user = stack.unique('user').slice(-20);
  const reader = stack.unique('reader').slice(-20);
  const script = (command[0] as string)
    .replaceAll('$$', '$')
    .replaceAll('/tmp/', `${folder}/`)
    .replace('login archiver', `login ${user}`)
    .replace('login verifier', `login ${reader}`);
  const secretAccessKey = 'a-secret-of-this-test';
  const { root, endpoint, region } = stack.s3;
  const env = {
    PATH: `${dirname(programs.mc)}:${process.env.PATH}`,
    HOME: folder,
    MC_HOST_store: endpoint.replace('://', `://${root.accessKeyId}:${root.secretAccessKey}@`),
    MC_CONFIG_DIR: join(folder, 'mc'),
    ARCHIVER_PASSWORD: secretAccessKey,
    ARCHIVER_POLICY: environment.ARCHIVER_POLICY as string,
    VERIFIER_PASSWORD: secretAccessKey,
    VERIFIER_POLICY: environment.VERIFIER_POLICY as string,
  };
  const [shell, flags] = entrypoint as [string, string];
  const first = await run(shell, [flags, script], { env });
  assert.match(first.stdout, /Attached Policies/);
  const second = await run(shell, [flags, script], { env });
  assert.doesNotMatch(second.stdout, /Attached Policies/);

  const bucket = await stack.createLockedBucket();
  const clientOf = (accessKeyId: string): S3Client => {
    const credentials = { accessKeyId, secretAccessKey };
    return new S3Client({ endpoint, region, credentials, forcePathStyle: true });
  };
  const [archiver, verifier] = [clientOf(user), clientOf(reader)];
  const object = { Bucket: bucket, Key: 'x' };
  const put = (): PutObjectCommand => new PutObjectCommand({ ...object, Body: 'x' });
  await archiver.send(put());
  await assert.rejects(archiver.send(new DeleteObjectCommand(object)), /Access Denied/);
  await verifier.send(new GetObjectCommand(object));
  await assert.rejects(verifier.send(put()), /Access Denied/);
  archiver.destroy();
  verifier.destroy();
  await rm(folder, { recursive: true });
});
