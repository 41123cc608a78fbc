/**
 * A Databricks delivery bucket: list and read, nothing else. Edge: the S3 client of the collector.
 *
 * Needs `s3:ListBucket` and `s3:GetObject`. Databricks overwrites objects in place, so an object is
 * read under the etag it was opened with: a connection that breaks is resumed from the byte it
 * broke at only while the etag is the same, else `Failure` DELIVERY_OBJECT_CHANGED.
 */
import {
  GetObjectCommand,
  type GetObjectCommandOutput,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { backoffMs } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { Failure } from '../runtime/errors.ts';
import { statusOf } from '../store/sdk-errors.ts';
import type { DeliveryOptions } from './collect-types.ts';

export interface DeliveryPlace {
  bucket: string;
  /** May be empty. */
  prefix: string;
}

export interface DeliveryObject {
  key: string;
  etag: string;
  /** As stored. */
  bytes: number;
}

/** An object as a listing tells of it. */
export interface ListedObject extends DeliveryObject {
  /** When it was written last, ms since the epoch; null where the store does not tell. */
  modifiedMs: number | null;
}

export interface OpenedObject extends DeliveryObject {
  chunks: AsyncIterable<Buffer>;
}

export interface Delivery {
  /** In byte order of the keys. */
  list(signal: AbortSignal): AsyncIterable<ListedObject>;
  /** The object as it is now, or null where it is gone. */
  open(key: string, signal: AbortSignal): Promise<OpenedObject | null>;
  close(): void;
}

/** Breaks of one object's download that are resumed before the object counts as broken. */
const RESUMES_MAX = 5;
const RESUME_BACKOFF = { firstMs: 200, maxMs: 5_000 };
const CONNECTION_TIMEOUT_MS = 10_000;
/** Silence on an open download. */
const SOCKET_TIMEOUT_MS = 60_000;

/** `s3://bucket/prefix`, or null. */
export function parseDeliveryUrl(url: string): DeliveryPlace | null {
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(url);
  return match === null ? null : { bucket: match[1]!, prefix: match[2] ?? '' };
}

export function createDelivery(
  place: DeliveryPlace,
  options: DeliveryOptions,
  clock: Clock,
  random: () => number,
): Delivery {
  const client = new S3Client({
    ...(options.region === undefined ? {} : { region: options.region }),
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
    forcePathStyle: options.pathStyle ?? false,
    // A third-party store may answer with checksums of its own; TLS and etags cover the rest.
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      socketTimeout: SOCKET_TIMEOUT_MS,
    },
  });
  const pause = (attempt: number, signal: AbortSignal): Promise<void> =>
    clock.sleep(backoffMs(attempt, RESUME_BACKOFF, random), signal);
  return {
    list: (signal) => listObjects(client, place, signal),
    open: (key, signal) => openObject(client, place.bucket, key, signal, pause),
    close: () => client.destroy(),
  };
}

async function* listObjects(
  client: S3Client,
  place: DeliveryPlace,
  signal: AbortSignal,
): AsyncGenerator<ListedObject> {
  let token: string | undefined;
  do {
    const page = await client
      .send(
        new ListObjectsV2Command({
          Bucket: place.bucket,
          Prefix: place.prefix,
          ...(token === undefined ? {} : { ContinuationToken: token }),
        }),
        { abortSignal: signal },
      )
      .catch((error: unknown) => {
        throw deliveryFailure(error, `cannot list s3://${place.bucket}/${place.prefix}`);
      });
    for (const { Key, ETag, Size, LastModified } of page.Contents ?? []) {
      if (Key !== undefined && !Key.endsWith('/')) {
        const modifiedMs = LastModified?.getTime() ?? null;
        yield { key: Key, etag: ETag ?? '', bytes: Size ?? 0, modifiedMs };
      }
    }
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
  } while (token !== undefined);
}

type Pause = (attempt: number, signal: AbortSignal) => Promise<void>;

async function openObject(
  client: S3Client,
  bucket: string,
  key: string,
  signal: AbortSignal,
  pause: Pause,
): Promise<OpenedObject | null> {
  const what = `cannot read s3://${bucket}/${key}`;
  const get = (range?: { from: number; etag: string }): Promise<GetObjectCommandOutput> =>
    client.send(
      new GetObjectCommand({
        Bucket: bucket,
        Key: key,
        ...(range === undefined ? {} : { Range: `bytes=${range.from}-`, IfMatch: range.etag }),
      }),
      { abortSignal: signal },
    );
  try {
    const first = await get();
    const etag = first.ETag ?? '';
    const bytes = first.ContentLength ?? 0;
    const resume = (from: number): Promise<GetObjectCommandOutput> => get({ from, etag });
    return { key, etag, bytes, chunks: readObject(first, bytes, resume, signal, pause, what) };
  } catch (error) {
    if (nameOf(error) === 'NoSuchKey') return null;
    throw deliveryFailure(error, what);
  }
}

async function* readObject(
  first: GetObjectCommandOutput,
  bytes: number,
  resume: (from: number) => Promise<GetObjectCommandOutput>,
  signal: AbortSignal,
  pause: Pause,
  what: string,
): AsyncGenerator<Buffer> {
  let at = 0;
  let answer: GetObjectCommandOutput | null = first;
  for (let attempt = 0; ; attempt += 1) {
    try {
      answer ??= await resume(at);
      for await (const chunk of answer.Body as AsyncIterable<Buffer>) {
        at += chunk.length;
        yield chunk;
      }
      if (at === bytes) return;
      throw new Error(`the connection ended after ${at} of ${bytes} bytes`);
    } catch (error) {
      const failure = deliveryFailure(error, what);
      if (!failure.retryable || attempt >= RESUMES_MAX || signal.aborted) throw failure;
      await pause(attempt, signal);
      answer = null;
    }
  }
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : '';
}

const FAILURES: Record<string, { code: string; hint: string }> = {
  NoSuchBucket: {
    code: 'DELIVERY_NO_BUCKET',
    hint: 'Is the bucket spelled right, and the endpoint?',
  },
  AccessDenied: {
    code: 'DELIVERY_DENIED',
    hint: 'The credentials need s3:ListBucket on the bucket and s3:GetObject on its objects.',
  },
  InvalidAccessKeyId: { code: 'DELIVERY_DENIED', hint: 'Is AWS_ACCESS_KEY_ID one of this store?' },
  SignatureDoesNotMatch: { code: 'DELIVERY_DENIED', hint: 'Is AWS_SECRET_ACCESS_KEY right?' },
  ExpiredToken: { code: 'DELIVERY_DENIED', hint: 'The session has expired: log in again.' },
  CredentialsProviderError: {
    code: 'DELIVERY_NO_CREDENTIALS',
    hint: 'Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run under a role.',
  },
  PermanentRedirect: { code: 'DELIVERY_WRONG_REGION', hint: 'Give the region of the bucket.' },
  InvalidObjectState: {
    code: 'DELIVERY_OBJECT_COLD',
    hint: 'The object is in an archive storage class: restore it, then collect again.',
  },
  PreconditionFailed: {
    code: 'DELIVERY_OBJECT_CHANGED',
    hint: 'It was overwritten while it was read; it is read again the next time.',
  },
};

function deliveryFailure(error: unknown, what: string): Failure {
  if (error instanceof Failure) return error;
  const known = FAILURES[nameOf(error)];
  const status = statusOf(error);
  const message = error instanceof Error && error.message !== '' ? error.message : nameOf(error);
  if (known !== undefined) return new Failure(`${what}: ${message}`, { ...known, cause: error });
  if (/region is missing/i.test(message)) {
    const hint = 'Set AWS_REGION or give the region of the bucket.';
    return new Failure(`${what}: ${message}`, { code: 'DELIVERY_NO_REGION', hint, cause: error });
  }
  return new Failure(`${what}: ${message}`, {
    code: 'DELIVERY_UNREACHABLE',
    hint: 'Is the endpoint right and the store up?',
    retryable: status === undefined || status >= 500 || status === 429,
    cause: error,
  });
}
