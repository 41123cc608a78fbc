/** Alerts as OpenSearch has them, asked over plain HTTP, and as `lakeseal scan` finds them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import {
  installAlertTemplate,
  openSearchClient,
} from '../../services/detector/alert/opensearch.ts';
import { loadConfig } from '../../services/runtime/config.ts';
import { freshFetch } from '../stack/fresh-fetch.ts';
import { LAKESEAL_MAIN } from '../stack/service.ts';
import type { Scene } from './scene.ts';
import { until } from './wait.ts';

const PAGE = 5_000;
const MGET_MAX = 1_000;

export interface FoundAlert {
  /** Of the document, as OpenSearch knows it. */
  _id: string;
  _index: string;
  id: string;
  ruleId: string;
}

export async function ask(
  url: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await freshFetch(`${url}/${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(20_000),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

/** Puts the index template, as `lakeseal setup` does; a detector sends nothing before that. */
export async function installTemplate(env: Record<string, string>): Promise<void> {
  const config = loadConfig(undefined, env).opensearch;
  const client = openSearchClient(config);
  try {
    const { outcome } = await installAlertTemplate(client, config, { dryRun: false });
    assert.equal(outcome, 'made');
  } finally {
    await client.close();
  }
}

interface Hit {
  _id: string;
  _index: string;
  _source: { id: string; rule: { id: string } };
  sort: unknown[];
}

/** Every document of every alert index of this prefix. */
export async function readAlerts(url: string, prefix: string): Promise<FoundAlert[]> {
  await ask(url, 'POST', `${prefix}-*/_refresh`);
  const found: FoundAlert[] = [];
  let after: unknown[] | undefined;
  for (;;) {
    const { status, body } = await ask(url, 'POST', `${prefix}-*/_search`, {
      size: PAGE,
      _source: ['id', 'rule.id'],
      // Two documents of one id in two indices must not hide each other at the end of a page.
      sort: [{ id: { order: 'asc', unmapped_type: 'keyword' } }, { _index: 'asc' }],
      ...(after === undefined ? {} : { search_after: after }),
    });
    assert.equal(status, 200, JSON.stringify(body));
    const { hits } = body.hits as { hits: Hit[] };
    for (const { _id, _index, _source } of hits) {
      found.push({ _id, _index, id: _source.id, ruleId: _source.rule.id });
    }
    after = hits.at(-1)?.sort;
    if (hits.length < PAGE) return found;
  }
}

/**
 * The alerts of a scene, once all of these are there, and those that must not had time to come. Where
 * some never come: what is there by then, for the test to complain of.
 */
export async function judgedAlerts(
  { stack, alertIndexPrefix }: Scene,
  expected: Iterable<string>,
  limitMs: number,
): Promise<FoundAlert[]> {
  const read = () => readAlerts(stack.opensearchUrl, alertIndexPrefix);
  const wanted = [...expected];
  await until('all alerts are there', limitMs, async () => {
    const ids = new Set((await read()).map(({ id }) => id));
    return wanted.every((id) => ids.has(id));
  }).catch(() => {});
  return read();
}

/** The ids, after a check that no id stands twice, in one index or in two. */
export function assertOnce(alerts: readonly FoundAlert[]): Set<string> {
  const ids = new Set<string>();
  for (const { id, _id } of alerts) {
    assert.equal(_id, id);
    assert.ok(!ids.has(id), `alert ${id} is there twice`);
    ids.add(id);
  }
  return ids;
}

/** Fails with a few of the ids that are in only one of the two sets. */
export function assertSameIds(actual: Set<string>, expected: Set<string>, what: string): void {
  const missing = [...expected].filter((id) => !actual.has(id));
  const extra = [...actual].filter((id) => !expected.has(id));
  assert.deepEqual(
    { missing: missing.length, extra: extra.length, first: [...missing, ...extra].slice(0, 5) },
    { missing: 0, extra: 0, first: [] },
    what,
  );
}

export interface Expected {
  index: string;
  id: string;
}

/** How many of these, from the first on, are stored: a read that needs no refresh. */
export async function storedPrefix(url: string, alerts: readonly Expected[]): Promise<number> {
  for (let from = 0; from < alerts.length; from += MGET_MAX) {
    const docs = alerts
      .slice(from, from + MGET_MAX)
      .map(({ index, id }) => ({ _index: index, _id: id, _source: false }));
    const { status, body } = await ask(url, 'POST', '_mget', { docs });
    assert.equal(status, 200);
    const answers = body.docs as Array<{ found?: boolean; error?: { type?: string } }>;
    for (const { error } of answers) {
      // A shard that is being recovered has no answer; an index that is not there has none either.
      assert.ok(error === undefined || error.type === 'index_not_found_exception', error?.type);
    }
    const absent = answers.findIndex(({ found }) => found !== true);
    if (absent >= 0) return from + absent;
  }
  return alerts.length;
}

/** Runs `lakeseal scan --format json` and gives the alerts it prints. */
export async function scanFile(
  file: string,
  rules: string,
  flags: string[] = [],
): Promise<Map<string, string>> {
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    [LAKESEAL_MAIN, 'scan', file, '--format', 'json', '--rules', rules, ...flags],
    { maxBuffer: 256 * 1024 * 1024, env: { PATH: process.env.PATH ?? '' } },
  );
  // The rules of these tests speak of services that Databricks has not got.
  const said = stderr.split('\n').filter((line) => line !== '' && !/: warning: no /.test(line));
  assert.deepEqual(said, []);
  const ids = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    if (line === '') continue;
    const { id, rule } = JSON.parse(line) as { id: string; rule: { id: string } };
    assert.ok(!ids.has(id), `scan prints alert ${id} twice`);
    ids.set(id, rule.id);
  }
  return ids;
}
