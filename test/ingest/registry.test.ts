/** The schema cache against a registry that misbehaves, and registration against one that refuses. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, describe, test } from 'node:test';
import {
  BREAK_MS,
  LOOKUPS_PER_WINDOW,
  registeredSchemaId,
  registerSchemas,
  SchemaCache,
  UNKNOWN_TTL_MS,
  WINDOW_MS,
} from '../../services/ingest/registry.ts';
import type { Answer, RegistryClient } from '../../services/ingest/registry-client.ts';
import type { Clock } from '../../services/runtime/clock.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { silentLog } from '../../services/runtime/log.ts';

const CONFIG = { url: 'http://127.0.0.1:1', timeoutMs: 1_000 };
const SCHEMA = { type: 'record', name: 'Event', fields: [{ name: 'id', type: 'string' }] };

interface Fake {
  client: RegistryClient;
  asked: string[];
  answers: Map<string, Answer | Promise<Answer>>;
}

function fakeClient(): Fake {
  const asked: string[] = [];
  const answers = new Map<string, Answer | Promise<Answer>>();
  const client: RegistryClient = {
    call: async (method, path) => {
      asked.push(`${method} ${path}`);
      return (await answers.get(path)) ?? { status: 404, body: { error_code: 40403 } };
    },
    close: () => {},
  };
  return { client, asked, answers };
}

function clockAt(start = 1_000_000): Clock & { advance(ms: number): void } {
  let now = start;
  return {
    now: () => now,
    sleep: async () => {},
    advance: (ms) => {
      now += ms;
    },
  };
}

function cacheOn({ client }: Fake, clock = clockAt()): SchemaCache {
  return new SchemaCache(CONFIG, { log: silentLog, client, clock });
}

const found = (schema: object, extra: object = {}): Answer => ({
  status: 200,
  body: { schema: JSON.stringify(schema), ...extra },
});

describe('schema cache', () => {
  test('undefined until warm, then the type, asked once however often and at once', async () => {
    const fake = fakeClient();
    fake.answers.set('/schemas/ids/7', found(SCHEMA));
    const cache = cacheOn(fake);
    assert.equal(cache.get(7), undefined);
    assert.equal(cache.text(7), undefined);
    await Promise.all([cache.warm([7, 7]), cache.warm([7]), cache.warm([7])]);
    const type = cache.get(7);
    assert.ok(typeof type === 'object');
    const datum = type.toBuffer({ id: 'x' });
    assert.deepEqual({ ...type.fromBuffer(datum) }, { id: 'x' });
    assert.equal(cache.text(7), JSON.stringify(SCHEMA));
    await cache.warm([7]);
    assert.deepEqual(fake.asked, ['GET /schemas/ids/7']);
  });

  test('"no such schema" is believed for a while, then asked again', async () => {
    const fake = fakeClient();
    const clock = clockAt();
    const cache = cacheOn(fake, clock);
    await cache.warm([8]);
    await cache.warm([8]);
    assert.equal(cache.get(8), 'unknown');
    assert.equal(fake.asked.length, 1);
    clock.advance(UNKNOWN_TTL_MS);
    assert.equal(cache.get(8), undefined);
    fake.answers.set('/schemas/ids/8', found(SCHEMA));
    await cache.warm([8]);
    assert.ok(typeof cache.get(8) === 'object');
  });

  test('ids that no registry gives are unknown without being asked', async () => {
    const fake = fakeClient();
    const cache = cacheOn(fake);
    const ids = [-1, 2 ** 31, 2 ** 32 - 1, 0.5, Number.NaN];
    await cache.warm(ids);
    for (const id of ids) assert.equal(cache.get(id), 'unknown', `${id}`);
    assert.deepEqual(fake.asked, []);
  });

  test('ids that an attacker makes up cost a bounded number of look-ups, known ones stay', async () => {
    const fake = fakeClient();
    fake.answers.set('/schemas/ids/1', found(SCHEMA));
    const clock = clockAt();
    const cache = cacheOn(fake, clock);
    await cache.warm([1]);
    const flood = Array.from({ length: 5_000 }, (_, i) => 1_000 + i);
    await cache.warm(flood);
    assert.equal(fake.asked.length, LOOKUPS_PER_WINDOW);
    const answers = new Set(flood.map((id) => cache.get(id)));
    assert.deepEqual(answers, new Set(['unknown', 'unavailable']));
    assert.ok(typeof cache.get(1) === 'object');
    clock.advance(WINDOW_MS);
    assert.equal(cache.get(5_999), undefined);
    await cache.warm([5_999]);
    assert.equal(cache.get(5_999), 'unknown');
    assert.equal(fake.asked.length, LOOKUPS_PER_WINDOW + 1);
  });

  for (const [what, answer] of [
    ['no connection', () => Promise.reject(new Failure('down', { code: 'REGISTRY_UNREACHABLE' }))],
    ['500', () => ({ status: 500, body: null })],
    ['401', () => ({ status: 401, body: null })],
    ['429', () => ({ status: 429, body: null })],
    ['200 without JSON', () => ({ status: 200, body: null })],
  ] as Array<[string, () => Answer | Promise<Answer>]>) {
    test(`${what}: unavailable, and nothing is asked for a while`, async () => {
      const fake = fakeClient();
      const clock = clockAt();
      const cache = cacheOn(fake, clock);
      fake.client.call = async (method, path) => {
        fake.asked.push(`${method} ${path}`);
        return answer();
      };
      await cache.warm(Array.from({ length: 100 }, (_, i) => i));
      assert.ok(fake.asked.length <= 8, `${fake.asked.length} look-ups`);
      for (let id = 0; id < 100; id++) assert.equal(cache.get(id), 'unavailable');
      const before = fake.asked.length;
      await cache.warm([3, 4]);
      assert.equal(fake.asked.length, before);
      clock.advance(BREAK_MS);
      assert.equal(cache.get(3), undefined);
    });
  }

  test('what is not Avro, or no schema, or hostile, is unknown', async () => {
    const fake = fakeClient();
    fake.answers.set('/schemas/ids/1', found({}, { schemaType: 'JSON' }));
    fake.answers.set('/schemas/ids/2', found({ type: 'nonsense' }));
    const deep = `${'{"type":"array","items":'.repeat(5_000)}"int"${'}'.repeat(5_000)}`;
    fake.answers.set('/schemas/ids/3', { status: 200, body: { schema: deep } });
    const references = [{ name: 'lake.Actor', subject: 'a', version: 1 }];
    fake.answers.set('/schemas/ids/5', { status: 200, body: { schema: deep, references } });
    fake.answers.set('/subjects/a/versions/1', found({ type: 'string' }));
    fake.answers.set('/schemas/ids/4', { status: 200, body: { schema: '{"type":' } });
    const cache = cacheOn(fake);
    await cache.warm([1, 2, 3, 4, 5]);
    for (const id of [1, 2, 3, 4, 5]) assert.equal(cache.get(id), 'unknown', `${id}`);
  });

  test('schema references are put in, each once', async () => {
    const fake = fakeClient();
    const actor = {
      type: 'record',
      name: 'lake.Actor',
      fields: [{ name: 'name', type: 'string' }],
    };
    const event = {
      type: 'record',
      name: 'lake.Event',
      fields: [
        { name: 'by', type: 'lake.Actor' },
        { name: 'for', type: ['null', 'lake.Actor'] },
      ],
    };
    const references = [{ name: 'lake.Actor', subject: 'actor/value', version: 2 }];
    fake.answers.set('/schemas/ids/1', found(event, { references }));
    fake.answers.set('/subjects/actor%2Fvalue/versions/2', found(actor));
    const cache = cacheOn(fake);
    await cache.warm([1]);
    const type = cache.get(1);
    assert.ok(typeof type === 'object', String(type));
    const value = { by: { name: 'a' }, for: null };
    assert.deepEqual(JSON.parse(JSON.stringify(type.fromBuffer(type.toBuffer(value)))), value);
    assert.deepEqual(JSON.parse(cache.text(1)!).fields[0].type, actor);
  });
});

describe('a real HTTP server', () => {
  const handlers = new Map<string, (url: string) => [number, string] | 'hang'>();
  const requests: Array<{ path: string; authorization: string | undefined }> = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    requests.push({ path, authorization: request.headers.authorization });
    for (const [prefix, handler] of handlers) {
      if (!path.startsWith(prefix)) continue;
      const answer = handler(path);
      if (answer === 'hang') return;
      response.writeHead(answer[0], { 'content-type': 'application/json' }).end(answer[1]);
      return;
    }
    response.writeHead(404).end('{"message":"no"}');
  });
  const listening = once(server.listen(0, '127.0.0.1'), 'listening');
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  const configFor = async (timeoutMs: number): Promise<typeof CONFIG> => {
    await listening;
    const { port } = server.address() as { port: number };
    return { url: `http://127.0.0.1:${port}/base/`, timeoutMs };
  };

  test('one that hangs costs one time limit for all ids', async () => {
    handlers.set('/base/schemas/ids/9', () => 'hang');
    const cache = new SchemaCache(await configFor(300), { log: silentLog });
    const since = performance.now();
    await cache.warm(Array.from({ length: 100 }, (_, i) => 900 + i));
    const tookMs = performance.now() - since;
    assert.ok(tookMs >= 290 && tookMs < 600, `${tookMs} ms`);
    assert.equal(cache.get(999), 'unavailable');
    cache.close();
  });

  test('base path, login, percent-encoding', async () => {
    handlers.set('/base/subjects/a%2Fb-value', () => [200, '{"id":5}']);
    const config = { ...(await configFor(2_000)), username: 'me', password: 'pass:word' };
    assert.equal(await registeredSchemaId(config, { topic: 'a/b', schema: SCHEMA }), 5);
    const expected = `Basic ${Buffer.from('me:pass:word').toString('base64')}`;
    assert.equal(requests.at(-1)!.authorization, expected);
  });

  test('an answer without end is cut off', async () => {
    handlers.set('/base/schemas/ids/77', () => [200, 'x'.repeat(9 * 1024 * 1024)]);
    const cache = new SchemaCache(await configFor(5_000), { log: silentLog });
    await cache.warm([77]);
    assert.equal(cache.get(77), 'unavailable');
    cache.close();
  });

  test('failures say what happened', async () => {
    const config = await configFor(2_000);
    await assert.rejects(registeredSchemaId(config, { topic: 'none', schema: SCHEMA }), {
      code: 'SCHEMA_NOT_REGISTERED',
    });
    handlers.set('/base/config/locked', () => [403, '{"message":"not yours"}']);
    await assert.rejects(registerSchemas(config, [{ topic: 'locked', schema: SCHEMA }]), {
      code: 'REGISTRY_UNAUTHORIZED',
      message: /not yours \(HTTP 403\)/,
    });
    await assert.rejects(registerSchemas(CONFIG, [{ topic: 't', schema: SCHEMA }]), {
      code: 'REGISTRY_UNREACHABLE',
    });
  });
});
