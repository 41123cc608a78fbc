/** setup and preflight against the real servers. Promise A3: the archiver cannot delete or change. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectLegalHoldCommand,
  PutObjectLockConfigurationCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3';
import type { Check } from '../../services/cli/checks.ts';
import { runPreflight, tellChecks } from '../../services/cli/preflight.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { runSetup } from '../../services/cli/setup.ts';
import type { SetupItem } from '../../services/cli/setup-items.ts';
import { silentLog } from '../../services/runtime/log.ts';
import { useStack } from '../stack/use.ts';
import {
  createInstallation,
  type Installation,
  NO_ADMINISTRATOR,
  readServers,
} from './installation.ts';
import { createScreen } from './screen.ts';

const stack = await useStack();

function outcomes(items: SetupItem[]): Record<string, string> {
  return Object.fromEntries(
    items.map(({ item, outcome }) => [item.split(' lakeseal-')[0], outcome]),
  );
}

function notOk(checks: Check[]): string[] {
  return checks
    .filter(({ outcome }) => outcome !== 'ok')
    .map(({ part, check, outcome, detail }) => `${outcome} ${part}: ${check}: ${detail}`);
}

describe('setup', () => {
  let installation: Installation;
  before(() => {
    installation = createInstallation(stack, 'setup');
  });
  after(() => installation.close());

  test('a dry run says what it would make, and makes nothing', async () => {
    const items = await runSetup(installation.config(), silentLog, true);
    assert.deepEqual(outcomes(items), {
      topic: 'would make',
      schema: 'would make',
      'compatibility of': 'would change',
      bucket: 'would make',
      'default retention': 'would make',
      'default encryption': 'would make',
      'bucket policy': 'would make',
      'public access block': 'would make',
      'index template': 'would make',
    });
    assert.deepEqual(await readServers(installation), {
      topics: [],
      settings: [],
      schemas: null,
      compatibility: null,
      bucket: null,
      template: null,
    });
  });

  test('makes everything, and the second time changes nothing', async () => {
    const made = await runSetup(installation.config(), silentLog, false);
    assert.deepEqual(
      made.filter(({ outcome }) => !['made', 'changed', 'found', 'not offered'].includes(outcome)),
      [],
    );
    const first = await readServers(installation);
    assert.equal(first.topics.length, 4);
    assert.deepEqual(first.bucket?.lock?.Rule?.DefaultRetention, { Mode: 'COMPLIANCE', Days: 1 });
    assert.equal(first.bucket?.versioning, 'Enabled');
    const again = await runSetup(installation.config(), silentLog, false);
    assert.deepEqual(outcomes(again), {
      topic: 'found',
      schema: 'found',
      'compatibility of': 'found',
      bucket: 'found',
      versioning: 'found',
      'default retention': 'found',
      'default encryption': 'found',
      'bucket policy': 'found',
      // MinIO has none.
      'public access block': 'not offered',
      'index template': 'found',
    });
    assert.deepEqual(await readServers(installation), first);
  });

  test('then preflight finds nothing amiss and leaves only its few bytes', async () => {
    const checks = await runPreflight(installation.config(), silentLog);
    assert.deepEqual(notOk(checks), []);
    assert.ok(checks.length >= 25, String(checks.length));
    const root = stack.rootS3();
    const Bucket = installation.config().storage.bucket;
    const { Versions = [], DeleteMarkers = [] } = await root.send(
      new ListObjectVersionsCommand({ Bucket }),
    );
    root.destroy();
    assert.deepEqual(DeleteMarkers, []);
    assert.deepEqual(Versions.map(({ Key }) => Key!.replace(/\/[0-9a-f]{12}\//, '/*/')).sort(), [
      'preflight/*/object',
      'preflight/*/race',
    ]);
    assert.ok(Versions.every(({ Size }) => Size! < 100));
    const prefix = installation.config().opensearch.alertIndexPrefix;
    const { body } = await installation.opensearch.cat.indices({
      index: `${prefix}-*`,
      format: 'json',
    });
    assert.deepEqual(body, []);
  });

  test('what the archiver may not see is unknown without the administrator, never ok', async () => {
    const checks = await runPreflight(installation.config(NO_ADMINISTRATOR), silentLog);
    assert.deepEqual(notOk(checks), [
      'unknown store: bucket has Object Lock: the archiver has no right to see it',
    ]);
    const screen = createScreen();
    assert.equal(tellChecks(screen, checks, installation.config(), false), 0);
    assert.match(screen.output(), /0 failed, 1 cannot be checked here/);
  });

  test('an archiver with all rights fails preflight, right by right', async () => {
    const config = installation.config({
      'storage.accessKeyId': stack.s3.root.accessKeyId,
      'storage.secretAccessKey': stack.s3.root.secretAccessKey,
    });
    const checks = await runPreflight(config, silentLog);
    const failed = checks.filter(({ outcome }) => outcome === 'failed');
    assert.deepEqual(
      failed.map(({ check }) => check),
      [
        'archiver may not delete a version',
        'archiver may not change a retention',
        'archiver may not change a legal hold',
        'archiver may not change the bucket policy',
        'archiver may not change the default retention',
        'archiver may not change the versioning',
        'archiver may not have objects expire',
        'archiver may not put a delete marker',
      ],
    );
    assert.equal(tellChecks(createScreen(), checks, config, true), 1);
  });

  test('records of old events are kept as long as new ones: Kafka goes by their arrival', async () => {
    const { events } = installation.config().topics;
    const producer = installation.kafka.producer();
    const admin = installation.kafka.admin();
    await Promise.all([producer.connect(), admin.connect()]);
    const lastYear = String(Date.now() - 365 * 86_400_000);
    await producer.send({
      topic: events,
      messages: [{ partition: 0, value: '{}', timestamp: lastYear }],
    });
    // The first offset of an hour ago or later: there is none where the record kept its own time.
    const found = await admin.fetchTopicOffsetsByTimestamp(events, Date.now() - 3_600_000);
    await Promise.all([producer.disconnect(), admin.disconnect()]);
    assert.equal(found.find(({ partition }) => partition === 0)?.offset, '0');
  });

  test('a longer default retention is set, a shorter one never', async () => {
    const retention = async (days: number) => {
      const items = await runSetup(
        installation.config({ 'archive.retentionDays': days }),
        silentLog,
        false,
      );
      const { bucket } = await readServers(installation);
      const found = bucket?.lock?.Rule?.DefaultRetention?.Days;
      return [items.find(({ item }) => item === 'default retention')?.outcome, found];
    };
    assert.deepEqual(await retention(2), ['changed', 2]);
    assert.deepEqual(await retention(1), ['differs', 2]);
  });

  test('a wrong key, a foreign topic and an index template of another version are told apart', async () => {
    const wrong = await runSetup(
      installation.config({ 'setup.secretAccessKey': 'wrong' }),
      silentLog,
      false,
    );
    const bucket = wrong.find(({ part }) => part === 'store');
    assert.equal(bucket?.outcome, 'failed');
    assert.match(bucket!.hint!, /setup\.accessKeyId/);
    assert.equal(wrong.find(({ part }) => part === 'kafka')?.outcome, 'found');
    const other = await runSetup(
      installation.config({
        'topics.partitions': 5,
        'opensearch.shards': 2,
        ...NO_ADMINISTRATOR,
        'setup.accessKeyId': 'x',
        'setup.secretAccessKey': 'y',
      }),
      silentLog,
      true,
    );
    const events = other.find(({ part }) => part === 'kafka');
    assert.equal(events?.outcome, 'differs');
    assert.match(events!.detail, /2 partitions instead of 5/);
    assert.equal(other.find(({ part }) => part === 'opensearch')?.outcome, 'would change');
  });

  test('as a command, with --json', async () => {
    const screen = createScreen(installation.env({ 'archive.retentionDays': 2 }));
    assert.equal(await runCommandLine(['setup', '--json'], screen), 0);
    const { ok, items } = JSON.parse(screen.output()) as { ok: boolean; items: SetupItem[] };
    assert.equal(ok, true);
    assert.deepEqual(
      new Set(items.map(({ outcome }) => outcome)),
      new Set(['found', 'not offered']),
    );
  });
});

describe('a bucket without Object Lock', () => {
  let installation: Installation;
  before(async () => {
    installation = createInstallation(stack, 'unlocked');
    const root = stack.rootS3();
    await root.send(new CreateBucketCommand({ Bucket: installation.config().storage.bucket }));
    root.destroy();
  });
  after(() => installation.close());

  test('is refused by setup, which does not touch it', async () => {
    const items = await runSetup(installation.config(), silentLog, true);
    const store = items.filter(({ part }) => part === 'store');
    assert.equal(store.length, 1);
    assert.equal(store[0]!.outcome, 'failed');
    assert.match(store[0]!.detail, /without Object Lock.*BUCKET_NOT_LOCKED/);
    assert.match(store[0]!.hint!, /name a bucket that does not exist yet/);
  });

  for (const [who, settings] of [
    ['the administrator', {}],
    ['the archiver alone', NO_ADMINISTRATOR],
  ] as const) {
    test(`is named by preflight with the eyes of ${who}`, async () => {
      const config = installation.config({
        ...settings,
        'archive.encryption': 'none',
        'archive.kmsKeyId': '',
      });
      const checks = await runPreflight(config, silentLog);
      const failed = checks.filter(({ part, outcome }) => part === 'store' && outcome === 'failed');
      assert.ok(
        failed.some(({ detail }) => /no Object Lock/.test(detail)),
        JSON.stringify(failed),
      );
    });
  }
});

describe('A3: the credential of the archiver', () => {
  test('can write and read, and nothing else', async () => {
    const installation = createInstallation(stack, 'rights');
    await runSetup(installation.config(), silentLog, false);
    await installation.close();
    const s3 = stack.archiverS3();
    const Bucket = installation.config().storage.bucket;
    const object = { Bucket, Key: 'data/sealed.avro' };
    const { VersionId } = await s3.send(new PutObjectCommand({ ...object, Body: 'sealed' }));
    assert.ok(VersionId);
    const sooner = new Date(Date.now() + 1_000);
    const RetainUntilDate = new Date(Date.now() + 3 * 86_400_000);
    const Mode = 'COMPLIANCE';
    const Rule = { DefaultRetention: { Mode, Days: 1 } } as const;
    const attempts = {
      'delete marker': new DeleteObjectCommand(object),
      'delete version': new DeleteObjectCommand({ ...object, VersionId }),
      'change retention': new PutObjectRetentionCommand({
        ...object,
        VersionId,
        Retention: { Mode, RetainUntilDate },
      }),
      'legal hold': new PutObjectLegalHoldCommand({ ...object, LegalHold: { Status: 'OFF' } }),
      'bucket policy': new PutBucketPolicyCommand({
        Bucket,
        Policy: '{"Version":"2012-10-17","Statement":[]}',
      }),
      'default retention': new PutObjectLockConfigurationCommand({
        Bucket,
        ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled', Rule },
      }),
      versioning: new PutBucketVersioningCommand({
        Bucket,
        VersioningConfiguration: { Status: 'Suspended' },
      }),
      'headers of retention': new PutObjectCommand({
        Bucket,
        Key: 'data/other.avro',
        Body: 'x',
        ChecksumAlgorithm: 'SHA256',
        ObjectLockMode: Mode,
        ObjectLockRetainUntilDate: RetainUntilDate,
      }),
    };
    for (const [name, command] of Object.entries(attempts)) {
      await assert.rejects(
        s3.send(command as DeleteObjectCommand),
        (error: { name: string; $metadata: { httpStatusCode: number } }) =>
          error.$metadata.httpStatusCode === 403 && error.name === 'AccessDenied',
        name,
      );
    }
    // Some stores look at the lock before the right: refused either way.
    for (const retention of [
      { Retention: { Mode, RetainUntilDate: sooner } },
      {
        Retention: { Mode: 'GOVERNANCE', RetainUntilDate: sooner },
        BypassGovernanceRetention: true,
      },
    ] as const) {
      await assert.rejects(
        s3.send(new PutObjectRetentionCommand({ ...object, VersionId, ...retention })),
        /WORM protected|Access Denied/,
      );
    }
    // Deleting many answers 200 and tells the refusal of each inside.
    const { Deleted, Errors } = await s3.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: object.Key, VersionId }] } }),
    );
    assert.equal(Deleted, undefined);
    assert.equal(Errors?.[0]?.Code, 'AccessDenied');
    const { Body, VersionId: current } = await s3.send(new GetObjectCommand(object));
    assert.equal(await Body?.transformToString(), 'sealed');
    assert.equal(current, VersionId);
    s3.destroy();
  });

  test('is not even the administrator able to delete what is sealed', async () => {
    const Bucket = await stack.createLockedBucket();
    const root = stack.rootS3();
    const object = { Bucket, Key: 'data/sealed.avro' };
    const { VersionId } = await root.send(new PutObjectCommand({ ...object, Body: 'sealed' }));
    await assert.rejects(
      root.send(new DeleteObjectCommand({ ...object, VersionId, BypassGovernanceRetention: true })),
      /WORM protected/,
    );
    const { Body } = await root.send(new GetObjectCommand({ ...object, VersionId }));
    assert.equal(await Body?.transformToString(), 'sealed');
    root.destroy();
  });
});
