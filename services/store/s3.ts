/**
 * The object store over the S3 API, for AWS and for stores that speak it.
 *
 * Needs s3:PutObject, GetObject, GetObjectVersion, GetObjectRetention, ListBucket and
 * ListBucketVersions, and with `archive.retention: headers` s3:PutObjectRetention; nothing here deletes or changes an object.
 * Each call is one request: the SDK's own retries are off, because a second PUT after a lost answer
 * must be seen by the caller (it is answered `exists`). Every error leaves as a `Failure`.
 */
import { webcrypto } from 'node:crypto';
import {
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { timeOf } from '../../schemas/evidence/leaf.ts';
import type { Protection } from '../../schemas/evidence/manifest.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { Failure, type FailureOptions, isBrokenConnection } from '../runtime/errors.ts';
import type { ObjectStore, ObjectVersion } from './store.ts';

export interface S3Store extends ObjectStore {
  /** Closes idle connections. Calls under way fail. */
  close(): void;
}

/** A large object may take this much longer than `storage.timeoutMs` for each byte sent or read. */
const BYTES_PER_SECOND_MIN = 256 * 1024;
const CONNECT_MS_MAX = 10_000;
const SOCKETS_MAX = 64;
const DAY_MS = 86_400_000;

/** What the archiver needs; `archive.retention: headers` is another right more. */
const ARCHIVER_RIGHTS =
  'The archiver needs s3:PutObject, GetObject, GetObjectVersion, GetObjectRetention, ' +
  'ListBucket and ListBucketVersions; archive.retention: headers also needs PutObjectRetention.';

/** @param rights what whoever asks needs, as a hint for when the store denies it. */
export function createS3Store(
  storage: Config['storage'],
  archive: Pick<
    Config['archive'],
    'encryption' | 'kmsKeyId' | 'retention' | 'retentionMode' | 'retentionDays'
  >,
  clock: Clock = systemClock,
  rights: string = ARCHIVER_RIGHTS,
): S3Store {
  const client = createClient(storage);
  const { bucket: Bucket, timeoutMs } = storage;
  const call = async <Output>(
    what: string,
    bytes: number,
    run: (abortSignal: AbortSignal) => Promise<Output>,
  ): Promise<Output> => {
    const limitMs = timeoutMs + Math.ceil((bytes / BYTES_PER_SECOND_MIN) * 1000);
    try {
      return await withTimeout(limitMs, run);
    } catch (error) {
      throw toFailure(what, error, storage, rights);
    }
  };

  return {
    async putIfAbsent(key, bytes, sha256) {
      const digest = sha256 ?? (await digestOf(bytes));
      const command = new PutObjectCommand({
        Bucket,
        Key: key,
        Body: bytes,
        IfNoneMatch: '*',
        ContentType: 'application/avro',
        // Both: some stores ignore the value without the name of the algorithm.
        ChecksumAlgorithm: 'SHA256',
        ChecksumSHA256: digest.toString('base64'),
        ...encryption(archive),
        ...retention(archive, clock),
      });
      // The signature covers the same digest: without this the SDK hashes the body a second time.
      command.middlewareStack.add(
        (next) => (args) => {
          const { headers } = args.request as { headers: Record<string, string> };
          headers['x-amz-content-sha256'] = digest.toString('hex');
          return next(args);
        },
        { step: 'build', name: 'knownPayloadHash' },
      );
      try {
        const output = await call('seal an object', bytes.length, (abortSignal) =>
          client.send(command, { abortSignal }),
        );
        return { outcome: 'created', versionId: output.VersionId ?? '' };
      } catch (error) {
        if (error instanceof Failure && error.code === 'S3_EXISTS') return { outcome: 'exists' };
        throw error;
      }
    },

    async get(key, range) {
      if (range !== undefined && range.to <= range.from) throw new RangeError('empty range');
      const read = (Range: string | undefined) =>
        call(
          'read an object',
          range === undefined ? OBJECT_BYTES : range.to - range.from,
          (signal) =>
            readObject(
              client,
              { Bucket, Key: key, ...(Range === undefined ? {} : { Range }) },
              signal,
            ),
        );
      try {
        return await read(range && `bytes=${range.from}-${range.to - 1}`);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        if (error.code === 'S3_NO_OBJECT') return null;
        // An empty object satisfies no range.
        if (error.code === 'S3_RANGE' && range?.from === 0) return await read(undefined);
        throw error;
      }
    },

    async list(prefix, startAfter, max) {
      const command = new ListObjectsV2Command({
        Bucket,
        Prefix: prefix,
        MaxKeys: max,
        ...(startAfter === undefined ? {} : { StartAfter: startAfter }),
      });
      const output = await call('list objects', 0, (abortSignal) =>
        client.send(command, { abortSignal }),
      );
      return (output.Contents ?? []).map(({ Key }) => Key!);
    },

    async protection(key) {
      try {
        const output = await call('ask about an object', 0, (abortSignal) =>
          client.send(new HeadObjectCommand({ Bucket, Key: key }), { abortSignal }),
        );
        return protectionOf(output);
      } catch (error) {
        if (error instanceof Failure && error.code === 'S3_NO_OBJECT') return null;
        throw error;
      }
    },

    async versions(key) {
      const found: ObjectVersion[] = [];
      let KeyMarker: string | undefined;
      let VersionIdMarker: string | undefined;
      for (;;) {
        const markers = {
          ...(KeyMarker && { KeyMarker }),
          ...(VersionIdMarker && { VersionIdMarker }),
        };
        const command = new ListObjectVersionsCommand({ Bucket, Prefix: key, ...markers });
        const page = await call('list versions', 0, (abortSignal) =>
          client.send(command, { abortSignal }),
        );
        for (const { Key, VersionId, IsLatest, Size } of page.Versions ?? []) {
          if (Key === key) found.push(version(key, VersionId, IsLatest, false, Size));
        }
        for (const { Key, VersionId, IsLatest } of page.DeleteMarkers ?? []) {
          if (Key === key) found.push(version(key, VersionId, IsLatest, true, 0));
        }
        // Keys ascend, so all versions of this one come before any longer key.
        if (page.IsTruncated !== true || page.NextKeyMarker !== key) return found;
        KeyMarker = page.NextKeyMarker;
        VersionIdMarker = page.NextVersionIdMarker;
      }
    },

    close() {
      client.destroy();
    },
  };
}

/** SHA-256, in the thread pool. */
export async function digestOf(bytes: Buffer): Promise<Buffer> {
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes));
}

/** What a read without a range may be long for, when the size is not known yet. */
const OBJECT_BYTES = 64 * 1024 * 1024;

function createClient(storage: Config['storage']): S3Client {
  return new S3Client({
    ...storeAddress(storage, storage),
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: Math.min(CONNECT_MS_MAX, storage.timeoutMs),
      socketTimeout: storage.timeoutMs,
      httpAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
      httpsAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
    },
  });
}

type StoreKeys = Pick<Config['storage'], 'accessKeyId' | 'secretAccessKey' | 'sessionToken'>;

/** Where the store is and who asks; without keys, who asks is found in the process's surroundings. */
export function storeAddress(storage: Config['storage'], keys: StoreKeys): S3ClientConfig {
  const { accessKeyId, secretAccessKey, sessionToken } = keys;
  const options: S3ClientConfig = { region: storage.region, forcePathStyle: storage.pathStyle };
  if (storage.endpoint !== undefined) options.endpoint = storage.endpoint;
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    options.credentials = {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
    };
  }
  return options;
}

function encryption(
  archive: Pick<Config['archive'], 'encryption' | 'kmsKeyId'>,
): Partial<PutObjectCommandInput> {
  if (archive.encryption === 'none') return {};
  if (archive.encryption === 'sse-s3') return { ServerSideEncryption: 'AES256' };
  return {
    ServerSideEncryption: 'aws:kms',
    ...(archive.kmsKeyId === undefined ? {} : { SSEKMSKeyId: archive.kmsKeyId }),
  };
}

function retention(
  archive: Pick<Config['archive'], 'retention' | 'retentionMode' | 'retentionDays'>,
  clock: Clock,
): Partial<PutObjectCommandInput> {
  if (archive.retention === 'bucket-default') return {};
  return {
    ObjectLockMode: archive.retentionMode,
    ObjectLockRetainUntilDate: new Date(clock.now() + archive.retentionDays * DAY_MS),
  };
}

async function readObject(
  client: S3Client,
  input: { Bucket: string; Key: string; Range?: string },
  abortSignal: AbortSignal,
): Promise<{ bytes: Buffer; versionId: string; size: number }> {
  const output = await client.send(new GetObjectCommand(input), { abortSignal });
  const body = await output.Body!.transformToByteArray();
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const total = /\/(\d+)$/.exec(output.ContentRange ?? '')?.[1];
  const size = total === undefined ? bytes.length : Number(total);
  return { bytes, versionId: output.VersionId ?? '', size };
}

/** What the headers of an object tell; a store leaves out what the credential may not read. */
export function protectionOf(
  output: Pick<
    HeadObjectCommandOutput,
    'ObjectLockMode' | 'ObjectLockRetainUntilDate' | 'ServerSideEncryption' | 'SSEKMSKeyId'
  >,
): Protection {
  const { ObjectLockMode: mode, ObjectLockRetainUntilDate: until } = output;
  const isLocked = (mode === 'COMPLIANCE' || mode === 'GOVERNANCE') && until !== undefined;
  const retention = isLocked ? { mode, until: timeOf(until.getTime()) } : null;
  switch (output.ServerSideEncryption) {
    case undefined:
      return { retention, encryption: { kind: 'none' } };
    case 'AES256':
      return { retention, encryption: { kind: 'sse-s3' } };
    case 'aws:kms':
    case 'aws:kms:dsse':
      return { retention, encryption: { kind: 'sse-kms', key: output.SSEKMSKeyId ?? '' } };
    default:
      return { retention, encryption: null };
  }
}

function version(
  key: string,
  versionId: string | undefined,
  isLatest: boolean | undefined,
  isDeleteMarker: boolean,
  size: number | undefined,
): ObjectVersion {
  return {
    key,
    versionId: versionId ?? '',
    isLatest: isLatest === true,
    isDeleteMarker,
    size: size ?? 0,
  };
}

/** The SDK's timeouts cover connecting and silence; this one covers the whole call. */
async function withTimeout<Output>(
  limitMs: number,
  run: (signal: AbortSignal) => Promise<Output>,
): Promise<Output> {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new Error(`no answer within ${limitMs} ms`);
      error.name = 'TimeoutError';
      reject(error);
      controller.abort(error);
    }, limitMs);
  });
  try {
    return await Promise.race([run(controller.signal), timeout]);
  } finally {
    clearTimeout(timer);
  }
}

// --- errors --------------------------------------------------------------------------------------

type Diagnosis = Omit<FailureOptions, 'cause'> & { text: string };

/** By the store's error code. */
const BY_NAME: Array<[RegExp, Diagnosis]> = [
  [/^PreconditionFailed$/, { code: 'S3_EXISTS', text: 'the key is taken' }],
  [
    /^(ConditionalRequestConflict|OperationAborted)$/,
    { code: 'S3_CONFLICT', text: 'another request for the same key is under way', retryable: true },
  ],
  [/^(NoSuchKey|NoSuchVersion|NotFound)$/, { code: 'S3_NO_OBJECT', text: 'no such object' }],
  [/^InvalidRange$/, { code: 'S3_RANGE', text: 'no such byte range' }],
  [
    /^NoSuchBucket$/,
    {
      code: 'S3_NO_BUCKET',
      text: 'the bucket does not exist',
      hint: 'Did `lakeseal setup` run, and are storage.bucket and storage.endpoint right?',
    },
  ],
  [
    /^(kms|KMS)[.:]|^KMS/,
    {
      code: 'S3_KMS_KEY',
      text: 'the store could not use the KMS key',
      hint: 'Check archive.kmsKeyId (or the bucket default key) and that the role may use it.',
    },
  ],
  [
    /^(InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|AuthorizationHeaderMalformed)$/,
    {
      code: 'S3_CREDENTIALS',
      text: 'the store does not accept the credentials',
      hint: 'Check storage.accessKeyId, storage.secretAccessKey and storage.region.',
    },
  ],
  [
    /^(ExpiredToken|TokenRefreshRequired|RequestExpired)$/,
    { code: 'S3_CREDENTIALS', text: 'the credentials have expired', retryable: true },
  ],
  [
    /^(CredentialsProviderError|TokenProviderError)$/,
    {
      code: 'S3_CREDENTIALS',
      text: 'no credentials were found',
      hint: 'Set storage.accessKeyId and storage.secretAccessKey, or give the process an AWS role.',
    },
  ],
  [
    /^RequestTimeTooSkewed$/,
    {
      code: 'S3_CLOCK',
      text: 'the clock of this machine is too far from the store’s',
      hint: 'Is time synchronisation running?',
    },
  ],
  [
    /^(SlowDown|Throttling|ThrottlingException|TooManyRequests)/,
    { code: 'S3_SLOW_DOWN', text: 'the store asks to slow down', retryable: true },
  ],
  [
    /^(RequestTimeout|TimeoutError|AbortError)$/,
    { code: 'S3_TIMEOUT', text: 'the store did not answer in time', retryable: true },
  ],
  [
    /^(BadDigest|XAmzContentSHA256Mismatch|XAmzContentChecksumMismatch|IncompleteBody)$/,
    { code: 'S3_DIGEST', text: 'the bytes changed on their way to the store', retryable: true },
  ],
  [
    /^EntityTooLarge$/,
    {
      code: 'S3_TOO_LARGE',
      text: 'the store refuses an object of this size',
      hint: 'Lower archive.segmentBytesMax, or raise the limit of the store.',
    },
  ],
];

/** No answer at all. */
function network({ endpoint, region }: Config['storage']): Diagnosis {
  const hint =
    endpoint === undefined
      ? `Can this machine reach S3 in ${region} (route, proxy, VPC endpoint)? Is storage.region right?`
      : `Does the store run at ${endpoint}, and is storage.endpoint right from here (name, port)?`;
  return { code: 'S3_NETWORK', text: 'the store could not be reached', hint, retryable: true };
}

/** By HTTP status, where the error code says nothing. */
function byStatus(
  status: number | undefined,
  storage: Config['storage'],
  rights: string,
): Diagnosis {
  if (status === undefined) return network(storage);
  if (status === 412) return { code: 'S3_EXISTS', text: 'the key is taken' };
  if (status === 409)
    return { code: 'S3_CONFLICT', text: 'the store reports a conflict', retryable: true };
  if (status === 429)
    return { code: 'S3_SLOW_DOWN', text: 'the store asks to slow down', retryable: true };
  if (status >= 500 && status !== 501) {
    return { code: 'S3_SERVER', text: `the store answered ${status}`, retryable: true };
  }
  if (status === 401 || status === 403) {
    return { code: 'S3_ACCESS_DENIED', text: 'the store denies it', hint: rights };
  }
  if (status === 301 || status === 307) {
    return {
      code: 'S3_REDIRECT',
      text: 'the bucket is elsewhere',
      hint: 'Check storage.region and storage.endpoint.',
    };
  }
  return {
    code: 'S3_REJECTED',
    text: `the store refused it with status ${status}`,
    hint: 'Does the bucket have Object Lock, and does the store know every header that is sent?',
  };
}

interface SdkError {
  name?: unknown;
  Code?: unknown;
  message?: unknown;
  $metadata?: { httpStatusCode?: number };
}

/**
 * What an error of the SDK means. `what` completes "cannot …": `read an object`. `rights` is the hint
 * where the store denies it: what whoever asks needs.
 */
export function toFailure(
  what: string,
  error: unknown,
  storage: Config['storage'],
  rights: string,
): Failure {
  const { name, Code, $metadata } = (error ?? {}) as SdkError;
  // The SDK calls a broken connection a timeout too; the operator should know which it was.
  const isBroken = isBrokenConnection(error);
  const names = [Code, name].filter((text): text is string => typeof text === 'string');
  const known = isBroken
    ? undefined
    : BY_NAME.find(([pattern]) => names.some((text) => pattern.test(text)));
  const status = isBroken ? undefined : $metadata?.httpStatusCode;
  const { text, ...diagnosis } = known?.[1] ?? byStatus(status, storage, rights);
  const where =
    storage.endpoint === undefined ? storage.bucket : `${storage.bucket} at ${storage.endpoint}`;
  return new Failure(`cannot ${what} in ${where}: ${text}`, { ...diagnosis, cause: error });
}
