import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parsePattern } from '../../../services/detector/sigma/pattern.ts';
import type { ValueTest } from '../../../services/detector/sigma/rule.ts';
import {
  actualText,
  mayHoldSecret,
  patternText,
  wantedText,
} from '../../../services/detector/workbench/values.ts';

describe('values for people', () => {
  it('a pattern reads as a rule would spell it', () => {
    const source = fc.string({ unit: fc.constantFrom('a', '*', '?', '\\', ' ') });
    fc.assert(
      fc.property(source, (text) => {
        const pattern = parsePattern(text);
        assert.deepEqual(parsePattern(patternText(pattern)), pattern);
      }),
    );
  });

  it('what is asked has a word for each kind', () => {
    const wanted: Array<[ValueTest, string]> = [
      [{ kind: 'pattern', pattern: parsePattern('ad?m*'), cased: false }, '"ad?m*"'],
      [{ kind: 'pattern', pattern: parsePattern('A'), cased: true }, '"A" in this case'],
      [{ kind: 'number', text: '07' }, '07'],
      [{ kind: 'null' }, 'absent or null'],
      [{ kind: 'exists', wanted: false }, 'absent'],
      [{ kind: 'regex', source: '^a', ignoreCase: true, multiline: false, dotAll: true }, '/^a/is'],
      [{ kind: 'compare', operator: 'gte', operand: 7 }, '≥ 7'],
      [{ kind: 'cidr', network: '192.0.2.0/24' }, 'in 192.0.2.0/24'],
      [
        { kind: 'reference', field: 'actor.name', mode: 'equals', cased: false },
        'equal to the field actor.name',
      ],
      [{ kind: 'time', part: 'hour', operator: 'lt', operand: 6 }, 'hour < 6'],
    ];
    for (const [test, text] of wanted) assert.equal(wantedText(test), text);
  });

  it('what the event has is quoted, or absent, or a list', () => {
    assert.equal(actualText('actionName', undefined), 'absent');
    assert.equal(actualText('actionName', ''), '""');
    assert.equal(actualText('requestParams.p', ['a', 'b']), '["a", "b"]');
    const many = Array.from({ length: 8 }, (_, n) => String(n));
    assert.equal(actualText('requestParams.p', many), '["0", "1", "2", "3", "4", … 3 more]');
  });

  it('leaves out what an alert would leave out, however it is spelled or nested', () => {
    const secret: Array<[string, string]> = [
      ['requestParams.token', 'x'],
      ['request_params.token_value', 'x'],
      ['requestParams.spark_conf.spark.key', 'x'],
      ['requestParams.new_cluster.num', '7'],
      ['response.result.clientSecret', 'x'],
      ['requestParams.settings', '{"a":{"Private-Key" : "x"}}'],
      ['response.result', '[{"password":"x"}]'],
    ];
    for (const [field, value] of secret) assert.ok(mayHoldSecret(field, value), field);
    const plain: Array<[string, string]> = [
      ['actionName', 'generateDbToken'],
      ['requestParams.tokenId', 'x'],
      ['requestParams.user', 'token'],
      ['requestParams.settings', '{"a": "token"}'],
      ['response.statusCode', '200'],
    ];
    for (const [field, value] of plain) assert.ok(!mayHoldSecret(field, value), field);
  });
});
