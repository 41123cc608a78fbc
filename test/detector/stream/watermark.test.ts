/** Event time of a partition of matches, and what readers of events say of theirs (promise D2). */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  AHEAD_MS_MAX,
  AnnouncedPartition,
  movesTime,
} from '../../../services/detector/stream/announce.ts';
import type { Progress, SourceProgress } from '../../../services/detector/stream/records.ts';
import { Watermark } from '../../../services/detector/stream/watermark.ts';

const T = Date.UTC(2026, 2, 2);
const LATENESS = 1_000;

function told(partition: number, passed: number | null, next = 1, partitions = 2): Progress {
  const newest = passed === null ? null : passed + LATENESS;
  const source = { partition, nextOffset: BigInt(next), newest, passed };
  return { topicId: 'topic', partitions, sources: [source] };
}

describe('watermark', () => {
  it('is nothing until every partition was heard of', () => {
    const watermark = new Watermark();
    assert.equal(watermark.note(told(0, T)), false);
    assert.equal(watermark.value, null);
    assert.equal(watermark.silent, 1);
    assert.equal(watermark.note(told(1, null)), false);
    assert.equal(watermark.value, null);
    assert.equal(watermark.note(told(1, T - 5)), true);
    assert.equal(watermark.value, T - 5);
  });

  it('is the least of all, and never goes back', () => {
    const watermark = new Watermark();
    watermark.note(told(0, T));
    watermark.note(told(1, T + 10));
    assert.equal(watermark.value, T);
    assert.equal(watermark.note(told(1, T + 20)), false);
    assert.equal(watermark.note(told(0, T - 50)), false);
    assert.equal(watermark.note(told(0, T + 15)), true);
    assert.equal(watermark.value, T + 15);
    assert.equal(watermark.newest, T + 20 + LATENESS);
  });

  it('stays where it is when the events topic gets another partition, until that one is heard of', () => {
    const watermark = new Watermark();
    watermark.note(told(0, T));
    watermark.note(told(1, T));
    watermark.note(told(0, T + 10, 2, 3));
    watermark.note(told(1, T + 10, 2, 3));
    assert.equal(watermark.value, T);
    watermark.note(told(2, T + 5, 1, 3));
    assert.equal(watermark.value, T + 5);
  });

  it('lets an events topic go that was made anew, and does not listen to its readers any more', () => {
    const watermark = new Watermark();
    watermark.note(told(0, T, 100));
    watermark.note(told(1, T, 100));
    assert.equal(watermark.note({ ...told(0, T + 10, 1, 1), topicId: 'other' }), true);
    assert.equal(watermark.value, T + 10);
    assert.equal(watermark.isRepeated(0, 50n), false);
    watermark.note(told(0, T + 99, 200));
    assert.equal(watermark.value, T + 10);
  });

  it('knows which events were handed on before', () => {
    const watermark = new Watermark();
    watermark.note(told(0, T, 100));
    assert.equal(watermark.isRepeated(0, 99n), true);
    assert.equal(watermark.isRepeated(0, 100n), false);
    assert.equal(watermark.isRepeated(1, 0n), false);
    watermark.note(told(0, T, 40));
    assert.equal(watermark.isRepeated(0, 99n), true);
  });

  it('is kept and taken up again whole', () => {
    const watermark = new Watermark();
    watermark.note({ ...told(0, T), topicId: 'old' });
    watermark.note(told(0, T, 100));
    watermark.note(told(1, T + 7, 5));
    const again = Watermark.of(JSON.parse(JSON.stringify(watermark.state())));
    assert.deepEqual(again.state(), watermark.state());
    for (const one of [watermark, again]) one.note(told(0, T + 5, 120));
    assert.equal(again.value, T + 5);
    assert.deepEqual(again.state(), watermark.state());
  });

  it('comes out the same whatever is told twice or once more from an earlier place', () => {
    const steps = fc.array(
      fc.tuple(fc.nat(2), fc.nat(50), fc.nat(50)).map(([partition, next, passed]) => {
        return told(partition, T + passed, next, 3);
      }),
      { minLength: 1, maxLength: 30 },
    );
    fc.assert(
      fc.property(steps, fc.nat(29), (log, back) => {
        const once = new Watermark();
        for (const step of log) once.note(step);
        const twice = new Watermark();
        for (const step of log) twice.note(step);
        for (const step of log.slice(back)) twice.note(step);
        assert.deepEqual(twice.state(), once.state());
      }),
      { numRuns: 500, seed: 9 },
    );
  });
});

describe('what a reader says of its partition', () => {
  const passed = (one: AnnouncedPartition): number | null => one.progress().passed;

  it('has passed its own newest event less the lateness, while more waits', () => {
    const one = new AnnouncedPartition(0, 10n, LATENESS);
    assert.equal(passed(one), null);
    one.seen(T);
    one.seen(T - 500);
    assert.equal(passed(one), null);
    one.read(12n);
    assert.equal(passed(one), T - LATENESS);
    one.endSeen(20n, T + 9_999, 0);
    assert.equal(passed(one), T - LATENESS);
  });

  it('holds back nobody once it is read to its end, also when it never had an event', () => {
    const empty = new AnnouncedPartition(0, 0n, LATENESS);
    empty.endSeen(0n, null, 0);
    assert.equal(passed(empty), null);
    empty.endSeen(0n, T, 0);
    assert.equal(passed(empty), T - LATENESS);
  });

  it('moves on with the clock while nothing comes, up to the newest event and no further', () => {
    const one = new AnnouncedPartition(0, 0n, LATENESS);
    one.seen(T);
    one.read(1n);
    one.endSeen(1n, null, 50_000);
    assert.equal(passed(one), T - LATENESS);
    one.endSeen(1n, null, 50_300);
    assert.equal(passed(one), T - LATENESS + 300);
    one.endSeen(1n, null, 90_000);
    assert.equal(passed(one), T);
  });

  it('begins its quiet anew with each record, and never goes back', () => {
    const one = new AnnouncedPartition(0, 0n, LATENESS);
    one.seen(T);
    one.read(1n);
    one.endSeen(1n, null, 0);
    one.endSeen(1n, null, 900);
    one.endSeen(2n, null, 1_000);
    one.seen(T + 10);
    one.read(2n);
    assert.equal(passed(one), T - LATENESS + 900);
    one.endSeen(2n, null, 5_000);
    one.endSeen(2n, null, 5_500);
    assert.equal(passed(one), T - LATENESS + 900);
    one.endSeen(2n, null, 6_000);
    assert.equal(passed(one), T + 10);
  });

  it('is news only where something changed', () => {
    const one = new AnnouncedPartition(0, 0n, LATENESS);
    const first = one.progress();
    assert.equal(one.isNews(first), true);
    one.announced(first);
    assert.equal(one.isNews(one.progress()), false);
    one.read(1n);
    assert.equal(one.isNews(one.progress()), true);
  });

  it('lets no impossible or far time move it', () => {
    const now = T;
    for (const time of [now, now - 9e9, now + AHEAD_MS_MAX])
      assert.equal(movesTime(time, now), true);
    for (const time of [Number.NaN, 0, -1, now + AHEAD_MS_MAX + 1, Number.POSITIVE_INFINITY]) {
      assert.equal(movesTime(time, now), false);
    }
  });
});

/**
 * Readers, partitions and clocks at random: an event that is written in order of arrival within the
 * lateness never finds the watermark above it when its matches are handed on (D2).
 */
describe('no event within the lateness comes late', () => {
  interface Written {
    time: number;
    partition: number;
  }
  const PARTITIONS = 3;

  /** Times that are at most `LATENESS` behind the newest that was written before them. */
  function writtenOf(steps: ReadonlyArray<readonly [number, number, number]>): Written[] {
    let newest = T;
    return steps.map(([partition, forward, behind]) => {
      newest += forward;
      return { partition: partition % PARTITIONS, time: newest - Math.min(behind, LATENESS) };
    });
  }

  const step = fc.tuple(fc.nat(PARTITIONS - 1), fc.nat(5_000), fc.nat(LATENESS));
  const schedule = fc.array(fc.tuple(fc.nat(3), fc.nat(PARTITIONS - 1)), {
    minLength: 40,
    maxLength: 150,
  });

  it('over random streams and readings', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), schedule, (steps, actions) => {
        const logs: number[][] = Array.from({ length: PARTITIONS }, () => []);
        const readers = logs.map((_, index) => new AnnouncedPartition(index, 0n, LATENESS));
        const watermark = new Watermark();
        const waiting = writtenOf(steps);
        const tell = (index: number): void => {
          const progress: SourceProgress = readers[index]!.progress();
          watermark.note({ topicId: 'topic', partitions: PARTITIONS, sources: [progress] });
        };
        for (const [action, index] of actions) {
          if (action === 0) {
            const next = waiting.shift();
            if (next !== undefined) logs[next.partition]!.push(next.time);
          } else if (action === 1) {
            const reader = readers[index]!;
            const at = Number(reader.next);
            const time = logs[index]![at];
            if (time === undefined) continue;
            assert.ok(watermark.value === null || time > watermark.value - 1, 'late');
            reader.seen(time);
            reader.read(BigInt(at + 1));
          } else if (action === 2) {
            // The quiet of a stream that is not over is no quiet: no clock here.
            readers[index]!.endSeen(BigInt(logs[index]!.length), watermark.newest, 0);
          } else {
            tell(index);
          }
        }
      }),
      { numRuns: 3_000, seed: 11 },
    );
  });
});
