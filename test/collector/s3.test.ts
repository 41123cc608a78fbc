/** The delivery bucket's client against a store that breaks off, pages and changes under it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { createDelivery, type Delivery, parseDeliveryUrl } from '../../services/collector/s3.ts';
import type { Clock } from '../../services/runtime/clock.ts';
import { readAll } from '../ingest/chunks.ts';

const signal = new AbortController().signal;
const clock: Clock = { now: () => 0, sleep: async () => {} };

/** The body of `a.json`; large enough that a break falls inside it. */
const body = Buffer.alloc(900_000, 'delivered ');
const etagOf = (bytes: Buffer): string => `"${createHash('md5').update(bytes).digest('hex')}"`;

let server: Server;
let delivery: Delivery;
let requests: Array<{ url: string; range: string | undefined; ifMatch: string | undefined }> = [];
/** What the store does with a request for `a.json`. */
let onGet: (request: IncomingMessage, response: ServerResponse, turn: number) => void;

before(async () => {
  server = createServer((request, response) => {
    const { range, 'if-match': ifMatch } = request.headers;
    requests.push({ url: request.url!, range, ifMatch });
    const url = new URL(request.url!, 'http://store');
    if (url.searchParams.has('list-type')) list(url, response);
    else if (url.pathname.endsWith('/a.json')) onGet(request, response, requests.length);
    else refuse(response, 404, 'NoSuchKey');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  delivery = createDelivery(
    { bucket: 'delivery', prefix: 'audit/' },
    {
      endpoint: `http://127.0.0.1:${port}`,
      region: 'us-east-1',
      pathStyle: true,
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    },
    clock,
    () => 0.5,
  );
});
after(() => {
  delivery.close();
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  requests = [];
});

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(`<Error><Code>${code}</Code><Message>${code}</Message></Error>`);
}

/** Of the others the listing says nothing. */
const MODIFIED = new Map([['audit/b.json', '2026-11-28T07:20:00.000Z']]);

/** Two pages of two objects and a folder marker. */
function list(url: URL, response: ServerResponse): void {
  const second = url.searchParams.get('continuation-token') === 'more';
  const keys = second
    ? ['audit/c.json', 'audit/d.json']
    : ['audit/', 'audit/a.json', 'audit/b.json'];
  const contents = keys.map(
    (key) =>
      `<Contents><Key>${key}</Key><ETag>"${key}"</ETag><Size>7</Size>${MODIFIED.has(key) ? `<LastModified>${MODIFIED.get(key)}</LastModified>` : ''}</Contents>`,
  );
  const more = second ? '' : '<NextContinuationToken>more</NextContinuationToken>';
  response.writeHead(200, { 'content-type': 'application/xml' });
  response.end(
    `<ListBucketResult><IsTruncated>${!second}</IsTruncated>${more}${contents.join('')}</ListBucketResult>`,
  );
}

/** Sends the body from the range asked for; with `cutAfter`, breaks off after so many bytes. */
function send(
  request: IncomingMessage,
  response: ServerResponse,
  cutAfter = Number.POSITIVE_INFINITY,
): void {
  const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const part = body.subarray(from);
  response.writeHead(from === 0 ? 200 : 206, {
    etag: etagOf(body),
    'content-length': part.length,
  });
  if (part.length <= cutAfter) response.end(part);
  else response.write(part.subarray(0, cutAfter), () => response.destroy());
}

test('places are bucket and prefix', () => {
  assert.deepEqual(parseDeliveryUrl('s3://b-1/x/y/'), { bucket: 'b-1', prefix: 'x/y/' });
  assert.deepEqual(parseDeliveryUrl('s3://b-1'), { bucket: 'b-1', prefix: '' });
  for (const url of ['s3://', 's3://B', 's3:/b-1', 'https://b-1/', 's3:///x']) {
    assert.equal(parseDeliveryUrl(url), null, url);
  }
});

test('every page is listed, folder markers left out', async () => {
  const keys: string[] = [];
  for await (const { key, etag, bytes, modifiedMs } of delivery.list(signal)) {
    keys.push(key);
    assert.equal(modifiedMs, key === 'audit/b.json' ? Date.UTC(2026, 10, 28, 7, 20) : null);
    assert.deepEqual([etag, bytes], [`"${key}"`, 7]);
  }
  assert.deepEqual(keys, ['audit/a.json', 'audit/b.json', 'audit/c.json', 'audit/d.json']);
  assert.match(requests[0]!.url, /prefix=audit%2F/);
});

test('a download that breaks off goes on at the byte it broke at, under the same etag', async () => {
  onGet = (request, response, turn) => send(request, response, turn <= 3 ? 200_000 : undefined);
  const opened = await delivery.open('audit/a.json', signal);
  assert.deepEqual(await readAll(opened!.chunks), body);
  assert.ok(requests.length >= 4, `${requests.length} requests`);
  for (const { range, ifMatch } of requests.slice(1)) {
    assert.match(range!, /^bytes=[1-9]\d*-$/);
    assert.equal(ifMatch, etagOf(body));
  }
});

test('an object that changes while it is read is broken, never half of each', async () => {
  onGet = (request, response, turn) => {
    if (turn === 1) send(request, response, 200_000);
    else refuse(response, 412, 'PreconditionFailed');
  };
  const opened = await delivery.open('audit/a.json', signal);
  await assert.rejects(readAll(opened!.chunks), { code: 'DELIVERY_OBJECT_CHANGED' });
});

test('a download that breaks for ever is given up', async () => {
  onGet = (request, response) => send(request, response, 1_000);
  const opened = await delivery.open('audit/a.json', signal);
  await assert.rejects(readAll(opened!.chunks), { code: 'DELIVERY_UNREACHABLE', retryable: true });
  assert.ok(requests.length < 20, `${requests.length} requests`);
});

test('an object that is gone is null, one that is refused is a failure with a hint', async () => {
  assert.equal(await delivery.open('audit/gone.json', signal), null);
  onGet = (_request, response) => refuse(response, 403, 'AccessDenied');
  await assert.rejects(delivery.open('audit/a.json', signal), { code: 'DELIVERY_DENIED' });
  onGet = (_request, response) => refuse(response, 403, 'InvalidObjectState');
  await assert.rejects(delivery.open('audit/a.json', signal), { code: 'DELIVERY_OBJECT_COLD' });
});
