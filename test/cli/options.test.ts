/** Values of options, and of settings that mean the same. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { InvalidArgumentError } from 'commander';
import {
  countOption,
  dayOption,
  stampsSinceOption,
  stampsSinceSetting,
  timeOption,
} from '../../services/cli/options.ts';

const TIME = '2026-11-24T10:00:00Z';
const SECONDS = Date.UTC(2026, 10, 24, 10) / 1000;

describe('values of options', () => {
  test('since when stamps are expected: an option and a setting say it alike', () => {
    for (const read of [stampsSinceOption, stampsSinceSetting]) {
      assert.equal(read('first'), 'first');
      assert.equal(read(TIME), SECONDS);
    }
    assert.equal(stampsSinceSetting(undefined), 0, 'every root');
  });

  test('a time in any zone, or a whole day', () => {
    assert.equal(timeOption('2026-11-24T11:00:00+01:00'), SECONDS * 1000);
    assert.equal(timeOption('2026-11-24'), Date.UTC(2026, 10, 24));
  });

  test('what is none is refused', () => {
    for (const text of ['', 'yesterday', '24.11.2026', '2026-11-24T25:00:00Z']) {
      assert.throws(() => timeOption(text), InvalidArgumentError, text);
      assert.throws(() => stampsSinceOption(text), InvalidArgumentError, text);
    }
    for (const text of ['', '2026-11', '2026-11-31']) {
      assert.throws(() => dayOption(text), InvalidArgumentError, text);
    }
    for (const text of ['', '-1', '1.5', 'x', '9007199254740992']) {
      assert.throws(() => countOption(text), InvalidArgumentError, text);
    }
    assert.equal(countOption('0'), 0);
    assert.equal(dayOption('2026-11-24'), '2026-11-24');
  });
});
