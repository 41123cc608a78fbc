/**
 * JSON logs to standard error. Constant messages, values as fields; never an event's body, a
 * record's bytes or a secret.
 *
 * A logged error (field `err`) is reduced to its type, message, code, hint, stack and causes.
 * Whatever else a client library hangs on its errors is dropped, because that is where request
 * headers and request bodies hide.
 */
import { type DestinationStream, pino } from 'pino';
import { Failure } from './errors.ts';

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Log;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Keys whose values are replaced, at the top of the fields or one level below. */
const SECRET_KEYS = [
  'password',
  'saslPassword',
  'secretAccessKey',
  'sessionToken',
  'authorization',
  'Authorization',
  'cookie',
  'sasl',
];

/** Causes beyond this depth are left out. */
const CAUSES_MAX = 5;

/** Writes synchronously, so that the last line of a process that ends is there. */
export function createLog(
  service: string,
  level: LogLevel,
  destination: DestinationStream = pino.destination({ dest: 2, sync: true }),
): Log {
  return pino(
    {
      level,
      base: { service, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => describeError(error, 0) },
      redact: {
        paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`]),
        censor: '[secret]',
      },
    },
    destination,
  );
}

function describeError(error: unknown, depth: number): object | string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  const failure = error instanceof Failure ? { hint: error.hint, retryable: error.retryable } : {};
  const cause =
    error.cause === undefined || depth >= CAUSES_MAX
      ? {}
      : { cause: describeError(error.cause, depth + 1) };
  const { name: type, message, stack } = error;
  return { type, message, ...code, ...failure, stack, ...cause };
}

/** For library use and tests: says nothing. */
export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLog,
};
