/** Plans: mode, what matches carry, what a fingerprint is of, and what is refused at load. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkPlan, DEFAULT_LIMITS } from '../../../services/detector/correlate/limits.ts';
import { PlanIndex } from '../../../services/detector/correlate/matches.ts';
import { planOf } from '../../../services/detector/correlate/plan.ts';
import type { StatefulKind } from '../../../services/detector/sigma/rule.ts';
import { aggregate, groupField, ruleSet, type StatefulParts, stateful } from '../made.ts';

function plan(kind: StatefulKind, parts: StatefulParts = {}) {
  const rule = stateful(kind, { rules: ['a', 'b'], ...parts });
  return planOf(rule, ruleSet(['a', 'b', 'c'], [rule]));
}

const not = { kind: 'not' as const, term: { kind: 'rule' as const, rule: 'b' } };
const expression = (ordered: boolean, negated: boolean): StatefulKind => ({
  ...{ kind: 'temporal_expression', ordered },
  expression: { kind: 'and', terms: [{ kind: 'rule', rule: 'a' }, negated ? not : not.term] },
});

describe('a plan', () => {
  test('is eager where more can only make more of it true', () => {
    const cases: Array<[kind: StatefulKind, mode: string]> = [
      [aggregate('event_count', { gte: 3 }), 'eager'],
      [aggregate('value_count', { gt: 3 }, ['x']), 'eager'],
      [aggregate('event_count', { gte: 3, lt: 5 }), 'ordered'],
      [aggregate('event_count', { neq: 5 }), 'ordered'],
      [aggregate('value_sum', { gte: 3 }, ['x']), 'ordered'],
      [{ kind: 'temporal', ordered: false, thresholds: [] }, 'eager'],
      [{ kind: 'temporal', ordered: true, thresholds: [] }, 'eager'],
      [expression(false, false), 'eager'],
      [expression(true, false), 'ordered'],
      [expression(false, true), 'ordered'],
      [{ kind: 'silence' }, 'ordered'],
    ];
    for (const [kind, mode] of cases) assert.equal(plan(kind).mode, mode, JSON.stringify(kind));
  });

  test('carries what is counted, and through a chain what inner rules group by', () => {
    const counted = plan(aggregate('value_count', { gte: 3 }, ['x', 'y']));
    assert.deepEqual(counted.fields, ['x', 'y']);
    assert.equal(counted.needsEveryField, true);
    const inner = stateful(aggregate('event_count', { gte: 3 }), {
      ...{ id: 'inner', rules: ['a'], alerts: false },
      groupBy: [groupField('who', { a: 'user' }), 'place'],
    });
    const outer = stateful(
      { kind: 'temporal', ordered: true, thresholds: [] },
      {
        ...{ id: 'outer', rules: ['inner', 'b'], chained: ['inner'] },
        groupBy: [groupField('person', { inner: 'who', b: 'target' })],
      },
    );
    const chain = planOf(outer, ruleSet(['a', 'b'], [inner, outer]));
    assert.equal(chain.mode, 'ordered');
    assert.deepEqual(
      chain.leaves.map(({ ruleId, group, values }) => ({ ruleId, group, values })),
      [
        { ruleId: 'a', group: ['user'], values: ['user', 'place'] },
        { ruleId: 'b', group: ['target'], values: ['who', 'place'] },
      ],
    );
    assert.equal(chain.memoryMs, 120);
  });

  test('has a fingerprint of its meaning', () => {
    const kind = aggregate('event_count', { gte: 3 });
    const rule = stateful(kind, { rules: ['a'] });
    const set = ruleSet(['a'], [rule]);
    const { fingerprint } = planOf(rule, set);
    const told = { ...rule, title: 'another', description: 'text', level: 'low' as const };
    assert.equal(planOf(told, set).fingerprint, fingerprint);
    const others = [
      { ...rule, timespanMs: 61 },
      { ...rule, suppressMs: 61 },
      { ...rule, groupBy: [groupField('user', { a: 'target' })] },
      { ...rule, stateful: aggregate('event_count', { gte: 4 }) },
    ];
    const prints = new Set(others.map((other) => planOf(other, set).fingerprint));
    assert.equal(prints.size, 4);
    assert.ok(!prints.has(fingerprint));
  });

  test('is not made of a set that is not resolved', () => {
    const rule = stateful({ kind: 'silence' }, { rules: ['z'] });
    assert.throws(() => planOf(rule, ruleSet(['a'], [rule])), /refers to z/);
    const circle = stateful({ kind: 'silence' }, { id: 'x', rules: ['x'], chained: ['x'] });
    assert.throws(() => planOf(circle, ruleSet(['a'], [circle])), /own chain/);
  });
});

test('what a group cannot hold is refused at load', () => {
  const check = (kind: StatefulKind, rules = ['a', 'b']): string[] =>
    checkPlan(plan(kind, { rules }), DEFAULT_LIMITS).map(({ message }) => message);
  assert.deepEqual(check(aggregate('event_count', { gte: 1_000 })), []);
  assert.match(check(aggregate('event_count', { gt: 1_000 }))[0]!, /1001 is above .* 1000/);
  assert.match(check(aggregate('value_count', { lt: 2_000 }, ['x']))[0]!, /2000/);
  assert.deepEqual(check(aggregate('value_sum', { gte: 1e9 }, ['x'])), []);
  const temporal: StatefulKind = {
    kind: 'temporal',
    ordered: true,
    thresholds: [{ operator: 'gte', operand: 3 }],
  };
  assert.match(check(temporal)[0]!, /wants 3 rules, and there are 2/);
  const never: StatefulKind = { kind: 'temporal_expression', ordered: false, expression: not };
  assert.match(check(never, ['b'])[0]!, /waits for nothing/);
});

test('matches are made only where the event has what is needed', () => {
  const counted = plan(aggregate('value_count', { gte: 3 }, ['x']));
  const suppressed = plan(aggregate('event_count', { gte: 1 }), {
    id: 'other',
    rules: ['b'],
    groupBy: [],
  });
  const index = new PlanIndex([counted, suppressed]);
  let contexts = 0;
  const made = (hits: string[], fields: Record<string, string>): string[] =>
    index
      .matchesFor(
        hits,
        { eventId: 'e', eventTime: 1 },
        { topic: 't', partition: 0, offset: 1n },
        () => {
          contexts += 1;
          return '{}';
        },
        (field) => fields[field] ?? null,
      )
      .map(({ ruleId, leafId, group }) => `${ruleId}/${leafId}/${group}`);
  assert.deepEqual(made(['a', 'b'], { user: 'ann', x: '1' }), [
    'rule/a/ann',
    'rule/b/ann',
    'other/b/',
  ]);
  assert.equal(contexts, 1);
  assert.deepEqual(made(['a'], { user: 'ann' }), []);
  assert.deepEqual(made(['a'], { x: '1' }), []);
  assert.deepEqual(made(['c'], {}), []);
  assert.equal(contexts, 1);
  assert.deepEqual(index.dropped, { groupMissing: 1, valueMissing: 1 });
  assert.deepEqual([index.wants('b'), index.wants('c')], [true, false]);
});

test('an event of a rule that is only suppressed counts under an empty group', () => {
  const rule = stateful(aggregate('event_count', { gte: 1 }), {
    ...{ id: 'a', rules: ['a'], groupBy: ['user', 'place'] },
  });
  const counted = stateful(aggregate('event_count', { gte: 1 }), { id: 'count', rules: ['a'] });
  const set = ruleSet(['a'], [rule, counted]);
  const index = new PlanIndex(set.stateful.map((one) => planOf(one, set)));
  const groups = (fields: Record<string, string>) =>
    index
      .matchesFor(
        ['a'],
        { eventId: 'e', eventTime: 1 },
        { topic: 't', partition: 0, offset: 1n },
        () => '{}',
        (field) => fields[field] ?? null,
      )
      .map(({ ruleId, group }) => [ruleId, ...group]);
  assert.deepEqual(groups({ place: 'x' }), [['a', '', 'x']]);
  assert.deepEqual(groups({}), [['a', '', '']]);
  assert.deepEqual(index.dropped, { groupMissing: 2, valueMissing: 0 });
});
