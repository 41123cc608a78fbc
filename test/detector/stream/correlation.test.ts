/**
 * The handlers of correlation: what is durable before what, and that whatever happens to the processes
 * each match counts exactly once (promises A2 and D1).
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import type { Judges } from '../../../services/detector/stream/judge.ts';
import { encodeStateEntry } from '../../../services/detector/stream/state-entries.ts';
import type { DeadLetter } from '../../../services/ingest/dead-letter.ts';
import type { KafkaRecord } from '../../../services/ingest/record.ts';
import { JUDGES, matchOf, PLAN, Process, ROLLOUT_MS, RULE_ID, T, World } from './stage.ts';

const PLANS_TO_COME = new Map([[RULE_ID, 'another meaning']]);

async function started(world: World): Promise<Process> {
  const process = new Process(world);
  await process.start();
  return process;
}

describe('correlation', () => {
  it('commits only what is settled, written and acknowledged, in that order (A2)', async () => {
    const world = new World();
    for (let n = 0; n < 4; n += 1) world.match('a', T + n, n);
    const one = await started(world);
    await one.read(4);
    assert.equal(one.outgoing.length, 1);
    let commit: unknown = null;
    const flushing = one.correlation.flush().then((found) => {
      commit = found;
    });
    for (let turns = 0; turns < 5; turns += 1) await turn();
    assert.equal(world.state.length, 0, 'no state before the alerts are settled');
    assert.equal(commit, null);
    one.store();
    await flushing;
    assert.deepEqual(commit, {
      offsets: [{ topic: 'matches', partition: 0, offset: 4n }],
      generation: 1,
    });
    assert.equal(world.state.length, 3);
    assert.equal(world.state.at(-1)!.key!.toString(), 'checkpoint');
  });

  it('writes nothing where the broker no longer holds it for a member', async () => {
    const world = new World();
    world.match('a', T, 0);
    const one = await started(world);
    await one.read(1);
    one.member = false;
    assert.deepEqual((await one.flush()).offsets, []);
    assert.equal(world.state.length, 0);
    one.member = true;
    await one.flush();
    assert.equal(world.state.length, 3, 'what was not written is written the next time');
  });

  it('sends an alert at once, and what becomes of it once in a while', async () => {
    const world = new World();
    for (let n = 0; n < 5; n += 1) world.match('a', T + n, n);
    const one = await started(world);
    await one.read(5);
    assert.deepEqual(
      one.outgoing.map(({ id, revision }) => `${id} ${revision}`),
      ['a#1 3'],
    );
    await one.flush();
    assert.equal(world.stored.get('a#1')?.revision, 5);
    await one.flush();
    assert.equal(one.outgoing.length, 0);
  });

  it('waits before a match of rules that are on their way, and judges it in its place', async () => {
    const world = new World();
    world.match('a', T, 0);
    world.match('a', T + 1, 1, 'another meaning');
    world.match('a', T + 2, 2, 'another meaning');
    world.match('a', T + 3, 3, 'another meaning');
    let judges: Judges = JUDGES;
    let looks = 0;
    const one = new Process(world, {
      judges: () => judges,
      lookAtRules: () => {
        looks += 1;
        one.store();
        if (looks === 3) judges = { ...JUDGES, version: '2', plans: PLANS_TO_COME };
      },
    });
    await one.start();
    const reading = one.read(4);
    for (let turns = 0; turns < 20; turns += 1) {
      await turn();
      one.store();
    }
    await reading;
    await one.flush();
    assert.equal(looks, 3);
    assert.deepEqual(one.counts, { judged: 4 });
    assert.equal(world.stored.get('a#1')?.revision, 4);
    assert.equal(world.letters.length, 0);
    // Of one that was in force before: its maker has not changed yet.
    world.match('a', T + 4, 4);
    await one.read(1);
    assert.deepEqual(one.counts, { judged: 4, outdated: 1 });
  });

  it('sets a match apart whose rule does not come, whole, and waits no more for it (D4)', async () => {
    const world = new World();
    for (let n = 0; n < 3; n += 1) world.match('a', T, n, 'another meaning');
    world.match('a', T, 3);
    const one = await started(world);
    await one.read(4);
    assert.deepEqual(one.counts, { unknown_rule: 3, judged: 1 });
    assert.equal(world.nowMs - T, ROLLOUT_MS);
    assert.deepEqual(
      world.letters.map(({ reason }) => reason),
      new Array(3).fill('rule_not_in_force'),
    );
    const [{ source, detail }] = world.letters as [DeadLetter];
    assert.match(detail, /another meaning/);
    const kept = JSON.parse((source as KafkaRecord).value!.toString()) as Record<string, unknown>;
    assert.deepEqual([kept.ruleId, kept.eventId], [RULE_ID, 'event-0']);
  });

  it('leaves out what rules of before made, where it was started anew with others', async () => {
    const world = new World();
    world.match('a', T, 0);
    const one = await started(world);
    await one.read(1);
    await one.flush();
    // It ends with matches of its rules on the topic; another, which has not changed, makes more.
    for (let n = 1; n < 4; n += 1) world.match('a', T + n, n);
    for (let n = 4; n < 7; n += 1) world.match('a', T + n, n, 'another meaning');
    const changed = new Process(world, {
      judges: () => ({ ...JUDGES, version: '2', plans: PLANS_TO_COME }),
    });
    await changed.start();
    await changed.read(6);
    assert.deepEqual(changed.counts, { outdated: 3, judged: 3 });
    assert.equal(world.nowMs, T, 'nothing was waited for');
    assert.deepEqual(world.letters, []);
    await changed.flush();
    // One that is started with the rules of before waits for those that it does not have yet.
    world.match('a', T + 7, 7, 'another meaning');
    const behind = await started(world);
    await behind.read(1);
    assert.equal(world.nowMs - T, ROLLOUT_MS);
  });

  it('has the other meaning for the older one where it has changed back itself', async () => {
    const world = new World();
    let judges: Judges = JUDGES;
    const one = new Process(world, { judges: () => judges });
    await one.start();
    const turnTo = async (version: string, plan: string): Promise<void> => {
      judges = { ...JUDGES, version, plans: new Map([[RULE_ID, plan]]) };
      world.match('a', T + world.matches.length, world.matches.length, plan);
      await one.flush();
      await one.read(1);
      await one.flush();
    };
    for (const [version, plan] of [PLAN, 'another meaning', PLAN].entries()) {
      await turnTo(String(version), plan);
    }
    world.match('a', T + 10, 10, 'another meaning');
    const next = await started(world);
    await next.read(1);
    assert.deepEqual(next.counts, { outdated: 1 });
  });

  it('commits nothing behind a match that it waits with', async () => {
    const world = new World();
    world.match('a', T, 0);
    world.match('a', T, 1, 'another meaning');
    let held = false;
    const one: Process = new Process(world, {
      lookAtRules: () => {
        held = true;
      },
    });
    await one.start();
    await one.read(2, { stale: () => held });
    const { offsets } = await one.flush();
    assert.equal(offsets[0]!.offset, 1n);
    assert.deepEqual(one.counts, { judged: 1 });
  });

  it('dead-letters what it cannot read, and what comes late, and moves on (I1, D4)', async () => {
    const world = new World();
    world.raw(Buffer.from([77]));
    world.raw(null);
    world.progress(T + 100, 5);
    world.match('a', T, 9);
    world.match('a', T + 200, 10);
    const one = await started(world);
    await one.read(5);
    assert.deepEqual(
      world.letters.map(({ reason }) => reason),
      ['match_unreadable', 'match_unreadable', 'late_for_correlation'],
    );
    assert.deepEqual(one.counts, { unreadable: 2, judged: 2, late: 1 });
    const late = world.letters[2]!;
    assert.ok('offset' in late.source && late.source.offset === 9n);
    assert.match(late.detail, new RegExp(`^rule ${RULE_ID}: `));
  });

  it('does not take for late what a reader that died has handed on twice', async () => {
    const world = new World();
    world.match('a', T, 3);
    world.progress(T + 100, 4);
    world.match('a', T, 3);
    const one = await started(world);
    await one.read(3);
    assert.deepEqual(one.counts, { judged: 2, repeated: 1 });
    assert.deepEqual(world.letters, []);
  });

  it('stops at once between two records, and passes nothing it has not folded', async () => {
    const world = new World();
    for (let n = 0; n < 5; n += 1) world.match('a', T + n, n);
    const one = await started(world);
    let asked = 0;
    await one.read(5, { stale: () => ++asked > 2 });
    const { offsets } = await one.flush();
    assert.equal(offsets[0]!.offset, 2n);
  });

  it('keeps state that no rule knows for a week, and then ends it', async () => {
    const world = new World();
    const state = Buffer.from('x');
    const entry = { what: 'group' as const, group: 'foreign', folded: 0n, writer: 1n, state };
    world.write({ partition: 0, ...encodeStateEntry(entry) });
    world.match('a', T, 0);
    const young = await started(world);
    await young.read(1);
    await young.flush();
    assert.equal(world.state.filter(({ value }) => value === null).length, 0);
    world.nowMs += 8 * 86_400_000;
    world.match('a', T, 1);
    const old = await started(world);
    await old.read(1);
    await old.flush();
    const ended = world.state.filter(({ value }) => value === null);
    assert.deepEqual(
      ended.map(({ key }) => key!.toString()),
      ['g:foreign'],
    );
  });

  it('gives no failure where it is stopped while it reads its state', async () => {
    const world = new World();
    world.match('a', T, 0);
    const one: Process = new Process(world, {
      state: {
        bounds: async () => ({ start: 0n, end: 1n }),
        read: async () => {
          one.correlation.stop();
          throw new Error('stopping');
        },
        write: async () => {},
      },
    });
    const at = { topic: 'matches', topicId: '-', logStartOffset: 0n, logEndOffset: 1n };
    const assigned = one.correlation.assigned([{ ...at, partition: 0, committedOffset: null }], 1);
    assert.deepEqual(await assigned, []);
  });

  it('takes its state up again under other rules, once all of it is durable', async () => {
    const world = new World();
    for (let n = 0; n < 4; n += 1) world.match('a', T + n, n);
    let judges: Judges = JUDGES;
    const one = new Process(world, { judges: () => judges });
    await one.start();
    await one.read(2);
    judges = { ...JUDGES, version: '2' };
    const reading = one.read(2);
    for (let turns = 0; turns < 3; turns += 1) {
      await turn();
      one.store();
    }
    await reading;
    await one.flush();
    assert.equal(world.stored.get('a#1')?.revision, 4);
    assert.equal(one.counts.judged, 4);
  });
});

/** What a run of random faults may do to one partition. */
type Step =
  | { kind: 'read'; count: number }
  | { kind: 'store'; count: number }
  | { kind: 'flush' }
  /** The process dies: at rest, or when only so many entries of a flush were written. */
  | { kind: 'crash'; written: number; stored: number }
  /** Another takes over while the old one does not know; it reads and writes on, then is gone. */
  | { kind: 'zombie'; reads: number; newReads: number }
  /** The broker keeps the last entry of each key. */
  | { kind: 'compact' };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('read' as const), count: fc.integer({ min: 1, max: 6 }) }),
  fc.record({ kind: fc.constant('store' as const), count: fc.nat(3) }),
  fc.record({ kind: fc.constant('flush' as const) }),
  fc.record({ kind: fc.constant('crash' as const), written: fc.nat(5), stored: fc.nat(4) }),
  fc.record({ kind: fc.constant('zombie' as const), reads: fc.nat(5), newReads: fc.nat(8) }),
);

/** Compaction that comes before a writer that is none any more is gone, as the lag should prevent. */
const hasty = fc.oneof(
  { weight: 4, arbitrary: step },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'compact' }) },
);

const entry = fc.oneof(
  { weight: 4, arbitrary: fc.record({ group: fc.constantFrom('a', 'b', 'c'), time: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ group: fc.constant(null), time: fc.nat(50) }) },
);

function worldOf(log: ReadonlyArray<{ group: string | null; time: number }>): World {
  const world = new World();
  for (const [number, { group, time }] of log.entries()) {
    // Offsets of events from 1,000: none was handed on before, so what is late is late.
    if (group === null) world.progress(T + time, 1);
    else world.match(group, T + time, 1_000 + number);
  }
  return world;
}

/** The same, and no match is older than what was passed before it. */
function orderlyWorldOf(log: ReadonlyArray<{ group: string | null; time: number }>): World {
  const world = new World();
  for (const [number, { group, time }] of log.entries()) {
    if (group === null) world.progress(T + number * 100, 1);
    else world.match(group, T + number * 100 + time, 1_000 + number);
  }
  return world;
}

async function undisturbed(world: World): Promise<Process> {
  const one = await started(world);
  await one.read(world.matches.length);
  await one.flush();
  return one;
}

async function disturbed(world: World, steps: readonly Step[]): Promise<Process> {
  let process = await started(world);
  for (const one of steps) {
    if (one.kind === 'read') await process.read(one.count);
    else if (one.kind === 'store') process.store(one.count);
    else if (one.kind === 'flush') await process.flush();
    else if (one.kind === 'compact') world.compact();
    else if (one.kind === 'crash') {
      process.writesLeft = one.written;
      void process.correlation.flush();
      await turn();
      process.store(one.stored);
      for (let turns = 0; turns < 3; turns += 1) await turn();
      process = await started(world);
    } else {
      const zombie = process;
      process = await started(world);
      await process.read(one.newReads);
      await process.flush();
      await zombie.read(one.reads);
      await zombie.flush();
    }
  }
  await process.read(world.matches.length);
  await process.flush();
  return process;
}

describe('each match counts once (D1)', () => {
  it('over random faults: deaths in every step of a flush, and owners that are none any more', async () => {
    let crashes = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { minLength: 1, maxLength: 40 }),
        fc.array(step, { maxLength: 25 }),
        async (log, steps) => {
          const quiet = worldOf(log);
          await undisturbed(quiet);
          const stormy = worldOf(log);
          await disturbed(stormy, steps);
          crashes += steps.filter(({ kind }) => kind === 'crash').length;
          assert.deepEqual(new Map([...stormy.stored].sort()), new Map([...quiet.stored].sort()));
          // And what the next process finds is the same.
          const probe = matchOf('a', T + 1_000, 5_000);
          for (const world of [quiet, stormy]) {
            for (let n = 0; n < 3; n += 1) world.match('a', probe.eventTime, 5_000 + n, PLAN);
            await undisturbed(world);
          }
          assert.deepEqual(new Map([...stormy.stored].sort()), new Map([...quiet.stored].sort()));
        },
      ),
      { numRuns: 600, seed: 3 },
    );
    assert.ok(crashes > 500, String(crashes));
  });

  it('over compaction, too, where it has kept what such an owner has written', async () => {
    let mended = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { minLength: 1, maxLength: 40 }),
        fc.array(hasty, { maxLength: 25 }),
        async (log, steps) => {
          const quiet = orderlyWorldOf(log);
          await undisturbed(quiet);
          const stormy = orderlyWorldOf(log);
          await disturbed(stormy, steps);
          stormy.compact();
          for (const world of [quiet, stormy]) {
            for (const group of ['a', 'b', 'c']) {
              for (let n = 0; n < 3; n += 1) world.match(group, T + 9_000, 5_000 + n);
            }
            const { behind } = await undisturbed(world);
            if (world === stormy) mended += behind.mended;
            assert.equal(behind.incomplete, 0);
          }
          assert.deepEqual(new Map([...stormy.stored].sort()), new Map([...quiet.stored].sort()));
        },
      ),
      { numRuns: 600, seed: 4 },
    );
    assert.ok(mended > 20, String(mended));
  });

  it('or it says that matches are gone which an overwritten group lacks', async () => {
    const world = new World();
    for (let n = 0; n < 4; n += 1) world.match('a', T + n, n);
    const zombie = await started(world);
    await zombie.read(1);
    const owner = await started(world);
    await owner.read(4);
    await owner.flush();
    await zombie.flush();
    world.match('b', T, 9);
    await owner.read(1);
    await owner.flush();
    world.compact();
    world.matchesStart = 3n;
    const next = await started(world);
    assert.deepEqual(next.behind, { mended: 0, incomplete: 1 });
  });
});
