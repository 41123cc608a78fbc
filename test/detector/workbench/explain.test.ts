import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Matcher } from '../../../services/detector/match/match.ts';
import { parsePattern } from '../../../services/detector/sigma/pattern.ts';
import type { Expression, Rule, ValueTest } from '../../../services/detector/sigma/rule.ts';
import { Explainer, type Explanation } from '../../../services/detector/workbench/explain.ts';
import { explanationLines, obstacles } from '../../../services/detector/workbench/explain-text.ts';
import type { AuditEvent } from '../../../services/ingest/event.ts';
import { auditEvent, withParams } from '../events.ts';
import { madeRule } from '../made.ts';

const FIELDS = [
  'actionName',
  'serviceName',
  'requestParams.p',
  'requestParams.q',
  'userAgent',
  'lakeseal.source.country',
];
const WORDS = ['a', 'ab', 'abc', 'B', '', '7', '10', 'create', 'accounts', '203.0.113.7'];

const pattern = fc
  .constantFrom('a', 'A*', '*b*', 'a?c', '*', '', 'create', 'accounts', 'F?')
  .map(parsePattern);
const value: fc.Arbitrary<ValueTest> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('pattern'), pattern, cased: fc.boolean() }),
  },
  fc.constantFrom<ValueTest>(
    { kind: 'number', text: '7' },
    { kind: 'null' },
    { kind: 'exists', wanted: true },
    { kind: 'exists', wanted: false },
    { kind: 'regex', source: '^a', ignoreCase: true, multiline: false, dotAll: false },
    { kind: 'compare', operator: 'gte', operand: 8 },
    { kind: 'cidr', network: '203.0.113.0/24' },
    { kind: 'reference', field: 'requestParams.q', mode: 'startswith', cased: false },
    { kind: 'time', part: 'hour', operator: 'lt', operand: 12 },
  ),
) as fc.Arbitrary<ValueTest>;

const leaf: fc.Arbitrary<Expression> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('item' as const),
      field: fc.constantFrom(...FIELDS),
      values: fc.array(value, { minLength: 1, maxLength: 6 }),
    }),
  },
  fc.record({ kind: fc.constant('keyword' as const), pattern, cased: fc.boolean() }),
);

const LIST = { minLength: 1, maxLength: 3 };
const NAMES = ['one', 'two', 'three'];
const { expression, condition } = fc.letrec<{ expression: Expression; condition: Expression }>(
  (tie) => ({
    expression: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      leaf,
      fc
        .tuple(fc.constantFrom<'and' | 'or'>('and', 'or'), fc.array(tie('expression'), LIST))
        .map(([kind, terms]): Expression => ({ kind, terms })),
      tie('expression').map((term): Expression => ({ kind: 'not', term })),
    ),
    condition: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom(...NAMES).map((name): Expression => ({ kind: 'selection', name })),
      fc
        .tuple(fc.constantFrom<'and' | 'or'>('and', 'or'), fc.array(tie('condition'), LIST))
        .map(([kind, terms]): Expression => ({ kind, terms })),
      tie('condition').map((term): Expression => ({ kind: 'not', term })),
      leaf,
    ),
  }),
);

const rule: fc.Arbitrary<Rule> = fc
  .record({
    selections: fc.tuple(expression, expression, expression),
    condition,
    service: fc.constantFrom(null, null, 'accounts', 'Clusters'),
    levels: fc.array(
      fc.record({ level: fc.constantFrom('high' as const, 'medium' as const), when: condition }),
      { maxLength: 2 },
    ),
  })
  .map(({ selections, ...rest }) =>
    madeRule({ ...rest, selections: new Map(NAMES.map((name, n) => [name, selections[n]!])) }),
  );

const optional = fc.option(fc.constantFrom(...WORDS), { nil: undefined });
const event: fc.Arbitrary<AuditEvent> = fc
  .record({
    p: optional,
    q: optional,
    actionName: fc.constantFrom('create', 'login', 'Create'),
    serviceName: fc.constantFrom('accounts', 'clusters'),
    userAgent: fc.option(fc.constantFrom(...WORDS), { nil: null }),
  })
  .map(({ p, q, ...rest }) => ({
    ...withParams(
      Object.fromEntries(Object.entries({ p, q }).filter(([, v]) => v !== undefined)) as Record<
        string,
        string
      >,
    ),
    ...rest,
  }));

const places = {
  place: (ip: string) =>
    ip === '203.0.113.10'
      ? {
          country: 'FR',
          city: null,
          latitude: null,
          longitude: null,
          asn: null,
          asOrganisation: null,
        }
      : null,
};

describe('an explanation', () => {
  it('has the verdict and the level of the matcher, whatever the rule and the event', () => {
    let hits = 0;
    let pairs = 0;
    fc.assert(
      fc.property(
        rule,
        fc.array(event, { minLength: 1, maxLength: 20, size: 'max' }),
        (one, events) => {
          const explainer = new Explainer(one, places);
          const matcher = new Matcher([one], places);
          for (const each of events) {
            const explained = explainer.explain(each);
            const fires = matcher.match(each).length > 0;
            assert.equal(explained.holds, fires);
            if (fires) assert.equal(explained.level, matcher.levelOf(one, each));
            assert.equal(
              obstacles(explained).length === 0,
              fires || !hasLeaves(explained.condition),
            );
            pairs += 1;
            if (fires) hits += 1;
          }
        },
      ),
      { numRuns: 1_000 },
    );
    assert.ok(hits > pairs / 20 && hits < pairs * 0.95, `${hits} of ${pairs}`);
  });

  const granted = madeRule({
    title: 'admin granted',
    service: 'accounts',
    selections: new Map<string, Expression>([
      [
        'selection',
        {
          kind: 'and',
          terms: [
            equals('actionName', 'setAdmin', 'setAccountAdmin'),
            equals('requestParams.endpoint', 'admin*'),
          ],
        },
      ],
      ['refused', equals('outcome', 'failure')],
    ]),
    condition: {
      kind: 'and',
      terms: [
        { kind: 'selection', name: 'selection' },
        { kind: 'not', term: { kind: 'selection', name: 'refused' } },
      ],
    },
    levels: [{ level: 'high', when: equals('requestParams.endpoint', 'adminConsole') }],
  });
  const admin = { actionName: 'setAdmin', requestParams: { endpoint: 'adminConsole' } };

  it('reads as a tree with what the event has beside what is asked', () => {
    const refused = auditEvent({ ...admin, outcome: 'failure' });
    assert.deepEqual(explanationLines(new Explainer(granted).explain(refused)), [
      '✔ log source: service accounts, is "accounts"',
      '✘ condition: all of',
      '  ✔ selection',
      '    ✔ actionName one of, is "setAdmin"',
      '      ✔ "setAdmin"',
      '      ✘ "setAccountAdmin"',
      '    ✔ requestParams.endpoint = "admin*", is "adminConsole"',
      '  ✘ not',
      '    ✔ refused',
      '      ✔ outcome = "failure", is "failure"',
    ]);
    const fires = explanationLines(new Explainer(granted).explain(auditEvent(admin)));
    assert.deepEqual(fires.slice(-3), [
      '✔ level high:',
      '  ✔ requestParams.endpoint = "adminConsole", is "adminConsole"',
      '  level of the alert: high',
    ]);
  });

  it('names what was in the way, and nothing where the rule fires', () => {
    const explainer = new Explainer(granted);
    assert.deepEqual(obstacles(explainer.explain(auditEvent(admin))), []);
    assert.deepEqual(obstacles(explainer.explain(auditEvent({ ...admin, outcome: 'failure' }))), [
      'refused: outcome is "failure"',
    ]);
    const other = auditEvent({ serviceName: 'clusters', actionName: 'create' });
    assert.deepEqual(obstacles(explainer.explain(other)), [
      'the log source wants the service accounts',
      'selection: actionName is "create", not "setAdmin" or "setAccountAdmin"',
      'selection: requestParams.endpoint is absent, not "admin*"',
    ]);
  });

  it('shows no secret and no control character, and cuts what is long', () => {
    const values = {
      commandText: 'password=hunter2',
      'spark_conf.fs.key': 'hunter2',
      settings: '{"token": "hunter2"}',
      long: 'x'.repeat(5_000),
      odd: '\u001b[2J',
    };
    const terms = Object.keys(values).map((key) => equals(`requestParams.${key}`, 'nothing'));
    const explained = new Explainer(madeRule({ condition: { kind: 'or', terms } })).explain(
      withParams(values),
    );
    const text = [...explanationLines(explained), ...obstacles(explained)].join('\n');
    assert.doesNotMatch(text, /hunter2/);
    assert.match(text, /requestParams\.commandText = "nothing", is \[left out: 16 characters\]/);
    assert.match(text, /x{100}… \(5000 characters\)/);
    assert.ok(text.includes('"?[2J"') && !text.includes('\u001b'));
  });
});

function equals(field: string, ...texts: string[]): Expression {
  const values = texts.map((text): ValueTest => {
    return { kind: 'pattern', pattern: parsePattern(text), cased: false };
  });
  return { kind: 'item', field, values };
}

function hasLeaves(tree: Explanation): boolean {
  if (tree.kind === 'and' || tree.kind === 'or') return tree.terms.some(hasLeaves);
  return 'term' in tree ? hasLeaves(tree.term) : true;
}
