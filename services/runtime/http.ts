/**
 * /livez, /readyz and /metrics of a service. Read-only, no authentication: it binds to the
 * loopback address unless the configuration says otherwise, and answers nothing but these three.
 *
 * A failing probe is 503 with the checks that fail: `{"status":"failing","failing":[{check,reason}]}`.
 */
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { Failure } from './errors.ts';
import type { Check, HealthState } from './health.ts';

/** A probe or a scrape is small and quick; whatever is slower is cut off. */
const REQUEST_MS_MAX = 10_000;

export interface HttpServer {
  /** The port in use, also where 0 was asked for. */
  port: number;
  /** Resolves when the port is free; open connections are cut. */
  close(): Promise<void>;
}

export interface HttpOptions {
  host: string;
  /** 0 takes a free port. */
  port: number;
  metrics: Registry;
  health: HealthState;
}

/** Throws `Failure` HTTP_LISTEN where the address cannot be had. */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const server = createServer({ requestTimeout: REQUEST_MS_MAX }, answer(options));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(
        new Failure(`cannot listen on ${options.host}:${options.port}: ${cause.code}`, {
          code: 'HTTP_LISTEN',
          hint: 'set http.host and http.port (LAKESEAL_HTTP_PORT) to a free address; 0 finds one',
          cause,
        }),
      );
    });
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer({ health, metrics }: HttpOptions): RequestListener {
  return (request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      send(response, 405, 'application/json', '{"error":"only GET and HEAD"}');
      return;
    }
    switch (request.url?.split('?')[0]) {
      case '/livez':
        sendChecks(response, health.failingLive());
        return;
      case '/readyz':
        sendChecks(response, health.failingReady());
        return;
      case '/metrics':
        metrics.metrics().then(
          (text) => send(response, 200, metrics.contentType, text),
          (error) => send(response, 500, 'text/plain', `metrics: ${String(error)}`),
        );
        return;
      default:
        send(response, 404, 'application/json', '{"paths":["/livez","/readyz","/metrics"]}');
    }
  };
}

function sendChecks(response: ServerResponse, failing: Check[]): void {
  const ok = failing.length === 0;
  const body = ok ? { status: 'ok' } : { status: 'failing', failing };
  send(response, ok ? 200 : 503, 'application/json', JSON.stringify(body));
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
}
