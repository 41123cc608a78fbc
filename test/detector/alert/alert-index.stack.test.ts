/** The alert index of a real OpenSearch takes every alert that can be made (promise D4). */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Client } from '@opensearch-project/opensearch';
import fc from 'fast-check';
import { alertIndex, alertJson, alertOf } from '../../../services/detector/alert/alert.ts';
import { verdictOf } from '../../../services/detector/alert/bulk.ts';
import {
  alertTemplate,
  countAlerts,
  installAlertTemplate,
  listAlerts,
  openSearchClient,
  refreshAlerts,
  sendBulk,
  templateState,
} from '../../../services/detector/alert/opensearch.ts';
import { bulkAction } from '../../../services/detector/alert/send.ts';
import { loadRules, SHIPPED_LISTS, SHIPPED_RULES } from '../../../services/detector/sigma/rules.ts';
import type { AuditEvent } from '../../../services/ingest/event.ts';
import { type Config, configSchema } from '../../../services/runtime/config.ts';
import { useStack } from '../../stack/use.ts';
import { ACTOR, auditEvent, withParams } from '../events.ts';

let config: Config['opensearch'];
let client: Client;

before(async () => {
  const stack = await useStack();
  config = configSchema.parse({
    opensearch: {
      nodes: [stack.opensearchUrl],
      alertIndexPrefix: stack.unique('index').toLowerCase(),
      replicas: 0,
    },
  }).opensearch;
  client = openSearchClient(config);
});

after(async () => {
  await client?.indices.delete({ index: `${config.alertIndexPrefix}-*` });
  await client?.indices.deleteIndexTemplate({ name: config.alertIndexPrefix });
  await client?.close();
});

const loaded = loadRules({ layers: [SHIPPED_RULES], lists: [SHIPPED_LISTS], nowMs: 0 });
const rule = loaded.ok ? loaded.set.rules[0]! : assert.fail('the shipped rules load');
const ADDRESS = { topic: 'events', partition: 3, offset: 9_007_199_254_740_993n };

async function send(events: AuditEvent[]): Promise<void> {
  const lines = events.flatMap((event) => {
    const alert = alertOf(rule, event, ADDRESS);
    const action = { _index: alertIndex(config.alertIndexPrefix, alert), _id: alert.id };
    return [JSON.stringify({ create: action }), alertJson(alert)];
  });
  const answer = await sendBulk(client, lines);
  assert.equal(answer.kind, 'items', JSON.stringify(answer));
  for (const [index, item] of answer.kind === 'items' ? answer.items.entries() : []) {
    const told = `${JSON.stringify(item)} for ${lines[index * 2 + 1]}`;
    assert.equal(verdictOf(item), 'stored', told.slice(0, 2_000));
  }
}

describe('alert index', () => {
  it('is set up once, says what it would do, and leaves an index alone that is right', async () => {
    const dry = await installAlertTemplate(client, config, { dryRun: true });
    assert.equal(dry.outcome, 'would make');
    assert.equal(await templateState(client, alertTemplate(config)), 'missing');
    assert.equal((await installAlertTemplate(client, config, { dryRun: false })).outcome, 'made');
    assert.equal((await installAlertTemplate(client, config, { dryRun: false })).outcome, 'found');
    const changed = { ...config, shards: 2 };
    assert.equal(await templateState(client, alertTemplate(changed)), 'different');
    const would = await installAlertTemplate(client, changed, { dryRun: true });
    assert.equal(would.outcome, 'would change');
    const did = await installAlertTemplate(client, changed, { dryRun: false });
    assert.equal(did.outcome, 'changed');
    await installAlertTemplate(client, config, { dryRun: false });
  });

  it('gives no alert where there is no index yet', async () => {
    assert.equal(await countAlerts(client, config, null), 0);
    assert.deepEqual(await listAlerts(client, config, { sinceMs: null, max: 10 }), []);
  });

  it('takes the awkward events', async () => {
    const long = 'x'.repeat(200_000);
    const wide = '\u{1f600}'.repeat(5_000);
    const params: Array<Record<string, string>> = [
      {
        '': 'empty name',
        '.': 'dot',
        '..': 'dots',
        'a.b': '1',
        a: '2',
        'a..b': '3',
        '.a': '4',
        'a.': '5',
      },
      { [long]: long, short: wide },
      {
        ' ': 'space',
        '\u0000': 'nul',
        '\ud800': 'half \udc00',
        'a*b': 'star',
        _id: 'x',
        _source: 'y',
      },
      { ['__proto__']: 'p', constructor: 'c', toString: 't' },
      { nested: '{"a":{"b":[1,2]}}', number: '1e400', ip: '::1%0' },
      Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`key${n}`, `value${n}`])),
    ];
    const events = params.map((one, n) => ({ ...withParams(one), eventId: `awkward-${n}` }));
    const others: Array<Partial<AuditEvent>> = [
      { eventTime: 1 },
      { eventTime: 253_402_300_799_999 },
      { sourceIp: 'not an address', sourcePort: 99_999 },
      { sourceIp: '::1', userAgent: wide },
      { response: { statusCode: 2_147_483_647, errorMessage: long, result: long } },
      { response: null, outcome: 'unknown', workspaceId: null, accountId: null },
      { serviceName: long, actionName: wide, eventId: long },
      { actor: { ...ACTOR, name: long, email: wide } },
    ];
    events.push(...others.map((one, n) => auditEvent({ eventId: `other-${n}`, ...one })));
    await send(events);
  });

  it('takes any request parameters', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 });
    const dictionary = fc.dictionary(
      fc.oneof(text, fc.constantFrom('a', 'a.b', 'a.b.c', 'b')),
      text,
      {
        maxKeys: 6,
      },
    );
    const many = fc.sample(dictionary, { numRuns: 400, seed: 5 });
    await send(many.map((one, n) => ({ ...withParams(one), eventId: `random-${n}` })));
  });

  it('keeps all digits of an offset, and finds alerts by a request parameter', async () => {
    const event = { ...withParams({ targetUserName: 'needle@example.com' }), eventId: 'needle' };
    await send([event]);
    await refreshAlerts(client, config);
    const { body } = await client.search({
      index: `${config.alertIndexPrefix}-*`,
      body: {
        query: { term: { 'requestParams.targetUserName': { value: 'needle@example.com' } } },
        docvalue_fields: ['evidence.offset'],
      },
    });
    assert.equal(body.hits.hits.length, 1);
    const range = await client.count({
      index: `${config.alertIndexPrefix}-*`,
      body: { query: { term: { 'evidence.offset': '9007199254740993' as unknown as number } } },
    });
    assert.ok(range.body.count > 1);
    const other = await client.count({
      index: `${config.alertIndexPrefix}-*`,
      body: { query: { term: { 'evidence.offset': '9007199254740992' as unknown as number } } },
    });
    assert.equal(other.body.count, 0);
  });

  it('lists newest first and counts by time', async () => {
    const recent = Date.UTC(2026, 11, 1);
    await send([auditEvent({ eventId: 'recent', eventTime: recent })]);
    await refreshAlerts(client, config);
    assert.equal(await countAlerts(client, config, recent), 1);
    const [first] = await listAlerts(client, config, { sinceMs: recent, max: 5 });
    assert.equal(first?.index, `${config.alertIndexPrefix}-2026.12`);
    assert.equal(first?.rule.id, rule.id);
    assert.equal(first?.actor, 'alice@example.com');
  });

  it('refuses a field that the template does not know', async () => {
    const alert = { ...alertOf(rule, auditEvent({ eventId: 'odd' }), ADDRESS), odd: 1 };
    const index = alertIndex(config.alertIndexPrefix, alert);
    const create = JSON.stringify({ create: { _index: index, _id: alert.id } });
    const answer = await sendBulk(client, [create, alertJson(alert)]);
    assert.ok(answer.kind === 'items');
    assert.equal(answer.items[0]!.errorType, 'strict_dynamic_mapping_exception');
    assert.equal(verdictOf(answer.items[0]!), 'rejected');
  });

  it('replaces an alert that is brought up to date by a higher revision only', async () => {
    const alert = alertOf(rule, auditEvent({ eventId: 'revised' }), ADDRESS);
    const index = alertIndex(config.alertIndexPrefix, alert);
    const lines = [2, 1, 2, 5].flatMap((revision) => [
      bulkAction({ index, id: alert.id, revision }),
      alertJson({ ...alert, count: revision, revision, reason: `revision ${revision}` }),
    ]);
    const answer = await sendBulk(client, lines);
    assert.ok(answer.kind === 'items');
    const verdicts = answer.items.map(verdictOf);
    assert.deepEqual(verdicts, ['stored', 'duplicate', 'duplicate', 'stored']);
    const { body } = await client.get({ index, id: alert.id });
    assert.equal((body._source as { count: number }).count, 5);
  });

  it('says 409 for an alert that is there', async () => {
    const alert = alertOf(rule, auditEvent({ eventId: 'twice' }), ADDRESS);
    const index = alertIndex(config.alertIndexPrefix, alert);
    const create = JSON.stringify({ create: { _index: index, _id: alert.id } });
    const answer = await sendBulk(client, [create, alertJson(alert), create, alertJson(alert)]);
    assert.ok(answer.kind === 'items');
    assert.deepEqual(answer.items.map(verdictOf), ['stored', 'duplicate']);
  });

  it('gives a closed or blocked index for a reason to try again', async () => {
    const alert = alertOf(
      rule,
      auditEvent({ eventId: 'closed', eventTime: Date.UTC(2025, 0, 1) }),
      ADDRESS,
    );
    const index = alertIndex(config.alertIndexPrefix, alert);
    const create = (id: string): string => JSON.stringify({ create: { _index: index, _id: id } });
    await sendBulk(client, [create('first'), alertJson(alert)]);
    const verdict = async (id: string): Promise<string> => {
      const answer = await sendBulk(client, [create(id), alertJson(alert)]);
      assert.ok(answer.kind === 'items', JSON.stringify(answer));
      return verdictOf(answer.items[0]!);
    };
    await client.indices.putSettings({ index, body: { 'index.blocks.write': true } });
    assert.equal(await verdict('blocked'), 'retry');
    await client.indices.putSettings({ index, body: { 'index.blocks.write': false } });
    await client.indices.close({ index });
    assert.equal(await verdict('closed'), 'retry');
    await client.indices.open({ index });
    assert.equal(await verdict('open'), 'stored');
  });
});
