import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { EventRecord, Letter } from '../../services/collector/build.ts';
import { buildLine } from '../../services/collector/build.ts';
import { type Outlet, Pipeline, type PipelineLimits } from '../../services/collector/pipeline.ts';
import type { Clock } from '../../services/runtime/clock.ts';

const LIMITS: PipelineLimits = {
  loadBytes: 1_000_000,
  loadRecords: 2,
  loadAgeMs: 500,
  underWayMax: 2,
};

function record(line: number): EventRecord {
  return { key: null, value: Buffer.from([line]), source: 's', line };
}

const letter: Letter = {
  source: 's',
  line: 1,
  bytes: Buffer.from('x'),
  reason: 'not_json',
  detail: 'd',
};

/** An outlet whose sends are answered by hand, in any order. */
class ManualOutlet implements Outlet {
  readonly sent: number[][] = [];
  readonly letters: Letter[][] = [];
  readonly #answers: Array<{ resolve(refused: number[]): void; reject(error: Error): void }> = [];

  sendEvents(records: EventRecord[]): Promise<number[]> {
    this.sent.push(records.map(({ line }) => line));
    return new Promise((resolve, reject) => this.#answers.push({ resolve, reject }));
  }

  async sendLetters(letters: Letter[]): Promise<void> {
    this.letters.push(letters);
  }

  async answer(send: number, refused: number[] = []): Promise<void> {
    this.#answers[send]!.resolve(refused);
    for (let i = 0; i < 5; i += 1) await turn();
  }

  async fail(send: number): Promise<void> {
    this.#answers[send]!.reject(new Error(`send ${send}`));
    for (let i = 0; i < 5; i += 1) await turn();
  }
}

/** A clock whose sleeps end by hand. */
class ManualClock implements Clock {
  readonly sleeping: Array<() => void> = [];
  now(): number {
    return 0;
  }
  sleep(_ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.sleeping.push(resolve);
      signal?.addEventListener('abort', () => resolve());
    });
  }
}

function setUp(limits = LIMITS) {
  const outlet = new ManualOutlet();
  const clock = new ManualClock();
  const refused: Letter[] = [];
  const pipeline = new Pipeline(outlet, limits, clock, (one) => refused.push(one));
  return { outlet, clock, pipeline, refused };
}

test('a load leaves when it has enough records or bytes', () => {
  const { outlet, pipeline } = setUp();
  pipeline.put([record(1)], []);
  assert.deepEqual(outlet.sent, []);
  pipeline.put([record(2)], []);
  assert.deepEqual(outlet.sent, [[1, 2]]);
  const small = setUp({ ...LIMITS, loadBytes: 10 });
  small.pipeline.put([record(1)], []);
  assert.deepEqual(small.outlet.sent, [[1]]);
});

test('a load leaves at its age, so that a slow input is not held back', async () => {
  const { outlet, clock, pipeline } = setUp();
  pipeline.put([record(1)], []);
  clock.sleeping[0]!();
  await turn();
  assert.deepEqual(outlet.sent, [[1]]);
});

test('the age of a load that has left does not send the next one early', async () => {
  const { outlet, clock, pipeline } = setUp();
  pipeline.put([record(1), record(2)], []);
  pipeline.put([record(3)], []);
  clock.sleeping[0]!();
  await turn();
  assert.deepEqual(outlet.sent, [[1, 2]]);
});

test('no more loads are under way than allowed: settle waits', async () => {
  const { outlet, pipeline } = setUp();
  assert.equal(pipeline.put([record(1), record(2)], []), false);
  assert.equal(pipeline.put([record(3), record(4)], []), false);
  assert.equal(pipeline.put([record(5), record(6)], []), true);
  let settled = false;
  const settling = pipeline.settle().then(() => {
    settled = true;
  });
  await turn();
  assert.equal(settled, false);
  await outlet.answer(0);
  await settling;
});

test('a mark is reached when everything before it is durable, whatever the order of answers', async () => {
  const { outlet, pipeline } = setUp();
  const reached: string[] = [];
  pipeline.put([record(1), record(2)], []);
  pipeline.put([record(3)], []);
  pipeline.mark(() => reached.push('a'));
  pipeline.put([record(4)], []);
  pipeline.put([record(5)], []);
  pipeline.mark(() => reached.push('b'));
  const drained = pipeline.drain();
  await outlet.answer(1);
  assert.deepEqual(reached, [], 'the first load is not durable');
  await outlet.answer(0);
  assert.deepEqual(reached, ['a']);
  await outlet.answer(2);
  await drained;
  assert.deepEqual(reached, ['a', 'b']);
  assert.equal(pipeline.recordsDurable, 5);
});

test('after a failed load no mark behind it is reached and nothing more is sent', async () => {
  const { outlet, pipeline } = setUp();
  const reached: string[] = [];
  pipeline.put([record(1), record(2)], []);
  pipeline.mark(() => reached.push('behind the first'));
  pipeline.put([record(3), record(4)], []);
  await outlet.fail(0);
  await outlet.answer(1);
  assert.equal(pipeline.put([record(5), record(6)], []), true);
  await assert.rejects(pipeline.settle(), /send 0/);
  await assert.rejects(pipeline.drain(), /send 0/);
  assert.deepEqual(reached, []);
  assert.equal(outlet.sent.length, 2);
  assert.equal(pipeline.recordsDurable, 2, 'the second load was acknowledged all the same');
});

test('a mark with nothing before it is reached too', async () => {
  const { pipeline } = setUp();
  let reached = false;
  pipeline.mark(() => {
    reached = true;
  });
  await pipeline.drain();
  assert.ok(reached);
});

test('a record that the topic does not take becomes a dead letter before its load is durable', async () => {
  const { outlet, pipeline, refused } = setUp();
  const text = JSON.stringify({ serviceName: 'a', actionName: 'b', timestamp: 1759795200000 });
  const line = { number: 4, bytes: Buffer.from(text), oversizedBytes: null };
  const context = { schemaId: 1, lineBytesMax: 1_000, recordBytesMax: 10_000 };
  const { records } = buildLine(line, 'a.json', context);
  pipeline.put(records, [letter]);
  const drained = pipeline.drain();
  await outlet.answer(0, [0]);
  await drained;
  assert.deepEqual(outlet.letters[0], [letter]);
  const [made] = outlet.letters[1]!;
  assert.deepEqual([made!.reason, made!.line], ['record_too_large', 4]);
  assert.equal(made!.bytes.toString(), text);
  assert.deepEqual(refused, [made]);
  assert.equal(pipeline.recordsDurable, 0);
  assert.equal(pipeline.lettersDurable, 2);
});
