/** Tests in rule files: bases, sequences, verdicts and places, as events and times. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RuleTest } from '../../../services/detector/sigma/rule.ts';
import { detectionRule, problemsOfLayers, setOf } from './layers.ts';

const START = Date.UTC(2026, 10, 24);
const BASE = `base: {timestamp: ${START}, requestId: r, serviceName: accounts, requestParams: {key: k, other: o}}`;

function testsOf(own: string): readonly RuleTest[] {
  return setOf([detectionRule(1, 'login', `lakeseal: {${own}}\n`)]).rules[0]!.tests;
}

function eventsOf(test: string, base = BASE): unknown[] {
  return testsOf(`${base}, tests: [{name: x, hit: true, ${test}}]`)[0]!.events.map(
    ({ event }) => event,
  );
}

describe('tests of rules', () => {
  it('merge the event over the bases: maps are merged, null removes, all else replaces', () => {
    const [event] = eventsOf(
      'base: {requestParams: {other: null, more: 1}}, event: {serviceName: jobs, requestParams: {key: [a]}, requestId: null}',
    );
    assert.deepEqual(event, {
      timestamp: START,
      serviceName: 'jobs',
      requestParams: { key: ['a'], more: 1 },
    });
  });

  it('leave a whole event as it is, with its nulls', () => {
    assert.deepEqual(
      testsOf('tests: [{name: x, hit: false, event: {a: null, b: {c: 1}}}]')[0]!.events,
      [{ event: { a: null, b: { c: 1 } } }],
    );
  });

  it('keep all digits of numbers', () => {
    const [event] = eventsOf('event: {orgId: 1234567890123456789012, workspaceId: 12}');
    const { orgId, workspaceId } = event as Record<string, unknown>;
    assert.deepEqual([orgId, workspaceId], ['1234567890123456789012', 12]);
  });

  it('write repeats out: times, request ids, and the field that differs', () => {
    const events = eventsOf(
      'events: [{at: 5m, repeat: 3, every: 1m, each: requestParams.key, event: {}}, {event: {requestId: z}}]',
    ) as Array<{ timestamp: number; requestId: string; requestParams: { key: string } }>;
    assert.deepEqual(
      events.map(({ timestamp, requestId, requestParams }) => [
        (timestamp - START) / 60_000,
        requestId,
        requestParams.key,
      ]),
      [
        [5, 'r-1', 'k-1'],
        [6, 'r-2', 'k-2'],
        [7, 'r-3', 'k-3'],
        [0, 'z', 'k'],
      ],
    );
  });

  it('move times of every spelling', () => {
    const times = (base: string) =>
      eventsOf('events: [{at: 1h, event: {}}]', base).map(
        (event) => Object.values(event as object)[0],
      );
    assert.deepEqual(times('base: {event_time: "2026-11-24T00:00:00Z"}'), [
      '2026-11-24T01:00:00.000Z',
    ]);
    assert.deepEqual(times('base: {timestamp: 1795478400}'), [(1795478400 + 3600) * 1000]);
    assert.deepEqual(times('base: {time: "2026-11-24T00:00:00+01:00"}'), [
      '2026-11-24T00:00:00.000Z',
    ]);
  });

  it('tell apart events that inherit one identity, and keep one that is given', () => {
    const ids = eventsOf(
      'events: [{event: {}}, {event: {}}, {event: {event_id: mine}}]',
      'base: {event_id: e, timestamp: 1795478400000}',
    ).map((event) => (event as { event_id: string }).event_id);
    assert.deepEqual(ids, ['e-1', 'e-2', 'mine']);
  });

  it('judge by hit, by count and by level', () => {
    const verdicts = testsOf(
      'tests: [{name: a, hit: false, event: {a: 1}}, {name: b, alerts: 2, event: {a: 1}}, {name: c, alerts: 0, event: {a: 1}}, {name: d, level: high, event: {a: 1}}]',
    ).map(({ hit, alerts, level }) => [hit, alerts, level]);
    assert.deepEqual(verdicts, [
      [false, null, null],
      [true, 2, null],
      [false, 0, null],
      [true, null, 'high'],
    ]);
  });

  it('go on until a time after the base', () => {
    assert.equal(
      testsOf(
        `${BASE}, tests: [{name: x, hit: true, until: 3h, events: [{at: 1h, event: {}}]}]`,
      )[0]!.untilMs,
      START + 3 * 3_600_000,
    );
    const own = `tests: [{name: x, hit: true, until: 1m, event: {timestamp: ${START}}}]`;
    assert.equal(testsOf(own)[0]!.untilMs, START + 60_000);
  });

  it('place addresses', () => {
    const { places } = testsOf(
      'tests: [{name: x, hit: true, event: {a: 1}, places: {203.0.113.7: {country: FR, city: Paris, latitude: 48.86, longitude: 2.35, asn: 64500, asOrganisation: Example}, "2001:db8::1": {country: DE}}}]',
    )[0]!;
    assert.deepEqual(places.get('203.0.113.7'), {
      country: 'FR',
      city: 'Paris',
      latitude: 48.86,
      longitude: 2.35,
      asn: 64500,
      asOrganisation: 'Example',
    });
    assert.equal(places.get('2001:db8::1')?.city, null);
  });

  const refused: Array<[name: string, test: string, told: RegExp]> = [
    ['no name', '{hit: true, event: {a: 1}}', /"name" is missing/],
    [
      'a verdict that contradicts itself',
      '{name: x, hit: false, alerts: 2, event: {a: 1}}',
      /and the contrary/,
    ],
    ['a level of a miss', '{name: x, hit: false, level: low, event: {a: 1}}', /and the contrary/],
    [
      'event and events',
      '{name: x, hit: true, event: {a: 1}, events: [{event: {a: 1}}]}',
      /"event" and "events"/,
    ],
    ['no events', '{name: x, hit: true, events: []}', /the test has no event/],
    ['an event that is no map', '{name: x, hit: true, event: text}', /the test has no event/],
    [
      'a step that is no map',
      '{name: x, hit: true, events: [text]}',
      /an event of a test is a map/,
    ],
    [
      'a time without a base',
      '{name: x, hit: true, events: [{at: 5m, event: {a: 1}}]}',
      /has no time that could be moved; give "base" a timestamp/,
    ],
    [
      'until without a time',
      '{name: x, hit: true, until: 5m, event: {a: 1}}',
      /"until" counts from a time that is not there/,
    ],
    [
      'each of nothing',
      '{name: x, hit: true, events: [{repeat: 2, each: requestParams.no, event: {a: 1}}]}',
      /no text in "requestParams.no"/,
    ],
    [
      'too many repeats',
      '{name: x, hit: true, events: [{repeat: 10001, event: {a: 1}}]}',
      /"repeat" is 10001/,
    ],
    [
      'an unknown key',
      '{name: x, hit: true, events: [{after: 5m, event: {a: 1}}]}',
      /unknown key "after"/,
    ],
    [
      'a place of nowhere',
      '{name: x, hit: true, event: {a: 1}, places: {here: {country: FR}}}',
      /"here" is not an address/,
    ],
    [
      'a latitude of 91',
      '{name: x, hit: true, event: {a: 1}, places: {203.0.113.7: {latitude: 91}}}',
      /it goes from -90 to 90/,
    ],
  ];
  for (const [name, test, told] of refused) {
    it(`are refused with ${name}`, () => {
      const problems = problemsOfLayers([
        detectionRule(1, 'login', `lakeseal: {tests: [${test}]}\n`),
      ]);
      assert.ok(
        problems.some((one) => told.test(one) && one.includes('error')),
        problems.join('\n'),
      );
    });
  }
});
