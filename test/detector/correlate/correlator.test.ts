/**
 * What correlation lets go of, and that it says so: late matches, budgets, groups that are over,
 * state that cannot be read.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Correlator } from '../../../services/detector/correlate/correlator.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../services/detector/correlate/limits.ts';
import { PlanIndex } from '../../../services/detector/correlate/matches.ts';
import type { Effect, StatefulAlert } from '../../../services/detector/correlate/types.ts';
import type { RuleSet, StatefulKind } from '../../../services/detector/sigma/rule.ts';
import { aggregate, ruleSet, type StatefulParts, stateful } from '../made.ts';
import { matchesOf, plansOf } from './delivery.ts';
import { KIND_NAMES, Random, randomEvents, randomSet } from './random.ts';

const LIMITS: Limits = { ...DEFAULT_LIMITS, latenessMs: 50, groupEntriesMax: 10, groupsMax: 3 };

function open(kind: StatefulKind, parts: StatefulParts = {}, limits: Partial<Limits> = {}) {
  const set = ruleSet(['a', 'b'], [stateful(kind, { timespanMs: 100, ...parts })]);
  const plans = plansOf(set);
  const correlator = new Correlator(plans, { ...LIMITS, ...limits });
  const index = new PlanIndex(plans);
  let offset = 0;
  const send = (time: number, user = 'ann', id = `e${offset}`, hits = ['a']): Effect[] => {
    offset += 1;
    const event = { id, time, hits, fields: { user, value: id } };
    return matchesOf(index, event, offset).flatMap((match) => correlator.add(match));
  };
  return { correlator, send, plans };
}

const kinds = (effects: readonly Effect[]): string[] =>
  effects.map((effect) => (effect.kind === 'refused' ? `refused: ${effect.reason}` : effect.kind));
const alertOf = (effects: readonly Effect[]): StatefulAlert => {
  const [effect] = effects.filter(({ kind }) => kind === 'alert');
  assert.ok(effect?.kind === 'alert');
  return effect.alert;
};

const three = aggregate('event_count', { gte: 3 });

describe('an alert', () => {
  test('is kept up to date under its id, with a growing revision', () => {
    const { send } = open(three);
    assert.deepEqual([...send(10), ...send(20)], []);
    const first = alertOf(send(30));
    assert.equal(first.count, 3);
    assert.deepEqual(first.group, [['user', 'ann']]);
    assert.equal(first.reason, '3 events, at least 3 of them within 100 ms');
    assert.deepEqual(
      first.evidence.map(({ eventId, offset }) => [eventId, offset]),
      [
        ['e0', 1n],
        ['e1', 2n],
        ['e2', 3n],
      ],
    );
    const second = alertOf(send(25));
    assert.equal(second.id, first.id);
    assert.ok(second.revision > first.revision);
    assert.deepEqual([second.count, second.first, second.last], [4, 10, 30]);
    assert.deepEqual(send(25, 'ann', 'e3'), []);
  });

  test('is as grave as the gravest event it counts, in any order and over a restart', () => {
    const every = aggregate('event_count', { gte: 1 });
    const { plans } = open(every);
    const index = new PlanIndex(plans);
    const ranks = [1, 4, 0, 2];
    const matches = ranks.flatMap((rank, n) => {
      const event = { id: `e${n}`, time: 10 + n, hits: ['a'], fields: { user: 'ann', value: '' } };
      return matchesOf(index, event, n).map((match) => ({ ...match, rank }));
    });
    fc.assert(
      fc.property(
        fc.shuffledSubarray(matches, { minLength: ranks.length }),
        fc.nat(ranks.length),
        (delivered, restartAt) => {
          let correlator = new Correlator(plans, LIMITS);
          let last: Effect[] = [];
          for (const [n, match] of delivered.entries()) {
            if (n === restartAt) {
              const kept = correlator.takeChanges();
              correlator = new Correlator(plans, LIMITS);
              for (const { key, state } of kept) correlator.restore(key, state!);
            }
            last = correlator.add(match);
          }
          assert.equal(alertOf(last).rank, 4);
        },
      ),
    );
    const { send } = open(every);
    assert.ok(!('rank' in alertOf(send(10))));
  });

  test('counts each of several events of one instant', () => {
    const places = (n: number) => ({ longitude: `${n % 2}`, latitude: '10' });
    const fields = (n: number) =>
      Object.fromEntries(
        Object.entries(places(n)).map(([name, value]) => [`lakeseal.source.${name}`, value]),
      );
    const seen: StatefulKind = {
      kind: 'first_seen',
      fields: ['lakeseal.source.latitude'],
      learnMs: 0,
    };
    const travel: StatefulKind = { kind: 'travel', speedKmh: 900, distanceKmMin: 1 };
    for (const kind of [seen, travel]) {
      const { correlator, plans } = open(kind);
      const index = new PlanIndex(plans);
      for (let n = 0; n < 4; n += 1) {
        const event = { id: `e${n}`, time: 10, hits: ['a'], fields: { user: 'ann', ...fields(n) } };
        for (const match of matchesOf(index, event, n)) correlator.fold(match);
      }
      const { count, evidence } = alertOf(correlator.advance(10));
      assert.deepEqual([count, evidence.length], [4, 4], kind.kind);
    }
  });

  test('shows the first and the newest of many events', () => {
    const { send } = open(three, { timespanMs: 1_000 }, { groupEntriesMax: 1_000 });
    let last: Effect[] = [];
    for (let n = 0; n < 300; n += 1) last = send(n);
    const { evidence, count, countIsLowerBound } = alertOf(last);
    assert.equal(evidence.length, 100);
    assert.deepEqual(
      [evidence[0]!.eventId, evidence[50]!.eventId, evidence[99]!.eventId],
      ['e0', 'e250', 'e299'],
    );
    assert.deepEqual([count, countIsLowerBound], [300, false]);
  });

  test('shows them too where the group is over its budget', () => {
    const { send } = open(three, { timespanMs: 1_000 });
    let last: Effect[] = [];
    for (let n = 0; n < 300; n += 1) last = send(n);
    const { evidence, count, countIsLowerBound, first } = alertOf(last);
    assert.equal(evidence[0]!.eventId, 'e0');
    assert.equal(evidence.at(-1)!.eventId, 'e299');
    assert.deepEqual([count, countIsLowerBound, first], [300, true, 0]);
  });
});

describe('what comes late', () => {
  test('for an ordered rule is late, and a repetition is not', () => {
    const { send, correlator } = open(aggregate('value_sum', { gte: 1 }, ['value']));
    send(100, 'ann', '7');
    correlator.advance(150);
    assert.deepEqual(send(100, 'ann', '7'), []);
    assert.equal(correlator.stats.duplicates, 1);
    const [effect] = send(150, 'ann', '8');
    assert.ok(effect?.kind === 'late');
    assert.equal(effect.behindMs, 0);
    assert.deepEqual(kinds(send(151, 'ann', '9')), []);
  });

  test('for an eager rule is late only where what it needs is forgotten', () => {
    const { send, correlator } = open(three);
    send(100);
    send(500);
    correlator.advance(700);
    // 500 is out of reach of anything that is not late, and was let go with what is before it.
    assert.deepEqual(kinds(send(450)), ['late']);
    assert.deepEqual(kinds(send(550)), ['late']);
    assert.deepEqual(kinds(send(651)), []);
    assert.deepEqual(kinds(send(960)), []);
    assert.equal(correlator.stats.late, 2);
  });

  test('for a group that may have been forgotten is late', () => {
    const { send, correlator } = open(three);
    correlator.advance(10_000);
    assert.deepEqual(kinds(send(9_950)), ['late']);
    assert.deepEqual(kinds(send(9_951, 'bob')), []);
  });
});

describe('budgets', () => {
  test('of groups', () => {
    const { send, correlator } = open(three);
    for (const user of ['ann', 'bob', 'eve']) assert.deepEqual(send(10, user), []);
    assert.deepEqual(kinds(send(10, 'joe')), ['refused: groups']);
    assert.deepEqual(kinds(send(11, 'ann')), []);
    assert.equal(correlator.groups, 3);
  });

  test('of entries, where all of them may matter', () => {
    const { send, correlator } = open(
      { kind: 'temporal', ordered: true, thresholds: [] },
      { rules: ['a', 'b'] },
    );
    for (let n = 0; n < 160; n += 1) assert.deepEqual(send(n), []);
    assert.deepEqual(kinds(send(160)), ['refused: group_entries']);
    correlator.advance(159);
    assert.deepEqual(kinds(send(161)), []);
    assert.deepEqual(kinds(send(162, 'ann', 'b1', ['b'])), ['alert']);
  });

  test('of events that wait, and of their contexts', () => {
    const { send, correlator } = open({ kind: 'silence' });
    for (let n = 0; n < 160; n += 1) assert.deepEqual(send(n), []);
    assert.deepEqual(kinds(send(160)), ['refused: group_entries']);
    assert.deepEqual(kinds(correlator.advance(400)), ['alert']);
  });

  test('of events in a window, of which room is made as event time passes them', () => {
    const sum = aggregate('value_sum', { gte: 1_000 }, ['value']);
    const { send, correlator } = open(sum, { timespanMs: 200 });
    for (let n = 0; n < 160; n += 1) assert.deepEqual(send(n, 'ann', String(1_000 + n)), []);
    correlator.advance(159);
    assert.deepEqual(kinds(send(160, 'ann', '5000')), ['refused: group_entries']);
    correlator.advance(300);
    assert.deepEqual(send(301, 'ann', '5001'), []);
    const { reason } = alertOf(correlator.advance(301));
    const left = Array.from({ length: 59 }, (_, n) => 1_101 + n);
    const expected = left.reduce((total, one) => total + one, 5_001);
    assert.match(reason, new RegExp(`the sum of value is ${expected},`));
  });

  test('times that are none', () => {
    const { send } = open(three);
    for (const time of [Number.NaN, 1.5, Number.POSITIVE_INFINITY, 2 ** 50 + 1, -(2 ** 51)]) {
      assert.deepEqual(kinds(send(time)), ['refused: time']);
    }
    assert.deepEqual(kinds(send(2 ** 50)), []);
  });
});

describe('a group that is over', () => {
  test('is forgotten once nothing that is not late can reach it', () => {
    const { send, correlator } = open(three);
    send(10);
    correlator.takeChanges();
    // 10 + timespan + lateness
    correlator.advance(160);
    assert.equal(correlator.groups, 1);
    assert.deepEqual(correlator.takeChanges(), []);
    correlator.advance(161);
    assert.equal(correlator.groups, 0);
    const key = correlator.keyOf({ ruleId: 'rule', group: ['ann'] });
    assert.deepEqual(correlator.takeChanges(), [{ key, state: null }]);
    assert.equal(correlator.stats.forgotten, 1);
  });

  test('is kept while matches of it may be written again, where the clock is known', () => {
    const { correlator, plans } = open(three);
    const index = new PlanIndex(plans);
    const [match] = matchesOf(
      index,
      { id: 'x', time: 10, hits: ['a'], fields: { user: 'ann' } },
      1,
    );
    correlator.fold(match!, 5_000);
    correlator.advance(1_000, 5_100);
    assert.equal(correlator.groups, 1);
    correlator.advance(1_001, 5_151);
    assert.equal(correlator.groups, 0);
  });

  test('of first_seen is kept as long as it remembers', () => {
    const kind: StatefulKind = { kind: 'first_seen', fields: ['value'], learnMs: 0 };
    const { send, correlator } = open(kind, { timespanMs: 1_000 });
    send(10);
    correlator.advance(1_060);
    assert.equal(correlator.groups, 1);
    correlator.advance(1_061);
    assert.equal(correlator.groups, 0);
  });
});

describe('kept state', () => {
  test('of another meaning, or of no rule, is not taken', () => {
    const { send, correlator } = open(three);
    send(10);
    const [{ key, state }] = correlator.takeChanges() as [{ key: string; state: Buffer }];
    assert.equal(open(three).correlator.restore(key, state), true);
    const other = open(aggregate('event_count', { gte: 4 })).correlator;
    assert.equal(other.restore(key, state), false);
    assert.equal(other.stats.strangers, 1);
    assert.equal(open(three, { id: 'another' }).correlator.restore(key, state), false);
    const newer = Buffer.from(state);
    newer[0] = 9;
    assert.equal(correlator.restore(key, newer), false);
    assert.equal(correlator.stats.strangers, 1);
  });

  test('of two meanings of one rule lies side by side', () => {
    const changesOf = (kind: StatefulKind) => {
      const { send, correlator } = open(kind);
      send(10);
      return correlator.takeChanges() as [{ key: string; state: Buffer }];
    };
    const four = aggregate('event_count', { gte: 4 });
    const kept = [...changesOf(three), ...changesOf(four)];
    assert.equal(new Set(kept.map(({ key }) => key)).size, 2);
    for (const kind of [three, four]) {
      const { correlator } = open(kind);
      const taken = kept.filter(({ key, state }) => correlator.restore(key, state));
      assert.deepEqual(
        taken.map(({ key }) => key),
        [correlator.keyOf({ ruleId: 'rule', group: ['ann'] })],
      );
    }
  });

  test('under the key of another meaning is not taken, whatever it holds', () => {
    const { send, correlator } = open(three);
    send(10);
    const [{ state }] = correlator.takeChanges() as [{ key: string; state: Buffer }];
    const four = aggregate('event_count', { gte: 4 });
    const key = open(four).correlator.keyOf({ ruleId: 'rule', group: ['ann'] });
    const fresh = open(three).correlator;
    assert.equal(fresh.restore(key, state), false);
    assert.equal(fresh.stats.strangers, 1);
  });

  test('under a key of before, which has no meaning in it, goes on under the new one', () => {
    const one = open(three);
    one.send(10);
    const [{ key, state }] = one.correlator.takeChanges() as [{ key: string; state: Buffer }];
    const { correlator, send } = open(three);
    assert.equal(correlator.restore('rule\n["ann"]', state), true);
    assert.deepEqual(correlator.takeChanges(), [
      { key: 'rule\n["ann"]', state: null },
      { key, state },
    ]);
    send(20);
    assert.deepEqual(kinds(send(30)), ['alert']);
  });

  test('is not written anew for a judgement in vain, as long as something waits', () => {
    const sum = aggregate('value_sum', { gte: 10 }, ['value']);
    const one = open(sum);
    const told: Array<[time: number, id: string]> = [
      [10, '4'],
      [20, '5'],
      [30, '3'],
      [40, '6'],
    ];
    for (const [time, id] of told.slice(0, 3)) one.send(time, 'ann', id);
    const kept = one.correlator.takeChanges();
    assert.equal(kept.length, 1);
    assert.deepEqual(one.correlator.advance(20), []);
    assert.deepEqual(one.correlator.takeChanges(), []);
    // As after a restart: state as it was kept, event time as it was told.
    const other = open(sum);
    for (const { key, state } of kept) assert.ok(other.correlator.restore(key, state!));
    assert.deepEqual(other.correlator.advance(20), []);
    const rest = ({ correlator, send }: ReturnType<typeof open>) => {
      const [time, id] = told[3]!;
      const late = kinds(send(20, 'ann', '7'));
      return [late, send(time, 'ann', id), correlator.advance(35), correlator.advance(100)];
    };
    const found = rest(other).map((effects) => JSON.stringify(effects, plainly));
    assert.deepEqual(
      found,
      rest(one).map((effects) => JSON.stringify(effects, plainly)),
    );
    assert.deepEqual(JSON.parse(found[0]!), ['late']);
    // Raised, or with nothing left that waits, it is written.
    assert.equal(one.correlator.takeChanges().length, 1);
  });

  test('is the same after it went through a correlator', () => {
    for (let seed = 0; seed < 150; seed += 1) {
      const { set, states, limits } = filled(seed);
      const other = new Correlator(plansOf(set), limits);
      for (const [key, state] of states) {
        assert.ok(other.restore(key, state), `seed ${seed}`);
        assert.equal(other.groups >= 1, true);
      }
      other.advance(Number.NEGATIVE_INFINITY);
      assert.equal(other.stats.broken, 0);
    }
  });

  test('that is cut, mutated or made up is a group that starts afresh, never a crash', () => {
    for (let seed = 0; seed < 60; seed += 1) {
      const { set, states, limits } = filled(seed);
      const random = new Random(seed);
      const correlator = new Correlator(plansOf(set), limits);
      for (const [key, state] of states) {
        for (let n = 0; n < 30; n += 1) {
          const bytes = Buffer.from(state.subarray(0, random.int(0, state.length)));
          if (bytes.length > 0) bytes[random.int(0, bytes.length - 1)] = random.int(0, 255);
          if (!bytes.equals(state)) correlator.restore(key, bytes);
        }
      }
      assert.equal(correlator.stats.restored, 0, `seed ${seed}`);
      correlator.advance(2 ** 50);
    }
  });

  test('that has a right checksum over nonsense does not crash either', async () => {
    const { crc32 } = await import('node:zlib');
    for (let seed = 0; seed < 60; seed += 1) {
      const { set, states, limits, send } = filled(seed);
      const random = new Random(seed + 7);
      const correlator = new Correlator(plansOf(set), limits);
      for (const [key, state] of states) {
        for (let n = 0; n < 20; n += 1) {
          const bytes = Buffer.from(state);
          const changes = random.int(1, 4);
          for (let change = 0; change < changes; change += 1) {
            bytes[random.int(17, bytes.length - 1)] = random.int(0, 255);
          }
          bytes.writeUInt32LE(crc32(bytes.subarray(5)), 1);
          correlator.restore(key, bytes);
          send(correlator);
        }
      }
      correlator.advance(2 ** 50);
      for (const { key, state } of correlator.takeChanges()) {
        if (state !== null) correlator.restore(key, state);
      }
    }
  });

  test('of no bytes at all', () => {
    const { correlator } = open(three);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        assert.equal(correlator.restore('rule\n["ann"]', Buffer.from(bytes)), false);
      }),
    );
  });
});

/** For `JSON.stringify`: where a record was is not compared. */
function plainly(name: string, value: unknown): unknown {
  return name === 'offset' ? undefined : value;
}

/** A correlator with all kinds of things in it, and its state. */
function filled(seed: number) {
  const random = new Random(seed + 500_000);
  const set: RuleSet = randomSet(random, KIND_NAMES);
  const plans = plansOf(set);
  const index = new PlanIndex(plans);
  const limits: Limits = {
    latenessMs: 40,
    groupEntriesMax: 50,
    groupsMax: 1_000,
    warmGroupsMax: 4,
  };
  const correlator = new Correlator(plans, limits);
  const states = new Map<string, Buffer>();
  const events = randomEvents(random, 40).sort((a, b) => a.time - b.time);
  const matches = events.flatMap((event, n) => matchesOf(index, event, n));
  for (const match of matches) {
    correlator.add(match);
    correlator.advance(match.eventTime - 40);
  }
  for (const { key, state } of correlator.takeChanges()) if (state !== null) states.set(key, state);
  const send = (to: Correlator): void => {
    if (matches.length > 0) to.add(random.of(matches));
  };
  return { set, states, limits, send };
}
