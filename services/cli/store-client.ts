/** S3 clients for the commands that look after the bucket, and what their errors mean. */
import { S3Client } from '@aws-sdk/client-s3';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import { storeAddress } from '../store/s3.ts';
import { errorNames, statusOf } from '../store/sdk-errors.ts';

/** `administrator`: `setup.*`. `archiver`: `storage.*`, what the archiver runs with. */
export type StoreLogin = 'administrator' | 'archiver';

/** Tries of one request, the first included. */
const ATTEMPTS_MAX = 3;

/** The caller destroys it. */
export function storeClient(config: Config, login: StoreLogin): S3Client {
  const { storage, setup } = config;
  const { timeoutMs } = storage;
  return new S3Client({
    ...storeAddress(storage, login === 'administrator' ? setup : storage),
    maxAttempts: ATTEMPTS_MAX,
    requestHandler: { requestTimeout: timeoutMs, connectionTimeout: timeoutMs },
  });
}

/** Who looks at the bucket's settings: the administrator where one is configured, else the archiver. */
export function configReader(config: Config): S3Client {
  return storeClient(config, config.setup.accessKeyId === undefined ? 'archiver' : 'administrator');
}

const KEYS: Record<StoreLogin, string> = {
  administrator: 'setup.accessKeyId and setup.secretAccessKey (LAKESEAL_SETUP_…)',
  archiver: 'storage.accessKeyId and storage.secretAccessKey (LAKESEAL_STORAGE_…)',
};

/** @param doing completes "cannot …": `read the bucket policy`. */
export function storeFailure(
  doing: string,
  error: unknown,
  storage: Config['storage'],
  login: StoreLogin,
): Failure {
  if (error instanceof Failure) return error;
  const where = storage.endpoint ?? `AWS ${storage.region}`;
  const status = statusOf(error);
  const names = errorNames(error);
  const fail = (code: string, why: string, hint: string, retryable = false): Failure =>
    new Failure(`cannot ${doing} at ${where}${why}`, { code, hint, retryable, cause: error });
  if (names.includes('CredentialsProviderError')) {
    return fail('S3_NO_CREDENTIALS', ': no credentials', `set ${KEYS[login]}`);
  }
  if (names.some((name) => /^(InvalidAccessKeyId|SignatureDoesNotMatch)$/.test(name))) {
    return fail('S3_AUTHENTICATION', ': the key is not accepted', `are ${KEYS[login]} right?`);
  }
  if (names.includes('RequestTimeTooSkewed')) {
    return fail('S3_CLOCK_SKEW', ': the clocks differ', 'set the clock of this machine');
  }
  if (status === 403) {
    const hint = `the ${login} may not; are ${KEYS[login]} those of one who may?`;
    return fail('S3_ACCESS_DENIED', ': denied', hint);
  }
  if (status === 301 || status === 307) {
    return fail('S3_REDIRECT', ': the bucket is elsewhere', 'check storage.region');
  }
  if (status === undefined) {
    const hint = 'is the store running, and are storage.endpoint and storage.region right?';
    return fail('S3_UNREACHABLE', '', hint, true);
  }
  return fail('S3_REJECTED', `: status ${status}`, 'see the reason', status >= 500);
}
