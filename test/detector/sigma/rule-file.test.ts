/** What is told of rules that are wrong: file:line:column, what, how to mend it (promise D3). */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Matcher } from '../../../services/detector/match/match.ts';
import { parseRuleFile, RULE_FILE_BYTES_MAX } from '../../../services/detector/sigma/rule-file.ts';
import { auditEvent, problemsOf, rulesOf, ruleText } from '../events.ts';

const GOOD = ruleText('sel:\n  actionName: login\ncondition: sel');

/** The problems of a detection; its first line is line 7 of the file, column 3. */
function detectionProblems(detection: string): string[] {
  return problemsOf(ruleText(detection));
}

describe('rule files', () => {
  it('takes a good rule, with all it says', () => {
    const more = [
      'name: my_rule',
      'status: test',
      'description: text',
      'author: me',
      'date: 2026-11-24',
      'modified: 2026-11-25',
      'license: Apache-2.0',
      'references: [https://example.com/a]',
      'falsepositives: [none]',
      'tags: [attack.t1562.008, attack.defense-evasion, cve.2021-44228]',
      'custom_of_another_tool: {any: thing}',
      'lakeseal:',
      '  runbook: [first, second]',
      '  tests:',
      '    - name: one',
      '      hit: true',
      '      event: {serviceName: a, n: 1}',
    ].join('\n');
    const [rule, ...others] = rulesOf(GOOD + more);
    assert.equal(others.length, 0);
    assert.deepEqual(
      { ...rule, selections: null, condition: null },
      {
        id: '00000000-0000-4000-8000-000000000001',
        title: 'test rule',
        name: 'my_rule',
        level: 'low',
        status: 'test',
        description: 'text',
        author: 'me',
        references: ['https://example.com/a'],
        falsepositives: ['none'],
        tags: ['attack.t1562.008', 'attack.defense-evasion', 'cve.2021-44228'],
        runbook: ['first', 'second'],
        tests: [
          {
            name: 'one',
            hit: true,
            alerts: null,
            level: null,
            events: [{ event: { serviceName: 'a', n: 1 } }],
            untilMs: null,
            places: new Map(),
            line: 24,
          },
        ],
        service: null,
        levels: [],
        lists: new Set(),
        filters: [],
        alerts: true,
        selections: null,
        condition: null,
        file: 'rule.yml',
        line: 1,
      },
    );
    assert.deepEqual(problemsOf(GOOD + more), []);
  });

  it('takes several documents, and passes over empty ones', () => {
    const second = GOOD.replace(/0001$/m, '0002');
    const rules = rulesOf(`${GOOD}---\n---\n${second}---\n`);
    assert.deepEqual(
      rules.map(({ line }) => line),
      [1, 12],
    );
  });

  it('follows YAML aliases', () => {
    assert.equal(
      rulesOf(ruleText('a: &x\n  actionName: login\nb: *x\ncondition: a and b')).length,
      1,
    );
  });

  it('takes for an alias the last of its name before it, in the same document', () => {
    const matches = (text: string, actionName: string): boolean =>
      new Matcher(rulesOf(ruleText(text))).match(auditEvent({ actionName })).length === 1;
    const twice = 'a: &x\n  actionName: login\nb: &x\n  actionName: logout\nc: *x\ncondition: c';
    assert.equal(matches(twice, 'login'), false);
    assert.equal(matches(twice, 'logout'), true);
    const later = problemsOf(ruleText('a: *x\nb: &x\n  actionName: login\ncondition: a and b'));
    assert.match(later[0]!, /^rule\.yml:\d+:\d+: error: nothing before it is named "x"; /);
    const other = `${ruleText('a: &x\n  actionName: login\ncondition: a')}---\nid: *x\n`;
    assert.ok(problemsOf(other).some((line) => /nothing before it is named "x"/.test(line)));
  });

  it('tells all problems of a file at once, in place', () => {
    const text = [
      'title: two',
      'level: hihg',
      'id: 7',
      'logsource: {product: windows}',
      'detection:',
      '  sel:',
      '    serviceNam: accounts',
      '    actionName|startwith: x',
      '  condition: sel and slection',
      'tags: [T1098]',
    ].join('\n');
    assert.deepEqual(problemsOf(text), [
      'rule.yml:2:8: error: "hihg" is not a level; did you mean "high"?',
      'rule.yml:3:5: error: "id" is not a UUID; make one with: uuidgen',
      'rule.yml:4:22: error: the rule is for windows, and lakeseal judges databricks; take the rule out of the folder, or write "product: databricks"',
      'rule.yml:7:5: warning: no audit event has a field "serviceNam"; did you mean "serviceName"?',
      'rule.yml:8:16: error: unknown modifier "startwith"; did you mean "startswith"?',
      'rule.yml:9:22: error: the condition names "slection", which the detection does not define; the selections are "sel"',
      'rule.yml:10:8: error: "T1098" is not a Sigma tag; write namespace.value in lower case, as attack.t1098',
    ]);
  });

  const missing: Array<[string, RegExp]> = [
    ['title', /^rule\.yml:1:1: error: "title" is missing; add "title: …"$/],
    ['id', /^rule\.yml:1:1: error: "id" is missing; add "id: …"$/],
    ['level', /^rule\.yml:1:1: error: "level" is missing; add "level: …"$/],
  ];
  for (const [key, told] of missing) {
    it(`wants ${key}`, () => {
      const problems = problemsOf(GOOD.replace(new RegExp(`^${key}:.*\n`, 'm'), ''));
      assert.equal(problems.length, 1);
      assert.match(problems[0]!, told);
    });
  }

  const whole: Array<[string, string, RegExp]> = [
    ['nothing', '', /holds no rule/],
    ['a list', '- a\n', /a rule is a map/],
    ['a tab', 'title: x\n\tid: y\n', /not valid YAML/],
    [
      'a key given twice',
      `title: again\n${GOOD}`,
      /2:1: error: not valid YAML: .*unique.*keep one/,
    ],
    ['an unclosed bracket', 'title: [x\n', /not valid YAML/],
    [
      'two kinds in one',
      `${GOOD}correlation: {type: event_count}\n`,
      /cannot be a correlation and a detection/,
    ],
    [
      'an unknown action',
      'action: globl\n',
      /1:9: error: the action "globl" is not known; did you mean "global"/,
    ],
    ['another taxonomy', `${GOOD}taxonomy: ecs\n`, /taxonomy "ecs" is not known/],
    [
      'a likely typing error',
      `${GOOD}falsepositive: [x]\n`,
      /warning: unknown key "falsepositive"; did you mean "falsepositives"/,
    ],
    [
      'an unknown own key',
      `${GOOD}lakeseal: {runbok: []}\n`,
      /error: unknown key "runbok"; did you mean "runbook"/,
    ],
    ['a wrong date', `${GOOD}date: 24.11.2026\n`, /"date" is not a date; write YYYY-MM-DD/],
    [
      'a title too long',
      GOOD.replace('test rule', 'x'.repeat(300)),
      /the title has 300 characters/,
    ],
    [
      'a runbook that is no list',
      `${GOOD}lakeseal: {runbook: do it}\n`,
      /"runbook" is not a list of texts/,
    ],
    [
      'a test without a verdict',
      `${GOOD}lakeseal: {tests: [{name: x, event: {a: 1}}]}\n`,
      /whether it is a hit/,
    ],
    [
      'a test without an event',
      `${GOOD}lakeseal: {tests: [{name: x, hit: true}]}\n`,
      /the test has no event/,
    ],
    ['no logsource', GOOD.replace(/logsource:\n.*\n/, ''), /has no logsource/],
    ['no detection', GOOD.replace(/detection:.*/s, ''), /has no detection/],
  ];
  for (const [name, text, told] of whole) {
    it(`tells of ${name}`, () => {
      const problems = problemsOf(text);
      assert.ok(
        problems.some((problem) => told.test(problem)),
        problems.join('\n'),
      );
    });
  }

  const detections: Array<[string, string, RegExp]> = [
    ['no condition', 'sel:\n  a: 1', /has no condition; add "condition: selection"/],
    ['no selection', 'condition: sel', /has no selection/],
    ['an empty selection', 'sel: {}\ncondition: sel', /7:8: error: the selection is empty/],
    ['an empty list', 'sel: []\ncondition: sel', /the selection is empty/],
    [
      'an empty value list',
      'sel:\n  actionName: []\ncondition: sel',
      /the list of values is empty/,
    ],
    ['a list in a list', 'sel:\n  - [a]\ncondition: sel', /a list inside a list/],
    [
      'a nested map',
      'sel:\n  response: {statusCode: 1}\ncondition: sel',
      /has a map where a value should be.*dotted name/,
    ],
    [
      'null in a list',
      'sel:\n  actionName: [a, null]\ncondition: sel',
      /8:21: error: null can only be.*selection of its own/,
    ],
    [
      'null with a modifier',
      'sel:\n  actionName|contains: null\ncondition: sel',
      /null can only be/,
    ],
    [
      'a timeframe',
      'sel:\n  actionName: a\ntimeframe: 5m\ncondition: sel',
      /timeframe.*correlation/,
    ],
    [
      'an aggregation',
      'sel:\n  actionName: a\ncondition: sel | count() > 5',
      /9:18: error: .*no longer part of Sigma/,
    ],
    [
      'an upper-case operator',
      'sel:\n  actionName: a\ncondition: sel AND sel',
      /9:18: error: .*write "and"/,
    ],
    [
      'a pattern without a match',
      'sel:\n  actionName: a\ncondition: 1 of filter_*',
      /"filter_\*" matches no selection/,
    ],
    [
      'an unused selection',
      'sel:\n  actionName: a\nother:\n  actionName: b\ncondition: sel',
      /9:3: warning: the condition does not use "other"/,
    ],
    [
      'a modifier given twice',
      'sel:\n  actionName|contains|contains: a\ncondition: sel',
      /8:25: error: .*given twice/,
    ],
    [
      'a modifier in upper case',
      'sel:\n  actionName|Contains: a\ncondition: sel',
      /did you mean "contains"/,
    ],
    [
      'an unknown list',
      'sel:\n  actionName|expand: "%x%"\ncondition: sel',
      /8:24: error: there is no list "x"; write its values into x\.txt/,
    ],
    [
      'all on one value',
      'sel:\n  actionName|contains|all: a\ncondition: sel',
      /warning: the modifier "all" has no effect/,
    ],
    [
      'exists with another',
      'sel:\n  actionName|exists|all: true\ncondition: sel',
      /"all" does not go with "exists"/,
    ],
    [
      'exists without a boolean',
      'sel:\n  actionName|exists: yes\ncondition: sel',
      /takes true or false/,
    ],
    [
      're after another',
      'sel:\n  actionName|all|re: [a, b]\ncondition: sel',
      /"re" must come first/,
    ],
    [
      're with contains',
      'sel:\n  actionName|re|contains: a\ncondition: sel',
      /anchor it with \^ and \$/,
    ],
    ['i without re', 'sel:\n  actionName|i: a\ncondition: sel', /write "re\|i"/],
    [
      'lookahead',
      "sel:\n  actionName|re: 'a(?=b)'\ncondition: sel",
      /8:20: error: RE2 refuses .*no lookaround/,
    ],
    ['a backreference', "sel:\n  actionName|re: '(a)\\1'\ncondition: sel", /RE2 refuses/],
    [
      'a huge repetition',
      "sel:\n  actionName|re: '(a{1000}){1000}'\ncondition: sel",
      /RE2 refuses/,
    ],
    [
      'a number in quotes',
      'sel:\n  sourcePort|gt: "5"\ncondition: sel',
      /"gt" takes a number, not "5"; write a plain number/,
    ],
    [
      'a wrong network',
      'sel:\n  sourceIPAddress|cidr: 300.0.0.0/8\ncondition: sel',
      /is not a network/,
    ],
    [
      'host bits',
      'sel:\n  sourceIPAddress|cidr: 10.1.2.3/8\ncondition: sel',
      /address bits.*write 10\.0\.0\.0\/8/,
    ],
    ['too many bits', 'sel:\n  sourceIPAddress|cidr: 10.0.0.0/33\ncondition: sel', /33 bits/],
    [
      'a mapped network',
      'sel:\n  sourceIPAddress|cidr: "::ffff:10.0.0.0/104"\ncondition: sel',
      /write it as IPv4/,
    ],
    ['two kinds', 'sel:\n  actionName|cidr|gt: 1\ncondition: sel', /exclude each other/],
    [
      'fieldref with wildcard',
      'sel:\n  actionName|fieldref: a*\ncondition: sel',
      /takes the name of another field/,
    ],
    [
      'fieldref to an unknown field',
      'sel:\n  actionName|fieldref: servicename\ncondition: sel',
      /8:26: warning: .*did you mean "serviceName"/,
    ],
    [
      'a wildcard in base64',
      'sel:\n  actionName|base64: "a*"\ncondition: sel',
      /a wildcard cannot be encoded by "base64"/,
    ],
    [
      'base64offset alone',
      'sel:\n  actionName|base64offset: a\ncondition: sel',
      /base64offset\|contains/,
    ],
    [
      'wide alone',
      'sel:\n  actionName|wide: a\ncondition: sel',
      /only makes sense before "base64"/,
    ],
    [
      'many dashes',
      `sel:\n  actionName|windash: "${' -a'.repeat(9)}"\ncondition: sel`,
      /too many dashes/,
    ],
    [
      'a bare requestParams',
      'sel:\n  requestParams: a\ncondition: sel',
      /name a key, as requestParams\.user/,
    ],
    [
      'a parameter without prefix',
      'sel:\n  targetUserName: a\ncondition: sel',
      /write "requestParams\.targetUserName"/,
    ],
    ['a merge key', 'sel:\n  <<: {a: 1}\ncondition: sel', /has a map where a value should be/],
  ];
  for (const [name, detection, told] of detections) {
    it(`tells of ${name}`, () => {
      const problems = detectionProblems(detection);
      assert.ok(
        problems.some((problem) => told.test(problem)),
        problems.join('\n'),
      );
    });
  }

  it('is not blown up by nested aliases or deep nesting', () => {
    const bomb = `a: &a [x, x]\n${Array.from({ length: 30 }, (_, n) => `${'b'.repeat(n + 1)}: &${'b'.repeat(n + 1)} [*${n === 0 ? 'a' : 'b'.repeat(n)}, *${n === 0 ? 'a' : 'b'.repeat(n)}]`).join('\n')}\nsel: *${'b'.repeat(30)}\ncondition: sel`;
    assert.ok(detectionProblems(bomb).length > 0);
    const event = `lakeseal: {tests: [{name: x, hit: true, event: {a: *bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb}}]}\n`;
    assert.ok(problemsOf(ruleText(bomb, event)).some((problem) => /aliases/.test(problem)));
    assert.ok(detectionProblems(`sel: ${'['.repeat(5_000)}`).length > 0);
  });

  it('refuses a file that is too large', () => {
    assert.match(problemsOf(`# ${'x'.repeat(RULE_FILE_BYTES_MAX)}`)[0]!, /larger than/);
  });

  it('never throws, whatever the text', () => {
    const piece = fc.constantFrom(
      ...[
        'title: x\n',
        'detection:\n',
        '  sel:\n',
        '    a|re: (\n',
        '  - ',
        '{',
        '}',
        '[',
        ']',
        ': ',
      ],
      ...[
        '&a ',
        '*a',
        '\n',
        '---\n',
        '|',
        '>',
        '"',
        "'",
        '!!int ',
        '? ',
        'null',
        '\t',
        '# x\n',
        '%',
      ],
      ...GOOD.split('\n').map((line) => `${line}\n`),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const { rules, problems } = parseRuleFile('rule.yml', pieces.join(''));
        assert.ok(rules.length > 0 || problems.length > 0 || pieces.join('').trim() !== '');
        for (const { line, column, message, hint } of problems) {
          assert.ok(line >= 0 && column >= 0 && message !== '' && hint !== '');
        }
      }),
      { numRuns: 3_000, seed: 3 },
    );
  });
});
