/**
 * Every construct of the Sigma specification 2.1 for single events, as (detection, event, verdict)
 * vectors written by hand from the text of the specification.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Matcher } from '../../../services/detector/match/match.ts';
import type { AuditEvent } from '../../../services/ingest/event.ts';
import { ACTOR, auditEvent, fires, rulesOf, ruleText, withParams } from '../events.ts';

type Vector = [selection: string, params: Record<string, string>, verdict: boolean];

function check(title: string, vectors: Vector[]): void {
  describe(title, () => {
    for (const [selection, params, verdict] of vectors) {
      it(`${selection.replaceAll('\n', ' ⏎ ')} on ${JSON.stringify(params)}: ${verdict}`, () => {
        assert.equal(fires(wrapped(selection), withParams(params)), verdict);
      });
    }
  });
}

/** `p` in a selection stands for the request parameter `p`. */
function wrapped(selection: string): string {
  const lines = selection.split('\n').map((line) => {
    return `  ${line.replace(/^(- | {2})?(['"]?)(p\d?)\b/, '$1$2requestParams.$3')}`;
  });
  return `sel:\n${lines.join('\n')}\ncondition: sel`;
}

check('plain values', [
  ['p: foo', { p: 'foo' }, true],
  ['p: foo', { p: 'FOO' }, true],
  ['p: foo', { p: 'foobar' }, false],
  ['p: foo', { q: 'foo' }, false],
  ['p: foo', {}, false],
  ['p: f*', { p: 'foobar' }, true],
  ["p: '*'", { p: '' }, true],
  ["p: '*'", {}, false],
  ["p: 'a\\*b'", { p: 'a*b' }, true],
  ["p: 'a\\*b'", { p: 'axb' }, false],
  ["p: ''", { p: '' }, true],
  ["p: ''", { p: 'x' }, false],
  ["p: ''", {}, false],
  ['p: Grüße', { p: 'GRÜSSE' }, false],
  ['p: grün', { p: 'GRÜN' }, true],
]);

check('numbers and booleans are compared as text', [
  ['p: 401', { p: '401' }, true],
  ['p: "401"', { p: '401' }, true],
  ['p: 401', { p: '401.0' }, true],
  ['p: 401', { p: '4010' }, false],
  ['p: 1.0', { p: '1' }, true],
  ['p: 12345678901234567891', { p: '12345678901234567891' }, true],
  ['p: 12345678901234567891', { p: '12345678901234567890' }, false],
  ['p: true', { p: 'true' }, true],
  ['p: true', { p: 'TRUE' }, true],
  ['p: false', { p: 'true' }, false],
  ['p|contains: 40', { p: '1401' }, true],
]);

check('lists of values are OR', [
  ['p: [a, b]', { p: 'b' }, true],
  ['p: [a, b]', { p: 'c' }, false],
  ['p: [a, b, c, d, e*]', { p: 'D' }, true],
  ['p: [a, b, c, d, e*]', { p: 'eel' }, true],
  ['p: [a, b, c, d, e*]', { p: 'x' }, false],
  ['p: [a, 1, true]', { p: '1' }, true],
  ['p|contains: [x, y]', { p: 'xyz' }, true],
]);

check('maps are AND, lists of maps are OR', [
  ['p: a\np2: b', { p: 'a', p2: 'b' }, true],
  ['p: a\np2: b', { p: 'a' }, false],
  ['- p: a\n- p2: b', { p2: 'b' }, true],
  ['- p: a\n- p2: b', { p: 'x', p2: 'x' }, false],
  ['- p: a\n  p2: b\n- p3: c', { p: 'a', p2: 'b' }, true],
  ['- p: a\n  p2: b\n- p3: c', { p: 'a' }, false],
  ['- p: a\n- needle', { p9: 'hay needle hay' }, true],
]);

check('null', [
  ['p: null', {}, true],
  ['p: null', { p: '' }, false],
  ['p: null', { p: 'x' }, false],
  ['p:', {}, true],
  ['p: ~', { p: 'null' }, false],
]);

check('contains, startswith, endswith', [
  ['p|contains: oba', { p: 'FooBar' }, true],
  ['p|contains: bax', { p: 'foobar' }, false],
  ['p|startswith: foo', { p: 'FOObar' }, true],
  ['p|startswith: bar', { p: 'foobar' }, false],
  ['p|endswith: bar', { p: 'foobar' }, true],
  ['p|endswith: foo', { p: 'foobar' }, false],
  ["p|contains: 'a*b'", { p: '--a..b--' }, true],
  ["p|contains: 'f?o'", { p: 'xfxox' }, true],
  ["p|endswith: 'x\\'", { p: 'path x\\' }, true],
  ["p|contains: 'x\\'", { p: 'a x\\ b' }, true],
  ["p|contains: 'x\\'", { p: 'a x b' }, false],
  ["p|startswith: '*b'", { p: 'aab' }, true],
]);

check('all', [
  ['p|contains|all: [a, b]', { p: 'xaxbx' }, true],
  ['p|contains|all: [a, b]', { p: 'xax' }, false],
  ['p|all: [a*, "*b"]', { p: 'a-b' }, true],
  ['p|all: [a*, "*b"]', { p: 'a-c' }, false],
  ['p|all|contains: [a, b]', { p: 'ba' }, true],
]);

check('cased', [
  ['p|cased: Foo', { p: 'Foo' }, true],
  ['p|cased: Foo', { p: 'foo' }, false],
  ['p|contains|cased: Bar', { p: 'fooBar' }, true],
  ['p|cased|contains: Bar', { p: 'foobar' }, false],
  ['p|cased: [A, B, C, D, E]', { p: 'e' }, false],
]);

check('exists', [
  ['p|exists: true', { p: '' }, true],
  ['p|exists: true', {}, false],
  ['p|exists: false', {}, true],
  ['p|exists: false', { p: 'x' }, false],
]);

check('neq', [
  ['p|neq: a', { p: 'b' }, true],
  ['p|neq: a', { p: 'A' }, false],
  ['p|neq: a', {}, true],
  ['p|neq: [a, b]', { p: 'b' }, false],
  ['p|neq: [a, b]', { p: 'c' }, true],
  ['p|contains|neq: a', { p: 'cat' }, false],
  ['p|neq: 5', { p: '5' }, false],
  ['p|contains|all|neq: [a, b]', { p: 'a' }, true],
  ['p|contains|all|neq: [a, b]', { p: 'ab' }, false],
]);

check('re', [
  ['p|re: o+b', { p: 'foobar' }, true],
  ['p|re: ^o+b', { p: 'foobar' }, false],
  ['p|re: O+B', { p: 'foobar' }, false],
  ['p|re|i: O+B', { p: 'foobar' }, true],
  ['p|re|ignorecase: O+B', { p: 'foobar' }, true],
  ["p|re: '^b$'", { p: 'a\nb' }, false],
  ["p|re|m: '^b$'", { p: 'a\nb' }, true],
  ["p|re|multiline: '^b$'", { p: 'a\nb' }, true],
  ["p|re: 'a.b'", { p: 'a\nb' }, false],
  ["p|re|s: 'a.b'", { p: 'a\nb' }, true],
  ["p|re|i|s: 'A.B'", { p: 'a\nb' }, true],
  ["p|re: '^\\d{3}$'", { p: '401' }, true],
  ["p|re: '\\*'", { p: 'a*' }, true],
  ["p|re: ['^a', '^b']", { p: 'bcd' }, true],
  ["p|re|all: ['a', 'b']", { p: 'ac' }, false],
  ["p|re|neq: '^a'", { p: 'b' }, true],
  ['p|re: .*', {}, false],
]);

check('numeric comparison', [
  ['p|gt: 5', { p: '6' }, true],
  ['p|gt: 5', { p: '5' }, false],
  ['p|gte: 5', { p: '5' }, true],
  ['p|lt: 5', { p: '4.9' }, true],
  ['p|lt: 5', { p: '5' }, false],
  ['p|lte: -1', { p: '-1' }, true],
  ['p|gt: 10', { p: '9' }, false],
  ['p|gt: 1', { p: '1e3' }, true],
  ['p|lt: 5', { p: '' }, false],
  ['p|lt: 5', { p: 'abc' }, false],
  ['p|lt: 5', { p: '0x1' }, false],
  ['p|lt: 5', {}, false],
  ['p|gt|neq: 5', { p: '4' }, true],
  ['p|gte: [100, 5]', { p: '7' }, true],
]);

check('cidr', [
  ['p|cidr: 192.0.2.0/24', { p: '192.0.2.77' }, true],
  ['p|cidr: 192.0.2.0/24', { p: '192.0.3.1' }, false],
  ['p|cidr: 192.0.2.0/24', { p: '::ffff:192.0.2.1' }, true],
  ['p|cidr: 0.0.0.0/0', { p: '8.8.8.8' }, true],
  ['p|cidr: 0.0.0.0/0', { p: '2001:db8::1' }, false],
  ['p|cidr: 198.51.100.128/25', { p: '198.51.100.127' }, false],
  ['p|cidr: 198.51.100.128/25', { p: '198.51.100.200' }, true],
  ['p|cidr: 198.51.100.7', { p: '198.51.100.7' }, true],
  ['p|cidr: 2001:db8::/32', { p: '2001:db8:1::5' }, true],
  ['p|cidr: 2001:db8::/32', { p: '2001:db9::1' }, false],
  ['p|cidr: [10.0.0.0/8, 172.16.0.0/12]', { p: '172.31.255.255' }, true],
  ['p|cidr: 10.0.0.0/8', { p: '010.0.0.1' }, false],
  ['p|cidr: 10.0.0.0/8', { p: 'not an address' }, false],
  ['p|cidr|neq: 10.0.0.0/8', { p: '192.0.2.1' }, true],
]);

check('fieldref', [
  ['p|fieldref: requestParams.q', { p: 'A', q: 'a' }, true],
  ['p|fieldref: requestParams.q', { p: 'a', q: 'b' }, false],
  ['p|fieldref: requestParams.q', { p: 'a' }, false],
  ['p|fieldref: requestParams.q', { q: 'a' }, false],
  ['p|fieldref|startswith: requestParams.q', { p: 'abc', q: 'ab' }, true],
  ['p|fieldref|endswith: requestParams.q', { p: 'abc', q: 'ab' }, false],
  ['p|fieldref|contains: requestParams.q', { p: 'xabx', q: 'AB' }, true],
  ['p|fieldref|cased: requestParams.q', { p: 'A', q: 'a' }, false],
  ['p|fieldref|neq: requestParams.q', { p: 'a', q: 'b' }, true],
  ['p|fieldref: [requestParams.q, requestParams.r]', { p: 'a', q: 'b', r: 'a' }, true],
]);

check('base64, base64offset, wide, windash', [
  ['p|base64: foo', { p: 'Zm9v' }, true],
  ['p|base64|contains: foobar', { p: 'xxZm9vYmFyxx' }, true],
  ['p|base64offset|contains: foobar', { p: btoa('foobar!') }, true],
  ['p|base64offset|contains: foobar', { p: btoa('xfoobar!') }, true],
  ['p|base64offset|contains: foobar', { p: btoa('xyfoobar!') }, true],
  ['p|base64offset|contains: foobar', { p: btoa('xyzfoobar!') }, true],
  ['p|base64offset|contains: foobar', { p: btoa('xyzfooXbar!') }, false],
  ['p|wide|base64offset|contains: ping', { p: wideBase64('a ping b') }, true],
  ['p|utf16le|base64offset|contains: ping', { p: wideBase64('ping') }, true],
  ['p|utf16|base64: a', { p: '//5hAA==' }, true],
  ['p|utf16be|base64: a', { p: 'AGE=' }, true],
  ['p|base64offset|contains|all: [foo, bar]', { p: `${btoa('foo')} ${btoa('xbar')}` }, true],
  ['p|base64offset|contains|all: [foo, bar]', { p: btoa('foo') }, false],
  ["p|windash|contains: ' -enc'", { p: 'x /enc y' }, true],
  ["p|windash|contains: ' -enc'", { p: 'x –enc y' }, true],
  ["p|windash|contains: ' -enc'", { p: 'x +enc y' }, false],
  ["p|windash: '-a -b'", { p: '/a ―b' }, true],
  ["p|windash: 'a-b'", { p: 'a/b' }, false],
]);

function wideBase64(text: string): string {
  return Buffer.from(text, 'utf16le').toString('base64');
}

describe('time modifiers (UTC)', () => {
  const at = (iso: string): AuditEvent => auditEvent({ eventTime: Date.parse(iso) });
  const vectors: Array<[string, string, boolean]> = [
    ['timestamp|hour: 22', '2026-11-24T22:59:59.999Z', true],
    ['timestamp|hour: 22', '2026-11-24T23:00:00.000Z', false],
    ['timestamp|hour|gte: 22', '2026-11-24T23:00:00.000Z', true],
    ['timestamp|hour|gte: 22', '2026-11-24T21:00:00.000Z', false],
    ['timestamp|minute: 30', '2026-11-24T21:30:00.000Z', true],
    ['timestamp|day: 24', '2026-11-24T21:30:00.000Z', true],
    ['timestamp|month: 11', '2026-11-24T21:30:00.000Z', true],
    ['timestamp|year: 2026', '2026-11-24T21:30:00.000Z', true],
    ['timestamp|week: 48', '2026-11-24T21:30:00.000Z', true],
    ['timestamp|week: 53', '2027-01-03T12:00:00.000Z', true],
    ['timestamp|week: 1', '2027-01-04T00:00:00.000Z', true],
    ['timestamp|hour|neq: 9', '2026-11-24T09:00:00.000Z', false],
    ['timestamp|hour: [8, 9]', '2026-11-24T09:00:00.000Z', true],
  ];
  for (const [item, time, verdict] of vectors) {
    it(`${item} at ${time}: ${verdict}`, () => {
      assert.equal(fires(`sel:\n  ${item}\ncondition: sel`, at(time)), verdict);
    });
  }
});

describe('keywords', () => {
  const event = auditEvent({
    userAgent: 'TruffleHog/3.0',
    requestParams: { note: 'some Evil text', 'path*': 'x' },
    extra: { unknown: '"deep value"' },
  });
  const vectors: Array<[string, boolean]> = [
    ['sel: [evil, absent]', true],
    ['sel: [absent]', false],
    ['sel: trufflehog', true],
    ['sel: DEEP VALUE', true],
    ['sel: "some*text"', true],
    ["sel:\n  '|all': [evil, trufflehog]", true],
    ["sel:\n  '|all': [evil, absent]", false],
    ["sel:\n  '|cased': evil", false],
    ["sel:\n  '|cased': Evil", true],
    ['sel: 200', true],
  ];
  for (const [selection, verdict] of vectors) {
    it(`${selection.replaceAll('\n', ' ⏎ ')}: ${verdict}`, () => {
      assert.equal(fires(`${selection}\ncondition: sel`, event), verdict);
    });
  }
});

describe('conditions over selections', () => {
  const event = withParams({ a: '1', b: '2' });
  const selections = [
    'sel_a:\n  requestParams.a: 1',
    'sel_b:\n  requestParams.b: 2',
    'sel_c:\n  requestParams.c: 3',
    '_aside:\n  requestParams.a: 9',
  ].join('\n');
  const vectors: Array<[string, boolean]> = [
    ['sel_a and sel_b and not sel_c', true],
    ['sel_c or sel_a', true],
    ['all of sel_*', false],
    ['1 of sel_*', true],
    ['any of sel_* and not _aside', true],
    ['all of them', false],
    ['not all of them', true],
    ['not (sel_a and sel_b)', false],
    ['not not sel_a', true],
    ['[sel_c, sel_a and sel_b]', true],
    ['[sel_c, _aside]', false],
  ];
  for (const [condition, verdict] of vectors) {
    it(`${condition}: ${verdict}`, () => {
      assert.equal(fires(`${selections}\ncondition: ${condition}`, event), verdict);
    });
  }

  it('is true of an event that lacks a field, under not', () => {
    assert.equal(fires('sel:\n  requestParams.z: 1\ncondition: not sel', event), true);
  });
});

describe('fields', () => {
  const event = auditEvent({
    workspaceId: '99',
    sourceIp: '192.0.2.5',
    sourcePort: 443,
    sessionId: 's-1',
    requestParamsTruncated: true,
    requestParams: {
      targetUserName: 'bob',
      snake_key: 'x',
      'a.b': 'dotted',
      a: '{"b":"inside","c":[{"d":"one"},{"d":"two"}],"e":[3,4]}',
      changes: '[{"principal":"eve","add":["ALL_PRIVILEGES"],"remove":[]}]',
      broken: '{"b":',
    },
    response: { statusCode: 403, errorMessage: 'Denied', result: '{"job_id":7}' },
    outcome: 'failure',
    actor: { ...ACTOR, runBy: 'carol@example.com', type: 'service_principal' },
    extra: { newField: '"v"', nested: '{"x":{"y":1}}' },
  });
  const vectors: Array<[string, boolean]> = [
    ['service_name: accounts', true],
    ['serviceName: accounts', true],
    ['action_name: login', true],
    ['response.statusCode: 403', true],
    ['response.status_code: "403"', true],
    ['response.error_message: denied', true],
    ['response.result.job_id: 7', true],
    ['userIdentity.email: alice@example.com', true],
    ['user_identity.email: alice@example.com', true],
    ['identity_metadata.run_by: carol@example.com', true],
    ['identityMetadata.runBy: carol@example.com', true],
    ['actor.type: service_principal', true],
    ['outcome: failure', true],
    ['sourceIPAddress|cidr: 192.0.2.0/24', true],
    ['source_ip_address: 192.0.2.5', true],
    ['sourcePort: 443', true],
    ['requestParamsTruncated: true', true],
    ['workspaceId: 99', true],
    ['event_time|gt: 1700000000000', true],
    ['requestParams.targetUserName: bob', true],
    ['request_params.target_user_name: bob', true],
    ['requestParams.snakeKey: x', true],
    ['requestParams.a.b: dotted', true],
    ['requestParams.a.c.d: two', true],
    ['requestParams.a.c.d: three', false],
    ['requestParams.a.e: 4', true],
    ['requestParams.changes.add: all_privileges', true],
    ['requestParams.changes.remove: all_privileges', false],
    ['requestParams.changes.remove: null', true],
    ['requestParams.changes|contains: ALL_PRIV', true],
    ['requestParams.broken.b: x', false],
    ['requestParams.constructor|exists: true', false],
    ['requestParams.__proto__|exists: true', false],
    ['newField: v', true],
    ['nested.x.y: 1', true],
    ['resourceId: null', true],
    ['orgId|exists: false', true],
  ];
  for (const [item, verdict] of vectors) {
    it(`${item}: ${verdict}`, () => {
      assert.equal(fires(`sel:\n  ${item}\ncondition: sel`, event), verdict);
    });
  }

  it('prefers the literal key over its twin', () => {
    const both = withParams({ targetUserName: 'camel', target_user_name: 'snake' });
    const detection = (key: string, value: string): string =>
      `sel:\n  requestParams.${key}: ${value}\ncondition: sel`;
    assert.equal(fires(detection('targetUserName', 'camel'), both), true);
    assert.equal(fires(detection('target_user_name', 'snake'), both), true);
    assert.equal(fires(detection('target_user_name', 'camel'), both), false);
  });
});

describe('logsource', () => {
  const text = ruleText('sel:\n  actionName: login\ncondition: sel');
  const verdict = (service: string): boolean => {
    const confined = text.replace('databricks', `databricks\n  service: ${service}`);
    return new Matcher(rulesOf(confined)).match(auditEvent()).length > 0;
  };
  it('confines a rule to a service', () => {
    assert.equal(verdict('clusters'), false);
    assert.equal(verdict('Accounts'), true);
  });
  it('takes "audit" for all services', () => assert.equal(verdict('audit'), true));
});
