/** The servers as the other tests rely on them: they answer, survive, refuse, and go. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectLegalHoldCommand,
  PutObjectLockConfigurationCommand,
  PutObjectRetentionCommand,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import type { Admin, Kafka } from 'kafkajs';
import { patiently } from '../../services/cli/kafka-patience.ts';
import { connectKafka } from '../../services/ingest/kafka.ts';
import { loadConfig } from '../../services/runtime/config.ts';
import { silentLog } from '../../services/runtime/log.ts';
import { freshFetch } from './fresh-fetch.ts';
import { readIdentity, waitForExit } from './process.ts';
import { attachStack, startStack } from './stack.ts';
import { keeperFileIn, readState } from './state.ts';
import { type Stack, useStack } from './use.ts';

let stack: Stack;
before(async () => {
  stack = await useStack();
});

/** The HTTP status and code with which the store refuses. */
async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof S3ServiceException, String(error));
    return `${error.$metadata.httpStatusCode} ${error.name}`;
  }
  return 'accepted';
}

async function json(url: string, init?: RequestInit): Promise<Record<string, unknown>> {
  const response = await freshFetch(url, init);
  const body = (await response.json()) as Record<string, unknown>;
  assert.ok(response.ok, JSON.stringify(body));
  return body;
}

describe('Kafka', () => {
  let admin: Admin;
  let kafka: Kafka;
  before(async () => {
    kafka = connectKafka(loadConfig(undefined, stack.configEnv()), silentLog);
    admin = kafka.admin();
    await admin.connect();
  });
  after(() => admin.disconnect());

  test('takes a record of 20 MB, and keeps it when killed and restarted', async () => {
    const topic = stack.unique('big');
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
    const producer = kafka.producer({ idempotent: true });
    await producer.connect();
    const value = randomBytes(20_000_000);
    await producer.send({ topic, acks: -1, messages: [{ value }] });
    await producer.disconnect();

    await stack.kill('kafka');
    await stack.restart('kafka');
    // The broker answers before it leads its partitions again.
    const [offsets] = await patiently(() => admin.fetchTopicOffsets(topic));
    assert.equal(offsets?.high, '1');
  });

  test('makes no topic that nobody asked for', async () => {
    const topic = stack.unique('typo');
    const producer = kafka.producer({ retry: { retries: 0 } });
    await producer.connect();
    await assert.rejects(producer.send({ topic, messages: [{ value: 'x' }] }));
    await producer.disconnect();
    assert.ok(!(await admin.listTopics()).includes(topic));
  });
});

describe('schema registry', () => {
  const headers = { 'content-type': 'application/vnd.schemaregistry.v1+json' };
  const record = (fields: unknown[]): string =>
    JSON.stringify({ schema: JSON.stringify({ type: 'record', name: 'Thing', fields }) });
  const post = (path: string, body: string) =>
    json(`${stack.registryUrl}${path}`, { method: 'POST', headers, body });

  test('gives a schema the same id again, after a kill too', async () => {
    const path = `/subjects/${stack.unique('subject')}/versions`;
    const schema = record([{ name: 'a', type: 'string' }]);
    const { id } = await post(path, schema);
    assert.equal((await post(path, schema)).id, id);
    await stack.kill('registry');
    await stack.restart('registry');
    assert.equal((await post(path, schema)).id, id);
  });

  test('refuses a schema that cannot read what the one before wrote', async () => {
    const path = `/subjects/${stack.unique('subject')}/versions`;
    await post(path, record([{ name: 'a', type: 'string' }]));
    const body = record([{ name: 'b', type: 'string' }]);
    const response = await freshFetch(`${stack.registryUrl}${path}`, {
      method: 'POST',
      headers,
      body,
    });
    assert.equal(response.status, 409);
  });
});

describe('OpenSearch', () => {
  test('answers searches, and runs as nobody when root starts it', async () => {
    const index = stack.unique('index');
    const headers = { 'content-type': 'application/json' };
    const url = `${stack.opensearchUrl}/${index}`;
    const body = JSON.stringify({ who: 'alice' });
    await json(`${url}/_doc/1?refresh=true`, { method: 'PUT', headers, body });
    const found = await json(`${url}/_search?q=who:alice`);
    assert.equal((found.hits as { total: { value: number } }).total.value, 1);
    const launch = stack.state.native?.launch.opensearch;
    if (launch !== undefined) assert.equal(launch.uid !== undefined, process.getuid?.() === 0);
  });

  test('hangs while stopped, goes on when woken', async () => {
    const health = `${stack.opensearchUrl}/_cluster/health`;
    await stack.kill('opensearch', 'SIGSTOP');
    try {
      await assert.rejects(freshFetch(health, { signal: AbortSignal.timeout(500) }), /timeout/);
    } finally {
      await stack.kill('opensearch', 'SIGCONT');
    }
    assert.ok((await json(health)).status);
  });

  test('a killed server is restarted by heal, a healthy one is left alone', async () => {
    assert.deepEqual(await stack.heal(), []);
    await stack.kill('opensearch');
    assert.deepEqual(await stack.heal(), ['opensearch']);
    assert.deepEqual(await stack.heal(), []);
  });
});

describe('MinIO', () => {
  let archiver: S3Client;
  let root: S3Client;
  let Bucket: string;
  before(async () => {
    archiver = stack.archiverS3();
    root = stack.rootS3();
    Bucket = await stack.createLockedBucket();
  });
  after(() => {
    archiver.destroy();
    root.destroy();
  });

  /** As the archiver writes: once per key, encrypted, with a checksum. */
  function put(Key: string, client = archiver) {
    const body = { Body: `body of ${Key}`, ChecksumAlgorithm: 'SHA256' } as const;
    const how = { IfNoneMatch: '*', ServerSideEncryption: 'aws:kms' } as const;
    return client.send(new PutObjectCommand({ Bucket, Key, ...body, ...how }));
  }

  test('an object inherits retention and encryption, and outlives a kill', async () => {
    await put('kept');
    const before = await archiver.send(new HeadObjectCommand({ Bucket, Key: 'kept' }));
    assert.equal(before.ServerSideEncryption, 'aws:kms');
    await stack.kill('minio');
    await stack.restart('minio');
    const got = await archiver.send(new GetObjectCommand({ Bucket, Key: 'kept' }));
    assert.equal(await got.Body?.transformToString(), 'body of kept');
    assert.equal(got.VersionId, before.VersionId);
    const asRoot = await root.send(new HeadObjectCommand({ Bucket, Key: 'kept' }));
    assert.equal(asRoot.ObjectLockMode, 'COMPLIANCE');
    const hours = (asRoot.ObjectLockRetainUntilDate!.getTime() - Date.now()) / 3_600_000;
    assert.ok(hours > 23 && hours <= 24, `${hours} hours`);
  });

  test('a key is written once, whoever races', async () => {
    const attempts = await Promise.all(Array.from({ length: 8 }, () => refusal(put('raced'))));
    const accepted = attempts.filter((attempt) => attempt === 'accepted');
    assert.equal(accepted.length, 1);
    for (const attempt of attempts.filter((other) => other !== 'accepted')) {
      assert.match(attempt, /^(412 PreconditionFailed|409 .*)$/);
    }
  });

  test('not even root deletes, shortens or weakens what is locked', async () => {
    const { VersionId } = await put('locked');
    const object = { Bucket, Key: 'locked', VersionId };
    const retain = (Mode: 'COMPLIANCE' | 'GOVERNANCE', ms: number) =>
      new PutObjectRetentionCommand({
        ...object,
        BypassGovernanceRetention: true,
        Retention: { Mode, RetainUntilDate: new Date(Date.now() + ms) },
      });
    assert.match(await refusal(root.send(new DeleteObjectCommand(object))), /^40[03] /);
    assert.match(await refusal(root.send(retain('COMPLIANCE', 60_000))), /^40[03] /);
    assert.match(await refusal(root.send(retain('GOVERNANCE', 2 * 86_400_000))), /^40[03] /);
    const suspended = { Bucket, VersioningConfiguration: { Status: 'Suspended' } } as const;
    assert.notEqual(
      await refusal(root.send(new PutBucketVersioningCommand(suspended))),
      'accepted',
    );
    const versions = await root.send(new ListObjectVersionsCommand({ Bucket, Prefix: 'locked' }));
    assert.equal(versions.Versions?.length, 1);
  });

  test('the archiver has its six rights and no other', async () => {
    const { VersionId } = await put('mine');
    const object = { Bucket, Key: 'mine' };
    const version = { ...object, VersionId };
    await archiver.send(new GetObjectCommand(version));
    await archiver.send(new ListObjectVersionsCommand({ Bucket }));
    await archiver.send(new GetObjectRetentionCommand(version));

    const RetainUntilDate = new Date(Date.now() + 7 * 86_400_000);
    const Retention = { Mode: 'COMPLIANCE', RetainUntilDate } as const;
    const LegalHold = { Status: 'OFF' } as const;
    const lock = {
      ObjectLockMode: 'COMPLIANCE',
      ObjectLockRetainUntilDate: RetainUntilDate,
    } as const;
    const rule = { DefaultRetention: { Mode: 'COMPLIANCE', Days: 1 } } as const;
    const configuration = { ObjectLockEnabled: 'Enabled', Rule: rule } as const;
    const elsewhere = { Bucket: `other-${randomBytes(4).toString('hex')}`, Key: 'x', Body: 'x' };
    const calls = {
      delete: archiver.send(new DeleteObjectCommand(object)),
      deleteVersion: archiver.send(new DeleteObjectCommand(version)),
      retention: archiver.send(new PutObjectRetentionCommand({ ...version, Retention })),
      legalHold: archiver.send(new PutObjectLegalHoldCommand({ ...version, LegalHold })),
      lockHeaders: archiver.send(
        new PutObjectCommand({ Bucket, Key: 'headers', Body: 'x', ...lock }),
      ),
      bucketPolicy: archiver.send(new PutBucketPolicyCommand({ Bucket, Policy: '{}' })),
      lockConfiguration: archiver.send(
        new PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration: configuration }),
      ),
      otherBucket: archiver.send(new PutObjectCommand(elsewhere)),
    };
    const refusals = await Promise.all(
      Object.entries(calls).map(async ([name, call]) => `${name}: ${await refusal(call)}`),
    );
    assert.deepEqual(
      refusals,
      Object.keys(calls).map((name) => `${name}: 403 AccessDenied`),
    );
  });
});

describe('life of a stack', () => {
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'lakeseal-test-'));
  });
  after(() => rm(dir, { recursive: true, force: true }));

  test('it ends with the process that started it, even when that is killed', async () => {
    const stateFile = join(dir, 'owned.json');
    const up = join(import.meta.dirname, 'up.ts');
    const owner = spawn(process.execPath, [up, '--state', stateFile, 'minio'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    for await (const chunk of owner.stdout) if (String(chunk).includes('ctrl-C')) break;
    const state = readState(stateFile);
    const minio = readIdentity(state.native!.launch.minio!.pidFile);
    const keeper = readIdentity(keeperFileIn(state.dir));
    assert.ok(minio !== null && keeper !== null);
    const gone = once(owner, 'exit');
    owner.kill('SIGKILL');
    await gone;
    assert.ok(await waitForExit(minio, 20_000), 'MinIO outlived its owner');
    assert.ok(await waitForExit(keeper, 20_000), 'the keeper outlived its stack');
    assert.equal(existsSync(state.dir), false);
  });

  test('a start with a full cache calls neither Maven nor Go; two stacks live side by side', async () => {
    const called = join(dir, 'called');
    for (const tool of ['mvn', 'go', 'tar']) {
      writeFileSync(join(dir, tool), `#!/bin/sh\necho "${tool} $*" >> ${called}\nexit 1\n`);
      chmodSync(join(dir, tool), 0o755);
    }
    const path = process.env.PATH;
    process.env.PATH = `${dir}:${path}`;
    let second: Stack;
    try {
      second = await startStack({ servers: ['kafka', 'minio'], report: () => {} });
    } finally {
      process.env.PATH = path;
    }
    try {
      assert.equal(existsSync(called) ? readFileSync(called, 'utf8') : '', '');
      assert.notEqual(second.state.dir, stack.state.dir);
      assert.notEqual(second.s3.endpoint, stack.s3.endpoint);
      const name = await second.createLockedBucket();
      const first = stack.rootS3();
      const seen = first.send(new ListObjectVersionsCommand({ Bucket: name }));
      assert.equal(await refusal(seen), '404 NoSuchBucket');
      first.destroy();
    } finally {
      await second.stop();
    }
    assert.equal(existsSync(second.state.dir), false);
    assert.throws(() => attachStack(second.stateFile), /ENOENT/);
  });
});
