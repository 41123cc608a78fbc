/** Rules that never match, or always: what is said of them, and that it is never wrong. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Matcher } from '../../../services/detector/match/match.ts';
import { doubtsOf } from '../../../services/detector/sigma/doubts.ts';
import { describeProblem } from '../../../services/detector/sigma/problem.ts';
import { auditEvent } from '../events.ts';
import { correlationRule, detectionRule, idOf, setOf } from './layers.ts';

function rule(detection: string, more = ''): string {
  return `title: Rule 1
id: ${idOf(1)}
name: rule_1
level: low
logsource: {product: databricks}
detection: ${detection}
${more}---
`;
}

function doubts(...texts: string[]): string[] {
  return doubtsOf(setOf(texts)).map(describeProblem);
}

const NEVER = /no event can match this rule/;
const ALWAYS = /every event matches this rule/;

const never: string[] = [
  '{a: {actionName: login}, b: {actionName: logout}, condition: a and b}',
  '{a: {actionName: login, service_name: jobs}, b: {serviceName: accounts}, condition: a and b}',
  '{a: {actionName: login}, condition: a and not a}',
  '{a: {actionName: [login, logout]}, b: {actionName|startswith: set}, condition: a and b}',
  '{a: {actionName: login}, b: {actionName: [LOGIN, logout]}, condition: a and not b}',
  '{a: {actionName: login}, b: {actionName|contains: g}, condition: a and not b}',
  '{a: {requestParams.v: 1}, b: {requestParams.v: 2}, condition: a and b}',
  '{a: {requestParams.v: 1}, b: {requestParams.v: x}, condition: a and b}',
  '{a: {requestParams.v: null}, b: {requestParams.v: x}, condition: a and b}',
  '{a: {requestParams.v|exists: false}, b: {requestParams.v|contains: x}, condition: a and b}',
  "{a: {requestParams.a.b: null}, b: {requestParams.a.b: '*'}, condition: a and b}",
  "{a: {requestParams.v: '*'}, b: {requestParams.v: x}, condition: b and not a}",
  '{a: {requestParams.v|gt: 5}, b: {requestParams.v|lt: 5}, condition: a and b}',
  '{a: {requestParams.v|gt: 5}, b: {requestParams.v|lte: 5}, condition: a and b}',
  '{a: {requestParams.v: 3}, b: {requestParams.v|gt: 5}, condition: a and b}',
  '{a: {timestamp|hour: 24}, condition: a}',
  '{a: {timestamp|month|gt: 12}, condition: a}',
  '{a: {timestamp|minute: [60, 61]}, condition: a}',
  "{a: {actionName: '*'}, condition: not a}",
  '{a: {actionName: login}, b: {actionName: logout}, c: {actionName: setAdmin}, condition: (a or b) and c}',
  '{a: {actionName: login}, b: {serviceName: jobs}, condition: (a and not a) or (b and not b)}',
];

const fine: string[] = [
  '{a: {actionName: login}, b: {actionName: logout}, condition: a or b}',
  '{a: {requestParams.a.b: x}, b: {requestParams.a.b: y}, condition: a and b}',
  '{a: {requestParams.a.b|gt: 5}, b: {requestParams.a.b|lt: 5}, condition: a and b}',
  '{a: {requestParams.v: 1}, b: {requestParams.v: "1.0"}, condition: a and b}',
  '{a: {requestParams.v: 1}, b: {requestParams.v: "1"}, condition: a and not b}',
  '{a: {actionName: login}, b: {actionName|cased: LOGIN}, condition: a and not b}',
  '{a: {actionName: login}, b: {actionName|cased: LOGIN}, condition: a and b}',
  '{a: {requestParams.v|gte: 5}, b: {requestParams.v|lte: 5}, condition: a and b}',
  '{a: {timestamp|hour: 23}, condition: a}',
  '{a: {timestamp|hour: [23, 24]}, condition: a}',
  '{a: {timestamp|week: 53}, condition: a}',
  "{a: {requestParams.v: '*'}, condition: not a}",
  '{a: {requestParams.v|neq: x}, condition: a}',
  '{a: [login], b: [logout], condition: a and not b}',
];

const always: string[] = [
  "{a: {actionName: '*'}, condition: a}",
  '{a: {requestParams.v: x}, condition: a or not a}',
  '{a: {requestParams.v|exists: true}, b: {requestParams.v: null}, condition: a or b}',
  '{a: {actionName: login}, b: {actionName: logout}, condition: not (a and b)}',
  "{a: ['*'], condition: a}",
];

describe('doubts', () => {
  for (const detection of never) {
    it(`never: ${detection}`, () => assert.match(doubts(rule(detection)).join(), NEVER));
  }
  for (const detection of fine) {
    it(`fine: ${detection}`, () => assert.deepEqual(doubts(rule(detection)), []));
  }
  for (const detection of always) {
    it(`always: ${detection}`, () => assert.match(doubts(rule(detection)).join(), ALWAYS));
  }

  it('count the log source', () => {
    const text = detectionRule(1, 'login').replace('databricks}', 'databricks, service: jobs}');
    const other = text.replace('{actionName: login}', '{serviceName: accounts}');
    assert.deepEqual(doubts(text), []);
    assert.match(doubts(other).join(), NEVER);
  });

  it('name the exceptions that leave nothing', () => {
    const filter = `title: All of it\nlogsource: {product: databricks}\nfilter: {rules: any, s: {actionName|contains: log}, condition: not s}\n`;
    assert.match(
      doubts(detectionRule(1, 'login'), filter).join(),
      /0\.yml:1:1: warning: "Rule 1": its exceptions leave no event that could match: All of it/,
    );
  });

  it('tell of a level that no event has', () => {
    const levels = 'lakeseal: {levels: [{level: low, when: b}, {level: high, when: a}]}\n';
    const text = rule('{a: {actionName: login}, b: {actionName: logout}, condition: a}', levels);
    assert.match(doubts(text).join(), /no event that matches the rule has the level low/);
    assert.equal(doubts(text).length, 1);
  });

  it('leave a rule alone that selects everything for its kind', () => {
    const text = rule("{a: {actionName: '*'}, condition: a}", 'lakeseal: {silence: {for: 1h}}\n');
    assert.deepEqual(doubts(text), []);
  });

  const thresholds: Array<[type: string, condition: string, possible: boolean]> = [
    ['event_count', '{gte: 5}', true],
    ['event_count', '{lt: 1}', false],
    ['event_count', '{lt: 2}', true],
    ['event_count', '{eq: 0}', false],
    ['event_count', '{eq: 2.5}', false],
    ['event_count', '{gt: 2, lt: 3}', false],
    ['event_count', '{gt: 2, lt: 4}', true],
    ['event_count', '{gt: 5, lt: 5}', false],
    ['event_count', '{eq: 5, neq: 5}', false],
    ['value_count', '{lt: 1, field: userAgent}', true],
    ['value_sum', '{gt: 2, lt: 3, field: requestParams.v}', true],
    ['value_sum', '{gt: 3, lt: 2, field: requestParams.v}', false],
    ['value_avg', '{gt: 2.1, lt: 2.2, field: requestParams.v}', true],
    ['value_avg', '{lt: -5, field: requestParams.v}', true],
    ['temporal', '{gte: 2}', true],
    ['temporal', '{gte: 3}', false],
    ['temporal', 'rule_1 and not rule_2', true],
    ['temporal', '(rule_1 or rule_2) and not rule_1 and not rule_2', false],
  ];
  for (const [type, condition, possible] of thresholds) {
    it(`${type} of ${condition}: ${possible ? 'fine' : 'never'}`, () => {
      const text =
        detectionRule(1, 'login') +
        detectionRule(2, 'logout') +
        correlationRule(
          9,
          `{type: ${type}, rules: [rule_1, rule_2], timespan: 1h, condition: ${condition}}`,
        );
      assert.equal(/can never fire/.test(doubts(text).join()), !possible);
    });
  }
});

describe('doubts are certain', () => {
  const field = fc.constantFrom('actionName', 'requestParams.v', 'requestParams.a.b', 'sourcePort');
  const value = fc.constantFrom('login', 'logout', 'x', '*', '', '1', '1.0', 'l*', '?', 'LOGIN');
  const item = fc.oneof(
    fc.record({
      field,
      suffix: fc.constantFrom('', '|cased', '|contains', '|startswith', '|neq'),
      value: fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 3 })),
    }),
    fc.record({
      field,
      suffix: fc.constantFrom('|gt', '|gte', '|lt', '|lte', '|neq', ''),
      value: fc.constantFrom<unknown>(0, 1, 2, 1.5),
    }),
    fc.record({
      field,
      suffix: fc.constant('|exists'),
      value: fc.boolean() as fc.Arbitrary<unknown>,
    }),
    fc.record({ field, suffix: fc.constant(''), value: fc.constant(null) }),
  );
  const selection = fc
    .array(item, { minLength: 1, maxLength: 2 })
    .map((items) => Object.fromEntries(items.map((one) => [one.field + one.suffix, one.value])));
  const condition = fc.letrec<{ any: string }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom('a', 'b', 'c'),
      tie('any').map((term) => `not (${term})`),
      fc
        .tuple(tie('any'), fc.constantFrom('and', 'or'), tie('any'))
        .map(([left, operator, right]) => `(${left}) ${operator} (${right})`),
    ),
  })).any;
  const parameters = [
    {},
    ...['login', 'logout', 'x', '', '1', '1.0', '2', '1.5', 'LOGIN', 'l', 'xx'].map((v) => ({ v })),
    ...['["x","login"]', '[1,2]', '"x"', '[]', '0'].map((b) => ({ a: `{"b":${b}}` })),
    { v: '1', a: '{"b":["login","logout","1"]}' },
  ];
  const events = ['login', 'logout', 'LOGIN', 'x'].flatMap((actionName) =>
    parameters.flatMap((requestParams) =>
      [null, 1, 2].map((sourcePort) => auditEvent({ actionName, requestParams, sourcePort })),
    ),
  );

  it('of 3,000 made-up rules, those said never to match never do, and so with always', () => {
    const said = { never: 0, always: 0 };
    fc.assert(
      fc.property(selection, selection, selection, condition, (a, b, c, text) => {
        const { rules, ...rest } = setOf([
          JSON.stringify({
            title: 'made up',
            id: idOf(1),
            level: 'low',
            logsource: { product: 'databricks' },
            detection: { a, b, c, condition: text },
          }),
        ]);
        const told = doubtsOf({ ...rest, rules })
          .map(describeProblem)
          .join();
        if (told === '') return;
        const matcher = new Matcher(rules);
        const matched = events.filter((event) => matcher.match(event).length > 0).length;
        if (NEVER.test(told)) {
          said.never += 1;
          assert.equal(matched, 0);
        } else {
          said.always += 1;
          assert.equal(matched, events.length);
        }
      }),
      { numRuns: 3_000, seed: 11 },
    );
    assert.ok(said.never >= 100 && said.always >= 100, JSON.stringify(said));
  });
});
