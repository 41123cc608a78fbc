/**
 * Legal holds over the S3 API, with a credential of their own. Beside what every store does, this
 * one asks for s3:GetObjectLegalHold and s3:PutObjectLegalHold. Setting a hold twice is setting it
 * once, so here the SDK may try again by itself.
 */
import { GetObjectLegalHoldCommand, PutObjectLegalHoldCommand, S3Client } from '@aws-sdk/client-s3';
import { systemClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import { createS3Store, type S3Store, storeAddress, toFailure } from './s3.ts';
import type { ObjectStore } from './store.ts';

export interface LegalHolds {
  /** Null where there is no such version. @throws Failure */
  legalHold(key: string, versionId: string): Promise<boolean | null>;
  /** @throws Failure; `S3_NO_OBJECT` where there is no such version. */
  setLegalHold(key: string, versionId: string, on: boolean): Promise<void>;
}

export type HoldStore = ObjectStore & LegalHolds;

const ATTEMPTS_MAX = 5;
/** What the store answers for a version that never had a hold. */
const NEVER = /^NoSuchObjectLockConfiguration$/;

/** With the credential of `holds`, never with that of the archiver. The caller closes it. */
export function createHoldStore({
  storage,
  archive,
  holds,
}: Pick<Config, 'storage' | 'archive' | 'holds'>): S3Store & LegalHolds {
  const { accessKeyId: _1, secretAccessKey: _2, sessionToken: _3, ...place } = storage;
  const address = { ...place, ...holds };
  const store = createS3Store(address, archive, systemClock, HOLD_RIGHTS);
  const client = new S3Client({
    ...storeAddress(storage, holds),
    maxAttempts: ATTEMPTS_MAX,
    requestHandler: { requestTimeout: storage.timeoutMs },
  });
  const { bucket: Bucket } = storage;
  return {
    ...store,
    async legalHold(Key, VersionId) {
      try {
        const command = new GetObjectLegalHoldCommand({ Bucket, Key, VersionId });
        const { LegalHold } = await client.send(command);
        return LegalHold?.Status === 'ON';
      } catch (error) {
        if (NEVER.test((error as Error).name)) return false;
        const failure = toFailure('read a legal hold', error, storage, HOLD_RIGHTS);
        if (failure.code === 'S3_NO_OBJECT') return null;
        throw failure;
      }
    },
    async setLegalHold(Key, VersionId, on) {
      const LegalHold = { Status: on ? 'ON' : 'OFF' } as const;
      const command = new PutObjectLegalHoldCommand({ Bucket, Key, VersionId, LegalHold });
      try {
        await client.send(command);
      } catch (error) {
        throw toFailure(on ? 'set a legal hold' : 'lift a legal hold', error, storage, HOLD_RIGHTS);
      }
    },
    close() {
      client.destroy();
      store.close();
    },
  };
}

/** What the credential of `holds` may do, for whoever is denied. */
export const HOLD_RIGHTS =
  'Holds need GetObject, GetObjectVersion, ListBucket, ListBucketVersions, GetObjectLegalHold and ' +
  'PutObjectLegalHold, and PutObject below evidence/holds/: see holds.accessKeyId.';

/** The same failure, told to somebody who is not the archiver. */
export function holdFailure(error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  if (error.code !== 'S3_ACCESS_DENIED' && error.code !== 'S3_CREDENTIALS') return error;
  return new Failure(error.message, { code: error.code, hint: HOLD_RIGHTS, cause: error.cause });
}
