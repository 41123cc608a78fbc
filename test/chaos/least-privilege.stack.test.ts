/**
 * Promise A3: what the archiver's credential is refused. It seals a segment first, in a process of
 * its own, so that every refusal is about an object that it has written itself; and the store keeps
 * what is sealed from the administrator too.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  DeleteBucketCommand,
  DeleteBucketEncryptionCommand,
  DeleteBucketLifecycleCommand,
  DeleteBucketPolicyCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  DeleteObjectTaggingCommand,
  GetObjectCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketEncryptionCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectLegalHoldCommand,
  PutObjectLockConfigurationCommand,
  PutObjectRetentionCommand,
  PutObjectTaggingCommand,
  type S3Client,
  type S3ServiceException,
} from '@aws-sdk/client-s3';
import { useStack } from '../stack/use.ts';
import { type ArchivedVersion, getObject, listVersions } from './archive.ts';
import { mixedMessage } from './events.ts';
import { connectedProducer, produceAll, registerSchema } from './kafka.ts';
import { openScene, type Scene } from './scene.ts';
import { until } from './wait.ts';

const DAY_MS = 86_400_000;

let scene: Scene;
let archiver: S3Client;
let root: S3Client;
let sealed: ArchivedVersion;
let bytes: Buffer;

before(async () => {
  const stack = await useStack();
  scene = await openScene(stack, 'least-privilege', { partitions: 1 });
  archiver = stack.archiverS3();
  root = scene.rootS3;
  const service = scene.archiver({ 'archive.segmentAgeMsMax': 500 });
  const schemaId = await registerSchema(stack.registryUrl, `${scene.topic}-value`);
  const producer = await connectedProducer(stack.brokers);
  const messages = Array.from({ length: 20 }, (_, number) =>
    mixedMessage(schemaId, { scope: 1, number }),
  );
  await produceAll(producer, scene.topic, messages, 20);
  await producer.disconnect();
  const [first] = await until('a segment is sealed', 60_000, async () => {
    const versions = await listVersions(root, scene.bucket);
    const segments = versions.filter(({ key }) => key.endsWith('.avro'));
    return segments.length > 0 ? segments : null;
  });
  sealed = first!;
  bytes = await getObject(root, scene.bucket, sealed.key);
  assert.equal((await service.stop()).code, 0);
});

after(async () => {
  archiver?.destroy();
  await scene?.close();
});

async function refusal(work: Promise<unknown>): Promise<{ name: string; status: number }> {
  const error = await work.then(
    () => undefined,
    (cause: S3ServiceException) => cause,
  );
  assert.ok(error !== undefined, 'it was not refused');
  return { name: error.name, status: error.$metadata?.httpStatusCode ?? 0 };
}

const DENIED = { name: 'AccessDenied', status: 403 };

describe('A3: the archiver’s credential', () => {
  test('reads and lists what it sealed', async () => {
    const Bucket = scene.bucket;
    const object = await archiver.send(new GetObjectCommand({ Bucket, Key: sealed.key }));
    assert.ok(bytes.equals(Buffer.from(await object.Body!.transformToByteArray())));
    const listed = await archiver.send(new ListObjectsV2Command({ Bucket }));
    assert.ok(listed.Contents?.some(({ Key }) => Key === sealed.key));
    const versions = await archiver.send(new ListObjectVersionsCommand({ Bucket }));
    assert.ok(versions.Versions?.some(({ VersionId }) => VersionId === sealed.versionId));
    const head = await archiver.send(new HeadObjectCommand({ Bucket, Key: sealed.key }));
    assert.equal(head.ObjectLockMode, 'COMPLIANCE');
    assert.ok(head.ObjectLockRetainUntilDate !== undefined);
  });

  const RetainUntilDate = new Date(Date.now() + 2 * DAY_MS);
  const object = () => ({ Bucket: scene.bucket, Key: sealed.key });
  const version = () => ({ ...object(), VersionId: sealed.versionId });
  const bucket = () => ({ Bucket: scene.bucket });
  const refused: Record<string, () => Promise<unknown>> = {
    DeleteObject: () => archiver.send(new DeleteObjectCommand(object())),
    'DeleteObject of a version': () => archiver.send(new DeleteObjectCommand(version())),
    'PutObjectRetention, longer': () =>
      archiver.send(
        new PutObjectRetentionCommand({
          ...version(),
          Retention: { Mode: 'COMPLIANCE', RetainUntilDate },
        }),
      ),
    PutObjectLegalHold: () =>
      archiver.send(new PutObjectLegalHoldCommand({ ...version(), LegalHold: { Status: 'ON' } })),
    PutObjectTagging: () =>
      archiver.send(
        new PutObjectTaggingCommand({
          ...version(),
          Tagging: { TagSet: [{ Key: 'a', Value: 'b' }] },
        }),
      ),
    DeleteObjectTagging: () => archiver.send(new DeleteObjectTaggingCommand(version())),
    'PutObject with its own retention': () =>
      archiver.send(
        new PutObjectCommand({
          ...bucket(),
          Key: 'data/own-retention',
          Body: 'x',
          ChecksumAlgorithm: 'SHA256',
          ObjectLockMode: 'COMPLIANCE',
          ObjectLockRetainUntilDate: new Date(Date.now() + 1_000),
        }),
      ),
    'PutObject with a legal hold': () =>
      archiver.send(
        new PutObjectCommand({
          ...bucket(),
          Key: 'data/own-hold',
          Body: 'x',
          ChecksumAlgorithm: 'SHA256',
          ObjectLockLegalHoldStatus: 'ON',
        }),
      ),
    PutBucketPolicy: () =>
      archiver.send(new PutBucketPolicyCommand({ ...bucket(), Policy: openPolicy() })),
    DeleteBucketPolicy: () => archiver.send(new DeleteBucketPolicyCommand(bucket())),
    PutObjectLockConfiguration: () =>
      archiver.send(
        new PutObjectLockConfigurationCommand({
          ...bucket(),
          ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled' },
        }),
      ),
    PutBucketVersioning: () =>
      archiver.send(
        new PutBucketVersioningCommand({
          ...bucket(),
          VersioningConfiguration: { Status: 'Suspended' },
        }),
      ),
    PutBucketLifecycleConfiguration: () =>
      archiver.send(
        new PutBucketLifecycleConfigurationCommand({
          ...bucket(),
          LifecycleConfiguration: {
            Rules: [
              { ID: 'a', Status: 'Enabled', Filter: { Prefix: '' }, Expiration: { Days: 1 } },
            ],
          },
        }),
      ),
    DeleteBucketLifecycle: () => archiver.send(new DeleteBucketLifecycleCommand(bucket())),
    PutBucketEncryption: () =>
      archiver.send(
        new PutBucketEncryptionCommand({
          ...bucket(),
          ServerSideEncryptionConfiguration: {
            Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
          },
        }),
      ),
    DeleteBucketEncryption: () => archiver.send(new DeleteBucketEncryptionCommand(bucket())),
    DeleteBucket: () => archiver.send(new DeleteBucketCommand(bucket())),
  };
  for (const [name, attempt] of Object.entries(refused)) {
    test(`A3: is refused ${name}`, async () => {
      assert.deepEqual(await refusal(attempt()), DENIED);
    });
  }

  test('A3: cannot bypass a lock in GOVERNANCE mode, which the administrator can', async () => {
    const name = scene.stack.unique('governance');
    const Bucket = await scene.stack.createLockedBucket(name, { mode: 'GOVERNANCE', days: 1 });
    const put = new PutObjectCommand({ Bucket, Key: 'a', Body: 'a', ChecksumAlgorithm: 'SHA256' });
    const { VersionId } = await archiver.send(put);
    const target = { Bucket, Key: 'a', VersionId: VersionId!, BypassGovernanceRetention: true };
    const shorten = new PutObjectRetentionCommand({
      ...target,
      Retention: { Mode: 'GOVERNANCE', RetainUntilDate: new Date(Date.now() + 60_000) },
    });
    assert.deepEqual(await refusal(archiver.send(shorten)), DENIED);
    const remove = new DeleteObjectCommand(target);
    assert.deepEqual(await refusal(archiver.send(remove)), DENIED);
    // So it is the missing right that was refused, and not a lock that nobody can open.
    await root.send(shorten);
    await root.send(remove);
  });

  test('A3: is refused DeleteObjects', async () => {
    // This call answers per object, with success for the whole.
    const command = new DeleteObjectsCommand({
      ...bucket(),
      Delete: { Objects: [{ Key: sealed.key }, { Key: sealed.key, VersionId: sealed.versionId }] },
    });
    const outcome = await archiver.send(command).then(
      ({ Deleted = [], Errors = [] }) => ({ deleted: Deleted, codes: Errors.map((e) => e.Code) }),
      (error: S3ServiceException) => ({ deleted: [], codes: [error.name, error.name] }),
    );
    assert.deepEqual(outcome, { deleted: [], codes: ['AccessDenied', 'AccessDenied'] });
  });

  test('A3: cannot reach a bucket that is none of lakeseal’s', async () => {
    const command = new ListObjectsV2Command({ Bucket: 'another-bucket' });
    assert.deepEqual(await refusal(archiver.send(command)), DENIED);
  });

  test('A3: cannot write a slot again under the condition it writes with', async () => {
    const command = new PutObjectCommand({
      ...object(),
      Body: 'forged',
      IfNoneMatch: '*',
      ChecksumAlgorithm: 'SHA256',
    });
    const { status } = await refusal(archiver.send(command));
    assert.equal(status, 412);
  });
});

describe('A3: a sealed segment under COMPLIANCE', () => {
  const version = () => ({ Bucket: scene.bucket, Key: sealed.key, VersionId: sealed.versionId });

  test('is locked for as long as the bucket says, without a word of the archiver', async () => {
    const { Retention } = await root.send(new GetObjectRetentionCommand(version()));
    assert.equal(Retention?.Mode, 'COMPLIANCE');
    const leftMs = Retention.RetainUntilDate!.getTime() - Date.now();
    assert.ok(leftMs > 0.9 * DAY_MS && leftMs <= DAY_MS, `${leftMs} ms left`);
  });

  test('is encrypted with the KMS key', async () => {
    const head = await root.send(new HeadObjectCommand(version()));
    assert.equal(head.ServerSideEncryption, 'aws:kms');
    assert.match(head.SSEKMSKeyId ?? '', /lakeseal$/);
  });

  test('A3: the administrator cannot delete the version, nor shorten or loosen its lock', async () => {
    const { status: deletion } = await refusal(root.send(new DeleteObjectCommand(version())));
    assert.ok(deletion === 403 || deletion === 400, `status ${deletion}`);
    const bypass = new DeleteObjectCommand({ ...version(), BypassGovernanceRetention: true });
    const { status: bypassed } = await refusal(root.send(bypass));
    assert.ok(bypassed === 403 || bypassed === 400, `status ${bypassed}`);
    const changes = [
      { Mode: 'COMPLIANCE', RetainUntilDate: new Date(Date.now() + 60_000) },
      { Mode: 'GOVERNANCE', RetainUntilDate: new Date(Date.now() + 2 * DAY_MS) },
    ] as const;
    for (const Retention of changes) {
      const command = new PutObjectRetentionCommand({
        ...version(),
        BypassGovernanceRetention: true,
        Retention,
      });
      const { status } = await refusal(root.send(command));
      assert.ok(status === 403 || status === 400, `status ${status}`);
    }
  });

  test('A3: after all these attempts it is there, once, byte for byte', async () => {
    const versions = await listVersions(root, scene.bucket);
    const own = versions.filter(({ key }) => key === sealed.key);
    assert.deepEqual(own, [sealed]);
    const read = new GetObjectCommand(version());
    const { Body } = await root.send(read);
    assert.ok(bytes.equals(Buffer.from(await Body!.transformToByteArray())));
    for (const { key } of versions) assert.match(key, /^(data|evidence)\//);
  });
});

function openPolicy(): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { AWS: ['*'] },
        Action: ['s3:*'],
        Resource: [`arn:aws:s3:::${scene.bucket}/*`],
      },
    ],
  });
}
