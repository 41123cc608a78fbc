/**
 * One error type for every failure at an edge. What happened is the message, what to do is the
 * hint, and whether trying again can help is `retryable`. A broken invariant is not one of these:
 * that is an `assert`, and it stays on in production.
 */

export interface FailureOptions {
  /** Stable, upper-case, for logs, metrics and tests: `S3_ACCESS_DENIED`. */
  code: string;
  /** What the operator should do or ask, one sentence. */
  hint?: string;
  retryable?: boolean;
  cause?: unknown;
}

export class Failure extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly retryable: boolean;

  constructor(message: string, options: FailureOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Failure';
    this.code = options.code;
    this.hint = options.hint;
    this.retryable = options.retryable ?? false;
  }
}

/** Causes beyond this depth are left out; it also ends a cause that is its own cause. */
const CAUSES_MAX = 5;

/** The two or three lines a person reads: `PART: error: WHAT (CODE)`, causes, then `hint: …`. */
export function describeFailure(part: string, error: unknown): string {
  if (!(error instanceof Failure)) return describeUnexpected(part, error);
  // A message of several lines, such as a list of problems, ends with a line end of its own.
  const gap = error.message.endsWith('\n') ? '' : ' ';
  const lines = [`${part}: error: ${error.message}${gap}(${error.code})`];
  let said = error.message;
  let cause = error.cause;
  for (let depth = 0; cause instanceof Error && depth < CAUSES_MAX; depth += 1) {
    const reason = reasonOf(cause);
    if (!said.includes(reason)) lines.push(`  because: ${reason}`);
    said += reason;
    cause = cause.cause;
  }
  if (error.hint !== undefined) lines.push(`hint: ${error.hint}`);
  return lines.join('\n');
}

/** Not a `Failure`: nobody foresaw it, so where it came from is part of the message. */
function describeUnexpected(part: string, error: unknown): string {
  if (!(error instanceof Error)) return `${part}: error: ${String(error)}`;
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return [`${part}: error: ${reasonOf(error)} (${error.name})`, ...frames.slice(0, 8)].join('\n');
}

/** One line of text for any error; a refused connection to several addresses has no message. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const first = error.message.split('\n')[0];
  if (first !== undefined && first !== '') return first;
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return 'code' in error ? String(error.code) : error.name;
}

/** `ENOENT` and the like where the system gave a code, else the reason in words. */
export function systemReason(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : reasonOf(error);
}

const CONNECTION = /^(ECONN|EPIPE|ENOTFOUND|EAI_|EHOST|ENET)/;

/** True where the system says that there is no connection, or none any more. */
export function isBrokenConnection(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && CONNECTION.test(code);
}
