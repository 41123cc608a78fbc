/**
 * What the archive relies on in an object store, as one suite. It is run on the double and on real
 * servers, so that the double cannot drift. Where AWS and MinIO answer differently (403 or 400 for
 * a locked version), both are right.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  DeleteObjectCommand,
  GetObjectRetentionCommand,
  PutObjectCommand,
  PutObjectLegalHoldCommand,
  PutObjectRetentionCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { Config } from '../../services/runtime/config.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { createS3Store, type S3Store } from '../../services/store/s3.ts';

export interface ContractTarget {
  /** How the store under test reaches a bucket with Object Lock and a COMPLIANCE default. */
  storage: Config['storage'];
  archive: Config['archive'];
  /** Somebody with all rights, and his credentials: retention headers are beyond the six rights. */
  admin: S3Client;
  adminStorage: Partial<Config['storage']>;
  /** Days of the bucket's default retention. */
  defaultDays: number;
}

const DAY_MS = 86_400_000;
const RACERS = 8;

export function storeContract(name: string, target: () => ContractTarget): void {
  const folder = (): string => `contract/${randomUUID()}/`;
  const withStore = async (
    run: (store: S3Store, target: ContractTarget, key: string) => Promise<void>,
    archive: Partial<Config['archive']> = {},
    storage: (all: ContractTarget) => Partial<Config['storage']> = () => ({}),
  ): Promise<void> => {
    const all = target();
    const store = createS3Store(
      { ...all.storage, ...storage(all) },
      { ...all.archive, ...archive },
    );
    try {
      await run(store, all, `${folder()}object`);
    } finally {
      store.close();
    }
  };
  const bytes = (text: string): Buffer => Buffer.from(text);

  describe(`store contract: ${name}`, () => {
    test('creates once and answers exists after that, whatever the bytes', () =>
      withStore(async (store, _, key) => {
        const first = await store.putIfAbsent(key, bytes('genuine'));
        assert.equal(first.outcome, 'created');
        assert.deepEqual(await store.putIfAbsent(key, bytes('genuine')), { outcome: 'exists' });
        assert.deepEqual(await store.putIfAbsent(key, bytes('forged')), { outcome: 'exists' });
        const found = await store.get(key);
        assert.equal(found?.bytes.toString(), 'genuine');
        assert.equal(found?.versionId, (first as { versionId: string }).versionId);
        assert.equal((await store.versions(key)).length, 1);
      }));

    test('of racing writers exactly one wins', () =>
      withStore(async (store, _, key) => {
        const writers = Array.from({ length: RACERS }, (_, index) => bytes(`writer ${index}`));
        const outcomes = await Promise.all(writers.map((body) => retried(store, key, body)));
        const winners = outcomes.flatMap(({ outcome }, index) =>
          outcome === 'created' ? [index] : [],
        );
        assert.equal(winners.length, 1);
        assert.deepEqual((await store.get(key))?.bytes, writers[winners[0]!]);
        assert.equal((await store.versions(key)).length, 1);
      }));

    test('reads whole objects and ranges', () =>
      withStore(async (store, _, key) => {
        await store.putIfAbsent(key, bytes('0123456789'));
        const range = await store.get(key, { from: 2, to: 5 });
        assert.equal(range?.bytes.toString(), '234');
        assert.equal(range?.size, 10);
        const beyond = await store.get(key, { from: 0, to: 1000 });
        assert.equal(beyond?.bytes.toString(), '0123456789');
        assert.equal(beyond?.size, 10);
        assert.equal(await store.get(`${key}-none`), null);
        assert.equal(await store.get(`${key}-none`, { from: 0, to: 9 }), null);
      }));

    test('reads a range of an empty object', () =>
      withStore(async (store, _, key) => {
        await store.putIfAbsent(key, Buffer.alloc(0));
        const found = await store.get(key, { from: 0, to: 100 });
        assert.deepEqual([found?.bytes.length, found?.size], [0, 0]);
      }));

    test('takes an object of several megabytes', () =>
      withStore(async (store, _, key) => {
        const large = Buffer.alloc(5 * 1024 * 1024, 'lakeseal');
        assert.equal((await store.putIfAbsent(key, large)).outcome, 'created');
        assert.ok((await store.get(key))!.bytes.equals(large));
      }));

    test('lists keys in byte order, after a key, up to a number', () =>
      withStore(async (store, _, key) => {
        const prefix = `${key}/`;
        const names = ['00', '01', '02', '09', '10', 'a', 'b'];
        for (const name of [...names].reverse()) await store.putIfAbsent(prefix + name, bytes('x'));
        await store.putIfAbsent(`${key}0`, bytes('outside'));
        const all = names.map((name) => prefix + name);
        assert.deepEqual(await store.list(prefix, undefined, 1000), all);
        assert.deepEqual(await store.list(prefix, `${prefix}01`, 1000), all.slice(2));
        assert.deepEqual(await store.list(prefix, `${prefix}05`, 2), all.slice(3, 5));
        assert.deepEqual(await store.list(prefix, `${prefix}b`, 1000), []);
        assert.deepEqual(await store.list(`${prefix}none/`, undefined, 1000), []);
      }));

    test('a delete leaves a marker, and a write over it is a second version', () =>
      withStore(async (store, { admin, storage }, key) => {
        await store.putIfAbsent(key, bytes('genuine'));
        const at = { Bucket: storage.bucket, Key: key };
        await admin.send(new DeleteObjectCommand(at));
        assert.equal(await store.get(key), null);
        assert.deepEqual(await store.list(key, undefined, 10), []);
        const marked = await store.versions(key);
        assert.deepEqual(
          marked.map(({ isDeleteMarker, isLatest }) => [isDeleteMarker, isLatest]).sort(),
          [
            [false, false],
            [true, true],
          ],
        );
        // The hole in conditional writes that the archiver must know about.
        assert.equal((await store.putIfAbsent(key, bytes('forged'))).outcome, 'created');
        assert.equal((await store.get(key))?.bytes.toString(), 'forged');
        const versions = await store.versions(key);
        assert.equal(versions.length, 3);
        assert.equal(versions.filter(({ isDeleteMarker }) => isDeleteMarker).length, 1);
      }));

    test('versions of one key only, however many', () =>
      withStore(async (store, { admin, storage }, key) => {
        await store.putIfAbsent(`${key}.longer`, bytes('other'));
        for (let index = 0; index < 5; index++) {
          const input = { Bucket: storage.bucket, Key: key, Body: bytes(`${index}`) };
          await admin.send(new PutObjectCommand({ ...input, ChecksumAlgorithm: 'SHA256' }));
        }
        const versions = await store.versions(key);
        assert.equal(versions.length, 5);
        assert.ok(versions.every((version) => version.key === key && version.size === 1));
        assert.equal(versions.filter(({ isLatest }) => isLatest).length, 1);
        assert.deepEqual(await store.versions(`${key}.none`), []);
      }));

    test('the default retention locks what is sealed', () =>
      withStore(async (store, { admin, storage, defaultDays }, key) => {
        const put = await store.putIfAbsent(key, bytes('sealed'));
        const VersionId = (put as { versionId: string }).versionId;
        const at = { Bucket: storage.bucket, Key: key, VersionId };
        const { Retention } = await admin.send(new GetObjectRetentionCommand(at));
        assert.equal(Retention?.Mode, 'COMPLIANCE');
        const days = (Retention!.RetainUntilDate!.getTime() - Date.now()) / DAY_MS;
        assert.ok(days > defaultDays - 0.1 && days < defaultDays + 0.1);
        await refused(admin.send(new DeleteObjectCommand(at)));
        const bypass = { ...at, BypassGovernanceRetention: true };
        await refused(admin.send(new DeleteObjectCommand(bypass)));
        const sooner = {
          Mode: 'COMPLIANCE' as const,
          RetainUntilDate: new Date(Date.now() + 60_000),
        };
        await refused(admin.send(new PutObjectRetentionCommand({ ...bypass, Retention: sooner })));
        const weaker = { ...Retention!, Mode: 'GOVERNANCE' as const };
        await refused(admin.send(new PutObjectRetentionCommand({ ...bypass, Retention: weaker })));
        assert.equal((await store.get(key))?.bytes.toString(), 'sealed');
      }));

    test('retention by header is kept as sent, and may be prolonged', () =>
      withStore(
        async (store, { admin, storage }, key) => {
          const put = await store.putIfAbsent(key, bytes('sealed'));
          const VersionId = (put as { versionId: string }).versionId;
          const at = { Bucket: storage.bucket, Key: key, VersionId };
          const { Retention } = await admin.send(new GetObjectRetentionCommand(at));
          assert.equal(Retention?.Mode, 'GOVERNANCE');
          const days = (Retention!.RetainUntilDate!.getTime() - Date.now()) / DAY_MS;
          assert.ok(days > 2.9 && days < 3.1);
          const later = new Date(Retention!.RetainUntilDate!.getTime() + DAY_MS);
          const longer = { Mode: 'GOVERNANCE' as const, RetainUntilDate: later };
          await admin.send(new PutObjectRetentionCommand({ ...at, Retention: longer }));
          await refused(admin.send(new DeleteObjectCommand(at)));
          const bypass = { ...at, BypassGovernanceRetention: true };
          await admin.send(new DeleteObjectCommand(bypass));
          assert.equal(await store.get(key), null);
        },
        { retention: 'headers', retentionMode: 'GOVERNANCE', retentionDays: 3 },
        ({ adminStorage }) => adminStorage,
      ));

    test('a legal hold keeps a version beyond its retention', () =>
      withStore(
        async (store, { admin, storage }, key) => {
          const put = await store.putIfAbsent(key, bytes('held'));
          const VersionId = (put as { versionId: string }).versionId;
          const at = { Bucket: storage.bucket, Key: key, VersionId };
          const hold = (Status: 'ON' | 'OFF') =>
            admin.send(new PutObjectLegalHoldCommand({ ...at, LegalHold: { Status } }));
          await hold('ON');
          const bypass = { ...at, BypassGovernanceRetention: true };
          await refused(admin.send(new DeleteObjectCommand(bypass)));
          await hold('OFF');
          await admin.send(new DeleteObjectCommand(bypass));
        },
        { retention: 'headers', retentionMode: 'GOVERNANCE', retentionDays: 1 },
        ({ adminStorage }) => adminStorage,
      ));

    test('a wrong digest is refused and nothing is stored', () =>
      withStore(async (store, { admin, storage }, key) => {
        const input = {
          Bucket: storage.bucket,
          Key: key,
          Body: bytes('changed on the way'),
          ChecksumAlgorithm: 'SHA256' as const,
          ChecksumSHA256: Buffer.alloc(32).toString('base64'),
        };
        await refused(admin.send(new PutObjectCommand(input)));
        assert.equal(await store.get(key), null);
      }));

    test('no such bucket is a failure that says so and is not retried blindly', () =>
      withStore(
        async (store, _, key) => {
          const calls = [() => store.putIfAbsent(key, bytes('x')), () => store.get(key)];
          for (const call of calls) {
            await assert.rejects(call, (error: unknown) => {
              assert.ok(error instanceof Failure);
              assert.ok(['S3_NO_BUCKET', 'S3_ACCESS_DENIED'].includes(error.code), error.code);
              assert.equal(error.retryable, false);
              return true;
            });
          }
        },
        {},
        () => ({ bucket: `lakeseal-none-${randomUUID().slice(0, 8)}` }),
      ));
  });
}

/** 409 is an invitation to try again. */
async function retried(store: S3Store, key: string, body: Buffer) {
  for (;;) {
    try {
      return await store.putIfAbsent(key, body);
    } catch (error) {
      if (!(error instanceof Failure) || error.code !== 'S3_CONFLICT') throw error;
    }
  }
}

async function refused(call: Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error: { $metadata?: { httpStatusCode?: number } }) => {
    const status = error.$metadata?.httpStatusCode;
    assert.ok(status === 403 || status === 400, `refused with ${status}`);
    return true;
  });
}
