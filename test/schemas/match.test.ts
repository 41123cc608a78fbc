/** The match schema is valid Avro and carries what correlation needs, without loss. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { parseAvroSchema } from '../../schemas/avro.ts';

it('round-trips a match, with offsets beyond 2^53', () => {
  const file = new URL('../../schemas/match.avsc', import.meta.url);
  const type = parseAvroSchema(JSON.parse(readFileSync(file, 'utf8')));
  const match = {
    ruleId: '00000000-0000-4000-8000-000000000001',
    groupKey: ['alice@example.com', ''],
    eventTime: 1_795_512_600_000,
    eventId: 'event-1',
    actor: 'alice@example.com',
    fields: { 'requestParams.scope': 'prod' },
    topic: 'events',
    partition: 3,
    offset: 9_007_199_254_740_993n,
  };
  const read = type.fromBuffer(type.toBuffer(match));
  assert.deepEqual({ ...read, fields: { ...read.fields } }, match);
});
