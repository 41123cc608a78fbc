/**
 * What the archiver's credential may do to the archive beyond what it needs, tried with requests to
 * the store and not read from its settings: what a credential may do comes from many places, and
 * only the store's answer knows them all.
 *
 * Were they permitted, the requests for the whole bucket would change nothing (a document that is
 * malformed, or what is set already), and those about an object only the one that is named.
 */
import {
  DeleteObjectCommand,
  type ObjectLockRetentionMode,
  PutBucketLifecycleConfigurationCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectLegalHoldCommand,
  PutObjectLockConfigurationCommand,
  PutObjectRetentionCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { TriedRights } from '../../schemas/evidence/baseline-leaf.ts';
import type { Protection } from '../../schemas/evidence/manifest.ts';
import { Failure } from '../runtime/errors.ts';
import { errorNames, statusOf } from '../store/sdk-errors.ts';

export interface RightsTarget {
  archiver: S3Client;
  bucket: string;
  /** A throwaway object that was written for it, or a key and version that do not exist. */
  key: string;
  versionId: () => Promise<string>;
  /** An object that is there, and a retention to ask for that is no less than what it has. */
  retained: { key: string; mode: ObjectLockRetentionMode; until: Date };
}

export interface Attempt {
  /** Completes "the archiver may not …". */
  what: string;
  right: string;
  run: () => Promise<unknown>;
}

export const RETENTION_RIGHT = 's3:PutObjectRetention';
/** Trying this writes a marker where it is held, so it is tried on a throwaway object only. */
export const MARKER_RIGHT = 's3:DeleteObject';

export function attempts(target: RightsTarget): Attempt[] {
  return [...objectAttempts(target), ...bucketAttempts(target), markerAttempt(target)];
}

function objectAttempts(target: RightsTarget): Attempt[] {
  const { archiver, bucket, key, versionId, retained } = target;
  const object = { Bucket: bucket, Key: key };
  return [
    {
      what: 'delete a version',
      right: 's3:DeleteObjectVersion',
      run: async () =>
        archiver.send(new DeleteObjectCommand({ ...object, VersionId: await versionId() })),
    },
    {
      what: 'change a retention',
      right: RETENTION_RIGHT,
      run: () =>
        archiver.send(
          new PutObjectRetentionCommand({
            Bucket: bucket,
            Key: retained.key,
            Retention: { Mode: retained.mode, RetainUntilDate: retained.until },
          }),
        ),
    },
    {
      what: 'change a legal hold',
      right: 's3:PutObjectLegalHold',
      run: () =>
        archiver.send(new PutObjectLegalHoldCommand({ ...object, LegalHold: { Status: 'OFF' } })),
    },
  ];
}

function bucketAttempts({ archiver, bucket, retained }: RightsTarget): Attempt[] {
  const Bucket = bucket;
  const noDays = { DefaultRetention: { Mode: retained.mode, Days: 0 } };
  return [
    {
      what: 'change the bucket policy',
      right: 's3:PutBucketPolicy',
      run: () => archiver.send(new PutBucketPolicyCommand({ Bucket, Policy: '{' })),
    },
    {
      what: 'change the default retention',
      right: 's3:PutBucketObjectLockConfiguration',
      run: () =>
        archiver.send(
          new PutObjectLockConfigurationCommand({
            Bucket,
            ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled', Rule: noDays },
          }),
        ),
    },
    {
      what: 'change the versioning',
      right: 's3:PutBucketVersioning',
      run: () =>
        archiver.send(
          new PutBucketVersioningCommand({
            Bucket,
            VersioningConfiguration: { Status: 'Enabled' },
          }),
        ),
    },
    {
      what: 'have objects expire',
      right: 's3:PutLifecycleConfiguration',
      run: () =>
        archiver.send(
          new PutBucketLifecycleConfigurationCommand({
            Bucket,
            LifecycleConfiguration: { Rules: [] },
          }),
        ),
    },
  ];
}

/** Last: behind a delete marker the object answers to nothing else. */
function markerAttempt({ archiver, bucket, key }: RightsTarget): Attempt {
  const command = new DeleteObjectCommand({ Bucket: bucket, Key: key });
  return { what: 'put a delete marker', right: MARKER_RIGHT, run: () => archiver.send(command) };
}

/** `held`: the store did it, or refused it for another reason than want of the right. */
export type Tried =
  | { state: 'denied' | 'held'; detail: string }
  | { state: 'unknown'; detail: string };

/** Never rejects. */
export async function tryRight({ run }: Attempt): Promise<Tried> {
  try {
    await run();
  } catch (error) {
    const status = statusOf(error);
    const reason = errorNames(error)[0] ?? String(error);
    if (status === undefined) return { state: 'unknown', detail: `no answer: ${reason}` };
    if (status === 403) return { state: 'denied', detail: reason };
    // Only who holds the right is told that the document is malformed or the version locked.
    const detail = `refused with ${status} ${reason}, but not for want of the right`;
    return { state: 'held', detail };
  }
  return { state: 'held', detail: 'it was done' };
}

/** A version that no store has given. */
const NO_VERSION = '00000000-0000-4000-8000-000000000000';
/** Below the prefix; nothing is ever written there. */
const NO_KEY = 'preflight/nothing';
/** Retentions are read in whole seconds, rounded down: with this, none is asked to be shortened. */
const SECOND_MS = 1_000;

/**
 * The rights that can be tried without an object to throw away: without that of `MARKER_RIGHT`. The
 * one about retentions asks for what `sealed` has already, because MinIO looks for the object before
 * the right. Whatever the credential may do, nothing is written, and no retention becomes longer than
 * by a second.
 * @param sealed an object of the archive, and its retention as it is; null where that is not known.
 * @throws Failure `S3_NETWORK` where the store does not answer at all.
 */
export async function tryRights(
  archiver: S3Client,
  place: { bucket: string; prefix: string },
  sealed: { key: string; retention: Protection['retention'] },
): Promise<TriedRights> {
  const { bucket, prefix } = place;
  const { key, retention } = sealed;
  const until = new Date((retention === null ? 0 : Date.parse(retention.until)) + SECOND_MS);
  const target: RightsTarget = {
    archiver,
    bucket,
    key: `${prefix}${NO_KEY}`,
    versionId: () => Promise.resolve(NO_VERSION),
    retained: { key, mode: retention?.mode ?? 'COMPLIANCE', until },
  };
  const rights: TriedRights = [];
  for (const attempt of [...objectAttempts(target), ...bucketAttempts(target)]) {
    const isKnown = attempt.right !== RETENTION_RIGHT || retention !== null;
    rights.push([attempt.right, isKnown ? (await tryRight(attempt)).state : 'unknown']);
  }
  if (rights.every(([, state]) => state === 'unknown')) {
    throw new Failure(`the rights in ${bucket} cannot be tried: the store does not answer`, {
      code: 'S3_NETWORK',
      retryable: true,
    });
  }
  return rights;
}
