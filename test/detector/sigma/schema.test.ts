/**
 * The JSON schema of rule files, for editors: it takes every shipped rule and every example, and
 * refuses what the rule reader refuses, as far as a schema can.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parseAllDocuments } from 'yaml';
import { SHIPPED_RULES } from '../../../services/detector/sigma/rules.ts';
import { correlationRule, detectionRule, problemsOfLayers } from './layers.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const schema = JSON.parse(
  readFileSync(join(ROOT, 'schemas', 'rule.schema.json'), 'utf8'),
) as object;
const ajv = new Ajv2020({
  strict: true,
  strictRequired: false,
  strictTypes: false,
  allowUnionTypes: true,
});
const validate = ajv.compile(schema);

function documentsOf(text: string): unknown[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as unknown)
    .filter((document) => document !== null);
}

function accepts(text: string): boolean {
  return documentsOf(text).every((document) => validate(document) as boolean);
}

describe('the schema takes', () => {
  for (const file of globSync(`${SHIPPED_RULES}/**/*.yml`).sort()) {
    it(file.slice(SHIPPED_RULES.length + 1), () => {
      for (const document of documentsOf(readFileSync(file, 'utf8'))) {
        assert.ok(validate(document), ajv.errorsText(validate.errors));
      }
    });
  }

  it('every portable construct', () => {
    assert.ok(accepts(readFileSync(join(import.meta.dirname, 'portable.yml'), 'utf8')));
  });

  const taken: Array<[name: string, text: string]> = [
    ['custom keys', detectionRule(1, 'login', 'of_another_tool: {any: [thing]}\n')],
    [
      'a list of conditions',
      detectionRule(1, 'login').replace('condition: selection', 'condition: [selection]'),
    ],
    ['keywords', detectionRule(1, 'login').replace('{actionName: login}', '[one, 2, {a: b}]')],
    ['a first_seen', own('{first_seen: {fields: [userAgent], group-by: actor.name, learn: 0d}}')],
    [
      'a baseline',
      own(
        '{baseline: {measure: value_count, fields: [userAgent], method: tukey, spread: 1, cold_start: 5}}',
      ),
    ],
    ['travel', own('{travel: {group-by: [actor.name], speed: 800}}')],
    ['an absence', own('{absence: {followed_by: rule_2, within: 1h}}')],
    ['a silence', own('{silence: {for: 2h}, suppress: {period: 1d}}')],
    ['suppression', own('{suppress: {period: 1d, group-by: [actor.name]}}')],
    ['levels', own('{levels: [{level: low, when: selection}]}')],
    [
      'a timed test',
      own(
        '{base: {a: 1}, tests: [{name: x, alerts: 2, level: low, events: [{at: 0m, repeat: 3, every: 1m, each: a, event: {b: null}}], until: 3h, places: {"2001:db8::1": {country: FR}}}]}',
      ),
    ],
    [
      'a range',
      correlated('{type: event_count, rules: [a], timespan: 1h, condition: {gt: 1.5, lt: 3}}'),
    ],
    [
      'tuples',
      correlated(
        '{type: value_count, rules: [a], timespan: 1h, condition: {field: [a, b], gte: 2}}',
      ),
    ],
    [
      'a median',
      correlated('{type: value_median, rules: [a], timespan: 1h, condition: {field: a, gte: 2}}'),
    ],
    [
      'an expression without rules',
      correlated('{type: temporal, timespan: 1h, condition: a and not b}'),
    ],
    [
      'a filter',
      'title: x\nlogsource: {product: databricks}\nfilter: {rules: any, s: {a: b}, condition: not s}\nlakeseal: {owner: a, reason: b, expires: 2027-01-01}\n',
    ],
    [
      'an override',
      'title: x\nlakeseal: {override: {rule: a, enabled: false, level: low, set: {correlation.condition.gte: 5, lakeseal.suppress.period: 1h}}}\n',
    ],
    [
      'global documents',
      'action: global\nlevel: low\n---\naction: reset\n---\naction: repeat\nid: 00000000-0000-4000-8000-000000000002\n',
    ],
  ];
  for (const [name, text] of taken) {
    it(name, () => {
      for (const document of documentsOf(text)) {
        assert.ok(validate(document), ajv.errorsText(validate.errors));
      }
    });
  }
});

function own(yaml: string): string {
  return detectionRule(1, 'login', `lakeseal: ${yaml}\n`);
}

function correlated(yaml: string): string {
  return correlationRule(1, yaml);
}

function without(key: string): string {
  return detectionRule(1, 'login').replace(new RegExp(`^${key}:.*\\n`, 'm'), '');
}

function detected(yaml: string): string {
  return detectionRule(1, 'login').replace('{actionName: login}', yaml);
}

function override(yaml: string): string {
  return `title: x\nlakeseal: {override: ${yaml}}\n`;
}

function filter(yaml: string, more = ''): string {
  return `title: x\nlogsource: {product: databricks}\nfilter: ${yaml}\n${more}`;
}

const REJECTED: Array<[name: string, text: string]> = [
  ['a list', '- a\n'],
  ['no title', without('title')],
  ['no id', without('id')],
  ['an id that is no UUID', detectionRule(1, 'login').replace(/^id:.*/m, 'id: seven')],
  ['no level', without('level')],
  ['an unknown level', detectionRule(1, 'login').replace('level: low', 'level: lo')],
  ['an unknown status', detectionRule(1, 'login', 'status: good\n')],
  ['a wrong date', detectionRule(1, 'login', 'date: 24.11.2026\n')],
  ['a wrong tag', detectionRule(1, 'login', 'tags: [T1098]\n')],
  ['a long title', detectionRule(1, 'login').replace('Rule 1', 'x'.repeat(257))],
  ['another taxonomy', detectionRule(1, 'login', 'taxonomy: ecs\n')],
  ['references that are no list', detectionRule(1, 'login', 'references: a\n')],
  ['no logsource', without('logsource')],
  ['another product', detectionRule(1, 'login').replace('databricks', 'windows')],
  ['no condition', detectionRule(1, 'login').replace('  condition: selection\n', '')],
  ['no selection', detectionRule(1, 'login').replace('  selection: {actionName: login}\n', '')],
  ['a timeframe', detectionRule(1, 'login').replace('  condition', '  timeframe: 5m\n  condition')],
  ['an empty selection', detected('{}')],
  ['an empty list of values', detected('{actionName: []}')],
  ['null in a list', detected('{actionName: [a, null]}')],
  ['a map for a value', detected('{response: {statusCode: 1}}')],
  ['a list in a list', detected('[[a]]')],
  ['an unknown modifier', detected('{actionName|startwith: a}')],
  ['an upper-case modifier', detected('{actionName|Contains: a}')],
  [
    'detection and correlation',
    detectionRule(1, 'login', 'correlation: {type: temporal, rules: [a], timespan: 1h}\n'),
  ],
  ['an unknown own key', own('{runbok: [a]}')],
  ['a runbook that is no list', own('{runbook: do it}')],
  ['a level without condition', own('{levels: [{level: low}]}')],
  ['suppression without a period', own('{suppress: {group-by: [actor.name]}}')],
  ['two kinds', own('{silence: {for: 1h}, travel: {group-by: [actor.name]}}')],
  [
    'groups given twice',
    own('{silence: {for: 1h}, suppress: {period: 1h, group-by: [workspaceId]}}'),
  ],
  ['first_seen without fields', own('{first_seen: {group-by: [actor.name]}}')],
  ['an unknown key of first_seen', own('{first_seen: {fields: [userAgent], learns: 7d}}')],
  ['a baseline without method', own('{baseline: {measure: event_count}}')],
  [
    'a baseline of events with fields',
    own('{baseline: {measure: event_count, method: zscore, fields: [userAgent]}}'),
  ],
  [
    'a baseline of values without fields',
    own('{baseline: {measure: value_count, method: zscore}}'),
  ],
  ['a spread of zscore', own('{baseline: {measure: event_count, method: zscore, spread: 5}}')],
  ['travel of nobody', own('{travel: {speed: 900}}')],
  ['an absence of nothing', own('{absence: {within: 1h}}')],
  ['a silence without time', own('{silence: {group-by: [workspaceId]}}')],
  ['a silence of months', own('{silence: {for: 1M}}')],
  ['a test without verdict', own('{tests: [{name: x, event: {a: 1}}]}')],
  ['a test without event', own('{tests: [{name: x, hit: true}]}')],
  [
    'a test with event and events',
    own('{tests: [{name: x, hit: true, event: {a: 1}, events: [{event: {a: 1}}]}]}'),
  ],
  [
    'a test with an unknown key',
    own('{tests: [{name: x, hit: true, events: [{after: 5m, event: {a: 1}}]}]}'),
  ],
  ['a correlation without type', correlated('{rules: [a], timespan: 1h}')],
  ['an unknown type', correlated('{type: near, rules: [a], timespan: 1h}')],
  ['group_by', correlated('{type: temporal, rules: [a], group_by: [b], timespan: 1h}')],
  ['no timespan', correlated('{type: temporal, rules: [a]}')],
  ['a timespan of years', correlated('{type: temporal, rules: [a], timespan: 1y}')],
  ['no time', correlated('{type: temporal, rules: [a], timespan: 0h}')],
  ['a count without condition', correlated('{type: event_count, rules: [a], timespan: 1h}')],
  [
    'a count without comparison',
    correlated('{type: event_count, rules: [a], timespan: 1h, condition: {}}'),
  ],
  [
    'a threshold in quotes',
    correlated('{type: event_count, rules: [a], timespan: 1h, condition: {gte: "5"}}'),
  ],
  [
    'three comparisons',
    correlated('{type: event_count, rules: [a], timespan: 1h, condition: {gt: 1, lt: 9, neq: 5}}'),
  ],
  [
    'a field of event_count',
    correlated(
      '{type: event_count, rules: [a], timespan: 1h, condition: {gte: 5, field: userAgent}}',
    ),
  ],
  [
    'value_count without field',
    correlated('{type: value_count, rules: [a], timespan: 1h, condition: {gte: 5}}'),
  ],
  [
    'two fields of a sum',
    correlated('{type: value_sum, rules: [a], timespan: 1h, condition: {gte: 5, field: [b, c]}}'),
  ],
  [
    'no percentile',
    correlated('{type: value_percentile, rules: [a], timespan: 1h, condition: {gte: 5, field: b}}'),
  ],
  [
    'an expression of counts',
    correlated('{type: event_count, rules: [a], timespan: 1h, condition: a}'),
  ],
  ['a temporal correlation of nothing', correlated('{type: temporal, timespan: 1h}')],
  ['a filter without rules', filter('{s: {a: b}, condition: not s}')],
  ['a filter without condition', filter('{rules: any, s: {a: b}}')],
  [
    'a filter that expires some time',
    filter('{rules: any, s: {a: b}, condition: not s}', 'lakeseal: {expires: soon}\n'),
  ],
  [
    'a filter with an unknown key',
    filter('{rules: any, s: {a: b}, condition: not s}', 'lakeseal: {expiry: 2027-01-01}\n'),
  ],
  ['an override of nothing', override('{enabled: false}')],
  ['an override with an unknown key', override('{rule: a, disabled: true}')],
  ['an override of a detection', override('{rule: a, set: {detection.condition: b}}')],
  ['an override of tests', override('{rule: a, set: {lakeseal.tests: []}}')],
  ['an unknown action', 'action: globl\ntitle: x\n'],
];

describe('the schema refuses, as the reader does,', () => {
  for (const [name, text] of REJECTED) {
    it(name, () => {
      assert.ok(!accepts(text), 'the schema takes it');
      const problems = problemsOfLayers([text]);
      assert.ok(
        problems.some((problem) => / error: (?!no rule has)/.test(problem)),
        `the reader takes it: ${problems.join('\n')}`,
      );
    });
  }
});
