/** The judge of finite runs: single events, rules over many, and that order and repeats are nothing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { alertId } from '../../../services/detector/alert/alert.ts';
import { DEFAULT_LIMITS } from '../../../services/detector/correlate/limits.ts';
import { Engine } from '../../../services/detector/stream/engine.ts';
import { type Address, Judge, type Verdict } from '../../../services/detector/workbench/judge.ts';
import type { AuditEvent } from '../../../services/ingest/event.ts';
import { ACTOR, auditEvent } from '../events.ts';
import { setOf } from '../sigma/layers.ts';

const RULES = `\
title: secret read
id: 00000000-0000-4000-8000-000000000001
name: secret_read
level: low
logsource: { product: databricks }
detection:
  selection: { actionName: getSecret }
  denied: { response.statusCode: 403 }
  condition: selection
lakeseal:
  levels: [{ level: medium, when: denied }]
---
title: many secrets
id: 00000000-0000-4000-8000-000000000002
name: many_secrets
level: high
correlation:
  type: value_count
  rules: [secret_read]
  group-by: [actor.name]
  timespan: 1h
  condition: { field: requestParams.key, gte: 3 }
  generate: true
---
title: few secrets
id: 00000000-0000-4000-8000-000000000003
level: low
correlation:
  type: event_count
  rules: [secret_read]
  group-by: [actor.name]
  timespan: 1h
  condition: { lt: 2 }
  generate: true
---
title: new address
id: 00000000-0000-4000-8000-000000000004
level: low
logsource: { product: databricks }
detection:
  selection: { actionName: login }
  failed: { outcome: failure }
  condition: selection
lakeseal:
  levels: [{ level: critical, when: failed }]
  first_seen: { fields: [sourceIPAddress], group-by: [actor.name], timespan: 30d, learn: 1h }
---
title: token stays
id: 00000000-0000-4000-8000-000000000005
level: medium
logsource: { product: databricks }
detection:
  selection: { actionName: generateDbToken }
  condition: selection
lakeseal:
  absence: { followed_by: secret_read, group-by: [actor.name], within: 1h, generate: true }
`;

const engine = new Engine(setOf([RULES]));
const START = Date.UTC(2026, 10, 24, 9);
const MINUTE = 60_000;
let made = 0;

function event(minute: number, changes: Partial<AuditEvent> = {}): AuditEvent {
  made += 1;
  return auditEvent({
    eventId: `event-${made}`,
    eventTime: START + minute * MINUTE,
    actionName: 'getSecret',
    requestParams: { key: `key-${made}` },
    ...changes,
  });
}

function at(line: number): Address {
  return { topic: 'file', partition: 0, offset: BigInt(line) };
}

function judged(events: readonly AuditEvent[], until: number | null = null) {
  const judge = new Judge(engine);
  const hits = events.flatMap((one, index) => judge.event(one, at(index + 1)));
  return { hits, verdict: judge.end(until) };
}

function told({ alerts }: Verdict): Array<[string, string, number]> {
  return alerts.map(({ rule, level, alert }) => [rule.title, level, alert.count]);
}

describe('the judge', () => {
  it('gives the alerts of single events at once, with the level of the event', () => {
    const denied = event(0, { response: { statusCode: 403, errorMessage: null, result: null } });
    const { hits } = judged([denied, event(1, { actionName: 'putSecret' })]);
    assert.deepEqual(
      hits.map(({ id, rule, level }) => [id, rule.title, level]),
      [[alertId('00000000-0000-4000-8000-000000000001', denied.eventId), 'secret read', 'medium']],
    );
  });

  it('raises stateful alerts at the end, each once, with address, group and actor', () => {
    const events = [0, 1, 2, 3].map((minute) => event(minute));
    const { verdict } = judged(events);
    const [alert] = verdict.alerts;
    assert.deepEqual(told(verdict), [['many secrets', 'high', 4]]);
    assert.equal(alert!.actor, ACTOR.name);
    assert.equal(alert!.source, '203.0.113.10');
    assert.deepEqual(alert!.alert.group, [['actor.name', ACTOR.name]]);
    assert.deepEqual(
      alert!.alert.evidence.map(({ topic, offset, eventId }) => [topic, offset, eventId]),
      events.map(({ eventId }, at) => ['file', BigInt(at + 1), eventId]),
    );
    assert.match(alert!.id, /^[\w-]{43}$/);
    assert.equal(verdict.refused.length, 0);
  });

  it('lets event time go as far as it is told, and to the newest event without that', () => {
    const token = event(0, { actionName: 'generateDbToken' });
    assert.deepEqual(told(judged([token]).verdict), []);
    assert.deepEqual(told(judged([token], START + 59 * MINUTE).verdict), []);
    assert.deepEqual(told(judged([token], START + 120 * MINUTE).verdict), [
      ['token stays', 'medium', 1],
    ]);
    const later = event(180, { actionName: 'logout' });
    assert.deepEqual(told(judged([later, token]).verdict), [['token stays', 'medium', 1]]);
  });

  it('lets no event of an impossible time take event time with it', () => {
    const token = event(0, { actionName: 'generateDbToken' });
    const impossible = event(0, { actionName: 'logout', eventTime: Date.UTC(2150, 0, 1) });
    assert.deepEqual(told(judged([impossible, token]).verdict), []);
  });

  it('gives an alert the level that its event has by the rule itself', () => {
    const login = (minute: number, sourceIp: string, outcome: 'success' | 'failure') =>
      event(minute, { actionName: 'login', sourceIp, outcome });
    const { verdict } = judged([
      login(0, '203.0.113.1', 'success'),
      login(90, '203.0.113.2', 'failure'),
      login(91, '203.0.113.3', 'success'),
    ]);
    assert.deepEqual(
      verdict.alerts.map(({ level, source }) => [level, source]),
      [
        ['critical', '203.0.113.2'],
        ['low', '203.0.113.3'],
      ],
    );
  });

  it('judges nothing where there is nothing', () => {
    assert.deepEqual(judged([]), { hits: [], verdict: { alerts: [], refused: [] } });
    assert.deepEqual(told(judged([], START).verdict), []);
  });

  it('holds back what is judged in order, so that no group is full before the end', () => {
    const limits = { ...DEFAULT_LIMITS, groupEntriesMax: 50 };
    const judge = new Judge(engine, limits);
    for (let minute = 0; minute < 2_000; minute += 1) {
      const sourceIp = minute === 1_999 ? '203.0.113.2' : '203.0.113.1';
      judge.event(event(minute, { actionName: 'login', sourceIp }), at(minute));
    }
    const verdict = judge.end();
    assert.equal(verdict.refused.length, 0);
    assert.deepEqual(told(verdict), [['new address', 'low', 1]]);
  });

  it('raises the same alerts whatever the order and however often an event comes', () => {
    const one = fc
      .record({
        minute: fc.integer({ min: 0, max: 600 }),
        actionName: fc.constantFrom('getSecret', 'getSecret', 'login', 'generateDbToken'),
        key: fc.constantFrom('a', 'b', 'c', 'd'),
        sourceIp: fc.constantFrom('203.0.113.1', '203.0.113.2', '203.0.113.3'),
        name: fc.constantFrom('alice@example.com', 'bob@example.com'),
      })
      .map(({ minute, actionName, key, sourceIp, name }) =>
        event(minute, {
          actionName,
          sourceIp,
          requestParams: { key },
          actor: { ...ACTOR, name, email: name },
        }),
      );
    const stream = fc.array(one, { maxLength: 60, size: 'max' }).chain((events) =>
      fc.tuple(
        fc.constant(events),
        fc.shuffledSubarray([...events, ...events], {
          minLength: events.length * 2,
          maxLength: events.length * 2,
        }),
      ),
    );
    let raised = 0;
    fc.assert(
      fc.property(stream, ([events, shuffled]) => {
        const [plain, other] = [judged(events), judged(shuffled)];
        const ids = (hits: ReadonlyArray<{ id: string }>): string[] =>
          [...new Set(hits.map(({ id }) => id))].sort();
        assert.deepEqual(ids(other.hits), ids(plain.hits));
        const levels = ({ alerts }: Verdict): string[] =>
          alerts.map(({ id, level }) => `${id} ${level}`).sort();
        assert.deepEqual(levels(other.verdict), levels(plain.verdict));
        raised += plain.verdict.alerts.length;
      }),
      { numRuns: 300, endOnFailure: true },
    );
    assert.ok(raised > 300, `${raised} alerts`);
  });
});
