/** Tests inside rule files: what passes, what fails, and what is said of a failure. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TestBench } from '../../../services/detector/workbench/tests.ts';
import { setOf } from '../sigma/layers.ts';

const BASE = `  base:
    timestamp: 1795512600000
    serviceName: accounts
    actionName: login
    requestId: example
    sourceIPAddress: 203.0.113.10
    userIdentity: { email: alice@example.com }
    response: { statusCode: 200 }`;

function single(tests: string, more = ''): string {
  return `title: sign-in
id: 00000000-0000-4000-8000-000000000001
name: sign_in
level: low
logsource: { product: databricks }
detection:
  selection: { actionName: login }
  abroad: { lakeseal.source.country: FR }
  condition: selection
lakeseal:
  levels: [{ level: high, when: abroad }]
${more}${BASE}
  tests:
${tests}`;
}

function run(texts: string[], id = '00000000-0000-4000-8000-000000000001') {
  const { results, ...rest } = new TestBench(setOf(texts), () => 0).run(id);
  return { ...rest, ok: results.map(({ ok }) => ok), why: results.map(({ why }) => why) };
}

describe('tests of a rule of single events', () => {
  it('ask for a hit, a count, a level, and places of their own', () => {
    const { ok, why } = run([
      single(`
    - { name: a hit, hit: true, event: {} }
    - { name: a miss, hit: false, event: { actionName: logout } }
    - { name: three, alerts: 3, events: [{ repeat: 3, every: 1m }] }
    - { name: none, alerts: 0, events: [{ event: { actionName: logout } }] }
    - { name: at home, level: low, event: {} }
    - { name: abroad, level: high, event: {}, places: { 203.0.113.10: { country: FR } } }
    - { name: an event twice, alerts: 1, events: [{ event: { eventId: x } }, { event: { eventId: x } }] }`),
    ]);
    assert.deepEqual(why.flat(), []);
    assert.deepEqual(ok, [true, true, true, true, true, true, true]);
  });

  it('fail with what is wrong in the first line', () => {
    const { ok, why } = run([
      single(`
    - { name: a hit, hit: true, event: { actionName: logout } }
    - { name: a miss, hit: false, event: {} }
    - { name: three, alerts: 3, events: [{ repeat: 2, every: 1m }] }
    - { name: the level, level: high, event: {} }
    - { name: no event, hit: false, event: { actionName: null, serviceName: null } }`),
    ]);
    assert.deepEqual(ok, [false, false, false, false, false]);
    assert.deepEqual(
      why.map(([first]) => first),
      [
        'the rule should fire and does not',
        'the rule fires and should not',
        '3 alerts should be raised, and 2 are',
        'the level should be high and is low',
        why[4]![0],
      ],
    );
    assert.match(why[4]![0]!, /^event 1 cannot be decoded: /);
    assert.deepEqual(why[0]!.slice(1), [
      '  event 1 (2026-11-24T09:30:00.000Z accounts/logout) does not fire:',
      '    selection: actionName is "logout", not "login"',
    ]);
    assert.ok(why[3]!.some((line) => line.includes('lakeseal.source.country = "FR", is absent')));
  });

  it('judge the rule alone: what serves only others is tested all the same', () => {
    const correlation = `title: many
id: 00000000-0000-4000-8000-000000000002
level: high
correlation: { type: event_count, rules: [sign_in], group-by: [actor.name], timespan: 1h, condition: { gte: 2 } }
`;
    const { ok, alerts, kind } = run([
      `${single('    - { name: a hit, hit: true, event: {} }\n')}---\n${correlation}`,
    ]);
    assert.deepEqual([ok, alerts, kind], [[true], false, 'event']);
  });
});

describe('tests of a rule over many events', () => {
  it('take the rule with all it refers to, and nothing else', () => {
    const chain = `title: twice many
id: 00000000-0000-4000-8000-000000000003
name: twice
level: high
correlation: { type: event_count, rules: [many], group-by: [actor.name], timespan: 1d, condition: { gte: 2 } }
lakeseal:
${BASE}
  tests:
    - { name: two hours, hit: true, until: 1d, events: [{ repeat: 2, every: 1m }, { at: 5h, repeat: 2, every: 1m, event: { requestId: later } }] }
    - { name: one hour, hit: false, until: 1d, events: [{ repeat: 4, every: 1m }] }
---
title: many
id: 00000000-0000-4000-8000-000000000002
name: many
level: high
correlation: { type: event_count, rules: [sign_in], group-by: [actor.name], timespan: 1h, condition: { gte: 2 } }
---
`;
    const { ok, why, kind } = run(
      [`${chain}${single('    - { name: a hit, hit: true, event: {} }\n')}`],
      '00000000-0000-4000-8000-000000000003',
    );
    assert.deepEqual(why.flat(), []);
    assert.deepEqual([ok, kind], [[true, true], 'event_count']);
  });

  it('tell which events do not count, and why', () => {
    const seen = single(
      `
    - name: two
      hit: true
      events:
        - { at: 0m, event: {} }
        - { at: 1h, event: { actionName: logout } }
        - { at: 8d, event: { sourceIPAddress: null } }`,
      '  first_seen: { fields: [sourceIPAddress], group-by: [actor.name], timespan: 30d, learn: 7d }\n',
    );
    const { ok, why, kind } = run([seen]);
    assert.deepEqual([ok, kind], [[false], 'first_seen']);
    const text = why[0]!.join('\n');
    assert.match(text, /\n {2}1 of 3 events count\n/);
    assert.match(text, /event 2 \(.*accounts\/logout\) does not match sign-in:\n {4}selection: /);
    assert.match(text, /event 3 \(.*\) matches, but lacks a field/);
    assert.match(text, /group actor\.name = "alice@example\.com": 1 event, asked is a value of/);
  });

  it('tell what was found where nothing should be', () => {
    const often = single(
      '\n    - { name: once, alerts: 1, events: [{ event: {} }, { at: 2d, event: { requestId: b } }] }',
      '  suppress: { period: 24h, group-by: [actor.name] }\n',
    );
    const { ok, why, kind } = run([often]);
    assert.deepEqual([ok, kind], [[false], 'event']);
    assert.equal(why[0]![0], '1 alert should be raised, and 2 are');
    assert.match(why[0]![1]!, /^ {2}alert at 2026-11-24T09:30:00\.000Z: 1 event/);
  });
});
