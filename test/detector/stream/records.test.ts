/** The matches topic's records, there and back, and total on anything else; and where groups live. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Match } from '../../../services/detector/correlate/types.ts';
import { groupPartition } from '../../../services/detector/stream/place.ts';
import {
  decodeStreamRecord,
  encodeMatch,
  encodeProgress,
  type PlannedMatch,
  packMatches,
} from '../../../services/detector/stream/records.ts';

const MATCH: Match = {
  ruleId: '00000000-0000-4000-8000-000000000001',
  leafId: '00000000-0000-4000-8000-000000000002',
  group: ['alice@example.com', ''],
  values: ['203.0.113.7', null, ''],
  eventTime: 1_795_512_600_123,
  eventId: 'event-1',
  topic: 'databricks.audit',
  partition: 3,
  offset: 9_007_199_254_740_993n,
  context: '{"actor":"alice"}',
};

/** Without the prototypes of what was decoded. */
function plain(matches: readonly PlannedMatch[]): PlannedMatch[] {
  return matches.map(({ plan, match }) => ({ plan, match: { ...match } }));
}

describe('records of the matches topic', () => {
  it('carry a match whole, with offsets beyond 2^53', () => {
    const read = decodeStreamRecord(encodeMatch(MATCH, 'meaning'));
    assert.deepEqual(read, { kind: 'matches', matches: [{ plan: 'meaning', match: MATCH }] });
  });

  it('carry any match', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 20 });
    const match = fc.record({
      ruleId: text,
      leafId: text,
      group: fc.array(text, { maxLength: 4 }),
      values: fc.array(fc.option(text), { maxLength: 4 }),
      eventTime: fc.maxSafeInteger(),
      eventId: text,
      topic: text,
      partition: fc.nat(),
      offset: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      context: text,
    });
    fc.assert(
      fc.property(match, text, (one, plan) => {
        const read = decodeStreamRecord(encodeMatch(one, plan));
        assert.ok(read.kind === 'matches');
        const expected = { plan, match: { ...one, eventTime: Number(one.eventTime) } };
        assert.deepEqual(plain(read.matches), [expected]);
        const several = packMatches([encodeMatch(one, plan), encodeMatch(MATCH, 'other')]);
        const both = decodeStreamRecord(several);
        assert.ok(both.kind === 'matches');
        assert.deepEqual(plain(both.matches), [expected, { plan: 'other', match: MATCH }]);
      }),
      { numRuns: 300, seed: 4 },
    );
  });

  it('are small beside the context', () => {
    const bytes = encodeMatch(MATCH, 'x'.repeat(43)).length;
    assert.ok(bytes < 250, String(bytes));
  });

  it('carry progress, with what is not known', () => {
    const progress = {
      topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
      partitions: 2,
      sources: [
        { partition: 0, nextOffset: 9_007_199_254_740_993n, newest: 5, passed: 3 },
        { partition: 1, nextOffset: 0n, newest: null, passed: null },
      ],
    };
    assert.deepEqual(decodeStreamRecord(encodeProgress(progress)), { kind: 'progress', progress });
  });

  it('are told from anything else, which never throws (I1)', () => {
    for (const value of [
      null,
      Buffer.alloc(0),
      Buffer.from([9, 1]),
      Buffer.from([1]),
      Buffer.from([3]),
    ]) {
      assert.equal(decodeStreamRecord(value).kind, 'unreadable');
    }
    for (const json of ['', '{}', 'null', '5', '{"topicId":"a","partitions":1,"sources":[5]}']) {
      const read = decodeStreamRecord(Buffer.concat([Buffer.from([2]), Buffer.from(json)]));
      assert.equal(read.kind, 'unreadable', json);
    }
    const whole = encodeMatch(MATCH, 'meaning');
    assert.equal(decodeStreamRecord(Buffer.concat([whole, Buffer.from('x')])).kind, 'unreadable');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(1, 2, 3), (bytes, kind) => {
        decodeStreamRecord(Buffer.from([kind, ...bytes]));
      }),
      { numRuns: 2_000, seed: 5 },
    );
    fc.assert(
      fc.property(fc.nat(whole.length - 1), (length) => {
        assert.equal(decodeStreamRecord(whole.subarray(0, length)).kind, 'unreadable');
      }),
    );
    const pack = packMatches([whole, whole]);
    const ends = [1, 1 + 4 + whole.length - 1];
    for (let length = 0; length < pack.length; length += 1) {
      const { kind } = decodeStreamRecord(pack.subarray(0, length));
      assert.equal(kind, length === ends[1] ? 'matches' : 'unreadable', String(length));
    }
  });
});

describe('the partition of a group', () => {
  it('never changes: state lies there', () => {
    const id = '00000000-0000-4000-8000-000000000001';
    const found = [[], [''], ['alice@example.com'], ['a', 'b'], ['ab', ''], ['', 'ab']].map(
      (group) => groupPartition(id, group, 1_000_003),
    );
    // Computed apart from this code, in another language, from the words of `place.ts`.
    assert.deepEqual(found, [247686, 828155, 961345, 831916, 663329, 377828]);
  });

  it('spreads groups that differ little', () => {
    const counts = new Array<number>(16).fill(0);
    for (let n = 0; n < 16_000; n += 1) {
      counts[groupPartition('rule', [`user${n}@example.com`], 16)]! += 1;
    }
    for (const count of counts) assert.ok(count > 850 && count < 1_150, String(counts));
  });
});
