/** Registration on a real registry: repeatable, BACKWARD, and it refuses what would break readers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SchemaRegistry } from '@kafkajs/confluent-schema-registry';
import { auditEventSchema } from '../../schemas/audit-event.ts';
import {
  registeredSchemaId,
  registerSchemas,
  SchemaCache,
} from '../../services/ingest/registry.ts';
import { silentLog } from '../../services/runtime/log.ts';
import { freshFetch } from '../stack/fresh-fetch.ts';
import { useStack } from '../stack/use.ts';

const stack = await useStack();
const config = { url: stack.registryUrl, timeoutMs: 10_000 };

async function compatibility(subject: string): Promise<string | undefined> {
  const response = await freshFetch(`${config.url}/config/${subject}?defaultToGlobal=false`);
  return ((await response.json()) as { compatibilityLevel?: string }).compatibilityLevel;
}

test('dry run, create, find again; the subject is BACKWARD by itself', async () => {
  const topic = stack.unique('schema');
  const schemas = [{ topic, schema: auditEventSchema }];
  const [planned] = await registerSchemas(config, schemas, { dryRun: true });
  assert.deepEqual(planned, {
    subject: `${topic}-value`,
    id: null,
    schema: 'would create',
    compatibility: 'would set',
  });
  await assert.rejects(registeredSchemaId(config, schemas[0]!), { code: 'SCHEMA_NOT_REGISTERED' });
  const [made] = await registerSchemas(config, schemas);
  assert.equal(made!.schema, 'created');
  assert.equal(made!.compatibility, 'set');
  assert.equal(await compatibility(`${topic}-value`), 'BACKWARD');
  const [again] = await registerSchemas(config, schemas);
  assert.deepEqual(again, { ...made, schema: 'found', compatibility: 'found' });
  assert.equal(await registeredSchemaId(config, schemas[0]!), made!.id);
});

test('a new required field, a changed type and a lost default are refused; a default is taken', async () => {
  const topic = stack.unique('evolution');
  await registerSchemas(config, [{ topic, schema: auditEventSchema }]);
  const changed = (change: (fields: Array<Record<string, unknown>>) => void): object => {
    const copy = structuredClone(auditEventSchema) as { fields: Array<Record<string, unknown>> };
    change(copy.fields);
    return copy;
  };
  const breaking = {
    'required field': changed((fields) => fields.push({ name: 'must', type: 'string' })),
    'changed type': changed((fields) => {
      fields.find(({ name }) => name === 'eventTime')!.type = 'string';
    }),
  };
  for (const [what, schema] of Object.entries(breaking)) {
    for (const dryRun of [true, false]) {
      await assert.rejects(
        registerSchemas(config, [{ topic, schema }], { dryRun }),
        { code: 'SCHEMA_INCOMPATIBLE' },
        `${what}, dry run ${dryRun}`,
      );
    }
    await assert.rejects(registeredSchemaId(config, { topic, schema }), {
      code: 'SCHEMA_NOT_REGISTERED',
    });
  }
  const harmless = changed((fields) =>
    fields.push({ name: 'later', type: ['null', 'string'], default: null }),
  );
  const [taken] = await registerSchemas(config, [{ topic, schema: harmless }]);
  assert.equal(taken!.schema, 'created');
});

test('what another client registers and encodes is read through the cache', async () => {
  const other = new SchemaRegistry({ host: config.url });
  const subject = `${stack.unique('other')}-value`;
  const schema = {
    type: 'record' as const,
    name: 'Other',
    namespace: 'example',
    fields: [{ name: 'user', type: 'string' }],
  };
  const { id } = await other.register(schema, { subject });
  const value = await other.encode(id, { user: 'somebody@example.com' });
  const cache = new SchemaCache(config, { log: silentLog });
  const [audit] = await registerSchemas(config, [
    { topic: stack.unique('audit'), schema: auditEventSchema },
  ]);
  await cache.warm([id, audit!.id!, 2_000_000_000]);
  const type = cache.get(value.readUInt32BE(1));
  assert.ok(typeof type === 'object');
  assert.equal(type.fromBuffer(value.subarray(5)).user, 'somebody@example.com');
  assert.equal(cache.get(2_000_000_000), 'unknown');
  assert.ok(typeof cache.get(audit!.id!) === 'object');
  cache.close();
});
