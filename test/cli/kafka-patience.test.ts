import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isPassing, patiently } from '../../services/cli/kafka-patience.ts';
import type { Clock } from '../../services/runtime/clock.ts';

const loading = Object.assign(new Error('loading'), { type: 'GROUP_LOAD_IN_PROGRESS' });
const denied = Object.assign(new Error('denied'), { type: 'GROUP_AUTHORIZATION_FAILED' });

function manualClock(): Clock & { nowMs: number } {
  return {
    nowMs: 0,
    now() {
      return this.nowMs;
    },
    async sleep(ms) {
      this.nowMs += ms;
    },
  };
}

describe('patience with Kafka', () => {
  test('what passes is waited out, also inside another error', async () => {
    let calls = 0;
    const answer = await patiently(async () => {
      calls += 1;
      if (calls < 4) throw new Error('wrapped', { cause: loading });
      return 'done';
    }, manualClock());
    assert.equal(answer, 'done');
    assert.equal(calls, 4);
  });

  test('what does not pass is told at once', async () => {
    let calls = 0;
    const run = async (): Promise<never> => {
      calls += 1;
      throw denied;
    };
    await assert.rejects(patiently(run, manualClock()), denied);
    assert.equal(calls, 1);
    assert.equal(isPassing(denied), false);
  });

  test('and patience ends', async () => {
    const clock = manualClock();
    await assert.rejects(
      patiently(() => Promise.reject(loading), clock),
      loading,
    );
    assert.ok(clock.nowMs > 20_000 && clock.nowMs < 30_000, String(clock.nowMs));
  });
});
