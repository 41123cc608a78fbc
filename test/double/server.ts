/**
 * The bucket double behind HTTP, path style: enough of the S3 API for `s3.ts` and for a test that
 * plays the administrator. Signatures are not checked; digests are.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Bucket, type LockMode, Refusal, type Retention, type Version } from './bucket.ts';
import type { FaultPlan, Operation } from './faults.ts';

export interface DoubleServer {
  endpoint: string;
  close(): Promise<void>;
}

export interface DoubleOptions {
  /** Buckets by name. */
  buckets: Map<string, Bucket>;
  faults?: FaultPlan;
  /** Called for each request: who asks, what and for which path. */
  asked?: (accessKeyId: string, method: string, path: string) => void;
}

export async function startDouble(options: DoubleOptions): Promise<DoubleServer> {
  const server = createServer((request, response) => {
    void handle(request, response, options);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { endpoint: `http://127.0.0.1:${port}`, close: () => close(server) };
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

interface Call {
  method: string;
  key: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  body: Buffer;
  bucket: Bucket;
}

interface Answer {
  status: number;
  headers?: Record<string, string>;
  body?: Buffer | string;
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  { buckets, faults, asked }: DoubleOptions,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const url = new URL(request.url!, 'http://double');
  const [, bucketName = '', ...rest] = url.pathname.split('/').map(decodeURIComponent);
  const method = request.method!;
  asked?.(
    /Credential=([^/]+)/.exec(request.headers.authorization ?? '')?.[1] ?? '',
    method,
    url.pathname,
  );
  const key = rest.join('/');
  const fault = faults?.next(operationOf(method, key, url.searchParams)) ?? null;
  if (fault === 'reset_before') {
    request.socket.destroy();
    return;
  }
  let answer: Answer;
  try {
    if (fault === 'error_before') throw new Refusal(500, 'InternalError');
    if (fault === 'conflict') throw new Refusal(409, 'ConditionalRequestConflict');
    if (fault === 'slow_down') throw new Refusal(503, 'SlowDown');
    if (fault === 'denied') throw new Refusal(403, 'AccessDenied');
    const bucket = buckets.get(bucketName);
    if (bucket === undefined) throw new Refusal(404, 'NoSuchBucket');
    const { headers } = request;
    const query = url.searchParams;
    answer = answerTo({ method, key, query, headers, body: Buffer.concat(chunks), bucket });
    if (fault === 'error_after') throw new Refusal(500, 'InternalError');
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const body = xml('Error', [
      ['Code', error.code],
      ['Message', error.message],
    ]);
    answer = { status: error.status, headers: XML, body };
  }
  if (fault === 'silence_after') return;
  if (fault === 'reset_after') {
    request.socket.destroy();
    return;
  }
  response.writeHead(answer.status, answer.headers);
  response.end(method === 'HEAD' ? undefined : answer.body);
}

function operationOf(method: string, key: string, query: URLSearchParams): Operation {
  if (method === 'PUT') return 'put';
  if (key === '') return query.has('versions') ? 'versions' : 'list';
  return 'get';
}

const XML = { 'content-type': 'application/xml' };

function answerTo(call: Call): Answer {
  const { method, key, query } = call;
  if (key === '') return query.has('versions') ? listVersions(call) : listObjects(call);
  if (query.has('retention')) return method === 'PUT' ? putRetention(call) : getRetention(call);
  if (query.has('legal-hold')) return method === 'PUT' ? putLegalHold(call) : getLegalHold(call);
  if (method === 'PUT') return putObject(call);
  if (method === 'DELETE') return deleteObject(call);
  if (method === 'GET' || method === 'HEAD') return getObject(call);
  throw new Refusal(405, 'MethodNotAllowed');
}

// --- objects -----------------------------------------------------------------------------------

function header({ headers }: Call, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function putObject(call: Call): Answer {
  const { body, bucket, key } = call;
  const expected = header(call, 'x-amz-checksum-sha256');
  const digest = createHash('sha256').update(body).digest();
  if (expected !== undefined && expected !== digest.toString('base64')) {
    throw new Refusal(400, 'BadDigest');
  }
  const payload = header(call, 'x-amz-content-sha256');
  if (
    payload !== undefined &&
    /^[0-9a-f]{64}$/.test(payload) &&
    payload !== digest.toString('hex')
  ) {
    throw new Refusal(400, 'XAmzContentSHA256Mismatch');
  }
  const mode = header(call, 'x-amz-object-lock-mode') as LockMode | undefined;
  const until = header(call, 'x-amz-object-lock-retain-until-date');
  if (mode !== undefined && expected === undefined) throw new Refusal(400, 'InvalidRequest');
  const version = bucket.put(key, body, {
    ifAbsent: header(call, 'if-none-match') === '*',
    retention: mode && until ? { mode, untilMs: Date.parse(until) } : null,
    legalHold: header(call, 'x-amz-object-lock-legal-hold') === 'ON',
  });
  return { status: 200, headers: { 'x-amz-version-id': version.versionId } };
}

function target({ bucket, key, query }: Call): Version {
  const versionId = query.get('versionId');
  if (versionId !== null) return bucket.version(key, versionId);
  const current = bucket.current(key);
  if (current === null) throw new Refusal(404, 'NoSuchKey');
  return current;
}

function getObject(call: Call): Answer {
  const version = target(call);
  if (version.bytes === null) throw new Refusal(405, 'MethodNotAllowed');
  const { bytes, versionId, retention, lastModifiedMs } = version;
  const headers: Record<string, string> = {
    'x-amz-version-id': versionId,
    'last-modified': new Date(lastModifiedMs).toUTCString(),
    'content-type': 'application/avro',
  };
  if (retention !== null) {
    headers['x-amz-object-lock-mode'] = retention.mode;
    headers['x-amz-object-lock-retain-until-date'] = new Date(retention.untilMs).toISOString();
  }
  const range = /^bytes=(\d+)-(\d+)$/.exec(header(call, 'range') ?? '');
  if (range === null) {
    return {
      status: 200,
      headers: { ...headers, 'content-length': String(bytes.length) },
      body: bytes,
    };
  }
  const from = Number(range[1]);
  if (from >= bytes.length) throw new Refusal(416, 'InvalidRange');
  const to = Math.min(Number(range[2]), bytes.length - 1);
  headers['content-range'] = `bytes ${from}-${to}/${bytes.length}`;
  headers['content-length'] = String(to - from + 1);
  return { status: 206, headers, body: bytes.subarray(from, to + 1) };
}

function deleteObject(call: Call): Answer {
  const { bucket, key, query } = call;
  const bypassGovernance = header(call, 'x-amz-bypass-governance-retention') === 'true';
  const removed = bucket.remove(key, query.get('versionId') ?? undefined, { bypassGovernance });
  const marker = removed.bytes === null ? { 'x-amz-delete-marker': 'true' } : {};
  return { status: 204, headers: { 'x-amz-version-id': removed.versionId, ...marker } };
}

function putRetention(call: Call): Answer {
  const version = target(call);
  const text = call.body.toString('utf8');
  const mode = /<Mode>(\w+)<\/Mode>/.exec(text)?.[1] as LockMode | undefined;
  const until = /<RetainUntilDate>([^<]+)</.exec(text)?.[1];
  if (mode === undefined || until === undefined) throw new Refusal(400, 'MalformedXML');
  const retention: Retention = { mode, untilMs: Date.parse(until) };
  const bypassGovernance = header(call, 'x-amz-bypass-governance-retention') === 'true';
  call.bucket.setRetention(call.key, version.versionId, retention, { bypassGovernance });
  return { status: 200 };
}

function getRetention(call: Call): Answer {
  const { retention } = target(call);
  if (retention === null) throw new Refusal(404, 'NoSuchObjectLockConfiguration');
  const body = xml('Retention', [
    ['Mode', retention.mode],
    ['RetainUntilDate', new Date(retention.untilMs).toISOString()],
  ]);
  return { status: 200, headers: XML, body };
}

function putLegalHold(call: Call): Answer {
  const version = target(call);
  const on = call.body.toString('utf8').includes('<Status>ON</Status>');
  call.bucket.setLegalHold(call.key, version.versionId, on);
  return { status: 200 };
}

function getLegalHold(call: Call): Answer {
  const { legalHold } = target(call);
  const body = xml('LegalHold', [['Status', legalHold ? 'ON' : 'OFF']]);
  return { status: 200, headers: XML, body };
}

// --- lists -------------------------------------------------------------------------------------

function listObjects({ bucket, query }: Call): Answer {
  const prefix = query.get('prefix') ?? '';
  const max = Number(query.get('max-keys') ?? 1000);
  const after = query.get('start-after') ?? undefined;
  const keys = bucket.list(prefix, after, max);
  const contents = keys.map((key) => {
    const size = bucket.current(key)!.bytes!.length;
    return xml('Contents', [
      ['Key', key],
      ['Size', String(size)],
    ]);
  });
  const truncated = bucket.list(prefix, keys.at(-1) ?? after, 1).length > 0 && keys.length > 0;
  const body = xml('ListBucketResult', [['IsTruncated', String(truncated)]], contents.join(''));
  return { status: 200, headers: XML, body };
}

/** Small pages, so that clients must page. */
const VERSIONS_PAGE = 3;

function listVersions({ bucket, query }: Call): Answer {
  const keyMarker = query.get('key-marker');
  const versionMarker = query.get('version-id-marker');
  let all = bucket.versions(query.get('prefix') ?? '');
  if (keyMarker !== null) {
    const at = all.findIndex(
      ({ key, versionId }) => key > keyMarker || (key === keyMarker && versionId === versionMarker),
    );
    all = at < 0 ? [] : all.slice(all[at]!.key === keyMarker ? at + 1 : at);
  }
  const page = all.slice(0, VERSIONS_PAGE);
  const items = page.map(({ key, versionId, isLatest, bytes }) =>
    xml(bytes === null ? 'DeleteMarker' : 'Version', [
      ['Key', key],
      ['VersionId', versionId],
      ['IsLatest', String(isLatest)],
      ...(bytes === null ? [] : [['Size', String(bytes.length)] as [string, string]]),
    ]),
  );
  const last = page.at(-1);
  const isTruncated = all.length > page.length;
  const head: Array<[string, string]> = [['IsTruncated', String(isTruncated)]];
  if (isTruncated)
    head.push(['NextKeyMarker', last!.key], ['NextVersionIdMarker', last!.versionId]);
  return { status: 200, headers: XML, body: xml('ListVersionsResult', head, items.join('')) };
}

function xml(name: string, fields: Array<[string, string]>, inner = ''): string {
  const parts = fields.map(([field, value]) => `<${field}>${escapeXml(value)}</${field}>`);
  return `<${name}>${parts.join('')}${inner}</${name}>`;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
