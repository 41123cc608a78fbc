/** The alert document: deterministic, whole, and in the form its schema and index say. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  alertId,
  alertIndex,
  alertJson,
  alertOf,
  CONTEXT_CHARS_MAX,
  contextOf,
  FIELD_CHARS_MAX,
  PARAMETER_CHARS_MAX,
  PARAMETERS_MAX,
  statefulAlertIndex,
  statefulAlertOf,
} from '../../../services/detector/alert/alert.ts';
import type { StatefulAlert } from '../../../services/detector/correlate/types.ts';
import { auditEvent, rulesOf, ruleText, withParams } from '../events.ts';

const [rule] = rulesOf(
  ruleText(
    'sel:\n  actionName: login\ncondition: sel',
    'tags: [attack.t1562.008, attack.defense_evasion, attack.credential-access, attack.g0001, cve.2021-1]\n',
  ),
);
const ADDRESS = { topic: 'events', partition: 3, offset: 9_007_199_254_740_993n };

const STATEFUL: StatefulAlert = {
  id: 'an-id',
  ruleId: rule!.id,
  group: [
    ['actor.name', 'alice@example.com'],
    ['a..b', 'x'.repeat(5_000)],
  ],
  periodMs: Date.UTC(2026, 9, 31, 23),
  first: Date.UTC(2026, 9, 31, 23, 59),
  last: Date.UTC(2026, 10, 1, 0, 10),
  count: 12,
  countIsLowerBound: false,
  evidence: [{ ...ADDRESS, eventId: 'event-1' }],
  reason: '12 events within 1 h, the limit is 5',
  context: contextOf(withParams({ scope: 'prod', token: 'hidden' })),
  revision: 12,
};

describe('alert of a stateful rule', () => {
  it('shows the event that decided, the group, what was counted and why', () => {
    const alert = statefulAlertOf(rule!, STATEFUL);
    assert.equal(alert['@timestamp'], '2026-11-01T00:10:00.000Z');
    assert.equal(alert.actor.name, 'alice@example.com');
    assert.equal(alert.requestParams.scope, 'prod');
    assert.deepEqual(alert.redacted, ['token']);
    assert.equal(alert.group['actor.name'], 'alice@example.com');
    assert.equal(alert.group['a._.b']?.length, 1_024);
    assert.deepEqual(alert.cut, ['group.a..b']);
    assert.deepEqual([alert.count, alert.revision], [12, 12]);
    assert.equal(alert.reason, STATEFUL.reason);
    assert.match(alertJson(alert), /"offset":9007199254740993,/);
  });

  it('stays in the index of the start of its period, whenever its last event is', () => {
    assert.equal(statefulAlertIndex('p', STATEFUL), 'p-2026.10');
    assert.equal(statefulAlertIndex('p', { ...STATEFUL, periodMs: -1 }), 'p-undated');
  });

  it('has the level that the event has by its own rule, else the rule\u2019s', () => {
    assert.equal(statefulAlertOf(rule!, STATEFUL).rule.level, 'low');
    const context = contextOf(auditEvent(), 'critical');
    assert.equal(statefulAlertOf(rule!, { ...STATEFUL, context }).rule.level, 'critical');
  });

  it('keeps its context short, for it travels with every match', () => {
    const params = Object.fromEntries(
      Array.from({ length: 500 }, (_, n) => [`k${n}`, 'v'.repeat(5_000)]),
    );
    const context = contextOf(withParams(params));
    assert.ok(context.length < 1.5 * CONTEXT_CHARS_MAX, String(context.length));
    assert.ok(JSON.parse(context).cut.includes('requestParams'));
  });

  it('goes out all the same where its context cannot be read', () => {
    for (const context of ['', '{}', 'null', '5', '{"cut":1}', '[']) {
      const alert = statefulAlertOf(rule!, { ...STATEFUL, context });
      assert.deepEqual(alert.cut, ['event', 'group.a..b']);
      assert.equal(alert.count, 12);
    }
  });
});

describe('alert', () => {
  it('has an id that depends on the rule and the event alone (D1)', () => {
    // printf 'lakeseal-alert-v1\nRULE\nevent-1' | openssl dgst -sha256 -binary | base64, url-safe
    assert.equal(alertId(rule!.id, 'event-1'), 'hmWUFVqXaGGP1Ff5Ew7-QTpUhaZNYZPUXO5EzAzKKVM');
    const one = alertOf(rule!, auditEvent(), ADDRESS);
    const other = alertOf(
      { ...rule!, title: 'renamed', level: 'critical' },
      auditEvent({ sourceIp: null, eventTime: 5 }),
      { topic: 'replay', partition: 0, offset: 1n },
    );
    assert.equal(one.id, other.id);
    assert.notEqual(one.id, alertOf(rule!, auditEvent({ eventId: 'event-2' }), ADDRESS).id);
  });

  it('tells no two pairs of rule and event apart by chance', () => {
    const ids = new Set(['a', 'a\n', '\na', ''].map((id) => alertId(rule!.id, id)));
    assert.equal(ids.size, 4);
  });

  it('is the same text every time', () => {
    const event = withParams({ b: '1', a: '2' });
    assert.equal(
      alertJson(alertOf(rule!, event, ADDRESS)),
      alertJson(alertOf(rule!, structuredClone(event), { ...ADDRESS })),
    );
  });

  it('keeps all digits of the offset', () => {
    assert.match(alertJson(alertOf(rule!, auditEvent(), ADDRESS)), /"offset":9007199254740993,/);
  });

  it('takes tactics and techniques from the tags', () => {
    const { tactics, techniques } = alertOf(rule!, auditEvent(), ADDRESS).rule;
    assert.deepEqual(tactics, ['defense-evasion', 'credential-access']);
    assert.deepEqual(techniques, ['T1562.008']);
  });

  it('leaves out what may hold secrets, and says so', () => {
    const event = withParams({
      commandText: 'SELECT secret',
      command_text: 'x',
      'spark.conf': 'y',
      tokenId: 'kept',
      scope: 'kept',
    });
    const alert = alertOf(rule!, event, ADDRESS);
    assert.deepEqual(alert.redacted, ['commandText', 'command_text', 'spark.conf']);
    assert.equal(alert.requestParams.tokenId, 'kept');
    assert.equal(alert.requestParams.scope, 'kept');
    assert.doesNotMatch(alertJson(alert), /SELECT secret/);
  });

  it('cuts long values at whole characters, and says so', () => {
    const long = `${'a'.repeat(PARAMETER_CHARS_MAX - 1)}😀😀`;
    const alert = alertOf(
      rule!,
      { ...withParams({ long, short: 'x' }), userAgent: 'u'.repeat(FIELD_CHARS_MAX + 1) },
      ADDRESS,
    );
    assert.deepEqual(alert.cut, ['requestParams.long', 'source.userAgent']);
    assert.equal(alert.requestParams.long, 'a'.repeat(PARAMETER_CHARS_MAX - 1));
    assert.equal(alert.source.userAgent?.length, FIELD_CHARS_MAX);
  });

  it('keeps at most so many parameters', () => {
    const params = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`k${n}`, 'v']));
    const alert = alertOf(rule!, withParams(params), ADDRESS);
    assert.equal(Object.keys(alert.requestParams).length, PARAMETERS_MAX);
    assert.deepEqual(alert.cut, ['requestParams']);
  });

  it('goes to the index of the month of the event, and impossible times to one index', () => {
    const index = (eventTime: number): string =>
      alertIndex('p', alertOf(rule!, auditEvent({ eventTime }), ADDRESS));
    assert.equal(index(Date.UTC(2026, 10, 30, 23, 59, 59, 999)), 'p-2026.11');
    assert.equal(index(Date.UTC(2026, 11, 1)), 'p-2026.12');
    for (const time of [0, -1, 1, 8.64e15, 1e300, Number.NaN, Date.UTC(2999, 0, 1)]) {
      assert.equal(index(time), 'p-undated');
    }
  });

  it('can be made of any event', () => {
    const text = fc.string({ unit: 'binary', maxLength: 3_000 });
    fc.assert(
      fc.property(fc.dictionary(text, text), text, text, fc.double(), (params, a, b, time) => {
        const event = auditEvent({
          requestParams: params,
          eventId: a,
          userAgent: b,
          eventTime: time,
        });
        const json = alertJson(alertOf(rule!, event, ADDRESS));
        assert.ok(Buffer.from(json).toString() === json, 'well-formed UTF-8');
        JSON.parse(json);
      }),
      { numRuns: 300, seed: 2 },
    );
  });
});
