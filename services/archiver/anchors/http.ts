/** One HTTP exchange with a server outside: limited in time and size, failures as values. Edge. */
import { Failure, reasonOf } from '../../runtime/errors.ts';

export interface HttpRequest {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  url: string;
  headers?: Record<string, string>;
  body?: Buffer;
}

export interface HttpAnswer {
  status: number;
  /** Without parameters, in lower case; empty where none was told. */
  contentType: string;
  body: Buffer;
}

export type Http = (request: HttpRequest) => Promise<HttpAnswer>;

const ANSWER_MS_MAX = 30_000;
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;

/** @throws Failure `ANCHOR_HTTP`, retryable, where there is no answer. */
export const exchange: Http = async ({ method, url, headers = {}, body }) => {
  try {
    const response = await fetch(url, {
      method,
      headers,
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
    const contentType = response.headers.get('content-type')?.split(';')[0] ?? '';
    return {
      status: response.status,
      contentType: contentType.trim().toLowerCase(),
      body: await bytesOf(response),
    };
  } catch (cause) {
    const { origin } = new URL(url);
    throw new Failure(`${origin} does not answer: ${innermost(cause)}`, {
      code: 'ANCHOR_HTTP',
      hint: 'Is that address right, and can this machine reach it?',
      retryable: true,
      cause,
    });
  }
};

/** For logs: a query may hold a secret. */
export function shownUrl(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}

/** `fetch failed` says nothing; what caused it does. */
function innermost(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? reasonOf(error) : innermost(cause);
}

async function bytesOf(response: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`more than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
