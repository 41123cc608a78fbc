/** What is open, new and recovered over runs, for any runs; and when which run is due. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Fact, judgeRun, type OpenFact, type Subject } from '../../services/watch/facts.ts';
import { emptyLedger, ledgerText, parseLedger } from '../../services/watch/ledger.ts';
import { nextArchiveRun } from '../../services/watch/schedule.ts';

const fact = (name: number): Fact => ({
  code: 'segment_altered',
  class: 'tampered',
  meaning: 'the bytes of a segment are not those that were sealed',
  key: `sealed/data/${name}`,
  versionId: '',
  expected: 'one',
  found: 'another',
});

const runs = fc.array(
  fc.record({
    subject: fc.constantFrom<Subject>('archive', 'posture'),
    names: fc.array(fc.nat(6), { maxLength: 8 }),
  }),
  { maxLength: 20 },
);

describe('facts over runs', () => {
  test('each is opened once, recovered once, and open in between', () => {
    fc.assert(
      fc.property(runs, (history) => {
        let open: OpenFact[] = [];
        const model = { archive: new Set<number>(), posture: new Set<number>() };
        for (const [at, { subject, names }] of history.entries()) {
          const before = model[subject];
          const now = new Set(names);
          const judged = judgeRun(open, subject, names.map(fact), at);
          const keys = (some: readonly OpenFact[]) => some.map(({ key }) => key).sort();
          const wanted = (some: Iterable<number>) => [...some].map((one) => fact(one).key).sort();
          assert.deepEqual(keys(judged.opened), wanted([...now].filter((one) => !before.has(one))));
          assert.deepEqual(
            keys(judged.recovered),
            wanted([...before].filter((one) => !now.has(one))),
          );
          assert.ok(judged.opened.every(({ openedMs }) => openedMs === at));
          model[subject] = now;
          const all = [...wanted(model.archive), ...wanted(model.posture)].sort();
          assert.deepEqual(keys(judged.open), all);
          assert.equal(new Set(judged.open.map(({ id }) => id)).size, judged.open.length);
          const again = judgeRun(judged.open, subject, names.map(fact), at + 1);
          assert.deepEqual(
            [again.opened, again.recovered],
            [[], []],
            'the same run changes nothing',
          );
          assert.deepEqual(again.open, judged.open);
          // As it is after a restart.
          const text = ledgerText({ ...emptyLedger('a'), open: judged.open });
          open = parseLedger(text, 'ledger', 'a').open;
        }
      }),
      { numRuns: 300 },
    );
  });

  test('beyond the limit facts wait, and none that is open recovers by that', () => {
    const first = judgeRun([], 'archive', [0, 1, 2].map(fact), 0, 2);
    assert.deepEqual([first.open.length, first.left], [2, 1]);
    const second = judgeRun(first.open, 'archive', [2, 1, 0].map(fact), 1, 2);
    assert.deepEqual([second.open, second.recovered, second.left], [first.open, [], 1]);
    const third = judgeRun(second.open, 'archive', [1, 2].map(fact), 2, 2);
    assert.deepEqual([third.opened.length, third.recovered.length, third.left], [1, 1, 0]);
  });

  test('what is found of another version, or found otherwise, is another fact', () => {
    const one = judgeRun([], 'archive', [fact(1)], 0);
    const other = judgeRun(one.open, 'archive', [{ ...fact(1), versionId: 'v' }], 1);
    assert.deepEqual([other.opened.length, other.recovered.length], [1, 1]);
  });
});

describe('schedule', () => {
  const every = { incremental: 10, whole: 100, posture: 5 };

  test('a first run is whole; a whole one counts for an incremental one', () => {
    const never = { incremental: null, whole: null, posture: null };
    assert.deepEqual(nextArchiveRun(never, every, 7), { kind: 'whole', atMs: 7 });
    const whole = { ...never, whole: 50 };
    assert.deepEqual(nextArchiveRun(whole, every, 55), { kind: 'incremental', atMs: 60 });
    const both = { ...whole, incremental: 145 };
    assert.deepEqual(nextArchiveRun(both, every, 146), { kind: 'whole', atMs: 150 });
    assert.equal(nextArchiveRun({ ...whole, incremental: 60 }, every, 500).kind, 'whole');
  });

  test('a clock that went back puts no run off beyond its interval', () => {
    fc.assert(
      fc.property(fc.nat(1_000), fc.nat(1_000), fc.nat(1_000), (whole, incremental, now) => {
        const { atMs } = nextArchiveRun({ whole, incremental, posture: null }, every, now);
        assert.ok(atMs <= now + every.incremental);
      }),
    );
  });
});
