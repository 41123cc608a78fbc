/**
 * Everything in a bucket's configuration that protects the archive, as the store tells it to this
 * credential. Only reads. An item is a value, `absent`, or cannot be told here, with the reason:
 * whether it is good is judged elsewhere.
 */
import {
  type DefaultRetention,
  GetBucketAclCommand,
  GetBucketEncryptionCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketLoggingCommand,
  GetBucketNotificationConfigurationCommand,
  GetBucketOwnershipControlsCommand,
  GetBucketPolicyCommand,
  GetBucketReplicationCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  GetPublicAccessBlockCommand,
  type Grantee,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { Posture, Told } from '../../schemas/evidence/baseline-leaf.ts';
import type { Config } from '../runtime/config.ts';
import { toFailure } from '../store/s3.ts';
import { errorNames, statusOf } from '../store/sdk-errors.ts';
import { canonicalPolicy } from './policy-document.ts';

interface Place {
  client: S3Client;
  storage: Config['storage'];
  Bucket: string;
}

/** @throws Failure where the store does not answer, or does not know the credential or the bucket. */
export async function readPosture(client: S3Client, storage: Config['storage']): Promise<Posture> {
  const place: Place = { client, storage, Bucket: storage.bucket };
  // First: of a bucket without it, or out of reach, the rest is not worth asking.
  const lock = await readLock(place);
  const [versioning, policy, acl, publicAccessBlock, ownership] = await Promise.all([
    readVersioning(place),
    readPolicy(place),
    readAcl(place),
    readPublicAccessBlock(place),
    readOwnership(place),
  ]);
  const [lifecycle, replication, encryption, logging, notification] = await Promise.all([
    readLifecycle(place),
    readReplication(place),
    readEncryption(place),
    readLogging(place),
    readNotification(place),
  ]);
  return {
    ...lock,
    ...{ versioning, policy, acl, publicAccessBlock, ownership },
    ...{ lifecycle, replication, encryption, logging, notification },
  };
}

/** The store did not answer for the bucket at all, so nothing can be said of any item. */
const FATAL = new Set([
  ...['S3_CLOCK', 'S3_CREDENTIALS', 'S3_NETWORK', 'S3_NO_BUCKET', 'S3_REDIRECT'],
  ...['S3_SERVER', 'S3_SLOW_DOWN', 'S3_TIMEOUT'],
]);
/** What a store answers that has no such thing. Others (405) are also answers to who may not ask. */
const NOT_IMPLEMENTED = 501;
/** Matches no error: the question always has an answer. */
const NOTHING = /$^/;

/** @param none names the error by which the store says that there is none. */
async function told<Value>(
  { storage }: Place,
  what: string,
  none: RegExp,
  read: () => Promise<Value | null>,
): Promise<Told<Value>> {
  try {
    const value = await read();
    return value === null ? { state: 'absent' } : { state: 'set', value };
  } catch (error) {
    const names = errorNames(error);
    if (names.some((name) => none.test(name))) return { state: 'absent' };
    const failure = toFailure(`read the ${what}`, error, storage, RIGHTS);
    const status = statusOf(error);
    const isOffered = status !== NOT_IMPLEMENTED;
    if (isOffered && FATAL.has(failure.code)) throw failure;
    const detail = `${names[0] ?? 'no name'} (status ${status})`;
    const why = !isOffered ? 'not_offered' : status === 403 ? 'denied' : 'failed';
    return { state: 'unknown', why, detail };
  }
}

/** A hint for when the store denies the whole of it. */
const RIGHTS =
  'Reading the posture needs the administrator’s rights to read the configuration of the bucket.';

const DAYS_OF_YEAR = 365;

/** Of a default retention, which is told in either; a year counts as 365 days. */
export function retentionDays({ Days = 0, Years = 0 }: DefaultRetention): number {
  return Days + Years * DAYS_OF_YEAR;
}

async function readLock(place: Place): Promise<Pick<Posture, 'objectLock' | 'defaultRetention'>> {
  const { client, Bucket } = place;
  const found = await told(
    place,
    'Object Lock configuration',
    /^ObjectLockConfigurationNotFound/,
    async () => {
      const answer = await client.send(new GetObjectLockConfigurationCommand({ Bucket }));
      return answer.ObjectLockConfiguration ?? null;
    },
  );
  if (found.state !== 'set') return { objectLock: found, defaultRetention: found };
  const { ObjectLockEnabled, Rule } = found.value;
  const retention = Rule?.DefaultRetention ?? {};
  const { Mode } = retention;
  return {
    objectLock: orAbsent(ObjectLockEnabled ?? null),
    defaultRetention: orAbsent(
      Mode === undefined ? null : { mode: Mode, days: retentionDays(retention) },
    ),
  };
}

function orAbsent<Value>(value: Value | null): Told<Value> {
  return value === null ? { state: 'absent' } : { state: 'set', value };
}

function readVersioning(place: Place): Promise<Posture['versioning']> {
  const { client, Bucket } = place;
  return told(place, 'versioning', NOTHING, async () => {
    const { Status, MFADelete } = await client.send(new GetBucketVersioningCommand({ Bucket }));
    if (Status === undefined) return null;
    return { status: Status, mfaDelete: MFADelete ?? 'Disabled' };
  });
}

function readPolicy(place: Place): Promise<Posture['policy']> {
  const { client, Bucket } = place;
  return told(place, 'bucket policy', /^NoSuchBucketPolicy$/, async () => {
    const { Policy = '' } = await client.send(new GetBucketPolicyCommand({ Bucket }));
    return Policy === '' ? null : canonicalPolicy(Policy);
  });
}

function readAcl(place: Place): Promise<Posture['acl']> {
  const { client, Bucket } = place;
  return told(place, 'ACL', NOTHING, async () => {
    const { Owner, Grants = [] } = await client.send(new GetBucketAclCommand({ Bucket }));
    const grants = Grants.map(({ Grantee, Permission }): [string, string] => [
      Grantee === undefined ? '' : granteeOf(Grantee),
      Permission ?? '',
    ]);
    return { owner: Owner?.ID ?? '', grants: grants.sort(byJson) };
  });
}

/** An address of a group, like `…/groups/global/AllUsers`, or an account's canonical id. */
function granteeOf({ URI, ID, EmailAddress, Type }: Grantee): string {
  return URI ?? ID ?? EmailAddress ?? Type ?? '';
}

function readPublicAccessBlock(place: Place): Promise<Posture['publicAccessBlock']> {
  const { client, Bucket } = place;
  const none = /^NoSuchPublicAccessBlockConfiguration$/;
  return told(place, 'public access block', none, async () => {
    const answer = await client.send(new GetPublicAccessBlockCommand({ Bucket }));
    const block = answer.PublicAccessBlockConfiguration;
    if (block === undefined) return null;
    return {
      blockPublicAcls: block.BlockPublicAcls === true,
      ignorePublicAcls: block.IgnorePublicAcls === true,
      blockPublicPolicy: block.BlockPublicPolicy === true,
      restrictPublicBuckets: block.RestrictPublicBuckets === true,
    };
  });
}

function readOwnership(place: Place): Promise<Posture['ownership']> {
  const { client, Bucket } = place;
  return told(place, 'ownership controls', /^OwnershipControlsNotFound/, async () => {
    const answer = await client.send(new GetBucketOwnershipControlsCommand({ Bucket }));
    return answer.OwnershipControls?.Rules?.[0]?.ObjectOwnership ?? null;
  });
}

function readLifecycle(place: Place): Promise<Posture['lifecycle']> {
  const { client, Bucket } = place;
  return told(place, 'lifecycle rules', /^NoSuchLifecycleConfiguration$/, async () => {
    const { Rules } = await client.send(new GetBucketLifecycleConfigurationCommand({ Bucket }));
    return someTexts(Rules);
  });
}

function readReplication(place: Place): Promise<Posture['replication']> {
  const { client, Bucket } = place;
  return told(place, 'replication', /^ReplicationConfigurationNotFound/, async () => {
    const answer = await client.send(new GetBucketReplicationCommand({ Bucket }));
    const { Role, Rules = [] } = answer.ReplicationConfiguration ?? {};
    return someTexts(Rules.map((rule) => ({ Role, ...rule })));
  });
}

function readEncryption(place: Place): Promise<Posture['encryption']> {
  const { client, Bucket } = place;
  const none = /^ServerSideEncryptionConfigurationNotFound/;
  return told(place, 'default encryption', none, async () => {
    const answer = await client.send(new GetBucketEncryptionCommand({ Bucket }));
    const [rule] = answer.ServerSideEncryptionConfiguration?.Rules ?? [];
    const { SSEAlgorithm, KMSMasterKeyID } = rule?.ApplyServerSideEncryptionByDefault ?? {};
    if (SSEAlgorithm === undefined) return null;
    return { algorithm: String(SSEAlgorithm), key: KMSMasterKeyID ?? null };
  });
}

function readLogging(place: Place): Promise<Posture['logging']> {
  const { client, Bucket } = place;
  return told(place, 'access logging', NOTHING, async () => {
    const { LoggingEnabled } = await client.send(new GetBucketLoggingCommand({ Bucket }));
    if (LoggingEnabled === undefined) return null;
    return { bucket: LoggingEnabled.TargetBucket ?? '', prefix: LoggingEnabled.TargetPrefix ?? '' };
  });
}

function readNotification(place: Place): Promise<Posture['notification']> {
  const { client, Bucket } = place;
  return told(place, 'notifications', NOTHING, async () => {
    const command = new GetBucketNotificationConfigurationCommand({ Bucket });
    const { $metadata, ...kinds } = await client.send(command);
    const all = Object.entries(kinds).flatMap(([kind, some]) =>
      [some ?? []].flat().map((one: object) => ({ kind, ...one })),
    );
    return someTexts(all);
  });
}

/** Rules as JSON with their keys sorted, sorted; null where there is none. */
function someTexts(rules: readonly object[] = []): string[] | null {
  return rules.length === 0 ? null : rules.map((rule) => JSON.stringify(inOrder(rule))).sort();
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  const entries = Object.entries(value).map(([name, below]) => [name, inOrder(below)]);
  return Object.fromEntries(entries.sort(byJson));
}

function byJson(a: unknown, b: unknown): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}
