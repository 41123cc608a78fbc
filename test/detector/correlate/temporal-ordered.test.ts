/**
 * The condition of `temporal_ordered` by itself: that it holds where a sequence ends at the deciding
 * instant and nowhere else, and how little it looks at where the answer is no.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Entry } from '../../../services/detector/correlate/entry.ts';
import { planOf } from '../../../services/detector/correlate/plan.ts';
import { NO_RANK } from '../../../services/detector/correlate/types.ts';
import {
  type WindowCondition,
  windowCondition,
} from '../../../services/detector/correlate/window-condition.ts';
import { ruleSet, stateful } from '../made.ts';

const RULES = ['a', 'b', 'c', 'd'];

function conditionOf(rules: number, wanted: number | null): WindowCondition {
  const thresholds = wanted === null ? [] : [{ operator: 'gte' as const, operand: wanted }];
  const rule = stateful(
    { kind: 'temporal', ordered: true, thresholds },
    { rules: RULES.slice(0, rules) },
  );
  return windowCondition(planOf(rule, ruleSet(RULES, [rule])).root);
}

function entry(time: number, leaf: number): Entry {
  return {
    ...{ id: `${time}`, time, leaf, key: '', figure: Number.NaN, topic: 'audit', partition: 0 },
    ...{ offset: 0n, rank: NO_RANK, values: null, context: '', refs: null },
  };
}

/** The longest that ends with the entry, by trying every entry before it. */
function longest(entries: readonly Entry[], { time, leaf }: Entry): number {
  const before = entries.filter((one) => one.time < time && one.leaf < leaf);
  return 1 + Math.max(0, ...before.map((one) => longest(entries, one)));
}

/** Entries that count how often somebody asks for one of their rules or times. */
function watched(entries: readonly Entry[]): { entries: Entry[]; asked: () => number } {
  let asked = 0;
  const watching: ProxyHandler<Entry> = {
    get(target, name) {
      asked += 1;
      return target[name as keyof Entry];
    },
  };
  return { entries: entries.map((one) => new Proxy(one, watching)), asked: () => asked };
}

describe('temporal_ordered holds', () => {
  test('where a sequence of enough rules ends at the last instant, and only there', () => {
    let held = 0;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(9), fc.nat(3)), { minLength: 1, maxLength: 12 }),
        fc.option(fc.integer({ min: 1, max: 5 })),
        fc.nat(3),
        (told, wanted, skipped) => {
          const entries = told.map(([time, leaf]) => entry(time, leaf));
          entries.sort((one, other) => one.time - other.time || one.leaf - other.leaf);
          const start = Math.min(skipped, entries.length - 1);
          const window = entries.slice(start);
          const { time } = window.at(-1)!;
          const expected = window
            .filter((one) => one.time === time)
            .some((one) => longest(window, one) >= (wanted ?? 4));
          const found = conditionOf(4, wanted).holds(entries, start, entries.length);
          assert.equal(found, expected);
          if (found) held += 1;
        },
      ),
      { numRuns: 2_000, seed: 5 },
    );
    assert.ok(held > 100 && held < 1_900, `${held} of 2000 hold`);
  });

  test('not, after one look, where the last event can end no sequence', () => {
    const first = Array.from({ length: 5_000 }, (_, n) => entry(n, 0));
    const steps = [...first, entry(5_000, 1), entry(5_001, 1)];
    const { entries, asked } = watched(steps);
    assert.equal(conditionOf(3, null).holds(entries, 0, entries.length), false);
    assert.ok(asked() <= 10, `${asked()} looks`);
    assert.equal(conditionOf(3, 2).holds(entries, 0, entries.length), true);
  });

  test('not, after one look at each, where a rule is missing', () => {
    const steps = Array.from({ length: 5_000 }, (_, n) => entry(n, n % 2 === 0 ? 0 : 2));
    const { entries, asked } = watched(steps);
    assert.equal(conditionOf(3, null).holds(entries, 0, entries.length), false);
    assert.ok(asked() <= 5_010, `${asked()} looks`);
    assert.equal(conditionOf(3, 2).holds(entries, 0, entries.length), true);
  });
});
