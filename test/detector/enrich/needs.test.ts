/** Which rules are blind without a database. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EnrichmentState } from '../../../services/detector/enrich/enrichment.ts';
import { needsOf, unmetNeeds } from '../../../services/detector/enrich/needs.ts';
import type {
  Expression,
  Rule,
  StatefulKind,
  StatefulRule,
} from '../../../services/detector/sigma/rule.ts';
import { aggregate, groupField, madeRule, madeStateful } from '../made.ts';
import { correlationRule, detectionRule, setOf } from '../sigma/layers.ts';

const reads = (...fields: string[]): Expression => ({
  kind: 'and',
  terms: fields.map((field) => ({
    kind: 'not',
    term: { kind: 'item', field, values: [{ kind: 'exists', wanted: true }] },
  })),
});

function detection(id: string, condition: Expression, more: Partial<Rule> = {}): Rule {
  return madeRule({ id, condition, ...more });
}

function counting(
  id: string,
  rules: string[],
  stateful: StatefulKind,
  groupBy: string[] = [],
): StatefulRule {
  return madeStateful({ id, rules, stateful, groupBy: groupBy.map((name) => groupField(name)) });
}

const COUNT = aggregate('event_count', {});
const fieldsNeeded = (rules: Rule[], stateful: StatefulRule[] = []): Record<string, string[]> =>
  Object.fromEntries(
    needsOf({ rules, stateful }).map(({ ruleId, fields }) => [
      ruleId,
      fields.map(({ field }) => field),
    ]),
  );

describe('the enrichment a rule needs', () => {
  test('is what its condition reads, in any place', () => {
    const selections = new Map([
      ['used', reads('lakeseal.source.country')],
      ['unused', reads('lakeseal.source.city')],
    ]);
    const named: Expression = { kind: 'selection', name: 'used' };
    const reference: Expression = {
      kind: 'item',
      field: 'actor.name',
      values: [{ kind: 'reference', field: 'lakeseal.source.asn', mode: 'equals', cased: false }],
    };
    const rules = [
      detection('plain', reads('actionName', 'lakeseal.source.class')),
      detection('nested', { kind: 'or', terms: [reads('actionName'), named] }, { selections }),
      detection('reference', reference),
      detection('snake', reads('lakeseal.source.as_organisation')),
      detection('level', reads('actionName'), {
        levels: [{ level: 'high', when: reads('lakeseal.source.asn') }],
      }),
    ];
    assert.deepEqual(fieldsNeeded(rules), {
      nested: ['lakeseal.source.country'],
      reference: ['lakeseal.source.asn'],
      snake: ['lakeseal.source.asOrganisation'],
      level: ['lakeseal.source.asn'],
    });
  });

  test('is what a stateful rule groups by, counts or compares', () => {
    const login = detection('login', reads('actionName'), { alerts: false });
    const aliased = counting('aliased', ['login'], COUNT);
    const perRule = new Map([['login', 'lakeseal.source.asn']]);
    const stateful = [
      counting('count', ['login'], COUNT, ['actor.name']),
      counting('group', ['login'], COUNT, ['actor.name', 'lakeseal.source.country']),
      { ...aliased, groupBy: [{ name: 'network', perRule }] },
      counting('seen', ['login'], {
        kind: 'first_seen',
        fields: ['lakeseal.source.country', 'lakeseal.source.asn'],
        learnMs: 1,
      }),
      counting('travel', ['login'], { kind: 'travel', speedKmh: 900, distanceKmMin: 500 }),
    ];
    assert.deepEqual(fieldsNeeded([login], stateful), {
      group: ['lakeseal.source.country'],
      aliased: ['lakeseal.source.asn'],
      seen: ['lakeseal.source.asn', 'lakeseal.source.country'],
      travel: ['lakeseal.source.latitude', 'lakeseal.source.longitude'],
    });
  });

  test('is that of the rules it counts, through a chain; rules that do not alert are not told', () => {
    const abroad = detection('abroad', reads('lakeseal.source.country'), { alerts: false });
    const inner = { ...counting('inner', ['abroad'], COUNT), alerts: false };
    const outer = counting('outer', ['inner'], COUNT);
    const absence = counting('absence', ['plain'], { kind: 'absence', followedBy: 'abroad' });
    const plain = detection('plain', reads('actionName'));
    assert.deepEqual(fieldsNeeded([abroad, plain], [inner, outer, absence]), {
      outer: ['lakeseal.source.country'],
      absence: ['lakeseal.source.country'],
    });
  });
});

describe('the lists a rule needs', () => {
  test('are its own, those of its exceptions, and those of the rules it counts', () => {
    const list = (action: string) => `"${action}"`;
    const rule = (number: number, action: string) =>
      detectionRule(number, action).replace('actionName:', 'actionName|expand:');
    const set = setOf(
      [
        rule(1, list('%made%')) +
          rule(2, list('%made%')) +
          detectionRule(3, 'login') +
          `title: Robots
logsource: { product: databricks }
filter:
  rules: [rule_1]
  robots: { actor.name|expand: "%robots%" }
  condition: not robots
---
` +
          correlationRule(
            9,
            '{type: temporal, rules: [rule_2, rule_3], group-by: [actor.name], timespan: 1h}',
          ),
      ],
      { lists: { made: ['a'], robots: ['r@example.com'], other: ['o'] } },
    );
    assert.deepEqual(
      needsOf(set).map(({ title, fields, lists }) => [title, fields, lists]),
      [
        ['Rule 1', [], ['made', 'robots']],
        ['Rule 9', [], ['made']],
      ],
    );
  });
});

describe('a need is unmet', () => {
  const needs = needsOf({
    rules: [
      detection('country', reads('lakeseal.source.country')),
      detection('place', reads('lakeseal.source.latitude', 'lakeseal.source.asn')),
    ],
    stateful: [],
  });
  const state = (what: EnrichmentState['what'], answers: boolean): EnrichmentState => ({
    what,
    file: `${what}.mmdb`,
    ok: answers,
    answers,
    detail: '',
  });
  const blind = (...states: EnrichmentState[]): string[] =>
    unmetNeeds(needs, states).flatMap(({ ruleId, missing }) =>
      missing.map(({ field, anyOf }) => `${ruleId} ${field} ${anyOf.join('|')}`),
    );

  test('where no file that answers gives the field', () => {
    const latitude = 'place lakeseal.source.latitude city';
    const asn = 'place lakeseal.source.asn asn';
    const country = 'country lakeseal.source.country city|country';
    assert.deepEqual(blind(), [country, asn, latitude]);
    assert.deepEqual(blind(state('city', false)), [country, asn, latitude]);
    assert.deepEqual(blind(state('country', true)), [asn, latitude]);
    assert.deepEqual(blind(state('city', true)), [asn]);
    assert.deepEqual(blind(state('city', true), state('asn', true)), []);
  });
});
