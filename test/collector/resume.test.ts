import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Done, DoneTracker, NOTHING_DONE } from '../../services/collector/resume.ts';

/** Takes the bytes in pieces; the fresh bytes, or `changed`. */
function take(
  before: Done,
  bytes: Buffer,
  size: number,
): { fresh: string; done: Done } | 'changed' {
  const tracker = new DoneTracker(before);
  const fresh: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const taken = tracker.take(bytes.subarray(at, at + size));
    if (taken === 'changed') return taken;
    fresh.push(taken);
  }
  if (!tracker.reachedBefore()) return 'changed';
  return { fresh: Buffer.concat(fresh).toString(), done: tracker.done };
}

const done = (text: string): Done => ({
  doneBytes: Buffer.byteLength(text),
  doneLines: text.split('\n').length - 1,
  doneHash: createHash('sha256').update(text).digest('hex'),
});

test('everything is fresh the first time, and what has a line end is done', () => {
  for (const size of [1, 3, 100]) {
    assert.deepEqual(take(NOTHING_DONE, Buffer.from('a\nbb\nccc'), size), {
      fresh: 'a\nbb\nccc',
      done: done('a\nbb\n'),
    });
  }
  assert.deepEqual(NOTHING_DONE, done(''));
});

test('of an object that grew, only what was added is fresh', () => {
  const text = fc.stringMatching(/^[ab\n]{0,30}$/);
  fc.assert(
    fc.property(text, text, fc.integer({ min: 1, max: 9 }), (old, added, size) => {
      const first = take(NOTHING_DONE, Buffer.from(old), size);
      assert.ok(first !== 'changed');
      const second = take(first.done, Buffer.from(old + added), size);
      assert.ok(second !== 'changed');
      const known = old.slice(0, old.lastIndexOf('\n') + 1);
      assert.equal(known + second.fresh, old + added);
      const whole = take(NOTHING_DONE, Buffer.from(old + added), size);
      assert.ok(whole !== 'changed');
      assert.deepEqual(second.done, whole.done);
    }),
  );
});

test('an object that changed before its end, or became shorter, is not recognised', () => {
  const before = done('one\ntwo\n');
  for (const size of [1, 5, 100]) {
    assert.equal(take(before, Buffer.from('one\ntwO\nthree\n'), size), 'changed');
    assert.equal(take(before, Buffer.from('one\n'), size), 'changed');
    assert.equal(take(before, Buffer.from(''), size), 'changed');
  }
});
