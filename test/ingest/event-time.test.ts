import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { EVENT_TIME_MS_MAX, eventTimeMs } from '../../services/ingest/event-time.ts';

const MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

describe('an event time', () => {
  const times: [unknown, number][] = [
    [MS, MS],
    [String(MS), MS],
    [MS / 1000, MS],
    [1_767_225_600, 1_767_225_600_000],
    ['1767225600', 1_767_225_600_000],
    ['1767225600.5', 1_767_225_600_500],
    [MS + 0.9, MS],
    ['2026-01-02T03:04:05.678Z', MS],
    ['2026-01-02T03:04:05Z', MS - 678],
    ['2026-01-02t03:04:05z', MS - 678],
    ['2026-01-02T03:04:05.6Z', MS - 78],
    ['2026-01-02T03:04:05.6789012Z', MS],
    ['2026-01-02T03:04:05,678Z', MS],
    ['2026-01-02T03:04:05.678+00:00', MS],
    ['2026-01-02T04:34:05.678+01:30', MS],
    ['2026-01-01T22:04:05.678-0500', MS],
    ['2026-01-01T22:04:05.678-05', MS],
    ['2026-01-02 03:04:05.678', MS],
    ['2026-01-02 03:04:05.678 UTC', MS],
    [' 2026-01-02T03:04:05.678Z\n', MS],
    ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)],
    ['2016-12-31T23:59:60Z', Date.UTC(2017, 0, 1)],
    ['9999-12-31T23:59:59.999Z', EVENT_TIME_MS_MAX],
    [EVENT_TIME_MS_MAX, EVENT_TIME_MS_MAX],
    [1e11, 100_000_000_000],
  ];
  for (const [value, ms] of times) {
    it(`${JSON.stringify(value)} is ${new Date(ms).toISOString()}`, () => {
      assert.equal(eventTimeMs(value), ms);
    });
  }

  const others = [
    undefined,
    null,
    '',
    'now',
    true,
    {},
    [MS],
    0,
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    EVENT_TIME_MS_MAX + 1,
    1e18,
    '-5',
    '1e12',
    '0x10',
    '2026-01-02',
    '2026-13-02T03:04:05Z',
    '2026-00-02T03:04:05Z',
    '2026-02-30T03:04:05Z',
    '2025-02-29T03:04:05Z',
    '2026-01-00T03:04:05Z',
    '2026-01-02T24:00:00Z',
    '2026-01-02T03:60:05Z',
    '2026-01-02T03:04:61Z',
    '2026-01-02T03:04Z',
    '2026-01-02T03:04:05+25:00',
    '2026-01-02T03:04:05.Z',
    '2026-01-02T03:04:05 CET',
    '1969-12-31T23:59:59Z',
    '0000-01-01T00:00:00Z',
    '0085-01-01T00:00:00Z',
    '2026/01/02T03:04:05Z',
    '2026-01-02T03.04.05Z',
    '2026-01-02_03:04:05Z',
    `2026-01-02T03:04:05.${'1'.repeat(100)}Z`,
  ];
  for (const value of others) {
    it(`${JSON.stringify(value)} is none`, () => assert.equal(eventTimeMs(value), null));
  }

  it('reads back every moment that Date writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: EVENT_TIME_MS_MAX }), (ms) => {
        assert.equal(eventTimeMs(new Date(ms).toISOString()), ms);
        if (ms >= 1e11) assert.equal(eventTimeMs(ms), ms);
      }),
    );
  });
});
