/**
 * Promises D1 and D2 of correlation: for random rules of all kinds and random streams, whatever the
 * order within the lateness, the repetitions, the batches, the restarts and the partitions, the ids
 * are those of a plain evaluator over the whole sorted set; and what the alerts say in the end is the
 * same, too, while no budget is exceeded; their rank is that of the gravest event. A failure names its seed:
 * LAKESEAL_SEED=n runs that one alone.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { StatefulAlert } from '../../../services/detector/correlate/types.ts';
import { deliver } from './delivery.ts';
import { plainAlerts } from './plain-evaluator.ts';
import { Random, randomEvents, randomLimits, randomSet } from './random.ts';

/** LAKESEAL_SEEDS asks for more, or for fewer where there is a hurry. */
const SEEDS = Number(process.env.LAKESEAL_SEEDS ?? 2_000);
const BLOCK = 250;
const given = process.env.LAKESEAL_SEED;

interface Result {
  alerts: number;
  silent: boolean;
}

function check(seed: number): Result {
  const random = new Random(seed);
  const set = randomSet(random);
  const events = randomEvents(random, random.int(1, 45));
  const latenessMs = random.of([1, 15, 80, 500]);
  const until = Math.max(...events.map(({ time }) => time));
  const expected = plainAlerts(set, events, until);
  const delivery = {
    latenessMs,
    limits: randomLimits(random, latenessMs),
    partitions: random.int(1, 3),
    duplicates: random.chance(0.7),
    restarts: random.chance(0.7),
  };
  const { alerts, late, refused } = deliver(random, set, events, delivery);
  const found = [...alerts.keys()].sort();
  const shown = (): string =>
    `seed ${seed}: ${JSON.stringify({ rules: set.stateful.map(({ id, stateful, rules, groupBy, timespanMs, suppressMs }) => ({ id, stateful, rules, groupBy: groupBy.map(({ name, perRule }) => [name, ...perRule]), timespanMs, suppressMs })), delivery })}`;
  assert.deepEqual(found, [...expected.keys()].sort(), shown());
  assert.equal(refused, 0, shown());
  if (!delivery.duplicates && !delivery.restarts) assert.equal(late, 0, shown());
  if (delivery.limits.groupEntriesMax >= events.length * 4) {
    const calm = { ...delivery, partitions: 1, duplicates: false, restarts: false };
    const once = deliver(random, set, events, calm);
    assert.deepEqual(contents(alerts), contents(once.alerts), shown());
    const chained = new Set(set.stateful.filter((rule) => rule.chained.length > 0).map(idOf));
    for (const { id, ruleId, rank, countIsLowerBound } of alerts.values()) {
      if (chained.has(ruleId) || countIsLowerBound) continue;
      assert.equal(rank ?? -1, expected.get(id), shown());
    }
  }
  return { alerts: expected.size, silent: expected.size === 0 };
}

const idOf = ({ id }: { id: string }): string => id;

/** What an alert says in the end, besides what depends on the copy of an event that came first. */
function contents(alerts: ReadonlyMap<string, StatefulAlert>) {
  return [...alerts.values()]
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ id, periodMs, first, last, count, countIsLowerBound, rank, reason, evidence }) => ({
      ...{ id, periodMs, first, last, count, countIsLowerBound, rank, reason },
      evidence: evidence.map(({ eventId }) => eventId),
    }));
}

describe('alert ids are a function of the events alone', () => {
  if (given !== undefined) {
    test(`seed ${given}`, () => {
      check(Number(given));
    });
    return;
  }
  let alerts = 0;
  let silent = 0;
  for (let first = 0; first < SEEDS; first += BLOCK) {
    test(`seeds ${first} to ${first + BLOCK - 1}`, () => {
      for (let seed = first; seed < Math.min(SEEDS, first + BLOCK); seed += 1) {
        const result = check(seed);
        alerts += result.alerts;
        if (result.silent) silent += 1;
      }
    });
  }
  test('and there are alerts to compare, and streams without any', () => {
    assert.ok(alerts > SEEDS, `${alerts} alerts`);
    assert.ok(silent > 0 && silent < SEEDS / 2, `${silent} silent streams`);
  });
});
