/** When a segment closes, and where a record of another schema goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryVictim, placement, rollReason } from '../../services/archiver/roll.ts';

const LIMITS = {
  segmentBytesMax: 1_000,
  segmentRecordsMax: 10,
  segmentAgeMsMax: 60_000,
  schemaRollRecordsMin: 5,
};
const open = { records: 1, storedBytes: 10, openedAtMs: 1_000, schemaId: null };

test('bytes, records and age close a segment, each at its limit', () => {
  assert.equal(rollReason(open, LIMITS, 1_000), null);
  assert.equal(rollReason({ ...open, storedBytes: 999 }, LIMITS, 1_000), null);
  assert.equal(rollReason({ ...open, storedBytes: 1_000 }, LIMITS, 1_000), 'bytes');
  assert.equal(rollReason({ ...open, records: 9 }, LIMITS, 1_000), null);
  assert.equal(rollReason({ ...open, records: 10 }, LIMITS, 1_000), 'records');
  assert.equal(rollReason(open, LIMITS, 60_999), null);
  assert.equal(rollReason(open, LIMITS, 61_000), 'age');
  assert.equal(rollReason({ ...open, records: 0, storedBytes: 2_000 }, LIMITS, 99_000), null);
});

test('a schema change closes a segment that is worth an object, else the record is opaque', () => {
  assert.equal(placement({ records: 0, schemaId: null }, 1, LIMITS), 'splice');
  assert.equal(placement({ records: 9, schemaId: null }, 1, LIMITS), 'splice');
  assert.equal(placement({ records: 9, schemaId: 1 }, 1, LIMITS), 'splice');
  assert.equal(placement({ records: 4, schemaId: 1 }, 2, LIMITS), 'opaque');
  assert.equal(placement({ records: 5, schemaId: 1 }, 2, LIMITS), 'roll');
});

test('writers that alternate between two schemas do not make one object per record', () => {
  let objects = 1;
  let state: { records: number; schemaId: number | null } = { records: 0, schemaId: null };
  for (let record = 0; record < 1_000; record++) {
    const id = record % 2;
    const place = placement(state, id, LIMITS);
    if (place === 'roll') {
      objects++;
      state = { records: 0, schemaId: null };
    }
    if (place !== 'opaque' && state.schemaId === null) state.schemaId = id;
    state.records++;
  }
  assert.ok(objects <= 1_000 / LIMITS.schemaRollRecordsMin + 1, `${objects} objects`);
});

test('the victim of a full memory is the largest that can be sealed', () => {
  const candidates = [{ sealableBytes: 3 }, { sealableBytes: 9 }, { sealableBytes: 0 }];
  assert.equal(memoryVictim(candidates), candidates[1]);
  assert.equal(memoryVictim([{ sealableBytes: 0 }]), null);
  assert.equal(memoryVictim([]), null);
});
