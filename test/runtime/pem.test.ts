import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSearchClient } from '../../services/detector/alert/opensearch.ts';
import { createRegistryClient } from '../../services/ingest/registry-client.ts';
import { configSchema } from '../../services/runtime/config.ts';
import { readPem } from '../../services/runtime/pem.ts';

const ABSENT = '/no/such/ca.pem';
const failure = (code: string, key: string) => ({
  name: 'Failure',
  code,
  message: `cannot read ${ABSENT}`,
  hint: `Is ${key} right, and may this user read the file?`,
});

test('a file that cannot be read is a failure that names the setting', () => {
  assert.throws(() => readPem(ABSENT, 'kafka.certFile', 'X'), failure('X', 'kafka.certFile'));
  assert.match(readPem(import.meta.filename, 'any', 'X'), /^import assert/);
});

test('the registry and OpenSearch say so before they ask anything', () => {
  const { registry, opensearch } = configSchema.parse({
    registry: { caFile: ABSENT },
    opensearch: { caFile: ABSENT },
  });
  assert.throws(
    () => createRegistryClient(registry),
    failure('REGISTRY_TLS_FILE', 'registry.caFile'),
  );
  assert.throws(
    () => openSearchClient(opensearch),
    failure('OPENSEARCH_TLS_FILE', 'opensearch.caFile'),
  );
});
