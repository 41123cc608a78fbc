import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeFailure, Failure, reasonOf } from '../../services/runtime/errors.ts';
import { createLog } from '../../services/runtime/log.ts';

function logged(fields: object): Record<string, unknown> {
  const lines: string[] = [];
  const log = createLog('test', 'info', { write: (text) => void lines.push(text) });
  log.info(fields, 'message');
  return JSON.parse(lines.join('')) as Record<string, unknown>;
}

describe('log', () => {
  test('replaces secrets at the top and one level below', () => {
    const line = logged({ password: 'x', kafka: { saslPassword: 'y', brokers: ['a:1'] } });
    assert.equal(line.password, '[secret]');
    assert.deepEqual(line.kafka, { saslPassword: '[secret]', brokers: ['a:1'] });
  });

  test('writes offsets, which are bigint', () => {
    assert.equal(logged({ offset: 12n }).offset, 12);
    assert.deepEqual(logged({ at: { offset: 12n } }).at, { offset: 12 });
  });

  test('keeps of an error what helps and drops what a client library hung on it', () => {
    const cause = Object.assign(new Error('below'), {
      meta: { headers: { authorization: 'Basic hunter2' }, body: 'event hunter2' },
    });
    const err = new Failure('above', { code: 'X_Y', hint: 'do this', cause });
    const line = logged({ err });
    assert.doesNotMatch(JSON.stringify(line), /hunter2/);
    const { stack, cause: below, ...rest } = line.err as Record<string, unknown>;
    assert.deepEqual(rest, {
      type: 'Failure',
      message: 'above',
      code: 'X_Y',
      hint: 'do this',
      retryable: false,
    });
    assert.match(String(stack), /log\.test\.ts/);
    assert.equal((below as { message: string }).message, 'below');
  });

  test('an error that is its own cause ends', () => {
    const err = new Error('ouroboros');
    err.cause = err;
    assert.match(JSON.stringify(logged({ err })), /ouroboros/);
  });
});

describe('describeFailure', () => {
  test('what, code, causes that add something, hint', () => {
    const cause = new Error('socket closed\nwith more lines', { cause: new Error('reset') });
    const failure = new Failure('cannot reach the store', {
      code: 'S3_DOWN',
      hint: 'start it',
      cause,
    });
    assert.equal(
      describeFailure('lakeseal archive', failure),
      'lakeseal archive: error: cannot reach the store (S3_DOWN)\n' +
        '  because: socket closed\n  because: reset\nhint: start it',
    );
  });

  test('a cause that the message quotes is not said twice', () => {
    const failure = new Failure('cannot read f: reset', { code: 'F', cause: new Error('reset') });
    assert.equal(describeFailure('x', failure), 'x: error: cannot read f: reset (F)');
  });

  test('an unforeseen error shows where it came from', () => {
    assert.match(
      describeFailure('x', new TypeError('no')),
      /^x: error: no \(TypeError\)\n\s+at .*log\.test/,
    );
    assert.equal(describeFailure('x', 'text'), 'x: error: text');
  });

  test('a refused connection has a reason although its message is empty', () => {
    const refused = new AggregateError([new Error('connect ECONNREFUSED 127.0.0.1:1')], '');
    assert.equal(reasonOf(refused), 'connect ECONNREFUSED 127.0.0.1:1');
  });
});
