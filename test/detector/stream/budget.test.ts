/**
 * Budgets of groups, over the stream and with the real correlator: what finds no room is refused
 * aloud, with a metric and a dead letter that holds all of the match, and nothing is forgotten instead
 * (promise D4).
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Correlator } from '../../../services/detector/correlate/correlator.ts';
import { GROUP_ENTRIES_HARD_FACTOR } from '../../../services/detector/correlate/limits.ts';
import { planOf } from '../../../services/detector/correlate/plan.ts';
import type { Judges } from '../../../services/detector/stream/judge.ts';
import { encodeMatch } from '../../../services/detector/stream/records.ts';
import type { KafkaRecord } from '../../../services/ingest/record.ts';
import { aggregate, ruleSet, stateful } from '../made.ts';
import { JUDGES, matchOf, Process, RULE_ID, T, World } from './stage.ts';

const GROUP_ENTRIES_MAX = 10;
const ROOM = GROUP_ENTRIES_MAX * GROUP_ENTRIES_HARD_FACTOR;
const rule = stateful(aggregate('value_sum', { gte: 1 }, ['rows']), {
  ...{ id: RULE_ID, rules: [RULE_ID], groupBy: ['name'] },
  ...{ timespanMs: 10_000, suppressMs: 86_400_000 },
});
const plan = planOf(rule, ruleSet([RULE_ID], [rule]));

const judges: Judges = {
  ...JUDGES,
  plans: new Map([[RULE_ID, plan.fingerprint]]),
  open: () =>
    new Correlator([plan], {
      ...{ latenessMs: 1_000, groupEntriesMax: GROUP_ENTRIES_MAX },
      ...{ groupsMax: 2, warmGroupsMax: 1 },
    }),
};

function tell(world: World, group: string, number: number): void {
  const match = { ...matchOf(group, T + number, number), values: ['1'] };
  world.raw(encodeMatch(match, plan.fingerprint));
}

async function readOn(world: World): Promise<Process> {
  const one = new Process(world, { judges: () => judges });
  await one.start();
  await one.read(world.matches.length);
  await one.flush();
  return one;
}

/** Events that alerts count, by group; and those whose dead letter says that there was no room. */
function outcome(world: World) {
  const counted: Record<string, number> = {};
  for (const { json } of world.stored.values()) {
    const { group, count } = JSON.parse(json) as { group: { name: string }; count: number };
    counted[group.name] = (counted[group.name] ?? 0) + count;
  }
  const refused = world.letters.map(({ source, reason, detail }) => {
    assert.equal(reason, 'group_budget');
    assert.match(detail, new RegExp(`^rule ${RULE_ID}: .*\\(detect\\.group`));
    return JSON.parse((source as KafkaRecord).value!.toString()) as Record<string, unknown>;
  });
  return { counted, refused };
}

describe('a match that finds no room', () => {
  it('in its group is refused aloud, and the group goes on when there is room again', async () => {
    const world = new World();
    const most = ROOM + 25;
    for (let n = 0; n < most; n += 1) tell(world, 'ann', n);
    const first = await readOn(world);
    assert.deepEqual(first.refused, { group_entries: 25 });
    // Event time passes what waits, and the window all that it holds; another process goes on.
    world.progress(T + most, most);
    world.progress(T + 30_000, most);
    tell(world, 'ann', 40_000);
    world.progress(T + 50_000, 40_001);
    const second = await readOn(world);
    assert.deepEqual(second.refused, {});
    const { counted, refused } = outcome(world);
    assert.deepEqual(counted, { ann: ROOM + 1 });
    assert.deepEqual(
      refused.map(({ eventId, values, group }) => [eventId, values, group]),
      Array.from({ length: 25 }, (_, n) => [`event-${ROOM + n}`, ['1'], ['ann']]),
    );
  });

  it('as a group is refused aloud, over restarts, and those that are open lose nothing', async () => {
    const world = new World();
    const groups = ['ann', 'bob', 'eve', 'joe'];
    for (let n = 0; n < 40; n += 1) tell(world, groups[n % 4]!, n);
    const first = await readOn(world);
    assert.deepEqual(first.refused, { groups: 20 });
    for (let n = 40; n < 60; n += 1) tell(world, groups[n % 4]!, n);
    world.progress(T + 100, 60);
    const second = await readOn(world);
    assert.deepEqual(second.refused, { groups: 10 });
    const { counted, refused } = outcome(world);
    assert.deepEqual(counted, { ann: 15, bob: 15 });
    assert.deepEqual(
      refused.map(({ eventId }) => eventId),
      Array.from({ length: 60 }, (_, n) => n)
        .filter((n) => n % 4 >= 2)
        .map((n) => `event-${n}`),
    );
  });
});
