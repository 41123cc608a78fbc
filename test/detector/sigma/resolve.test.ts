/** Layers, overrides, global documents and filters: what of all documents is in force. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Matcher } from '../../../services/detector/match/match.ts';
import { auditEvent } from '../events.ts';
import {
  correlationRule,
  detectionRule,
  idOf,
  type LayerOptions,
  layered,
  problemsOfLayers,
  setOf,
} from './layers.ts';

const LOGIN = detectionRule(1, 'login');
const COUNT = correlationRule(
  9,
  '{type: event_count, rules: [rule_1], group-by: [actor.name], timespan: 1h, condition: {gte: 5}}',
);

function override(rule: string, body: string): string {
  return `title: Changed\nlakeseal: {override: {rule: ${rule}, ${body}}}\n---\n`;
}

describe('layers', () => {
  it('replace rules of earlier layers by id, and free their names', () => {
    const set = setOf([
      LOGIN + detectionRule(2, 'logout'),
      LOGIN.replace('login', 'mfaLogin').replace('title: Rule 1', 'title: Mine'),
    ]);
    assert.deepEqual(
      set.rules.map(({ title }) => title),
      ['Rule 2', 'Mine'],
    );
  });

  it('do not take one id twice in a layer, or one name twice at all', () => {
    const again = LOGIN.replace('name: rule_1', 'name: other');
    assert.match(
      problemsOfLayers([LOGIN + again]).join(),
      /0\.yml:10:1: error: the id .* 0\.yml:1/,
    );
    const name = detectionRule(2, 'logout').replace('rule_2', 'rule_1');
    assert.match(problemsOfLayers([LOGIN, name]).join(), /1\.yml:1:1: error: the name rule_1/);
  });

  it('tell when a later layer silences a rule of an earlier one', () => {
    const problems = problemsOfLayers([LOGIN, COUNT]);
    assert.equal(problems.length, 1);
    assert.match(
      problems[0]!,
      /1\.yml:1:1: warning: "Rule 1" raises no alerts of its own any more/,
    );
    assert.deepEqual(problemsOfLayers([LOGIN + COUNT]), []);
  });
});

describe('a rule with an error', () => {
  it('is not missed by those that refer to it', () => {
    const broken = LOGIN.replace('level: low', 'level: lo');
    const filter = `title: x\nlogsource: {product: databricks}\nfilter: {rules: [rule_1], s: {userAgent: a}, condition: not s}\n---\n`;
    const expression = correlationRule(8, '{type: temporal, timespan: 1h, condition: rule_1}');
    const problems = problemsOfLayers([broken + COUNT + expression + filter]);
    assert.equal(problems.length, 1);
    assert.match(problems[0]!, /"lo" is not a level/);
  });

  it('in a global document is told once', () => {
    const one = (number: number) => `title: Rule ${number}\nid: ${idOf(number)}\nlevel: low\n---\n`;
    const problems = problemsOfLayers([
      `action: global\nlogsource: {product: databricks}\ndetection: {s: {actionNam: login}, condition: s}\n---\n${one(1)}${one(2)}`,
    ]);
    assert.equal(problems.length, 1);
    assert.match(problems[0]!, /3:17: warning: .*did you mean "actionName"/);
  });
});

describe('overrides', () => {
  it('may have any id, also that of their rule', () => {
    const set = setOf([LOGIN, `id: ${idOf(1)}\n${override('rule_1', 'level: high')}`]);
    assert.deepEqual(
      set.rules.map(({ level }) => level),
      ['high'],
    );
  });

  it('switch rules off', () => {
    const set = setOf([LOGIN + detectionRule(2, 'logout'), override('rule_1', 'enabled: false')]);
    assert.deepEqual(set.disabled, [idOf(1)]);
    assert.deepEqual(
      set.rules.map(({ id }) => id),
      [idOf(2)],
    );
  });

  it('keep a rule that is off for the correlation that counts it', () => {
    const set = setOf([LOGIN + COUNT, override(idOf(1), 'enabled: false')]);
    assert.deepEqual(
      set.rules.map(({ alerts }) => alerts),
      [false],
    );
    assert.deepEqual(
      set.stateful.map(({ alerts }) => alerts),
      [true],
    );
  });

  it('switch a correlation off, so that its rules alert again', () => {
    const set = setOf([LOGIN + COUNT, override('rule_9', 'enabled: false')]);
    assert.deepEqual(
      set.rules.map(({ alerts }) => alerts),
      [true],
    );
    assert.deepEqual(set.stateful, []);
    assert.deepEqual(set.disabled, [idOf(9)]);
  });

  it('switch off the alerts of a rule that only a chain still needs', () => {
    const outer = correlationRule(
      8,
      '{type: event_count, rules: [rule_9], group-by: [actor.name], timespan: 1d, condition: {gte: 2}}',
    );
    const set = setOf([LOGIN + COUNT + outer, override('rule_9', 'enabled: false')]);
    assert.deepEqual(
      set.stateful.map(({ id, alerts }) => [id, alerts]),
      [
        [idOf(9), false],
        [idOf(8), true],
      ],
    );
  });

  it('set levels and figures before the rule is parsed', () => {
    const [rule] = setOf([
      LOGIN + COUNT,
      override(
        'rule_9',
        'level: critical, set: {correlation.timespan: 30m, correlation.condition.gte: 10, lakeseal.suppress.period: 1d}',
      ),
    ]).stateful;
    assert.equal(rule!.level, 'critical');
    assert.equal(rule!.timespanMs, 1_800_000);
    assert.equal(rule!.suppressMs, 86_400_000);
    assert.deepEqual(rule!.stateful, {
      kind: 'aggregate',
      aggregate: 'event_count',
      fields: [],
      percentile: null,
      thresholds: [{ operator: 'gte', operand: 10 }],
    });
  });

  it('apply in order of their layers, also to rules of the operator', () => {
    const [rule] = setOf([
      LOGIN,
      override('rule_1', 'level: medium'),
      override('rule_1', 'level: high'),
    ]).rules;
    assert.equal(rule!.level, 'high');
    const back = setOf([
      LOGIN,
      override('rule_1', 'enabled: false'),
      override('rule_1', 'enabled: true'),
    ]);
    assert.deepEqual(back.disabled, []);
  });

  const refused: Array<[name: string, text: string, told: RegExp]> = [
    [
      'an unknown rule',
      override('rule_7', 'enabled: false'),
      /1\.yml:2:\d+: error: no rule has the id or name "rule_7"; did you mean "rule_1"/,
    ],
    [
      'a path elsewhere',
      override('rule_1', 'set: {detection.condition: x}'),
      /"detection\.condition" is not a path/,
    ],
    [
      'a path to the tests',
      override('rule_1', 'set: {lakeseal.tests: []}'),
      /lakeseal\.tests cannot be set/,
    ],
    [
      'a path that is not there',
      override('rule_1', 'set: {correlation.timespan: 5m}'),
      /the rule has no "correlation"/,
    ],
    [
      'a value that is wrong',
      override('rule_9', 'set: {correlation.timespan: 5M}'),
      /1\.yml:2:\d+: error: "timespan": "5M": months/,
    ],
    ['an unknown key', override('rule_1', 'disabled: true'), /unknown key "disabled"/],
    ['a wrong level', override('rule_1', 'level: hihg'), /"hihg" is not a level/],
    ['no rule', 'title: x\nlakeseal: {override: {enabled: false}}\n', /"rule" is missing/],
    ['nothing in it', 'title: x\nlakeseal: {override: }\n', /the override is empty/],
  ];
  for (const [name, text, told] of refused) {
    it(`are refused with ${name}, in their own file`, () => {
      const problems = problemsOfLayers([LOGIN + COUNT, text]);
      assert.ok(
        problems.some((one) => one.startsWith('1.yml:') && told.test(one)),
        problems.join('\n'),
      );
    });
  }

  it('that change nothing are told', () => {
    assert.match(problemsOfLayers([LOGIN, override('rule_1', '')]).join(), /changes nothing/);
  });
});

describe('global documents', () => {
  const HEAD = `action: global
level: high
logsource: {product: databricks}
detection:
  selection: {serviceName: accounts}
---
`;
  const document = (number: number, action: string) => `title: Rule ${number}
id: ${idOf(number)}
detection:
  action: {actionName: ${action}}
  condition: selection and action
---
`;

  it('are part of those that follow, in their file', () => {
    const { rules } = setOf([HEAD + document(1, 'login') + document(2, 'logout')]);
    assert.deepEqual(
      rules.map(({ level, selections }) => [level, [...selections.keys()]]),
      [
        ['high', ['selection', 'action']],
        ['high', ['selection', 'action']],
      ],
    );
    const matcher = new Matcher(rules);
    assert.deepEqual(
      matcher.match(auditEvent({ actionName: 'logout' })).map(({ id }) => id),
      [idOf(2)],
    );
  });

  it('add up, and are forgotten at a reset', () => {
    const more = 'action: global\nauthor: me\n---\n';
    const reset = 'action: reset\n---\n';
    const { set, problems } = layered([
      HEAD + more + document(1, 'login') + reset + document(2, 'logout'),
    ]);
    assert.deepEqual(
      set.rules.map(({ author, level }) => [author, level]),
      [['me', 'high']],
    );
    assert.ok(problems.some(({ message }) => message === '"level" is missing'));
  });

  it('are repeated with changes', () => {
    const repeat = `action: repeat\nid: ${idOf(2)}\nlevel: low\ndetection: {action: {actionName: logout}}\n`;
    const { rules } = setOf([`${HEAD}${document(1, 'login')}${repeat}`]);
    assert.deepEqual(
      rules.map(({ level }) => level),
      ['high', 'low'],
    );
    const matched = new Matcher(rules).match(auditEvent({ actionName: 'logout' }));
    assert.deepEqual(
      matched.map(({ id }) => id),
      [idOf(2)],
    );
  });

  it('do not disagree with a rule, nor repeat nothing', () => {
    const problems = problemsOfLayers([
      HEAD + document(1, 'login').replace('detection', 'level: low\ndetection'),
    ]);
    assert.match(problems.join(), /0\.yml:9:1: error: "level" differs from the global document/);
    assert.match(
      problemsOfLayers(['action: repeat\n']).join(),
      /1:9: error: there is no rule to repeat/,
    );
  });
});

describe('filters', () => {
  const filter = (body: string, more = '', logsource = '{product: databricks}') => `title: No robots
logsource: ${logsource}
filter: {${body}, selection: {actor.name: robot@example.com}}
${more}---
`;
  const robot = auditEvent({ actor: { ...auditEvent().actor, name: 'robot@example.com' } });
  const both = (texts: string[], options: LayerOptions = {}) => {
    const matcher = new Matcher(setOf(texts, options).rules);
    return [matcher.match(auditEvent()).length, matcher.match(robot).length];
  };

  it('are joined as written', () => {
    assert.deepEqual(both([LOGIN, filter('rules: [rule_1], condition: not selection')]), [1, 0]);
    assert.deepEqual(both([LOGIN, filter('rules: any, condition: selection')]), [0, 1]);
  });

  it('keep their names to themselves', () => {
    const [rule] = setOf([LOGIN, filter('rules: any, condition: not selection')]).rules;
    assert.deepEqual([...rule!.selections.keys()], ['selection', 'No robots: selection']);
    assert.deepEqual(rule!.filters, ['No robots']);
    const twice = filter('rules: any, condition: not selection');
    assert.deepEqual(both([LOGIN, twice + twice]), [1, 0]);
  });

  it('warn where nothing is left out', () => {
    const problems = problemsOfLayers([LOGIN, filter('rules: any, condition: selection')]);
    assert.match(
      problems.join(),
      /warning: the filter narrows its rules.*"condition: not selection"/,
    );
  });

  it('are of rules whose log source is theirs', () => {
    const unity = LOGIN.replace(
      '{product: databricks}',
      '{product: databricks, service: accounts}',
    );
    const on = (source: string, rule = unity) =>
      both([rule, filter('rules: any, condition: not selection', '', source)]);
    assert.deepEqual(on('{product: databricks}'), [1, 0]);
    assert.deepEqual(on('{product: databricks, service: audit}'), [1, 0]);
    assert.deepEqual(on('{product: databricks, service: ACCOUNTS}'), [1, 0]);
    assert.deepEqual(on('{product: databricks, service: unityCatalog}'), [1, 1]);
    assert.deepEqual(on('{product: databricks, service: accounts}', LOGIN), [1, 1]);
    assert.deepEqual(on('{product: databricks, category: x}'), [1, 1]);
    const named = filter(
      'rules: [rule_1], condition: not selection',
      '',
      '{product: databricks, service: jobs}',
    );
    assert.match(
      problemsOfLayers([unity, named]).join(),
      /warning: the log source of the filter leaves out that of "Rule 1"/,
    );
  });

  it('expire, with a warning, and are told with owner and reason', () => {
    const own = 'lakeseal: {owner: ops@example.com, reason: a robot, expires: 2026-12-01}\n';
    const texts = [LOGIN, filter('rules: any, condition: not selection', own)];
    const before = { nowMs: Date.UTC(2026, 11, 1) - 1 };
    const after = { nowMs: Date.UTC(2026, 11, 1) };
    assert.deepEqual(both(texts, before), [1, 0]);
    assert.deepEqual(both(texts, after), [1, 1]);
    assert.deepEqual(problemsOfLayers(texts, before), []);
    assert.match(
      problemsOfLayers(texts, after).join(),
      /1\.yml:1:1: warning: the exception "No robots" expired on 2026-12-01 and is not applied; .*ask ops@example.com/,
    );
    const [exception] = setOf(texts, after).exceptions;
    assert.deepEqual(exception, {
      title: 'No robots',
      id: null,
      rules: [idOf(1)],
      owner: 'ops@example.com',
      reason: 'a robot',
      expiresMs: Date.UTC(2026, 11, 1),
      expired: true,
      file: '1.yml',
      line: 1,
    });
  });

  it('are also of rules that only a correlation uses', () => {
    const set = setOf([LOGIN + COUNT, filter('rules: [rule_1], condition: not selection')]);
    assert.equal(new Matcher(set.rules).match(robot).length, 0);
  });

  const refused: Array<[name: string, text: string, told: RegExp]> = [
    ['no rules', filter('condition: not selection'), /does not say which rules/],
    [
      'an unknown rule',
      filter('rules: [rule_7], condition: not selection'),
      /no rule has the id or name "rule_7"/,
    ],
    [
      'a correlation',
      filter('rules: [rule_9], condition: not selection'),
      /is a correlation.*name the rules that it counts: rule_1/,
    ],
    ['no condition', filter('rules: any'), /the filter has no condition/],
    ['an unknown selection', filter('rules: any, condition: not selectoin'), /"selectoin"/],
    [
      'no log source',
      filter('rules: any, condition: not selection').replace(/logsource.*\n/, ''),
      /has no logsource/,
    ],
    [
      'another product',
      filter('rules: any, condition: not selection', '', '{product: windows}'),
      /the filter is for windows/,
    ],
    [
      'a day that is none',
      filter('rules: any, condition: not selection', 'lakeseal: {expires: 2026-02-30}\n'),
      /"2026-02-30" is no day/,
    ],
    [
      'an unknown key',
      filter('rules: any, condition: not selection', 'lakeseal: {expiry: 2026-02-20}\n'),
      /did you mean "expires"/,
    ],
  ];
  for (const [name, text, told] of refused) {
    it(`are refused with ${name}`, () => {
      const problems = problemsOfLayers([LOGIN + COUNT, text]);
      assert.ok(
        problems.some((one) => told.test(one) && one.includes('error')),
        problems.join('\n'),
      );
    });
  }

  it('of rules that are not there are told', () => {
    const unity = '{product: databricks, service: unityCatalog}';
    assert.match(
      problemsOfLayers([LOGIN, filter('rules: any, condition: not selection', '', unity)]).join(),
      /warning: the filter is for no rule/,
    );
  });
});
