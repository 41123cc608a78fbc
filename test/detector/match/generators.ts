/** Generated detections and events for the differential tests, as plain data and as the real thing. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Rule } from '../../../services/detector/sigma/rule.ts';
import { parseRuleFile } from '../../../services/detector/sigma/rule-file.ts';
import type { AuditEvent } from '../../../services/ingest/event.ts';
import { ACTOR, auditEvent } from '../events.ts';
import type { PlainDetection, PlainEvent, PlainItems, PlainLevel } from './plain-evaluator.ts';

const SERVICES = ['accounts', 'clusters', 'unityCatalog'];
const ACTIONS = ['login', 'create', 'delete', 'getTable'];
const WORDS = ['a', 'ab', 'abc', 'B', 'Abc', '', '7', '7.0', '10', '-1', 'true', 'a b', 'x*y'];
const PATTERNS = [
  'a',
  'A*',
  '*b',
  '*b*',
  'a?c',
  '?',
  '*',
  'abc',
  '',
  '??',
  'a*c',
  'login',
  'create',
];
const FIELDS = [
  'serviceName',
  'actionName',
  'userAgent',
  'response.statusCode',
  'userIdentity.email',
  'requestParams.p',
  'requestParams.q',
  'sourceIPAddress',
];
const ADDRESSES = ['203.0.113.7', '203.0.113.70', '198.51.100.4', '10.1.2.3'];

const value = fc.oneof(
  fc.constantFrom(...PATTERNS),
  fc.constantFrom<number | boolean>(7, 10, -1, true, false, 200, 403),
);
const values = fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 6 }));
const field = fc.constantFrom(...FIELDS);
const ends = fc.constantFrom('', '|contains', '|startswith', '|endswith');

const item = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(...SERVICES, 'ACCOUNTS').map((v) => ['serviceName', v] as const),
  },
  {
    weight: 3,
    arbitrary: fc.subarray(ACTIONS, { minLength: 1 }).map((v) => ['actionName', v] as const),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(field, ends, fc.constantFrom('', '|cased', '|neq', '|all'), values)
      .map(([name, end, flag, v]) => [`${name}${end}${flag}`, v] as const),
  },
  fc
    .tuple(field, fc.constantFrom('lt', 'lte', 'gt', 'gte'), fc.constantFrom(0, 7, 10, 200))
    .map(([name, operator, v]) => [`${name}|${operator}`, v] as const),
  fc
    .constantFrom('203.0.113.0/24', '203.0.113.64/26', '10.0.0.0/8', '198.51.100.4/32')
    .map((network) => ['sourceIPAddress|cidr', network] as const),
  fc.tuple(field, fc.boolean()).map(([name, v]) => [`${name}|exists`, v] as const),
  field.map((name) => [name, null] as const),
  fc
    .tuple(field, fc.constantFrom('', '|i'), fc.constantFrom('^a', 'b$', '[0-9]+', 'a.c', '^$'))
    .map(([name, flag, v]) => [`${name}|re${flag}`, v] as const),
  fc
    .tuple(field, fc.constantFrom('', '|contains', '|startswith', '|cased', '|neq'), field)
    .map(([name, mode, other]) => [`${name}|fieldref${mode}`, other] as const),
);

const items: fc.Arbitrary<PlainItems> = fc
  .array(item, { minLength: 1, maxLength: 3 })
  .map((pairs) => Object.fromEntries(pairs));
const selection = fc.oneof(
  { weight: 4, arbitrary: items },
  fc.array(items, { minLength: 1, maxLength: 3 }),
  fc.array(fc.constantFrom('abc', 'b', 'login', 'zzz'), { minLength: 1, maxLength: 2 }),
);

const condition = fc.letrec<{ expression: string }>((tie) => ({
  expression: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(
      's1',
      's2',
      'f1',
      '1 of s*',
      'all of s*',
      'any of them',
      'all of them',
      'not f1',
    ),
    fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `${a} and ${b}`),
    fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `(${a} or ${b})`),
    tie('expression').map((a) => `not (${a})`),
  ),
})).expression;

export const detection: fc.Arbitrary<PlainDetection> = fc.record({
  s1: selection,
  s2: selection,
  f1: selection,
  condition,
});

const optional = fc.option(fc.constantFrom(...WORDS), { nil: undefined });
export const event: fc.Arbitrary<PlainEvent> = fc.record({
  serviceName: fc.constantFrom(...SERVICES, 'Accounts'),
  actionName: fc.constantFrom(...ACTIONS, 'Login'),
  userAgent: optional,
  'response.statusCode': fc.constantFrom('7', '200', '403', undefined),
  'userIdentity.email': optional,
  'requestParams.p': optional,
  'requestParams.q': optional,
  sourceIPAddress: fc.option(fc.constantFrom(...ADDRESSES), { nil: undefined }),
});

/** Conditions on the same selections, each with a level. */
export const levels: fc.Arbitrary<PlainLevel[]> = fc.array(
  fc.record({ level: fc.constantFrom('informational', 'medium', 'high'), when: condition }),
  { maxLength: 3 },
);

export function asAuditEvent(plain: PlainEvent): AuditEvent {
  const status = plain['response.statusCode'];
  const requestParams: Record<string, string> = Object.create(null);
  for (const key of ['p', 'q']) {
    const text = plain[`requestParams.${key}`];
    if (text !== undefined) requestParams[key] = text;
  }
  // Whatever else an event has would be found by keywords; the plain reading does not know it.
  return auditEvent({
    eventId: '',
    eventTime: 0,
    shape: '' as 'delivery',
    version: null,
    auditLevel: null,
    accountId: null,
    workspaceId: null,
    requestId: null,
    sourceIp: plain.sourceIPAddress ?? null,
    sourceAddressText: null,
    outcome: '' as 'unknown',
    serviceName: plain.serviceName!,
    actionName: plain.actionName!,
    userAgent: plain.userAgent ?? null,
    requestParams,
    response:
      status === undefined
        ? null
        : { statusCode: Number(status), errorMessage: null, result: null },
    actor: { ...ACTOR, name: '', type: '' as 'user', email: plain['userIdentity.email'] ?? null },
  });
}

/** As a rule document, which is JSON and so YAML. */
export function documentOf(
  detection: PlainDetection,
  n: number,
  cases: readonly PlainLevel[] = [],
): Record<string, unknown> {
  return {
    title: `rule ${n}`,
    id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    level: 'low',
    logsource: { product: 'databricks' },
    detection,
    ...(cases.length > 0 ? { lakeseal: { levels: cases } } : {}),
  };
}

export function parsed(
  detections: readonly PlainDetection[],
  cases: readonly PlainLevel[][] = [],
): Rule[] {
  return detections.map((one, n) => {
    const rule = documentOf(one, n, cases[n]);
    const { rules, problems } = parseRuleFile('generated.yml', JSON.stringify(rule));
    assert.equal(rules.length, 1, JSON.stringify([one, problems]));
    return rules[0]!;
  });
}
