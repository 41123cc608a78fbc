/** The list of rule sets that have judged a partition: their order, its bounds, and junk in its place. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  around,
  decodeHistory,
  encodeHistory,
  markOfSet,
  untold,
  withNewest,
} from '../../../services/detector/stream/rule-history.ts';

const A = markOfSet(['one', 'two']);
const B = markOfSet(['three', 'one']);

describe('the list of rule sets', () => {
  it('has each set once, the newest last, whatever the order of its rules', () => {
    const history = withNewest(withNewest([], A), B);
    assert.deepEqual(history, [
      ['one', 'two'],
      ['one', 'three'],
    ]);
    assert.equal(withNewest(history, markOfSet(['one', 'three', 'one'])), history);
    assert.deepEqual(withNewest(history, A), [B, A]);
  });

  it('tells what came before a set and after it: all of it before one that is new', () => {
    assert.deepEqual(around([A, B], A), { before: [], after: [B] });
    assert.deepEqual(around([A, B], B), { before: [A], after: [] });
    assert.deepEqual(around([A, B], markOfSet(['four'])), { before: [A, B], after: [] });
  });

  it('is told anew where a set is new, or where it was changed to, and not by one that is behind', () => {
    assert.deepEqual(untold([A], B, false), [A, B]);
    assert.equal(untold([A, B], B, false), null);
    assert.equal(untold([A, B], A, false), null);
    assert.deepEqual(untold([A, B], A, true), [B, A]);
  });

  it('is bounded, and always holds the newest', () => {
    const count = fc.integer({ min: 1, max: 15_000 });
    fc.assert(
      fc.property(fc.array(count, { minLength: 1, maxLength: 25 }), (sizes) => {
        const sets = sizes.map((size, set) =>
          Array.from({ length: size }, (_, n) => `${set}-${n}`).sort(),
        );
        const history = sets.reduce(withNewest, [] as ReturnType<typeof withNewest>);
        assert.equal(history.at(-1), sets.at(-1));
        assert.ok(history.length <= 16);
        assert.ok(encodeHistory(history).length < 512 * 1024);
      }),
      { numRuns: 30 },
    );
  });

  it('is read as it was written, and junk is no list', () => {
    assert.deepEqual(decodeHistory(encodeHistory([A, B])), [A, B]);
    for (const junk of ['', '[]', '{}', '{"sets":3}', 'null', '{"sets":[3,[4],null]}']) {
      assert.deepEqual(decodeHistory(Buffer.from(junk)), [], junk);
    }
    assert.deepEqual(decodeHistory(null), []);
  });
});
