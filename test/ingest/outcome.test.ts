import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { outcomeOf } from '../../services/ingest/outcome.ts';

describe('an outcome', () => {
  const cases: [string, number | null, string][] = [
    ['login', null, 'unknown'],
    ['login', 200, 'success'],
    ['login', 204, 'success'],
    ['login', 299, 'success'],
    ['login', 199, 'failure'],
    ['login', 300, 'failure'],
    ['login', 401, 'failure'],
    ['login', 500, 'failure'],
    ['login', 0, 'failure'],
    ['login', 1, 'failure'],
    ['runCommand', 0, 'success'],
    ['runCommand', 1, 'failure'],
    ['runCommand', 200, 'success'],
    ['commandFinish', 0, 'success'],
    ['commandFinish', 1, 'failure'],
    ['commandSubmit', null, 'unknown'],
    ['runCommandX', 0, 'failure'],
    ['login', -1, 'failure'],
  ];
  for (const [action, status, expected] of cases) {
    it(`of ${action} with ${status} is ${expected}`, () => {
      assert.equal(outcomeOf(action, status), expected);
    });
  }
});
