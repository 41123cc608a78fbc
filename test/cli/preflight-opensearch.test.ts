/** The index templates that preflight looks for: of alerts, and of what the verifier finds. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { checkOpenSearch } from '../../services/cli/preflight-opensearch.ts';
import {
  alertTemplate,
  findingTemplate,
  type IndexTemplate,
} from '../../services/detector/alert/opensearch.ts';
import { configSchema } from '../../services/runtime/config.ts';

/** Knows these templates, and lets nobody make an index. */
async function startIndex(templates: readonly IndexTemplate[]) {
  const server = createServer((request, response) => {
    const found = templates.find(({ name }) => request.url === `/_index_template/${name}`);
    const answer = (status: number, body: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    if (request.url === '/') answer(200, { version: { number: '2.19.0' } });
    else if (found !== undefined)
      answer(200, { index_templates: [{ index_template: found.body }] });
    else answer(request.method === 'GET' ? 404 : 403, {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

const settings = configSchema.parse({}).opensearch;
const alerts = alertTemplate(settings);
const findings = findingTemplate(settings);
const older = {
  ...findings,
  body: { ...findings.body, _meta: { ...findings.body._meta, hash: '' } },
};

for (const [what, templates, expected] of [
  ['both', [alerts, findings], 'ok lakeseal-findings'],
  ['no template of findings', [alerts], 'failed it is not there'],
  ['an older one', [alerts, older], 'failed it is of another version or setting'],
] as const) {
  test(`an OpenSearch with ${what}`, async () => {
    const { url, close } = await startIndex(templates);
    try {
      const config = configSchema.parse({ opensearch: { nodes: [url] } });
      const checks = await checkOpenSearch(config, '1');
      const told = checks.map(({ check, outcome, detail, hint }) => {
        assert.ok(outcome === 'ok' || hint !== undefined);
        return [check, `${outcome} ${detail}`];
      });
      assert.deepEqual(told.slice(1, 3), [
        ['index template of alerts', 'ok lakeseal-alerts'],
        ['index template of findings', expected],
      ]);
      assert.equal(checks[3]!.outcome, 'unknown', 'alerts do not wait for the other template');
    } finally {
      close();
    }
  });
}
