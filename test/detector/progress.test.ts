/** What may be committed never passes what is not durable (promise A2). */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PartitionProgress, type Pending } from '../../services/detector/progress.ts';

describe('progress of a partition', () => {
  it('has nothing to commit before anything was passed', () => {
    assert.equal(new PartitionProgress().committable(), null);
  });

  it('stops at the first record that waits, and jumps when it is settled', () => {
    const progress = new PartitionProgress();
    const first = progress.begin(5n);
    const second = progress.begin(5n);
    const third = progress.begin(8n);
    progress.passed(10n);
    assert.equal(progress.committable(), 5n);
    third.settled = true;
    first.settled = true;
    assert.equal(progress.committable(), 5n);
    second.settled = true;
    assert.equal(progress.committable(), 10n);
  });

  it('does not pass records before an alert that was raised in an unfinished batch', () => {
    const progress = new PartitionProgress();
    progress.begin(7n);
    assert.equal(progress.committable(), null);
    progress.passed(3n);
    assert.equal(progress.committable(), 3n);
  });

  it('refuses to go back', () => {
    const progress = new PartitionProgress();
    progress.passed(10n);
    assert.throws(() => progress.passed(9n));
    progress.begin(12n);
    assert.throws(() => progress.begin(11n));
  });

  it('equals the smallest waiting offset, whatever the order of settling', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('alert' as const), skip: fc.nat(3) }),
      fc.record({ kind: fc.constant('settle' as const), which: fc.nat(50) }),
      fc.record({ kind: fc.constant('pass' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const progress = new PartitionProgress();
        const all: Pending[] = [];
        let offset = 0n;
        let passed: bigint | null = null;
        for (const one of steps) {
          if (one.kind === 'alert') {
            offset += BigInt(one.skip);
            all.push(progress.begin(offset));
          } else if (one.kind === 'settle') {
            const pending = all[one.which % Math.max(1, all.length)];
            if (pending !== undefined) pending.settled = true;
          } else {
            offset += 1n;
            passed = offset;
            progress.passed(passed);
          }
          const waiting = all.find((pending) => !pending.settled);
          const first: bigint | null =
            waiting === undefined || passed === null ? passed : waiting.offset;
          const wanted: bigint | null =
            first === null || passed === null || first < passed ? first : passed;
          assert.equal(progress.committable(), wanted);
        }
      }),
      { numRuns: 1_000, seed: 9 },
    );
  });
});
