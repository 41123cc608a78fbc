/** Correlations and own kinds: what is read of them, and how references become ids. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StatefulRule } from '../../../services/detector/sigma/rule.ts';
import { correlationRule, detectionRule, idOf, problemsOfLayers, setOf } from './layers.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const TWO = detectionRule(1, 'login') + detectionRule(2, 'logout');

function statefulOf(text: string): StatefulRule {
  const { stateful } = setOf([text]);
  return stateful.at(-1) ?? assert.fail('no stateful rule');
}

/** A correlation over rules 1 and 2, given as its flow map. */
function correlated(correlation: string, more = ''): StatefulRule {
  return statefulOf(TWO + correlationRule(9, correlation, more));
}

describe('correlations', () => {
  it('count events', () => {
    const rule = correlated(
      '{type: event_count, rules: [rule_1], group-by: [actor.name], timespan: 10m, condition: {gte: 5}}',
    );
    assert.deepEqual(rule.stateful, {
      kind: 'aggregate',
      aggregate: 'event_count',
      fields: [],
      percentile: null,
      thresholds: [{ operator: 'gte', operand: 5 }],
    });
    assert.deepEqual(rule.rules, [idOf(1)]);
    assert.deepEqual(rule.chained, []);
    assert.deepEqual(
      rule.groupBy.map(({ name }) => name),
      ['actor.name'],
    );
    assert.equal(rule.timespanMs, 600_000);
    assert.equal(rule.suppressMs, 600_000);
    assert.ok(rule.alerts);
  });

  const spans: Array<[string, number]> = [
    ['15s', 15_000],
    ['10m', 600_000],
    ['1h', HOUR_MS],
    ['7d', 7 * DAY_MS],
    ['2w', 14 * DAY_MS],
  ];
  for (const [span, ms] of spans) {
    it(`have a timespan of ${span}`, () => {
      const rule = correlated(
        `{type: event_count, rules: [rule_1], timespan: ${span}, condition: {gt: 1}}`,
      );
      assert.equal(rule.timespanMs, ms);
      assert.deepEqual(rule.groupBy, []);
    });
  }

  const conditions: Array<[type: string, condition: string, expected: object]> = [
    [
      'event_count',
      '{gt: 100, lte: 200}',
      {
        thresholds: [
          { operator: 'gt', operand: 100 },
          { operator: 'lte', operand: 200 },
        ],
      },
    ],
    ['event_count', '{neq: 3}', { thresholds: [{ operator: 'neq', operand: 3 }] }],
    ['value_count', '{field: requestParams.a, eq: 2}', { fields: ['requestParams.a'] }],
    [
      'value_count',
      '{field: [requestParams.a, userAgent], gte: 2}',
      { fields: ['requestParams.a', 'userAgent'] },
    ],
    [
      'value_sum',
      '{field: requestParams.a, lt: 1.5}',
      { aggregate: 'value_sum', thresholds: [{ operator: 'lt', operand: 1.5 }] },
    ],
    ['value_avg', '{field: requestParams.a, gt: -2}', { aggregate: 'value_avg' }],
    [
      'value_percentile',
      '{field: requestParams.a, percentile: 99.5, gt: 2}',
      { aggregate: 'value_percentile', percentile: 99.5 },
    ],
    [
      'value_median',
      '{field: requestParams.a, gt: 2}',
      { aggregate: 'value_percentile', percentile: 50 },
    ],
  ];
  for (const [type, condition, expected] of conditions) {
    it(`are ${type} of ${condition}`, () => {
      const { stateful } = correlated(
        `{type: ${type}, rules: [rule_1, rule_2], timespan: 1h, condition: ${condition}}`,
      );
      assert.deepEqual({ ...stateful, ...expected }, stateful);
    });
  }

  it('are temporal, with and without a condition', () => {
    const plain = correlated('{type: temporal, rules: [rule_1, rule_2], timespan: 1h}');
    assert.deepEqual(plain.stateful, { kind: 'temporal', ordered: false, thresholds: [] });
    const some = correlated(
      '{type: temporal_ordered, rules: [rule_1, rule_2], timespan: 1h, condition: {gte: 2}}',
    );
    assert.deepEqual(some.stateful, {
      kind: 'temporal',
      ordered: true,
      thresholds: [{ operator: 'gte', operand: 2 }],
    });
  });

  it('are temporal with an expression, whose rules need not be listed', () => {
    const rule = correlated('{type: temporal, timespan: 1h, condition: rule_1 and not rule_2}');
    assert.deepEqual(rule.rules, [idOf(1), idOf(2)]);
    assert.deepEqual(rule.stateful, {
      kind: 'temporal_expression',
      ordered: false,
      expression: {
        kind: 'and',
        terms: [
          { kind: 'rule', rule: idOf(1) },
          { kind: 'not', term: { kind: 'rule', rule: idOf(2) } },
        ],
      },
    });
  });

  it('may name rules by id, in any case, and later documents', () => {
    const text = `${correlationRule(9, `{type: temporal, rules: [${idOf(1).toUpperCase()}, rule_2], timespan: 1h}`)}${TWO}`;
    assert.deepEqual(statefulOf(text).rules, [idOf(1), idOf(2)]);
  });

  it('have aliases for group-by fields', () => {
    const { groupBy } = correlated(
      '{type: temporal, rules: [rule_1, rule_2], timespan: 1h, group-by: [who, workspaceId], aliases: {who: {rule_1: actor.name, rule_2: requestParams.user}}}',
    );
    assert.deepEqual(groupBy, [
      {
        name: 'who',
        perRule: new Map([
          [idOf(1), 'actor.name'],
          [idOf(2), 'requestParams.user'],
        ]),
      },
      { name: 'workspaceId', perRule: new Map() },
    ]);
  });

  it('suppress for a period of their own', () => {
    const rule = correlated(
      '{type: event_count, rules: rule_1, timespan: 1h, condition: {gte: 5}}',
      'lakeseal: {suppress: {period: 1d}, runbook: [look]}\n',
    );
    assert.equal(rule.suppressMs, DAY_MS);
    assert.deepEqual(rule.runbook, ['look']);
  });

  it('silence the rules they refer to, unless they generate', () => {
    const alerts = (more: string) =>
      setOf([
        TWO +
          correlationRule(
            9,
            `{type: event_count, rules: [rule_1], timespan: 1h, condition: {gte: 5}${more}}`,
          ),
      ]).rules.map((rule) => rule.alerts);
    assert.deepEqual(alerts(''), [false, true]);
    assert.deepEqual(alerts(', generate: false'), [false, true]);
    assert.deepEqual(alerts(', generate: true'), [true, true]);
  });

  it('form chains', () => {
    const { stateful } = setOf([
      TWO +
        correlationRule(
          3,
          '{type: event_count, rules: [rule_1], group-by: [actor.name, workspaceId], timespan: 1h, condition: {gte: 5}}',
        ) +
        correlationRule(
          4,
          '{type: temporal_ordered, rules: [rule_3, rule_2], group-by: [actor.name], timespan: 1d}',
        ),
    ]);
    const [inner, outer] = stateful;
    assert.deepEqual(outer!.rules, [idOf(3), idOf(2)]);
    assert.deepEqual(outer!.chained, [idOf(3)]);
    assert.equal(inner!.alerts, false);
    assert.equal(outer!.alerts, true);
  });

  const refused: Array<[name: string, correlation: string, told: RegExp]> = [
    ['no type', '{rules: [rule_1], timespan: 1h}', /"type" is missing/],
    [
      'an unknown type',
      '{type: event_cuont, rules: [rule_1], timespan: 1h}',
      /did you mean "event_count"/,
    ],
    [
      'group_by',
      '{type: temporal, rules: [rule_1, rule_2], group_by: [a], timespan: 1h}',
      /unknown key "group_by"; did you mean "group-by"/,
    ],
    ['no timespan', '{type: temporal, rules: [rule_1, rule_2]}', /"timespan" is missing/],
    [
      'months',
      '{type: temporal, rules: [rule_1, rule_2], timespan: 2M}',
      /months and years have no fixed length; write days/,
    ],
    ['years', '{type: temporal, rules: [rule_1, rule_2], timespan: 1y}', /write days, as 365d/],
    [
      'minutes in words',
      '{type: temporal, rules: [rule_1, rule_2], timespan: 5min}',
      /write the one letter m/,
    ],
    ['a bare number', '{type: temporal, rules: [rule_1, rule_2], timespan: 60}', /has no unit/],
    [
      'a fraction',
      '{type: temporal, rules: [rule_1, rule_2], timespan: 1.5h}',
      /is not a timespan/,
    ],
    ['no time', '{type: temporal, rules: [rule_1, rule_2], timespan: 0h}', /no time at all/],
    [
      'no condition',
      '{type: event_count, rules: [rule_1], timespan: 1h}',
      /event_count needs a condition/,
    ],
    [
      'no comparison',
      '{type: event_count, rules: [rule_1], timespan: 1h, condition: {}}',
      /compares with nothing/,
    ],
    [
      'three comparisons',
      '{type: event_count, rules: [rule_1], timespan: 1h, condition: {gt: 1, lt: 9, neq: 5}}',
      /more than 2 comparisons/,
    ],
    [
      'an unknown comparison',
      '{type: event_count, rules: [rule_1], timespan: 1h, condition: {get: 1}}',
      /unknown key "get"/,
    ],
    [
      'text as a threshold',
      '{type: event_count, rules: [rule_1], timespan: 1h, condition: {gte: "5"}}',
      /"gte" is not a number/,
    ],
    [
      'a field of event_count',
      '{type: event_count, rules: [rule_1], timespan: 1h, condition: {gte: 5, field: userAgent}}',
      /counts events, not values/,
    ],
    [
      'value_count without field',
      '{type: value_count, rules: [rule_1], timespan: 1h, condition: {gte: 5}}',
      /"field" is missing/,
    ],
    [
      'two fields of a sum',
      '{type: value_sum, rules: [rule_1], timespan: 1h, condition: {gte: 5, field: [requestParams.a, requestParams.b]}}',
      /value_sum is of one field/,
    ],
    [
      'no percentile',
      '{type: value_percentile, rules: [rule_1], timespan: 1h, condition: {gte: 5, field: requestParams.a}}',
      /percentile is missing/,
    ],
    [
      'a percentile of 101',
      '{type: value_percentile, rules: [rule_1], timespan: 1h, condition: {gte: 5, field: requestParams.a, percentile: 101}}',
      /it goes from 0 to 100/,
    ],
    [
      'an expression of counts',
      '{type: event_count, rules: [rule_1], timespan: 1h, condition: rule_1}',
      /the condition is not a map/,
    ],
    [
      'an unknown rule',
      '{type: temporal, rules: [rule_1, rule_7], timespan: 1h}',
      /no rule has the id or name "rule_7"; did you mean "rule_/,
    ],
    ['a rule twice', '{type: temporal, rules: [rule_1, rule_1], timespan: 1h}', /named twice/],
    ['no rule', '{type: temporal, rules: [], timespan: 1h}', /"rules" is empty/],
    [
      'itself',
      '{type: event_count, rules: [rule_9], timespan: 1h, condition: {gte: 5}}',
      /refers to itself/,
    ],
    [
      'an expression that names another rule',
      '{type: temporal, rules: [rule_1], timespan: 1h, condition: rule_1 and rule_2}',
      /"rule_2", which is no rule of it/,
    ],
    [
      'an expression that leaves a rule out',
      '{type: temporal, rules: [rule_1, rule_2], timespan: 1h, condition: rule_1}',
      /does not name the rule rule_2/,
    ],
    [
      'an expression of nothing',
      '{type: temporal, timespan: 1h, condition: not rule_1}',
      /holds before anything has occurred/,
    ],
    [
      'an alias without a field',
      '{type: temporal, rules: [rule_1, rule_2], timespan: 1h, group-by: [who], aliases: {who: {rule_1: actor.name}}}',
      /has no field for the rule rule_2/,
    ],
    [
      'an alias of another rule',
      '{type: temporal, rules: [rule_1], timespan: 1h, group-by: [who], aliases: {who: {rule_1: actor.name, rule_2: actor.name}}}',
      /none of the rules of the correlation/,
    ],
    [
      'a group field twice',
      '{type: temporal, rules: [rule_1, rule_2], timespan: 1h, group-by: [actor.name, actor.name]}',
      /given twice/,
    ],
    [
      'generate in quotes',
      '{type: temporal, rules: [rule_1, rule_2], timespan: 1h, generate: "yes"}',
      /not true or false/,
    ],
  ];
  for (const [name, correlation, told] of refused) {
    it(`are refused with ${name}, in place`, () => {
      const problems = problemsOfLayers([TWO + correlationRule(9, correlation)]);
      assert.ok(
        problems.some((one) => /^0\.yml:\d+:\d+: error: /.test(one) && told.test(one)),
        problems.join('\n'),
      );
    });
  }

  it('warn of an alias that groups nothing, and of an unknown field', () => {
    const problems = problemsOfLayers([
      TWO +
        correlationRule(
          9,
          '{type: temporal, rules: [rule_1, rule_2], timespan: 1h, group-by: [actor.nam], aliases: {who: {rule_1: actor.name, rule_2: actor.name}}}',
        ),
    ]);
    assert.equal(problems.length, 2);
    assert.match(problems.join('\n'), /warning: nothing is grouped by the alias "who"/);
    assert.match(
      problems.join('\n'),
      /warning: no audit event has a field "actor.nam"; did you mean "actor.name"/,
    );
  });

  it('are refused in a circle, and in a chain without end', () => {
    const count = '{type: event_count, rules: [RULE], timespan: 1h, condition: {gte: 5}}';
    const link = (number: number, to: number) =>
      correlationRule(number, count.replace('RULE', `rule_${to}`));
    const circle = problemsOfLayers([link(3, 4) + link(4, 5) + link(5, 3)]);
    assert.equal(circle.filter((one) => /refers to itself/.test(one)).length, 3);
    const chain = Array.from({ length: 9 }, (_, index) => link(index + 3, index + 2)).join('');
    assert.match(
      problemsOfLayers([TWO + chain]).join('\n'),
      /a chain of 9 correlations; the limit is 8/,
    );
  });

  it('are refused where the inner rule does not tell the outer groups apart', () => {
    const problems = problemsOfLayers([
      TWO +
        correlationRule(
          3,
          '{type: event_count, rules: [rule_1], group-by: [actor.name], timespan: 1h, condition: {gte: 5}}',
        ) +
        correlationRule(
          4,
          '{type: value_count, rules: [rule_3], group-by: [workspaceId], timespan: 1d, condition: {gte: 2, field: userAgent}}',
        ),
    ]);
    assert.equal(problems.length, 2);
    assert.match(
      problems[1]!,
      /"Rule 3" is not grouped by "workspaceId", so its alerts have none; its groups are by actor.name/,
    );
    assert.match(problems[0]!, /not grouped by "userAgent"/);
  });
});

describe('own kinds', () => {
  const kind = (yaml: string): StatefulRule =>
    statefulOf(detectionRule(1, 'login', `lakeseal: ${yaml}\n`) + detectionRule(2, 'logout'));

  it('read first_seen with its defaults', () => {
    const rule = kind('{first_seen: {fields: [userAgent], group-by: [actor.name]}}');
    assert.deepEqual(rule.stateful, {
      kind: 'first_seen',
      fields: ['userAgent'],
      learnMs: 7 * DAY_MS,
    });
    assert.equal(rule.timespanMs, 30 * DAY_MS);
    assert.equal(rule.id, idOf(1));
    assert.deepEqual(rule.rules, [idOf(1)]);
    assert.deepEqual(rule.chained, []);
  });

  it('read a baseline', () => {
    const rule = kind(
      '{baseline: {measure: value_count, fields: [requestParams.path], group-by: [actor.name], period: 1d, history: 30d, exclude: 2d, periods: 5, method: tukey, factor: 5, floor: 10, spread: 100, cold_start: 600}, suppress: {period: 2d}}',
    );
    assert.deepEqual(rule.stateful, {
      kind: 'baseline',
      measure: 'value_count',
      fields: ['requestParams.path'],
      periodMs: DAY_MS,
      historyMs: 30 * DAY_MS,
      excludeMs: 2 * DAY_MS,
      periodsMin: 5,
      method: 'tukey',
      factor: 5,
      floor: 10,
      spreadMin: 100,
      coldStart: 600,
    });
    assert.equal(rule.suppressMs, 2 * DAY_MS);
  });

  it('read travel, absence, silence and suppression alone', () => {
    assert.deepEqual(kind('{travel: {group-by: [actor.name]}}').stateful, {
      kind: 'travel',
      speedKmh: 900,
      distanceKmMin: 500,
    });
    const absence = kind('{absence: {followed_by: rule_2, group-by: [actor.name], within: 1h}}');
    assert.deepEqual(absence.stateful, { kind: 'absence', followedBy: idOf(2) });
    assert.equal(absence.timespanMs, HOUR_MS);
    const silence = kind('{silence: {group-by: [workspaceId], for: 2h}}');
    assert.deepEqual(silence.stateful, { kind: 'silence' });
    assert.equal(silence.timespanMs, 2 * HOUR_MS);
    const suppressed = kind('{suppress: {period: 24h, group-by: [actor.name]}}');
    assert.deepEqual(suppressed.stateful, {
      kind: 'aggregate',
      aggregate: 'event_count',
      fields: [],
      percentile: null,
      thresholds: [{ operator: 'gte', operand: 1 }],
    });
    assert.equal(suppressed.suppressMs, DAY_MS);
  });

  it('alert in place of their detection, and have its tests', () => {
    const text = detectionRule(
      1,
      'login',
      'lakeseal: {silence: {for: 2h}, tests: [{name: x, hit: true, event: {a: 1}}]}\n',
    );
    const { rules, stateful } = setOf([text]);
    assert.deepEqual([rules[0]!.alerts, stateful[0]!.alerts], [false, true]);
    assert.deepEqual([rules[0]!.tests.length, stateful[0]!.tests.length], [0, 1]);
  });

  it('are chained, while suppression alone is not', () => {
    const chained = (own: string) =>
      statefulOf(
        detectionRule(1, 'login', `lakeseal: ${own}\n`) +
          detectionRule(2, 'logout') +
          correlationRule(
            9,
            '{type: temporal, rules: [rule_1, rule_2], group-by: [actor.name], timespan: 1d}',
          ),
      ).chained;
    assert.deepEqual(chained('{first_seen: {fields: [userAgent], group-by: [actor.name]}}'), [
      idOf(1),
    ]);
    assert.deepEqual(chained('{suppress: {period: 1d, group-by: [actor.name]}}'), []);
  });

  const refused: Array<[name: string, own: string, told: RegExp]> = [
    [
      'two kinds',
      '{silence: {for: 1h}, travel: {group-by: [actor.name]}}',
      /of one kind, and this is travel and silence/,
    ],
    ['no fields', '{first_seen: {group-by: [actor.name]}}', /"fields" is missing/],
    [
      'an unknown key',
      '{first_seen: {fields: [userAgent], learns: 7d}}',
      /unknown key "learns"; did you mean "learn"/,
    ],
    ['group_by', '{silence: {for: 1h, group_by: [workspaceId]}}', /did you mean "group-by"/],
    [
      'learning longer than memory',
      '{first_seen: {fields: [userAgent], timespan: 7d, learn: 30d}}',
      /learning takes longer/,
    ],
    [
      'groups given twice',
      '{silence: {for: 1h}, suppress: {period: 1h, group-by: [workspaceId]}}',
      /has groups of its own/,
    ],
    ['no method', '{baseline: {measure: event_count}}', /"method" is missing/],
    [
      'fields of event_count',
      '{baseline: {measure: event_count, method: zscore, fields: [userAgent]}}',
      /counts events, not values/,
    ],
    [
      'value_count without fields',
      '{baseline: {measure: value_count, method: zscore}}',
      /"fields" is missing/,
    ],
    [
      'a spread of zscore',
      '{baseline: {measure: event_count, method: zscore, spread: 5}}',
      /"spread" is of tukey only/,
    ],
    [
      'too short a history',
      '{baseline: {measure: event_count, method: zscore, history: 5d, exclude: 3d}}',
      /room for 2 periods, and 3 are wanted/,
    ],
    [
      'too many periods',
      '{baseline: {measure: event_count, method: zscore, period: 1s}}',
      /the history has 2592000 periods/,
    ],
    ['travel of nobody', '{travel: {speed: 900}}', /"group-by" is missing/],
    ['no follower', '{absence: {within: 1h}}', /"followed_by" is missing/],
    [
      'an unknown follower',
      '{absence: {followed_by: rule_7, within: 1h}}',
      /no rule has the id or name "rule_7"/,
    ],
    ['no time', '{silence: {group-by: [workspaceId]}}', /"for" is missing/],
    ['no period', '{suppress: {group-by: [actor.name]}}', /"period" is missing/],
    ['a level without condition', '{levels: [{level: low}]}', /the level has no condition/],
    [
      'a level of an unknown selection',
      '{levels: [{level: low, when: selectoin}]}',
      /names "selectoin"/,
    ],
  ];
  for (const [name, own, told] of refused) {
    it(`are refused with ${name}`, () => {
      const problems = problemsOfLayers([
        detectionRule(1, 'login', `lakeseal: ${own}\n`) + detectionRule(2, 'logout'),
      ]);
      assert.ok(
        problems.some((one) => /^0\.yml:\d+:\d+: error: /.test(one) && told.test(one)),
        problems.join('\n'),
      );
    });
  }

  it('of absence silence the rule that should follow, unless they generate', () => {
    const absence = (more: string, follower = 'rule_2') =>
      detectionRule(
        1,
        'login',
        `lakeseal: {absence: {followed_by: ${follower}, within: 1h${more}}}\n`,
      );
    const alerting = (...texts: string[]) => {
      const { rules, stateful } = setOf(texts);
      return [...rules, ...stateful].filter(({ alerts }) => alerts).map(({ id }) => id);
    };
    const follower = detectionRule(2, 'logout');
    assert.deepEqual(alerting(absence('') + follower), [idOf(1)]);
    assert.deepEqual(alerting(absence(', generate: true') + follower), [idOf(2), idOf(1)]);
    // What only lessens the alerts of a rule goes with it; what a kind finds is another matter.
    const own = (kind: string) => detectionRule(2, 'logout', `lakeseal: {${kind}}\n`);
    assert.deepEqual(alerting(absence('') + own('suppress: {period: 1h}')), [idOf(1)]);
    assert.deepEqual(alerting(absence('') + own('silence: {for: 2h}')), [idOf(1), idOf(2)]);
    assert.deepEqual(alerting(absence('', 'rule_1') + follower), [idOf(2), idOf(1)]);
    const off = 'title: Off\nlakeseal: {override: {rule: rule_1, enabled: false}}\n';
    assert.deepEqual(alerting(absence('') + follower, off), [idOf(2)]);
  });

  it('of absence tell of a rule of an earlier layer that they silence', () => {
    const absence = 'lakeseal: {absence: {followed_by: rule_2, within: 1h}}\n';
    assert.deepEqual(
      problemsOfLayers([detectionRule(2, 'logout'), detectionRule(1, 'login', absence)]),
      [
        '1.yml:1:1: warning: "Rule 2" raises no alerts of its own any more; write "generate: true" in the absence where it should',
      ],
    );
  });

  it('take a correlation for no event that follows', () => {
    const problems = problemsOfLayers([
      detectionRule(1, 'login', 'lakeseal: {absence: {followed_by: rule_3, within: 1h}}\n') +
        detectionRule(2, 'logout') +
        correlationRule(
          3,
          '{type: event_count, rules: [rule_2], timespan: 1h, condition: {gte: 2}}',
        ),
    ]);
    assert.match(problems.join('\n'), /names a correlation; name a detection rule/);
  });
});
