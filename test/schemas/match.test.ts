/** The match schema is valid Avro and carries what correlation needs, without loss. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeMatchDatum, type MatchDatum, writeMatchDatum } from '../../schemas/match.ts';

const MATCH: MatchDatum = {
  ruleId: '00000000-0000-4000-8000-000000000001',
  plan: 'meaning',
  leafId: '00000000-0000-4000-8000-000000000002',
  group: ['alice@example.com', ''],
  values: ['prod', null],
  eventTime: 1_795_512_600_000,
  eventId: 'event-1',
  topic: 'events',
  partition: 3,
  offset: 9_007_199_254_740_993n,
  context: '{}',
  rank: 3,
};

function encoded(datum: MatchDatum): Buffer {
  const bytes = Buffer.alloc(1_024);
  return bytes.subarray(0, writeMatchDatum(datum, bytes, 0));
}

describe('match', () => {
  it('is read as it was written, with offsets beyond 2^53', () => {
    assert.deepEqual({ ...decodeMatchDatum(encoded(MATCH)) }, MATCH);
    const small = { ...MATCH, offset: 0n };
    assert.deepEqual({ ...decodeMatchDatum(encoded(small)) }, small);
  });

  it('is exactly one datum', () => {
    const bytes = encoded(MATCH);
    assert.throws(() => decodeMatchDatum(bytes.subarray(0, -1)));
    assert.throws(() => decodeMatchDatum(Buffer.concat([bytes, Buffer.from([0])])));
  });
});
