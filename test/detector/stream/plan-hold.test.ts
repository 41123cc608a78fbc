/** What becomes of matches of rules that are not in force: waited for, but never for long. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PlanHold } from '../../../services/detector/stream/plan-hold.ts';

const HOLD_MS = 30_000;

describe('a match of a rule that is not in force', () => {
  it('is outdated where its rule was in force before', () => {
    const hold = new PlanHold(HOLD_MS);
    hold.inForce(['old']);
    hold.inForce(['new']);
    assert.equal(hold.of('old', 0), 'outdated');
  });

  it('is outdated where a partition tells that its rule was in force before ours', () => {
    const hold = new PlanHold(HOLD_MS);
    hold.inForce(['new', 'same']);
    hold.told([['old', 'same']]);
    assert.equal(hold.of('old', 0), 'outdated');
  });

  it('is waited for where a partition tells that its rule came after ours', () => {
    const hold = new PlanHold(HOLD_MS);
    hold.inForce(['old', 'same']);
    // Another partition, whose owner has not changed, knows of nothing yet.
    hold.told([['oldest'], ['old', 'same']]);
    hold.told([['oldest'], ['old', 'same'], ['new', 'same']]);
    assert.equal(hold.of('new', 0), 'hold');
    assert.equal(hold.of('oldest', 0), 'outdated');
    hold.inForce(['new', 'same']);
    assert.equal(hold.of('old', 0), 'outdated');
  });

  it('is waited for in doubt: what is back after it was gone may be on its way', () => {
    const hold = new PlanHold(HOLD_MS);
    hold.inForce(['b']);
    hold.told([['a'], ['b'], ['a', 'c']]);
    assert.equal(hold.of('a', 0), 'hold');
  });

  it('is waited for, then set apart, with all that come of it until the rules change', () => {
    const hold = new PlanHold(HOLD_MS);
    hold.inForce(['here']);
    for (let ms = 0; ms < HOLD_MS; ms += 1_000) assert.equal(hold.of('there', ms), 'hold');
    assert.equal(hold.of('there', HOLD_MS), 'apart');
    assert.equal(hold.of('there', 10 * HOLD_MS), 'apart');
    hold.inForce(['here', 'another']);
    assert.equal(hold.of('there', 10 * HOLD_MS), 'hold');
  });

  it('is waited for as long as the operator says', () => {
    const hold = new PlanHold(10 * HOLD_MS);
    hold.inForce(['here']);
    for (let ms = 0; ms < 10 * HOLD_MS; ms += 1_000) assert.equal(hold.of('there', ms), 'hold');
    assert.equal(hold.of('there', 10 * HOLD_MS), 'apart');
    assert.equal(hold.of('elsewhere', 19 * HOLD_MS), 'apart');
    assert.equal(hold.of('elsewhere', 20 * HOLD_MS), 'hold');
  });

  it('is waited for from the beginning where the last wait was broken off', () => {
    const hold = new PlanHold(HOLD_MS);
    assert.equal(hold.of('there', 0), 'hold');
    assert.equal(hold.of('there', 2 * HOLD_MS), 'hold');
  });

  it('holds a partition for half of the time at most, however many such rules there are', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40), { minLength: 1, maxLength: 60 }), (plans) => {
        const hold = new PlanHold(HOLD_MS);
        let nowMs = 0;
        let heldMs = 0;
        for (const plan of plans) {
          for (; hold.of(String(plan), nowMs) === 'hold'; nowMs += 1_000) heldMs += 1_000;
          nowMs += 500;
        }
        assert.ok(heldMs <= nowMs / 2 + HOLD_MS, `${heldMs} of ${nowMs} ms`);
      }),
    );
  });
});
