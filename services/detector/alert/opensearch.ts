/**
 * The edge to OpenSearch: the only file of the detector that speaks its protocol. Requests are not
 * retried by the client library (the alert sender retries, per document); every failure comes out
 * as a value or as `Failure`.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Client } from '@opensearch-project/opensearch';
import type { Config } from '../../runtime/config.ts';
import { Failure } from '../../runtime/errors.ts';
import { readPem } from '../../runtime/pem.ts';
import type { Level } from '../sigma/rule.ts';
import type { BulkAnswer, BulkItem } from './bulk.ts';

type OpenSearchConfig = Config['opensearch'];

const TEMPLATES = new URL('../../../schemas/index-templates/', import.meta.url);

/** What is asked of each bulk answer, to keep it small. */
const BULK_FILTER = [
  'took',
  'errors',
  'items.*.status',
  'items.*.error.type',
  'items.*.error.reason',
].join(',');

const REASON_CHARS_MAX = 500;

export function openSearchClient(config: OpenSearchConfig): Client {
  const { username, password, caFile } = config;
  return new Client({
    nodes: config.nodes,
    maxRetries: 0,
    requestTimeout: config.timeoutMs,
    ...(username === undefined ? {} : { auth: { username, password: password ?? '' } }),
    ...(caFile === undefined
      ? {}
      : { ssl: { ca: readPem(caFile, 'opensearch.caFile', 'OPENSEARCH_TLS_FILE') } }),
  });
}

/** One bulk request of prepared lines. Never rejects. */
export async function sendBulk(client: Client, lines: string[]): Promise<BulkAnswer> {
  try {
    const { body } = await client.bulk(
      { body: lines as unknown as Record<string, unknown>[], filter_path: [BULK_FILTER] },
      { maxRetries: 0 },
    );
    return readBulk(body);
  } catch (error) {
    return { kind: 'failed', ...describeError(error) };
  }
}

/** Total: a proxy may answer 200 with anything. */
export function readBulk(body: unknown): BulkAnswer {
  const items = (body as { items?: unknown } | null)?.items;
  if (!Array.isArray(items)) {
    return { kind: 'failed', status: null, reason: 'an answer that is not of a bulk request' };
  }
  return { kind: 'items', items: items.map(readItem) };
}

function readItem(item: unknown): BulkItem {
  // Under the name of what was asked for: `create` of a new alert, `index` of a later revision.
  const { create, index } = (item ?? {}) as Record<string, Record<string, unknown> | undefined>;
  const done = create ?? index;
  const error = done?.error as { type?: unknown; reason?: unknown } | undefined;
  return {
    status: typeof done?.status === 'number' ? done.status : 0,
    errorType: typeof error?.type === 'string' ? error.type : null,
    errorReason: typeof error?.reason === 'string' ? error.reason.slice(0, REASON_CHARS_MAX) : null,
  };
}

function describeError(error: unknown): { status: number | null; reason: string } {
  const { statusCode, message, name } = error as {
    statusCode?: number;
    message?: string;
    name?: string;
  };
  const status = typeof statusCode === 'number' ? statusCode : null;
  return { status, reason: `${name ?? 'error'}: ${message ?? ''}`.slice(0, REASON_CHARS_MAX) };
}

export interface IndexTemplate {
  name: string;
  /** What it is of, in words: `alerts`. */
  of: string;
  body: {
    index_patterns: string[];
    priority: number;
    template: { settings: Record<string, unknown>; mappings: Record<string, unknown> };
    _meta: { hash: string; managed_by: string };
  };
}

/** The index template of alerts under this configuration. Strict: no field is added by itself. */
export function alertTemplate(config: OpenSearchConfig): IndexTemplate {
  const { alertIndexPrefix } = config;
  return shippedTemplate('alerts', alertIndexPrefix, `${alertIndexPrefix}-*`, config);
}

/** The same, of what the verifier found. */
export function findingTemplate(config: OpenSearchConfig): IndexTemplate {
  return shippedTemplate('findings', config.findingIndex, config.findingIndex, config);
}

function shippedTemplate(
  of: string,
  name: string,
  pattern: string,
  config: OpenSearchConfig,
): IndexTemplate {
  const shipped = JSON.parse(readFileSync(new URL(`${of}.json`, TEMPLATES), 'utf8'));
  shipped.index_patterns = [pattern];
  shipped.template.settings.index.number_of_shards = config.shards;
  shipped.template.settings.index.number_of_replicas = config.replicas;
  const hash = createHash('sha256').update(JSON.stringify(shipped)).digest('hex');
  return {
    name,
    of,
    body: { ...shipped, _meta: { hash, managed_by: 'lakeseal' } },
  };
}

export type TemplateState = 'missing' | 'different' | 'current';

/** Throws `Failure` where OpenSearch cannot be asked. */
export async function templateState(
  client: Client,
  template: IndexTemplate,
): Promise<TemplateState> {
  try {
    const { body } = await client.indices.getIndexTemplate({ name: template.name });
    const found = body.index_templates[0]?.index_template as
      | { _meta?: { hash?: string } }
      | undefined;
    return found?._meta?.hash === template.body._meta.hash ? 'current' : 'different';
  } catch (error) {
    if (describeError(error).status === 404) return 'missing';
    throw openSearchFailure(`cannot read the index template of ${template.of}`, error);
  }
}

export interface SetupStep {
  what: string;
  outcome: 'found' | 'made' | 'changed' | 'would make' | 'would change';
}

export async function installAlertTemplate(
  client: Client,
  config: OpenSearchConfig,
  options: { dryRun: boolean },
): Promise<SetupStep> {
  return installTemplate(client, alertTemplate(config), options);
}

/**
 * Puts the index template, only where it is missing or different, and gives indices that are there
 * already the fields they lack. Safe to run again. With `dryRun` nothing is written.
 */
export async function installTemplate(
  client: Client,
  template: IndexTemplate,
  options: { dryRun: boolean },
): Promise<SetupStep> {
  const what = `OpenSearch index template ${template.name}`;
  const state = await templateState(client, template);
  if (state === 'current') return { what, outcome: 'found' };
  const missing = state === 'missing';
  if (options.dryRun) return { what, outcome: missing ? 'would make' : 'would change' };
  try {
    await client.indices.putIndexTemplate({
      name: template.name,
      body: template.body as unknown as Record<string, unknown>,
    });
    await client.indices.putMapping({
      index: template.body.index_patterns[0]!,
      body: template.body.template.mappings,
      allow_no_indices: true,
      ignore_unavailable: true,
    });
  } catch (error) {
    if (describeError(error).status !== 404) {
      throw openSearchFailure(`cannot put the index template of ${template.of}`, error);
    }
  }
  return { what, outcome: missing ? 'made' : 'changed' };
}

/** An alert as it is read back. */
export interface StoredAlert {
  id: string;
  index: string;
  time: string;
  rule: { id: string; title: string; level: Level };
  actor: string;
  sourceIp: string | null;
  service: string;
  action: string;
  count: number;
  evidence: Array<{ topic: string; partition: number; offset: number; eventId: string }>;
}

/** Makes what was stored visible to searches. */
export async function refreshAlerts(client: Client, config: OpenSearchConfig): Promise<void> {
  await asked('refresh the alert indices', () =>
    client.indices.refresh({ index: allAlerts(config), ignore_unavailable: true }),
  );
}

/** Alerts whose event happened at or after `sinceMs` (all, where it is null). */
export async function countAlerts(
  client: Client,
  config: OpenSearchConfig,
  sinceMs: number | null,
): Promise<number> {
  const { body } = await asked('count alerts', () =>
    client.count({
      index: allAlerts(config),
      ignore_unavailable: true,
      body: { query: since(sinceMs) as Record<string, never> },
    }),
  );
  return body.count;
}

/** Newest events first; at most `max` (≤ 10,000). */
export async function listAlerts(
  client: Client,
  config: OpenSearchConfig,
  options: { sinceMs: number | null; max: number },
): Promise<StoredAlert[]> {
  const { body } = await asked('read alerts', () =>
    client.search({
      index: allAlerts(config),
      ignore_unavailable: true,
      body: {
        size: options.max,
        query: since(options.sinceMs) as Record<string, never>,
        sort: [{ '@timestamp': { order: 'desc' } }, { id: { order: 'asc' } }],
      },
    }),
  );
  return body.hits.hits.map((hit) => {
    const source = hit._source as Record<string, never>;
    const alert = source as unknown as {
      id: string;
      '@timestamp': string;
      rule: { id: string; title: string; level: Level };
      actor: { name: string };
      source: { ip: string | null };
      event: { service: string; action: string };
      count: number;
      evidence: StoredAlert['evidence'];
    };
    const { id, title, level } = alert.rule;
    return {
      id: alert.id,
      index: hit._index ?? '',
      time: alert['@timestamp'],
      rule: { id, title, level },
      actor: alert.actor.name,
      sourceIp: alert.source.ip,
      service: alert.event.service,
      action: alert.event.action,
      count: alert.count,
      evidence: alert.evidence,
    };
  });
}

function allAlerts(config: OpenSearchConfig): string {
  return `${config.alertIndexPrefix}-*`;
}

function since(sinceMs: number | null): Record<string, unknown> {
  if (sinceMs === null) return { match_all: {} };
  return { range: { '@timestamp': { gte: new Date(sinceMs).toISOString() } } };
}

async function asked<T>(what: string, request: () => PromiseLike<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    throw openSearchFailure(`cannot ${what}`, error);
  }
}

function openSearchFailure(message: string, cause: unknown): Failure {
  const { status, reason } = describeError(cause);
  if (status === 401 || status === 403) {
    return new Failure(`${message}: OpenSearch refused with ${status}`, {
      code: 'OPENSEARCH_DENIED',
      hint: 'check opensearch.username, opensearch.password and the rights of that user',
      cause,
    });
  }
  return new Failure(`${message}: ${reason}`, {
    code: status === null ? 'OPENSEARCH_UNREACHABLE' : 'OPENSEARCH_FAILED',
    hint:
      status === null
        ? 'is OpenSearch running, and do opensearch.nodes and opensearch.caFile fit it?'
        : 'see the log of OpenSearch',
    retryable: status === null || status === 429 || status >= 500,
    cause,
  });
}
