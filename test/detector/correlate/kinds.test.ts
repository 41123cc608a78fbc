/**
 * Each kind by hand: events at such and such times, and the instants that must alert. The periods of
 * suppression are one millisecond here, so that an alert's period is the time of the event that
 * decided. Every vector is put to the correlator and to the plain evaluator.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_LIMITS } from '../../../services/detector/correlate/limits.ts';
import type { StatefulKind, StatefulRule } from '../../../services/detector/sigma/rule.ts';
import { aggregate, groupField, ruleSet, type StatefulParts, stateful } from '../made.ts';
import { deliver } from './delivery.ts';
import { type PlainEvent, plainAlerts } from './plain-evaluator.ts';
import { Random } from './random.ts';

/** Time, rules (`ab`: both a and b), and fields besides the user. */
type Told = [time: number, hits: string, fields?: Record<string, string | null>];

const LIMITS = { ...DEFAULT_LIMITS, latenessMs: 1_000 };

function eventsOf(told: readonly Told[]): PlainEvent[] {
  return told.map(([time, hits, fields], n) => ({
    id: `e${String(n).padStart(2, '0')}`,
    time,
    hits: [...hits],
    fields: { user: 'ann', ...fields },
  }));
}

function alertsOf(rules: readonly StatefulRule[], told: readonly Told[]) {
  const set = ruleSet(['a', 'b', 'c'], rules);
  const events = eventsOf(told);
  const until = Math.max(...events.map(({ time }) => time));
  const delivery = {
    latenessMs: 1_000,
    limits: LIMITS,
    partitions: 1,
    duplicates: true,
    restarts: true,
  };
  const { alerts } = deliver(new Random(told.length), set, events, delivery);
  assert.deepEqual([...alerts.keys()].sort(), [...plainAlerts(set, events, until).keys()].sort());
  return [...alerts.values()].sort((a, b) => a.periodMs - b.periodMs || a.first - b.first);
}

function vector(
  name: string,
  kind: StatefulKind,
  told: readonly Told[],
  expected: readonly number[],
  parts: StatefulParts = {},
): void {
  test(name, () => {
    const rule = stateful(kind, { timespanMs: 10, suppressMs: 1, rules: ['a', 'b'], ...parts });
    assert.deepEqual(
      alertsOf([rule], told).map(({ periodMs }) => periodMs),
      expected,
    );
  });
}

const three = aggregate('event_count', { gte: 3 });
const size = (value: string | null) => ({ size: value });
const value = (text: string | null) => ({ value: text });

describe('event_count', () => {
  vector(
    'a timespan apart is within',
    three,
    [
      [0, 'a'],
      [5, 'b'],
      [10, 'a'],
    ],
    [10],
  );
  vector(
    'a millisecond more is not',
    three,
    [
      [0, 'a'],
      [5, 'b'],
      [11, 'a'],
    ],
    [],
  );
  vector(
    'equal times count together',
    three,
    [
      [7, 'a'],
      [7, 'a'],
      [7, 'a'],
    ],
    [7],
  );
  vector(
    'one event of two rules is one',
    three,
    [
      [0, 'ab'],
      [1, 'ab'],
    ],
    [],
  );
  vector(
    'gt is more than',
    aggregate('event_count', { gt: 3 }),
    [
      [0, 'a'],
      [1, 'a'],
      [2, 'a'],
      [3, 'a'],
    ],
    [3],
  );
  vector(
    'a group value is missing',
    three,
    [
      [0, 'a'],
      [1, 'a'],
      [2, 'a', { user: null }],
    ],
    [],
  );
  vector(
    'groups are apart',
    three,
    [
      [0, 'a'],
      [1, 'a'],
      [2, 'a', { user: 'bob' }],
    ],
    [],
  );
  vector(
    'before the epoch',
    three,
    [
      [-9, 'a'],
      [-5, 'a'],
      [-1, 'a'],
    ],
    [-1],
  );
  vector(
    'huge times',
    three,
    [
      [2 ** 50 - 2, 'a'],
      [2 ** 50 - 1, 'a'],
      [2 ** 50, 'a'],
    ],
    [2 ** 50],
  );
  vector(
    'fewer, at the end of a window',
    aggregate('event_count', { lt: 3 }),
    [
      [0, 'a'],
      [9, 'a'],
      [10, 'a'],
      [11, 'a'],
      [12, 'a'],
      [40, 'a'],
    ],
    [9],
  );
  vector(
    'none is not fewer: nobody was there',
    aggregate('event_count', { lt: 3 }),
    [[100, 'c']],
    [],
  );
  vector(
    'a range',
    aggregate('event_count', { gte: 2, lte: 2 }),
    [
      [0, 'a'],
      [1, 'b'],
      [10, 'a'],
      [40, 'c'],
      [40, 'a'],
    ],
    [1],
  );
});

describe('value_count', () => {
  const two = aggregate('value_count', { gte: 2 }, ['value']);
  const pair = aggregate('value_count', { gte: 2 }, ['value', 'size']);
  vector(
    'different values',
    two,
    [
      [0, 'a', value('x')],
      [5, 'a', value('x')],
      [6, 'a', value('y')],
    ],
    [6],
  );
  vector(
    'a missing value is none',
    two,
    [
      [0, 'a', value('x')],
      [6, 'a', value(null)],
    ],
    [],
  );
  vector(
    'the empty text is a value',
    two,
    [
      [0, 'a', value('x')],
      [6, 'a', value('')],
    ],
    [6],
  );
  vector(
    'tuples',
    pair,
    [
      [0, 'a', { value: 'x', size: '1' }],
      [1, 'a', { value: 'x', size: '2' }],
    ],
    [1],
  );
  vector(
    'no tuple is another by its joints',
    pair,
    [
      [0, 'a', { value: 'x","y', size: '' }],
      [1, 'a', { value: 'x","y', size: '' }],
    ],
    [],
  );
});

describe('sum, average and percentile', () => {
  const numbers: Told[] = [
    [0, 'a', size('4')],
    [1, 'a', size('NaN')],
    [2, 'a', size(' 6 ')],
    [3, 'a', size('0x9')],
    [4, 'a', size('-1')],
  ];
  vector('sum', aggregate('value_sum', { gte: 10 }, ['size']), numbers, [2]);
  vector('average', aggregate('value_avg', { gte: 5 }, ['size']), numbers, [2]);
  vector(
    'median by interpolation',
    aggregate('value_percentile', { gte: 5 }, ['size'], 50),
    numbers,
    [2],
  );
  vector(
    'a window slides',
    aggregate('value_sum', { gt: 9 }, ['size']),
    [
      [0, 'a', size('9')],
      [11, 'a', size('9')],
      [21, 'a', size('1')],
    ],
    [21],
  );
  vector(
    'numbers beyond all bounds are none',
    aggregate('value_sum', { gte: 1 }, ['size']),
    [
      [0, 'a', size('1e999')],
      [1, 'a', size('Infinity')],
      [2, 'a', size('')],
    ],
    [],
  );
  vector(
    'below, at the end of a window',
    aggregate('value_avg', { lt: 3 }, ['size']),
    [
      [0, 'a', size('2')],
      [1, 'a', size('3')],
      [12, 'a', size('5')],
      [30, 'a'],
    ],
    [1],
  );
});

describe('temporal', () => {
  const all: StatefulKind = { kind: 'temporal', ordered: false, thresholds: [] };
  vector(
    'in any order',
    all,
    [
      [0, 'b'],
      [10, 'a'],
    ],
    [10],
  );
  vector('one event of both', all, [[3, 'ab']], [3]);
  vector(
    'too far apart',
    all,
    [
      [0, 'b'],
      [11, 'a'],
    ],
    [],
  );
  vector(
    'two of three',
    { ...all, thresholds: [{ operator: 'gte', operand: 2 }] },
    [
      [0, 'c'],
      [1, 'c'],
      [2, 'a'],
    ],
    [2],
    { rules: ['a', 'b', 'c'] },
  );
});

describe('temporal_ordered', () => {
  const ordered: StatefulKind = { kind: 'temporal', ordered: true, thresholds: [] };
  vector(
    'in order',
    ordered,
    [
      [0, 'a'],
      [10, 'b'],
    ],
    [10],
  );
  vector(
    'the wrong way round',
    ordered,
    [
      [0, 'b'],
      [10, 'a'],
    ],
    [],
  );
  vector(
    'one millisecond has no order',
    ordered,
    [
      [5, 'a'],
      [5, 'b'],
    ],
    [],
  );
  vector('nor has one event', ordered, [[5, 'ab']], []);
  vector(
    'three, with others between',
    ordered,
    [
      [0, 'a'],
      [1, 'c'],
      [2, 'a'],
      [3, 'b'],
      [4, 'a'],
      [5, 'c'],
    ],
    [5],
    { rules: ['a', 'b', 'c'] },
  );
  vector(
    'the latest beginning counts',
    ordered,
    [
      [0, 'a'],
      [6, 'a'],
      [15, 'b'],
    ],
    [15],
  );
});

describe('temporal with an expression', () => {
  const rule = (id: string) => ({ kind: 'rule' as const, rule: id });
  const without: StatefulKind = {
    ...{ kind: 'temporal_expression', ordered: false },
    expression: { kind: 'and', terms: [rule('a'), { kind: 'not', term: rule('b') }] },
  };
  vector(
    'not: nothing of it in the window',
    without,
    [
      [0, 'a'],
      [11, 'b'],
      [30, 'c'],
    ],
    [0],
  );
  vector(
    'not: at its very end it still counts',
    without,
    [
      [0, 'a'],
      [10, 'b'],
      [30, 'c'],
    ],
    [],
  );
  vector(
    'not: in the same millisecond, too',
    without,
    [
      [5, 'b'],
      [5, 'a'],
      [30, 'c'],
    ],
    [],
  );
  vector(
    'not judged before its window is over',
    without,
    [
      [0, 'a'],
      [9, 'c'],
    ],
    [],
  );
  vector(
    'without not it is judged at once',
    { ...without, expression: { kind: 'or', terms: [rule('a'), rule('b')] } },
    [[3, 'b']],
    [3],
  );
  const order: StatefulKind = {
    ...without,
    ordered: true,
    expression: { kind: 'and', terms: [rule('a'), rule('b'), { kind: 'not', term: rule('c') }] },
  };
  vector(
    'in order',
    order,
    [
      [0, 'a'],
      [4, 'b'],
      [40, 'c'],
    ],
    [0],
    { rules: ['a', 'b', 'c'] },
  );
  vector(
    'not in order',
    order,
    [
      [0, 'b'],
      [4, 'a'],
      [40, 'c'],
    ],
    [],
    { rules: ['a', 'b', 'c'] },
  );
});

describe('first_seen', () => {
  const kind: StatefulKind = { kind: 'first_seen', fields: ['value'], learnMs: 5 };
  vector(
    'new, once it has learnt',
    kind,
    [
      [0, 'a', value('x')],
      [4, 'a', value('y')],
      [5, 'a', value('z')],
    ],
    [5],
    { rules: ['a'] },
  );
  vector(
    'known within the timespan',
    kind,
    [
      [0, 'a', value('x')],
      [5, 'a', value('x')],
      [15, 'a', value('x')],
    ],
    [],
    { rules: ['a'] },
  );
  vector(
    'forgotten after it',
    kind,
    [
      [0, 'a', value('x')],
      [5, 'a', value('y')],
      [11, 'a', value('x')],
    ],
    [5, 11],
    { rules: ['a'] },
  );
  vector(
    'silent for a timespan: it learns anew',
    kind,
    [
      [0, 'a', value('x')],
      [11, 'a', value('y')],
      [15, 'a', value('z')],
    ],
    [],
    { rules: ['a'] },
  );
  vector(
    'two values of one instant are two alerts',
    { ...kind, learnMs: 0 },
    [
      [0, 'a', value('x')],
      [0, 'a', value('y')],
    ],
    [0, 0],
    { rules: ['a'] },
  );
});

describe('baseline', () => {
  const kind: Extract<StatefulKind, { kind: 'baseline' }> = {
    ...{ kind: 'baseline', measure: 'event_count', fields: [], periodMs: 10, historyMs: 50 },
    ...{
      excludeMs: 0,
      periodsMin: 2,
      method: 'zscore',
      factor: 2,
      floor: 0,
      spreadMin: 0,
      coldStart: null,
    },
  };
  /** So many events in the period, one a millisecond. */
  const day = (start: number, count: number): Told[] =>
    Array.from({ length: count }, (_, n): Told => [start + n, 'a']);
  const days = (...counts: number[]): Told[] => counts.flatMap((count, n) => day(n * 10, count));
  const parts = { rules: ['a'], timespanMs: 50 };
  // 2, 4: mean 3, deviation 1, so the limit is 5.
  vector('above mean and deviations', kind, days(2, 4, 7), [25, 26], parts);
  vector('at them it is not', kind, days(2, 4, 5), [], parts);
  vector('too little history', kind, days(2, 9), [], parts);
  vector('but a cold start', { ...kind, coldStart: 8 }, days(2, 9), [17, 18], parts);
  vector('days without activity are no history', kind, days(2, 0, 0, 9), [], parts);
  vector('below the floor', { ...kind, floor: 7 }, days(2, 4, 7), [26], parts);
  vector(
    'the newest history does not count',
    { ...kind, excludeMs: 20 },
    days(2, 4, 9, 9, 6),
    [45],
    parts,
  );
  vector('nor does what is too old', kind, days(9, 1, 1, 1, 1, 1, 2), [61], parts);
  // 1, 2, 3, 4: quartiles 1.75 and 3.25, so the limit is 3.25 + 1.5.
  vector(
    'fence of the quartiles',
    { ...kind, method: 'tukey', factor: 1, periodsMin: 4 },
    days(1, 2, 3, 4, 6),
    [44, 45],
    parts,
  );
  vector(
    'a least spread',
    { ...kind, method: 'tukey', factor: 1, spreadMin: 3 },
    days(2, 2, 2, 6),
    [35],
    parts,
  );
  const told: Told[] = [
    [0, 'a', value('x')],
    [1, 'a', value('x')],
    [10, 'a', value('x')],
    [20, 'a', value('x')],
    [21, 'a', value('x')],
    [22, 'a', value('y')],
  ];
  vector(
    'different values of a period',
    { ...kind, measure: 'value_count', fields: ['value'] },
    told,
    [22],
    parts,
  );
});

describe('travel', () => {
  const kind: StatefulKind = { kind: 'travel', speedKmh: 900, distanceKmMin: 500 };
  const hour = 3_600_000;
  const at = (latitude: string, longitude: string) => ({
    'lakeseal.source.latitude': latitude,
    'lakeseal.source.longitude': longitude,
  });
  const [paris, newYork, lyon] = [
    at('48.8566', '2.3522'),
    at('40.7128', '-74.0060'),
    at('45.7640', '4.8357'),
  ];
  const parts = { rules: ['a'], timespanMs: 24 * hour };
  // 5,837 km: 6.49 hours at 900 km/h.
  vector(
    'too fast',
    kind,
    [
      [0, 'a', paris],
      [6 * hour, 'a', newYork],
    ],
    [6 * hour],
    parts,
  );
  vector(
    'just possible',
    kind,
    [
      [0, 'a', paris],
      [7 * hour, 'a', newYork],
    ],
    [],
    parts,
  );
  vector(
    'too near to matter',
    kind,
    [
      [0, 'a', paris],
      [1, 'a', lyon],
    ],
    [],
    parts,
  );
  vector(
    'at the same instant',
    kind,
    [
      [5, 'a', paris],
      [5, 'a', newYork],
    ],
    [5],
    parts,
  );
  vector(
    'no place, no verdict',
    kind,
    [
      [0, 'a', paris],
      [1, 'a', at('', '')],
      [2, 'a', at('91', '0')],
      [hour, 'a', newYork],
    ],
    [hour],
    parts,
  );
  vector(
    'too long ago',
    { ...kind, speedKmh: 1 },
    [
      [0, 'a', paris],
      [24 * hour + 1, 'a', newYork],
    ],
    [],
    parts,
  );
});

describe('absence and silence', () => {
  const absent: StatefulKind = { kind: 'absence', followedBy: 'b' };
  const parts = { rules: ['a'] };
  vector(
    'not followed',
    absent,
    [
      [0, 'a'],
      [11, 'b'],
    ],
    [0],
    parts,
  );
  vector(
    'followed, at the last moment',
    absent,
    [
      [0, 'a'],
      [10, 'b'],
      [30, 'c'],
    ],
    [],
    parts,
  );
  vector(
    'followed in the same millisecond',
    absent,
    [
      [5, 'b'],
      [5, 'a'],
      [30, 'b'],
    ],
    [],
    parts,
  );
  vector(
    'an event does not follow itself',
    absent,
    [
      [5, 'ab'],
      [30, 'b'],
    ],
    [5],
    parts,
  );
  vector(
    'what came before does not follow',
    absent,
    [
      [0, 'b'],
      [1, 'a'],
      [30, 'b'],
    ],
    [1],
    parts,
  );
  vector(
    'not judged before its time',
    absent,
    [
      [0, 'a'],
      [9, 'b', { user: 'bob' }],
    ],
    [],
    parts,
  );
  vector(
    'its own rule',
    { kind: 'absence', followedBy: 'a' },
    [
      [0, 'a'],
      [5, 'a'],
      [30, 'a'],
    ],
    [5],
    parts,
  );
  const silent: StatefulKind = { kind: 'silence' };
  vector(
    'silent',
    silent,
    [
      [0, 'a'],
      [10, 'a'],
      [21, 'a'],
      [40, 'b', { user: 'bob' }],
    ],
    [10, 21],
    parts,
  );
});

describe('chains', () => {
  const inner = (kind: StatefulKind, more: StatefulParts = {}) =>
    stateful(kind, {
      id: 'inner',
      rules: ['a'],
      timespanMs: 10,
      suppressMs: 10,
      alerts: false,
      ...more,
    });
  const outer = (kind: StatefulKind, more: StatefulParts = {}) =>
    stateful(kind, {
      id: 'outer',
      rules: ['inner', 'b'],
      chained: ['inner'],
      timespanMs: 20,
      suppressMs: 1,
      ...more,
    });
  const check = (rules: StatefulRule[], told: Told[]) => alertsOf(rules, told);
  const ordered: StatefulKind = { kind: 'temporal', ordered: true, thresholds: [] };

  test('failures, then a success: with the evidence of all of them', () => {
    const found = check(
      [inner(three), outer(ordered)],
      [
        [0, 'a'],
        [1, 'a'],
        [2, 'a'],
        [9, 'b'],
        [40, 'b'],
      ],
    );
    assert.deepEqual(
      found.map(({ periodMs }) => periodMs),
      [9],
    );
    assert.deepEqual(
      found[0]!.evidence.map(({ eventId }) => eventId),
      ['e00', 'e01', 'e02', 'e03'],
    );
    assert.equal(found[0]!.count, 4);
  });

  test('an inner rule that goes on is one event', () => {
    const often = outer(aggregate('event_count', { gte: 2 }), { rules: ['inner'] });
    assert.equal(
      check(
        [inner(three), often],
        [
          [0, 'a'],
          [1, 'a'],
          [2, 'a'],
          [3, 'a'],
          [4, 'a'],
        ],
      ).length,
      0,
    );
    const twice = check(
      [inner(three), often],
      [
        [0, 'a'],
        [1, 'a'],
        [2, 'a'],
        [11, 'a'],
      ],
    );
    assert.deepEqual(
      twice.map(({ periodMs }) => periodMs),
      [11],
    );
  });

  test('inner groups are finer than outer ones', () => {
    const perPlace = inner(aggregate('event_count', { gte: 2 }), { groupBy: ['user', 'place'] });
    const places = outer(aggregate('event_count', { gte: 2 }), { rules: ['inner'] });
    const x = { place: 'x' };
    const y = { place: 'y' };
    assert.equal(
      check(
        [perPlace, places],
        [
          [0, 'a', x],
          [1, 'a', y],
          [2, 'a', x],
        ],
      ).length,
      0,
    );
    const found = check(
      [perPlace, places],
      [
        [0, 'a', x],
        [1, 'a', y],
        [2, 'a', x],
        [3, 'a', y],
      ],
    );
    assert.deepEqual(
      found.map(({ periodMs }) => periodMs),
      [3],
    );
  });

  test('an alias reads another field for one of the rules', () => {
    const rule = stateful(
      { kind: 'temporal', ordered: true, thresholds: [] },
      {
        ...{ rules: ['a', 'b'], timespanMs: 10, suppressMs: 1 },
        groupBy: [groupField('user', { b: 'target' })],
      },
    );
    const found = check(
      [rule],
      [
        [0, 'a'],
        [5, 'b', { user: 'bob', target: 'ann' }],
      ],
    );
    assert.deepEqual(
      found.map(({ periodMs, group }) => [periodMs, group]),
      [[5, [['user', 'ann']]]],
    );
  });
});
