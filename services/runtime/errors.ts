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

/** The two or three lines a person reads: `PART: error: WHAT (CODE)`, causes, then `hint: …`. */
export function describeFailure(part: string, error: unknown): string {
  if (!(error instanceof Failure)) {
    const text = error instanceof Error ? error.message : String(error);
    return `${part}: error: ${text}`;
  }
  const lines = [`${part}: error: ${error.message} (${error.code})`];
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    lines.push(`  because: ${cause.message}`);
  }
  if (error.hint !== undefined) lines.push(`hint: ${error.hint}`);
  return lines.join('\n');
}
