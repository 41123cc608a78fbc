/** Matches on their way (A2, D4), the word on event time that follows them, and entries of state. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { AnnouncedPartition } from '../../../services/detector/stream/announce.ts';
import { Announcing, type AnnouncingParts } from '../../../services/detector/stream/announcing.ts';
import { Outbox, type OutboxOptions } from '../../../services/detector/stream/outbox.ts';
import { decodeStreamRecord } from '../../../services/detector/stream/records.ts';
import { Settling } from '../../../services/detector/stream/settling.ts';
import {
  decodeStateEntry,
  encodeStateEntry,
} from '../../../services/detector/stream/state-entries.ts';
import { silentLog } from '../../../services/runtime/log.ts';

const T = Date.UTC(2026, 2, 2);

function outboxOf(produce: OutboxOptions['produce'], waitingMax = 100) {
  const settled: number[] = [];
  const refused: number[] = [];
  const outbox = new Outbox({
    produce,
    clock: { now: () => 0, sleep: async () => void (await turn()) },
    random: () => 0.5,
    log: silentLog,
    waitingMax,
    reachable: () => {},
  });
  const add = (n: number): Promise<void> =>
    outbox.add({
      partition: 0,
      value: Buffer.from(`\x01${n}`),
      settled: () => settled.push(n),
      refused: async () => void refused.push(n),
    });
  return { outbox, add, settled, refused };
}

/** What `add` was given, of one record of one or of several matches. */
function textsOf(value: Buffer): string[] {
  if (value[0] === 1) return [value.toString('utf8', 1)];
  const texts: string[] = [];
  for (let at = 1; at < value.length; ) {
    const end = at + 4 + value.readInt32BE(at);
    texts.push(value.toString('utf8', at + 4, end));
    at = end;
  }
  return texts;
}

describe('outbox', () => {
  it('settles what is acknowledged, in order, and tells when all is', async () => {
    const sent: string[][] = [];
    const { outbox, add, settled } = outboxOf(async (records) => {
      sent.push(records.flatMap(({ value }) => textsOf(value!)));
      await turn();
      return [];
    });
    assert.equal(await outbox.flushed(), true);
    for (let n = 0; n < 5; n += 1) void add(n);
    assert.deepEqual(settled, []);
    assert.equal(await outbox.flushed(), true);
    assert.deepEqual(settled, [0, 1, 2, 3, 4]);
    assert.equal(sent.flat().length, 5);
    await outbox.stop();
  });

  it('tries again for ever, in the same order, and settles nothing meanwhile', async () => {
    let failures = 4;
    const sent: string[][] = [];
    const { outbox, add, settled } = outboxOf(async (records) => {
      sent.push(records.flatMap(({ value }) => textsOf(value!)));
      if (failures-- > 0) throw new Error('away');
      assert.deepEqual(settled, []);
      return [];
    });
    for (let n = 0; n < 3; n += 1) void add(n);
    assert.equal(await outbox.flushed(), true);
    assert.deepEqual(settled, [0, 1, 2]);
    assert.equal(sent.length, 5);
    assert.deepEqual(sent[0], sent[4]);
    await outbox.stop();
  });

  it('makes the reader wait when too many wait', async () => {
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { outbox, add } = outboxOf(async () => {
      await gate;
      return [];
    }, 2);
    await add(0);
    let room = false;
    const waits = add(1).then(() => {
      room = true;
    });
    for (let turns = 0; turns < 5; turns += 1) await turn();
    assert.equal(room, false);
    open();
    await waits;
    await outbox.stop();
  });

  it('puts what waits for one partition into one record', async () => {
    const records: number[] = [];
    const { outbox, add } = outboxOf(async (sent) => {
      records.push(sent.length);
      await turn();
      return [];
    });
    for (let n = 0; n < 50; n += 1) void add(n);
    await outbox.flushed();
    assert.ok(records.reduce((sum, count) => sum + count, 0) <= 2, String(records));
    await outbox.stop();
  });

  it('makes what the topic does not take durable elsewhere before it settles it', async () => {
    const { outbox, add, settled, refused } = outboxOf(async (records) =>
      records.flatMap(({ value }, index) =>
        textsOf(value!).includes('1') ? [{ index, bytes: 9, code: 'too_large' as const }] : [],
      ),
    );
    for (let n = 0; n < 3; n += 1) void add(n);
    await outbox.flushed();
    assert.deepEqual(refused, [1]);
    assert.deepEqual(settled, [0, 1, 2]);
    await outbox.stop();
  });

  it('gives up what waits when it is stopped, without settling it', async () => {
    const { outbox, add, settled } = outboxOf(async () => {
      throw new Error('away');
    });
    void add(0);
    const flushed = outbox.flushed();
    await turn();
    await outbox.stop();
    assert.equal(await flushed, false);
    assert.deepEqual(settled, []);
  });
});

describe('the word on event time', () => {
  function sceneOf(changes: Partial<AnnouncingParts> = {}) {
    const source = { topic: 'events', partition: 0, topicId: 'id' };
    const announced = new AnnouncedPartition(0, 0n, 1_000);
    const told: Array<ReturnType<typeof decodeStreamRecord>> = [];
    const now = { ms: T };
    const announcing = new Announcing({
      sources: () => [{ ...source, announced }],
      newest: () => null,
      ends: async () => [announced.next],
      partitions: () => 3,
      flushed: async () => true,
      produce: async (value) => void told.push(decodeStreamRecord(value)),
      clock: { now: () => now.ms, sleep: async () => {} },
      log: silentLog,
      ...changes,
    });
    return { announcing, announced, told, now };
  }

  it('goes out when there is news, and only then', async () => {
    const { announcing, announced, told, now } = sceneOf();
    await announcing.once();
    assert.equal(told.length, 1, 'also of a partition that has nothing');
    await announcing.once();
    assert.equal(told.length, 1);
    announced.seen(T);
    announced.read(5n);
    await announcing.once();
    assert.deepEqual(told.at(-1), {
      kind: 'progress',
      progress: {
        topicId: 'id',
        partitions: 3,
        sources: [{ partition: 0, nextOffset: 5n, newest: T, passed: T - 1_000 }],
      },
    });
    now.ms += 400;
    await announcing.once();
    const last = told.at(-1)!;
    assert.ok(last.kind === 'progress');
    assert.equal(last.progress.sources[0]!.passed, T - 600, 'quiet moves it on');
    now.ms += 5_000;
    await announcing.once();
    now.ms += 5_000;
    const before = told.length;
    await announcing.once();
    assert.equal(told.length, before, 'all is judged: nothing more to tell');
  });

  it('waits for the matches of what it speaks of, and speaks of no event that came meanwhile', async () => {
    let release = (_: boolean): void => {};
    const { announcing, announced, told } = sceneOf({
      flushed: () =>
        new Promise((resolve) => {
          release = resolve;
        }),
    });
    announced.seen(T);
    announced.read(5n);
    const telling = announcing.once();
    await turn();
    announced.seen(T + 9_000);
    announced.read(6n);
    assert.equal(told.length, 0);
    release(true);
    await telling;
    assert.ok(told[0]!.kind === 'progress');
    assert.equal(told[0]!.progress.sources[0]!.nextOffset, 5n);
    assert.equal(told[0]!.progress.sources[0]!.newest, T);
  });

  it('is not told where matches were given up, and told again where it did not get through', async () => {
    const given = sceneOf({ flushed: async () => false });
    await given.announcing.once();
    assert.equal(given.told.length, 0);
    let fails = true;
    const told: Buffer[] = [];
    const again = sceneOf({
      produce: async (value) => {
        if (fails) throw new Error('away');
        told.push(value);
      },
    });
    await assert.rejects(again.announcing.once());
    fails = false;
    await again.announcing.once();
    assert.equal(told.length, 1);
  });

  it('lets no clock run over an end that cannot be asked', async () => {
    const { announcing, announced, told, now } = sceneOf({
      ends: async () => {
        throw new Error('away');
      },
    });
    announced.seen(T);
    announced.read(5n);
    await announcing.once();
    now.ms += 50_000;
    await announcing.once();
    assert.equal(told.length, 1);
  });
});

describe('settling', () => {
  it('is over when all that began is durable, each once', async () => {
    const settling = new Settling();
    await settling.settled();
    const [one, other] = [settling.begin(), settling.begin()];
    let over = false;
    const waiting = settling.settled().then(() => {
      over = true;
    });
    one();
    one();
    await turn();
    assert.equal(over, false);
    other();
    await waiting;
  });
});

describe('entries of the state topic', () => {
  it('are read as they were written, ended ones too', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('group' as const, 'checkpoint' as const, 'rules' as const),
        fc.string({ unit: 'grapheme' }),
        fc.bigInt({ min: 0n, max: 2n ** 62n }),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.option(fc.uint8Array({ maxLength: 50 })),
        (what, name, folded, writer, bytes) => {
          const state = bytes === null ? null : Buffer.from(bytes);
          const group = what === 'group' ? name : '';
          const entry = { what, group, folded, writer, state };
          assert.deepEqual(decodeStateEntry(encodeStateEntry(entry)), entry);
        },
      ),
      { numRuns: 300, seed: 8 },
    );
  });

  it('are told from anything else', () => {
    const { key, value } = encodeStateEntry({
      what: 'group',
      group: 'a',
      folded: 1n,
      writer: 2n,
      state: Buffer.from('x'),
    });
    for (const record of [
      { key: null, value, headers: [] },
      { key: Buffer.from('other'), value, headers: [] },
      { key, value: null, headers: [] },
      { key, value: value!.subarray(0, 10), headers: [] },
      { key, value: Buffer.concat([Buffer.from([9]), value!.subarray(1)]), headers: [] },
    ]) {
      assert.equal(decodeStateEntry(record), null);
    }
  });
});
