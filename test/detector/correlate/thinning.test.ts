/**
 * Busy groups under small budgets: what is let go must not change an id, whatever comes later and in
 * whatever order. The judge is the plain evaluator on the full set.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Correlator } from '../../../services/detector/correlate/correlator.ts';
import {
  EagerGroup,
  eagerRule,
  foldEager,
  thin,
} from '../../../services/detector/correlate/eager.ts';
import type { Entry } from '../../../services/detector/correlate/entry.ts';
import { PlanIndex } from '../../../services/detector/correlate/matches.ts';
import { planOf } from '../../../services/detector/correlate/plan.ts';
import { NO_RANK } from '../../../services/detector/correlate/types.ts';
import type { RuleSet, StatefulKind } from '../../../services/detector/sigma/rule.ts';
import { aggregate, ruleSet, stateful } from '../made.ts';
import { deliver, matchesOf } from './delivery.ts';
import { type PlainEvent, plainAlerts } from './plain-evaluator.ts';
import { type KindName, Random, randomEvents, randomSet } from './random.ts';

const EAGER: readonly KindName[] = ['aggregate', 'temporal', 'ordered', 'suppress'];

describe('a group over its budget', () => {
  test('raises the ids of all its events', () => {
    let thinned = 0;
    let refused = 0;
    for (let seed = 0; seed < 150; seed += 1) {
      const random = new Random(1_000_000 + seed);
      const set = randomSet(random, EAGER);
      const events = randomEvents(random, random.int(60, 120));
      const latenessMs = random.of([1, 15, 80, 500]);
      const until = Math.max(...events.map(({ time }) => time));
      const delivery = {
        latenessMs,
        limits: {
          latenessMs,
          groupEntriesMax: random.of([5, 8, 20]),
          groupsMax: 100,
          warmGroupsMax: 2,
        },
        partitions: 1,
        duplicates: random.chance(0.5),
        restarts: random.chance(0.5),
      };
      const outcome = deliver(random, set, events, delivery);
      const expected = plainAlerts(set, events, until);
      const found = [...outcome.alerts.values()];
      if (found.some(({ countIsLowerBound }) => countIsLowerBound)) thinned += 1;
      if (outcome.refused > 0) {
        refused += 1;
        // What is refused is missing; nothing that is raised is wrong.
        assert.deepEqual(
          found.filter(({ id }) => !expected.has(id)),
          [],
          `seed ${seed}`,
        );
        continue;
      }
      const ids = [...outcome.alerts.keys()].sort();
      assert.deepEqual(
        ids,
        [...expected.keys()].sort(),
        `seed ${seed}: ${JSON.stringify(set.stateful)}`,
      );
    }
    assert.ok(thinned > 40, `${thinned} streams with groups over budget`);
    assert.ok(refused < 20, `${refused} streams with refusals`);
  });

  test('counts from below, and never too much', () => {
    for (let seed = 0; seed < 150; seed += 1) {
      const random = new Random(2_000_000 + seed);
      const rule = stateful(aggregate('event_count', { gte: 3 }), {
        timespanMs: 40,
        suppressMs: 100,
      });
      const set = ruleSet(['a'], [rule]);
      const events = randomEvents(random, 120)
        .map((event) => ({ ...event, hits: ['a'] }))
        .filter(({ fields }) => fields.user !== null);
      const exact = run(random, set, events, 10_000);
      const bounded = run(random, set, events, 5);
      assert.deepEqual([...bounded.keys()].sort(), [...exact.keys()].sort());
      for (const [id, alert] of bounded) {
        const { count, first, last } = exact.get(id)!;
        assert.ok(alert.count <= count, `seed ${seed}: ${alert.count} of ${count}`);
        assert.ok(alert.first >= first && alert.last === last, `seed ${seed}`);
        if (!alert.countIsLowerBound) assert.equal(alert.count, count, `seed ${seed}`);
      }
    }
  });
});

function run(random: Random, set: RuleSet, events: PlainEvent[], groupEntriesMax: number) {
  const limits = { latenessMs: 80, groupEntriesMax, groupsMax: 100, warmGroupsMax: 2 };
  const delivery = { latenessMs: 80, limits, partitions: 1, duplicates: true, restarts: false };
  return deliver(random, set, events, delivery).alerts;
}

describe('thinning at any moment', () => {
  const kinds: Array<[name: string, kind: StatefulKind]> = [
    ['event_count', aggregate('event_count', { gte: 3 })],
    ['value_count', aggregate('value_count', { gte: 3 }, ['value'])],
    ['temporal', { kind: 'temporal', ordered: false, thresholds: [] }],
    ['temporal_ordered', { kind: 'temporal', ordered: true, thresholds: [] }],
  ];
  for (const [name, kind] of kinds) {
    test(`${name}: the same ids, and far fewer entries`, () => {
      let shed = 0;
      for (let seed = 0; seed < 300; seed += 1) shed += thinOnce(new Random(seed), kind, seed);
      assert.ok(shed > 300, `${shed} entries let go`);
    });
  }
});

test('what lies more than a timespan from its like is kept for what may come between', () => {
  const kind = aggregate('value_count', { gte: 2 }, ['value']);
  const set = ruleSet(['a'], [stateful(kind, { groupBy: [], timespanMs: 10, suppressMs: 100 })]);
  const limits = { latenessMs: 30, groupEntriesMax: 1_000, groupsMax: 1, warmGroupsMax: 1 };
  const rule = eagerRule(planOf(set.stateful[0]!, set), limits);
  const folded = (told: ReadonlyArray<[time: number, value: string]>, group: EagerGroup) =>
    told.flatMap(([time, value]) => {
      const event = { id: `e${time}`, time, hits: ['a'], fields: {} };
      const outcome = foldEager(rule, group, { ...entryOf(event, 0), key: value }, -1);
      return outcome.kind === 'folded' ? outcome.changed.map(({ decided }) => decided) : [];
    });
  const apart = new EagerGroup();
  assert.deepEqual(
    folded(
      [
        [0, 'x'],
        [5, 'x'],
        [12, 'x'],
        [24, 'x'],
      ],
      apart,
    ),
    [],
  );
  thin(rule, apart, -1);
  assert.deepEqual(
    apart.entries.map(({ time }) => time),
    [0, 5, 12, 24],
  );
  assert.deepEqual(folded([[20, 'y']], apart), [20]);
  const near = new EagerGroup();
  assert.deepEqual(
    folded(
      [
        [0, 'x'],
        [5, 'x'],
        [10, 'x'],
      ],
      near,
    ),
    [],
  );
  thin(rule, near, -1);
  assert.deepEqual(
    near.entries.map(({ time }) => time),
    [0, 10],
  );
  assert.deepEqual(folded([[8, 'y']], near), [8]);
});

/** Folds in random order within the lateness, thinning as it likes. @returns entries let go */
function thinOnce(random: Random, kind: StatefulKind, seed: number): number {
  const rules = kind.kind === 'temporal' ? ['a', 'b', 'c'] : ['a'];
  const timespanMs = random.of([10, 25, 60]);
  const suppressMs = random.of([10, 30, 100]);
  const set = ruleSet(
    ['a', 'b', 'c'],
    [stateful(kind, { rules, groupBy: [], timespanMs, suppressMs })],
  );
  const plan = planOf(set.stateful[0]!, set);
  const limits = { latenessMs: 30, groupEntriesMax: 1_000, groupsMax: 1, warmGroupsMax: 1 };
  const rule = eagerRule(plan, limits);
  const group = new EagerGroup();
  const periods = new Set<number>();
  const events = randomEvents(random, 60).map((event) => ({
    ...event,
    hits: event.hits.filter((hit) => rules.includes(hit)),
  }));
  const order = events
    .map((event) => ({ event, at: event.time + random.next() * 29 }))
    .sort((a, b) => a.at - b.at);
  let newest = Number.NEGATIVE_INFINITY;
  let shed = 0;
  for (const { event } of order) {
    newest = Math.max(newest, event.time);
    for (const leaf of event.hits) {
      const entry = entryOf(event, rules.indexOf(leaf));
      if (kind.kind === 'aggregate' && kind.aggregate === 'value_count') {
        if (event.fields.value == null) continue;
        entry.key = event.fields.value;
      }
      const outcome = foldEager(rule, group, entry, newest - 30);
      if (outcome.kind === 'folded') for (const { period } of outcome.changed) periods.add(period);
    }
    if (random.chance(0.3)) {
      const before = group.entries.length;
      thin(rule, group, newest - 30);
      shed += before - group.entries.length;
    }
  }
  const found = new Set(periods);
  const expected = plainAlerts(set, events, newest);
  assert.equal(found.size, expected.size, `seed ${seed}`);
  return shed;
}

function entryOf({ id, time }: PlainEvent, leaf: number): Entry {
  return {
    ...{ id, time, leaf, key: '', figure: Number.NaN, topic: 'audit', partition: 0, offset: 0n },
    ...{ rank: NO_RANK, values: null, context: '', refs: null },
  };
}

test('a flood of one group stays within its budget', () => {
  const rule = stateful(aggregate('event_count', { gte: 10 }), { timespanMs: 1_000 });
  const set = ruleSet(['a'], [rule]);
  const plan = planOf(rule, set);
  const limits = { latenessMs: 500, groupEntriesMax: 100, groupsMax: 10, warmGroupsMax: 10 };
  const correlator = new Correlator([plan], limits);
  const index = new PlanIndex([plan]);
  let count = 0;
  let stateBytes = 0;
  for (let n = 0; n < 20_000; n += 1) {
    const fields = { user: 'ann' };
    const [match] = matchesOf(index, { id: `e${n}`, time: n, hits: ['a'], fields }, n);
    for (const effect of correlator.add(match!)) {
      assert.equal(effect.kind, 'alert');
      if (effect.kind === 'alert' && effect.alert.periodMs === 10_000) count = effect.alert.count;
    }
    if (n % 100 === 0) correlator.advance(n - 500);
    if (n % 1_000 === 999) {
      for (const { state } of correlator.takeChanges())
        stateBytes = Math.max(stateBytes, state!.length);
    }
  }
  // A period, and what is held of the window before it.
  assert.ok(count >= 1_000 && count <= 2_000, `${count} events counted`);
  assert.ok(stateBytes < 20_000, `${stateBytes} bytes of state`);
});
