import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Match } from '../../../services/detector/correlate/types.ts';
import { WaitingMatches } from '../../../services/detector/workbench/waiting.ts';

function match(eventTime: number, n: number): Match {
  return {
    ruleId: 'rule',
    leafId: 'leaf',
    group: ['älice', ''],
    values: [null, '7'],
    eventTime,
    eventId: `event-${n}`,
    topic: 'file',
    partition: 0,
    offset: 2n ** 60n + BigInt(n),
    context: `{"n":${n}}`,
  };
}

function roundTrip(times: readonly number[]): { given: Match[]; got: Match[] } {
  const given = times.map(match);
  const waiting = new WaitingMatches();
  for (const one of given) waiting.add(one);
  return { given, got: [...waiting.inOrder()] };
}

describe('matches that wait', () => {
  it('come back whole, each once, in order of event time', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -5, max: 1_000 }), { maxLength: 50 }),
        fc.integer({ min: 1, max: 300 }),
        (pattern, repeats) => {
          // Enough for some blocks, in and out of order.
          const times = Array.from({ length: repeats }, (_, n) =>
            pattern.map((time) => time + n * 3),
          ).flat();
          const { given, got } = roundTrip(times);
          assert.equal(got.length, given.length);
          for (const [at, one] of got.entries()) {
            assert.ok(at === 0 || got[at - 1]!.eventTime <= one.eventTime);
          }
          const byId = new Map(got.map((one) => [one.eventId, one]));
          for (const one of given) assert.deepEqual(byId.get(one.eventId), one);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('that come in reverse are turned round, over block after block', () => {
    const times = Array.from({ length: 20_000 }, (_, n) => 20_000 - n);
    const { got } = roundTrip(times);
    assert.deepEqual(
      got.map(({ eventTime }) => eventTime),
      times.toReversed(),
    );
  });

  it('are nothing where nothing was added, and are given once', () => {
    const waiting = new WaitingMatches();
    assert.deepEqual([...waiting.inOrder()], []);
    waiting.add(match(1, 1));
    assert.equal([...waiting.inOrder()].length, 1);
    assert.deepEqual([...waiting.inOrder()], []);
  });
});
