/** What an error of the S3 client says of the answer that it is about. Pure. */

interface SdkError {
  name?: unknown;
  Code?: unknown;
  $metadata?: { httpStatusCode?: number };
  /** What `ask` and others wrap. */
  cause?: unknown;
}

/** HTTP status of a refused request, also through a `Failure` that wraps it. */
export function statusOf(error: unknown): number | undefined {
  const { $metadata, cause } = (error ?? {}) as SdkError;
  if ($metadata?.httpStatusCode !== undefined) return $metadata.httpStatusCode;
  return cause === undefined ? undefined : statusOf(cause);
}

/** The names S3 and the SDK give an error; a HEAD has no body, so it has only the status's. */
export function errorNames(error: unknown): string[] {
  const { name, Code } = (error ?? {}) as SdkError;
  return [Code, name].filter((text): text is string => typeof text === 'string');
}
