/**
 * What lakeseal relies on in the object store, tried on throwaway keys with the archiver's own
 * credential. The two or three objects this leaves are a few bytes each and stay until their
 * retention ends: a store in which they could be deleted would fail the check.
 *
 * What the archiver may not see (the retention of an object, the bucket's configuration) is looked
 * at with the administrator's credential where there is one; else it is `unknown`, never `ok`.
 */
import {
  GetObjectLockConfigurationCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { describeRetention } from '../posture/compare.ts';
import { retentionDays } from '../posture/read-posture.ts';
import { type Attempt, attempts, RETENTION_RIGHT, tryRight } from '../posture/rights.ts';
import { backoffMs } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import { createS3Store, type S3Store } from '../store/s3.ts';
import { errorNames, statusOf } from '../store/sdk-errors.ts';
import { type Check, check, type Finding, failed, ok, unknown } from './checks.ts';
import { storeClient, storeFailure } from './store-client.ts';

/** The first check that writes. */
export const WRITE_ONCE = 'an object is written once';

const WRITERS = 8;
/** Past this, S3 refuses signatures and retention dates of this machine would be wrong. */
const SKEW_MS_MAX = 5 * 60_000;
const DAY_MS = 86_400_000;
const CONFLICT_TRIES_MAX = 6;
const CONFLICT_BACKOFF = { firstMs: 50, maxMs: 1_000 };

interface StoreContext {
  config: Config;
  clock: Clock;
  bucket: string;
  /** The archiver's way to the store, as it runs. */
  store: S3Store;
  archiver: S3Client;
  administrator: S3Client | null;
  /** Key of the first throwaway object, and where the others lie. */
  key: string;
  prefix: string;
}

/** @param random names the throwaway keys; unique per run. */
export async function checkStore(config: Config, clock: Clock, random: string): Promise<Check[]> {
  const prefix = `${config.storage.prefix}preflight/${random}/`;
  const context: StoreContext = {
    config,
    clock,
    bucket: config.storage.bucket,
    store: createS3Store(config.storage, config.archive, clock),
    archiver: storeClient(config, 'archiver'),
    administrator:
      config.setup.accessKeyId === undefined ? null : storeClient(config, 'administrator'),
    prefix,
    key: `${prefix}object`,
  };
  try {
    return await runChecks(context);
  } finally {
    context.store.close();
    context.archiver.destroy();
    context.administrator?.destroy();
  }
}

async function runChecks(context: StoreContext): Promise<Check[]> {
  const step = (name: string, run: (context: StoreContext) => Promise<Finding>): Promise<Check> =>
    check('store', name, () => run(context));
  const reachable = await step('bucket is there, clocks agree', checkBucket);
  if (reachable.outcome === 'failed') return [reachable];
  const written = await step(WRITE_ONCE, checkWriteOnce);
  const checks = [reachable, await step('bucket has Object Lock', checkObjectLock), written];
  if (written.outcome === 'failed') return checks;
  const versions = await step('versions are kept and listed', checkVersions);
  checks.push(
    await step(`one of ${WRITERS} racing writers wins`, checkRace),
    await step('a wrong checksum is refused', checkChecksum),
    versions,
    await step('objects are encrypted', checkEncryption),
    await step('objects are retained', checkRetention),
  );
  // In a bucket without versions some of the attempts would change what they only mean to try.
  if (versions.outcome === 'failed') return checks;
  for (const attempt of forbidden(context)) {
    const { right, what } = attempt;
    const tried = await step(`archiver may not ${what}`, () =>
      checkForbidden(attempt, context.config),
    );
    checks.push({ ...tried, right });
  }
  return checks;
}

async function checkBucket({ archiver, bucket, config, clock }: StoreContext): Promise<Finding> {
  const command = new HeadBucketCommand({ Bucket: bucket });
  let date: string | undefined;
  command.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      date = (result.response as { headers?: Record<string, string> }).headers?.date;
      return result;
    },
    { step: 'deserialize', name: 'keepDate', priority: 'low' },
  );
  const before = clock.now();
  try {
    await archiver.send(command);
  } catch (error) {
    if (statusOf(error) === 404) {
      return failed(`there is no bucket ${bucket}`, 'run lakeseal setup, or set storage.bucket');
    }
    throw storeFailure('look for the bucket', error, config.storage, 'archiver');
  }
  return judgeClock(bucket, before, clock.now(), date);
}

/** Pure. `date` is what a server called the time between `before` and `after`, in whole seconds. */
export function judgeClock(
  where: string,
  before: number,
  after: number,
  date: string | undefined,
): Finding {
  const theirs = Date.parse(date ?? '');
  if (Number.isNaN(theirs)) return unknown(where, 'it sends no date to compare clocks by');
  const skewMs = Math.max(before - theirs - 1_000, theirs - after, 0);
  if (skewMs <= SKEW_MS_MAX) return ok(`${where}; clocks within ${Math.ceil(skewMs / 1000) + 1} s`);
  return failed(
    `the clocks of this machine and of ${where} differ by ${Math.round(skewMs / 1000)} s`,
    'set both by a time server: signatures, retention dates and time stamps depend on it',
  );
}

const ADMINISTRATOR_HINT =
  'set setup.accessKeyId and setup.secretAccessKey (LAKESEAL_SETUP_…) to have it checked';
const NO_LOCK_HINT = 'seal into a bucket made with Object Lock: lakeseal setup makes one';

async function checkObjectLock({ administrator, bucket, config }: StoreContext): Promise<Finding> {
  if (administrator === null) {
    return unknown('the archiver has no right to see it', ADMINISTRATOR_HINT);
  }
  try {
    const { ObjectLockConfiguration: lock } = await administrator.send(
      new GetObjectLockConfigurationCommand({ Bucket: bucket }),
    );
    if (lock?.ObjectLockEnabled !== 'Enabled') return failed('it is not enabled', NO_LOCK_HINT);
    const rule = lock.Rule?.DefaultRetention;
    if (rule?.Mode !== undefined) {
      return ok(`default ${describeRetention({ mode: rule.Mode, days: retentionDays(rule) })}`);
    }
    if (config.archive.retention === 'headers') return ok('no default; the archiver sends headers');
    return failed('enabled, but without default retention', 'run lakeseal setup');
  } catch (error) {
    if (errorNames(error).some((name) => name.startsWith('ObjectLockConfigurationNotFound'))) {
      return failed(`${bucket} has no Object Lock: what is in it can be deleted`, NO_LOCK_HINT);
    }
    throw storeFailure(
      'read the Object Lock configuration',
      error,
      config.storage,
      'administrator',
    );
  }
}

async function checkWriteOnce({ store, key }: StoreContext): Promise<Finding> {
  const first = await store.putIfAbsent(key, Buffer.from('preflight 1'));
  if (first.outcome !== 'created') {
    return failed('a new key counts as taken', 'this store does not implement If-None-Match');
  }
  const second = await store.putIfAbsent(key, Buffer.from('preflight 2'));
  if (second.outcome === 'exists') return ok('the second PUT of a key answers 412');
  return failed(
    'a second PUT of the same key was accepted: two archivers could seal one slot twice',
    'use a store that implements conditional writes (If-None-Match: *)',
  );
}

async function checkRace({ store, prefix, clock }: StoreContext): Promise<Finding> {
  const key = `${prefix}race`;
  const bodies = Array.from({ length: WRITERS }, (_, writer) => Buffer.from(`writer ${writer}`));
  const outcomes = await Promise.all(bodies.map((body) => putUntilKnown(store, key, body, clock)));
  const winners = outcomes.flatMap((outcome, writer) => (outcome === 'created' ? [writer] : []));
  const stored = (await store.get(key))?.bytes.toString();
  if (winners.length === 1 && stored === `writer ${winners[0]}`) {
    return ok(`writer ${winners[0]} won, and its bytes are there`);
  }
  return failed(
    `${winners.length} writers were told that they won; stored is ${JSON.stringify(stored)}`,
    'use a store whose conditional writes are atomic',
  );
}

/** The store may answer 409 to writers that race: not known yet, so the same bytes again. */
async function putUntilKnown(
  store: S3Store,
  key: string,
  body: Buffer,
  clock: Clock,
): Promise<'created' | 'exists'> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return (await store.putIfAbsent(key, body)).outcome;
    } catch (error) {
      const again = error instanceof Failure && error.retryable && attempt < CONFLICT_TRIES_MAX;
      if (!again) throw error;
      await clock.sleep(backoffMs(attempt, CONFLICT_BACKOFF, Math.random));
    }
  }
}

async function checkChecksum({ archiver, bucket, prefix, config }: StoreContext): Promise<Finding> {
  const wrong = new PutObjectCommand({
    Bucket: bucket,
    Key: `${prefix}checksum`,
    Body: Buffer.from('preflight'),
    IfNoneMatch: '*',
    ChecksumAlgorithm: 'SHA256',
    ChecksumSHA256: Buffer.alloc(32).toString('base64'),
  });
  try {
    await archiver.send(wrong);
  } catch (error) {
    if (statusOf(error) === 400) return ok(`${errorNames(error)[0] ?? 'status 400'}`);
    throw storeFailure('put an object', error, config.storage, 'archiver');
  }
  return failed(
    'bytes that do not match their SHA-256 were accepted',
    'use a store that verifies x-amz-checksum-sha256: damage on the way would be sealed',
  );
}

async function checkVersions({ store, key }: StoreContext): Promise<Finding> {
  const versions = await store.versions(key);
  const [version] = versions;
  if (versions.length !== 1 || version === undefined || version.isDeleteMarker) {
    return failed(
      `${versions.length} versions or markers of an object that was written once`,
      'is somebody else at work under this prefix? Else this store is not fit',
    );
  }
  if (version.versionId === '' || version.versionId === 'null') {
    return failed('the bucket keeps no versions, so it has no Object Lock', NO_LOCK_HINT);
  }
  return ok('one version, no delete marker');
}

const HEADER = { 'sse-kms': 'aws:kms', 'sse-s3': 'AES256', none: undefined } as const;

async function checkEncryption(context: StoreContext): Promise<Finding> {
  const { ServerSideEncryption: found, SSEKMSKeyId: keyId } = await head(context, 'archiver');
  const { encryption, kmsKeyId } = context.config.archive;
  const wanted = HEADER[encryption];
  if (wanted === undefined) return ok(`${found ?? 'none'}; archive.encryption is none`);
  if (found !== wanted) {
    return failed(
      `${found ?? 'none'} although ${encryption} was asked for`,
      'does the store have a key service? Else set archive.encryption to what it offers',
    );
  }
  if (kmsKeyId !== undefined && keyId !== undefined && !keyId.endsWith(kmsKeyId)) {
    return failed(`with key ${keyId} instead of ${kmsKeyId}`, 'check archive.kmsKeyId');
  }
  return ok(keyId === undefined ? found : `${found}, key ${keyId}`);
}

async function head(
  { archiver, administrator, bucket, key, config }: StoreContext,
  login: 'archiver' | 'administrator',
): Promise<HeadObjectCommandOutput> {
  try {
    const client = login === 'archiver' ? archiver : administrator!;
    return await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
  } catch (error) {
    throw storeFailure('read the headers of an object', error, config.storage, login);
  }
}

async function checkRetention(context: StoreContext): Promise<Finding> {
  const { archive } = context.config;
  const now = context.clock.now();
  for (const login of ['archiver', 'administrator'] as const) {
    if (login === 'administrator' && context.administrator === null) continue;
    const { ObjectLockMode, ObjectLockRetainUntilDate } = await head(context, login);
    if (ObjectLockMode !== undefined && ObjectLockRetainUntilDate !== undefined) {
      return judgeRetention(archive, ObjectLockMode, ObjectLockRetainUntilDate.getTime() - now);
    }
  }
  if (context.administrator === null) {
    return unknown('the archiver has no right to see it', ADMINISTRATOR_HINT);
  }
  return failed('a new object has no retention', 'run lakeseal setup');
}

/** Pure. `remainingMs`: how long the object just written stays locked. */
export function judgeRetention(
  archive: Pick<Config['archive'], 'retentionMode' | 'retentionDays'>,
  mode: string,
  remainingMs: number,
): Finding {
  const days = Math.round(remainingMs / DAY_MS);
  const found = describeRetention({ mode, days });
  const wanted = describeRetention({ mode: archive.retentionMode, days: archive.retentionDays });
  if (archive.retentionMode === 'COMPLIANCE' && mode !== 'COMPLIANCE') {
    return failed(`${found}, where ${wanted} is configured`, 'run lakeseal setup');
  }
  if (days < archive.retentionDays) {
    return failed(`${found}, where ${wanted} is configured`, 'run lakeseal setup');
  }
  return ok(found);
}

const GRANTED = 'archive.retention: headers needs this right';

/** Tried for real on the throwaway object. */
function forbidden({ archiver, bucket, key, config, clock, store }: StoreContext): Attempt[] {
  const { retentionDays, retentionMode: mode } = config.archive;
  const until = new Date(clock.now() + (retentionDays + 1) * DAY_MS);
  const versionId = async (): Promise<string> => (await store.versions(key))[0]?.versionId ?? '';
  return attempts({ archiver, bucket, key, versionId, retained: { key, mode, until } });
}

async function checkForbidden(attempt: Attempt, { archive }: Config): Promise<Finding> {
  const { right } = attempt;
  if (right === RETENTION_RIGHT && archive.retention === 'headers') {
    return unknown('not tried', GRANTED);
  }
  const { state, detail } = await tryRight(attempt);
  if (state === 'denied') return ok(detail);
  if (state === 'unknown') return failed(detail, 'run preflight again');
  return failed(detail, `take ${right} from the archiver's credential (storage.accessKeyId)`);
}
