/**
 * The few calls of the Confluent-compatible registry API that lakeseal makes, each with a time
 * limit and a size limit, and its answers as values.
 *
 * Why not a client library: the usual one parses what it fetches without limits, does not show the
 * text of a schema (which the archive needs), keeps its retry settings in a variable that all its
 * instances share, and has no time limit.
 *
 * API: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
 */
import * as http from 'node:http';
import * as https from 'node:https';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import { readPem } from '../runtime/pem.ts';

const ANSWER_BYTES_MAX = 8 * 1024 * 1024;
const CONTENT_TYPE = 'application/vnd.schemaregistry.v1+json';

export interface Answer {
  status: number;
  /** Parsed JSON, or null where the body was none. */
  body: unknown;
}

export interface RegistryClient {
  /** `path` is below the base URL and already percent-encoded. Rejects with a Failure only. */
  call(method: 'GET' | 'POST' | 'PUT', path: string, body?: object): Promise<Answer>;
  close(): void;
}

/** @throws Failure REGISTRY_TLS_FILE where the certificate authority cannot be read. */
export function createRegistryClient(config: Config['registry']): RegistryClient {
  const base = new URL(config.url);
  const secure = base.protocol === 'https:';
  const { caFile } = config;
  const ca =
    caFile === undefined ? {} : { ca: readPem(caFile, 'registry.caFile', 'REGISTRY_TLS_FILE') };
  const agent = secure
    ? new https.Agent({ keepAlive: true, maxSockets: 8, ...ca })
    : new http.Agent({ keepAlive: true, maxSockets: 8 });
  const headers: Record<string, string> = { accept: `${CONTENT_TYPE}, application/json` };
  if (config.username !== undefined) {
    const login = `${config.username}:${config.password ?? ''}`;
    headers.authorization = `Basic ${Buffer.from(login).toString('base64')}`;
  }
  return {
    async call(method, path, body) {
      const url = new URL(base.pathname.replace(/\/+$/, '') + path, base);
      const options = { method, agent, headers, signal: AbortSignal.timeout(config.timeoutMs) };
      try {
        return await request(url, options, body);
      } catch (cause) {
        throw unreachable(config, cause);
      }
    },
    close: () => agent.destroy(),
  };
}

function unreachable(config: Config['registry'], cause: unknown): Failure {
  return new Failure('cannot reach the schema registry', {
    code: 'REGISTRY_UNREACHABLE',
    hint: `Is the registry running at ${new URL(config.url).origin}, and is registry.url right?`,
    retryable: true,
    cause,
  });
}

function request(url: URL, options: http.RequestOptions, body?: object): Promise<Answer> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers = { ...(options.headers as Record<string, string>) };
  if (text !== undefined) {
    headers['content-type'] = CONTENT_TYPE;
    headers['content-length'] = String(Buffer.byteLength(text));
  }
  const send = url.protocol === 'https:' ? https.request : http.request;
  return new Promise((resolve, reject) => {
    const sent = send(url, { ...options, headers }, (response) => {
      readAnswer(response).then(resolve, reject);
    });
    sent.on('error', reject);
    sent.end(text);
  });
}

async function readAnswer(response: http.IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) {
      response.destroy();
      throw new Error(`the answer is longer than ${ANSWER_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, body: parse(Buffer.concat(chunks).toString('utf8')) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The message of an error answer, for people. */
export function answerText({ status, body }: Answer): string {
  const message = (body as { message?: unknown } | null)?.message;
  return typeof message === 'string' ? `${message} (HTTP ${status})` : `HTTP ${status}`;
}
