/**
 * `lakeseal verifier` as it is wired: over HTTP to the double of the store, in which it may only read,
 * and to an OpenSearch that takes what it is told.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { runVerifier } from '../../services/cli/verifier.ts';
import { findingTemplate } from '../../services/detector/alert/opensearch.ts';
import { systemClock } from '../../services/runtime/clock.ts';
import { type Config, loadConfig } from '../../services/runtime/config.ts';
import { testContext } from '../collector/doubles.ts';
import { startDouble } from '../double/server.ts';
import { PREFIX, signer } from '../verifier/proof-archive.ts';
import { dataKey, replace, scene } from '../verifier/tamperings.ts';

const folder = mkdtempSync(join(tmpdir(), 'lakeseal-verifier-'));
after(() => rmSync(folder, { recursive: true }));

/** Tells of its template, and takes every document. */
async function startIndex(
  template: () => object,
  told: (document: Record<string, string>) => void,
) {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    response.setHeader('content-type', 'application/json');
    if (request.url!.startsWith('/_index_template/')) {
      response.end(JSON.stringify({ index_templates: [{ index_template: template() }] }));
      return;
    }
    const documents = body
      .trim()
      .split('\n')
      .filter((_, line) => line % 2 === 1);
    for (const text of documents) told(JSON.parse(text));
    response.end(JSON.stringify({ items: documents.map(() => ({ index: { status: 201 } })) }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('a process finds what was tampered with, tells it, and the next one does not tell it again', async () => {
  const archive = await scene();
  replace(archive.bucket, dataKey(3n), Buffer.from('forged'));
  const double = await startDouble({ buckets: new Map([['audit', archive.bucket]]) });
  after(() => double.close());
  archive.bucket.put = () => assert.fail('a write');
  let config: Config;
  const told: Array<Record<string, string>> = [];
  let enough = (): void => {};
  const node = await startIndex(
    () => findingTemplate(config.opensearch).body,
    (document) => {
      told.push(document);
      if (told.length >= 2) enough();
    },
  );
  config = loadConfig(undefined, {
    LAKESEAL_STORAGE_ENDPOINT: double.endpoint,
    LAKESEAL_STORAGE_PATH_STYLE: 'true',
    LAKESEAL_STORAGE_BUCKET: 'audit',
    LAKESEAL_STORAGE_PREFIX: PREFIX,
    LAKESEAL_STORAGE_ACCESS_KEY_ID: 'verifier',
    LAKESEAL_STORAGE_SECRET_ACCESS_KEY: 'verifier',
    LAKESEAL_OPENSEARCH_NODES: node,
    LAKESEAL_EVIDENCE_PUBLIC_KEYS: signer.verifier.vkey,
    LAKESEAL_VERIFIER_STATE_FOLDER: folder,
  });
  const first = new AbortController();
  enough = () => first.abort();
  await runVerifier(testContext(first.signal, systemClock, config));
  assert.deepEqual(
    told.map(({ code, key, status }) => [code, key, status]).sort(),
    [
      ['baseline_missing', 'baseline', 'open'],
      ['segment_altered', dataKey(3n), 'open'],
    ].sort(),
  );
  const ran = new AbortController();
  const context = testContext(ran.signal, systemClock, {
    ...config,
    verifier: { ...config.verifier, incrementalEveryMs: 1, postureEveryMs: 1 },
  });
  const runs = new Set<string>();
  context.health.ready = (check, ok) => {
    assert.ok(ok, check);
    runs.add(check);
    if (runs.size === 2) ran.abort();
  };
  await runVerifier(context);
  assert.equal(told.length, 2);
});
