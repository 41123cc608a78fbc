/** Questions about topic ids: none is older than the fetch it is asked for, and few are asked. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { type TopicIds, TopicWatch } from '../../services/ingest/topic-watch.ts';

describe('topic watch', () => {
  test('the batches of one fetch share a question', async () => {
    const asked: number[] = [];
    const watch = new TopicWatch(async (nodeId) => {
      asked.push(nodeId);
      return new Map([['topic', `id-${asked.length}`]]);
    });
    const answers = await Promise.all([watch.ask(1), watch.ask(1), watch.ask(2), watch.ask(1)]);
    assert.deepEqual(asked, [1, 2]);
    assert.equal(answers[0], answers[3]);
    assert.equal(answers[2]!.get('topic'), 'id-2');
  });

  test('A1: a question that was sent before is not taken for the answer', async () => {
    const waiting: Array<(ids: TopicIds) => void> = [];
    const watch = new TopicWatch(() => new Promise((resolve) => waiting.push(resolve)));
    const first = watch.ask(1);
    await setImmediate();
    await setImmediate();
    assert.equal(waiting.length, 1);
    const second = watch.ask(1);
    waiting[0]!(new Map([['topic', 'old']]));
    assert.equal((await first).get('topic'), 'old');
    await setImmediate();
    assert.equal(waiting.length, 2);
    waiting[1]!(new Map([['topic', 'new']]));
    assert.equal((await second).get('topic'), 'new');
  });

  test('a question that fails is not remembered', async () => {
    let calls = 0;
    const watch = new TopicWatch(async () => {
      if (++calls === 1) throw new Error('away');
      return new Map();
    });
    await assert.rejects(watch.ask(1), /away/);
    await watch.ask(1);
    assert.equal(calls, 2);
  });
});
