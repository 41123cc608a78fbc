/**
 * No widening of a policy is missed: random policies before and after, and random requests judged by
 * an evaluator of single requests that shares no code with the one that is tested.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { comparePolicies } from '../../services/posture/compare-policy.ts';
import { readPolicy } from '../../services/posture/policy-document.ts';
import { judgePolicy, publicGrants } from '../../services/posture/policy-judge.ts';

const TARGET = { bucket: 'archive', prefix: 'sealed/' };
const KEY = 'aws:SourceVpc';
const ROOT = 'arn:aws:iam::111122223333:root';
const ADA = 'arn:aws:iam::111122223333:user/ada';
const BOB = 'arn:aws:iam::111122223333:user/bob';
const EVE = 'arn:aws:iam::444455556666:user/eve';

interface Statement {
  Effect: string;
  Principal?: { AWS: string[] };
  NotPrincipal?: { AWS: string[] };
  Action?: string[];
  NotAction?: string[];
  Resource?: string[];
  NotResource?: string[];
  Condition?: Record<string, Record<string, string[]>>;
}

interface Request {
  /** Null: without an account. */
  who: string | null;
  action: string;
  resource: string;
  vpc: string | undefined;
}

function some(...values: string[]): fc.Arbitrary<string[]> {
  return fc.subarray(values, { minLength: 1, maxLength: 2 });
}

function either(name: string, values: fc.Arbitrary<string[]>): fc.Arbitrary<object> {
  return fc.oneof(
    { weight: 4, arbitrary: values.map((value) => ({ [name]: value })) },
    { weight: 1, arbitrary: values.map((value) => ({ [`Not${name}`]: value })) },
  );
}

const OPERATORS = ['StringEquals', 'StringNotEquals', 'StringEqualsIfExists', 'StringLike'];
const condition = fc.oneof(
  { weight: 3, arbitrary: fc.constant({}) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(...OPERATORS), some('vpc-1', 'vpc-2', 'vpc-*'))
      .map(([operator, values]) => ({ Condition: { [operator]: { [KEY]: values } } })),
  },
);
const principals = some(ADA, BOB, EVE, ROOT, '*').map((AWS) => ({ AWS }));
const statement: fc.Arbitrary<Statement> = fc
  .tuple(
    fc.constantFrom('Allow', 'Deny'),
    fc.oneof(
      { weight: 4, arbitrary: principals.map((Principal) => ({ Principal })) },
      { weight: 1, arbitrary: principals.map((NotPrincipal) => ({ NotPrincipal })) },
    ),
    either('Action', some('s3:GetObject', 's3:Get*', 's3:*', 's3:DeleteObject', '*')),
    either(
      'Resource',
      some(
        '*',
        'arn:aws:s3:::archive/*',
        'arn:aws:s3:::archive/sealed/data/*',
        'arn:aws:s3:::archive/sealed/?',
        'arn:aws:s3:::arch*',
        'arn:aws:s3:::other/*',
      ),
    ),
    condition,
  )
  .map(([Effect, ...parts]) => Object.assign({ Effect }, ...parts) as Statement);

const policy = fc.array(statement, { maxLength: 3 });
const request: fc.Arbitrary<Request> = fc.record({
  who: fc.constantFrom(ADA, BOB, EVE, ROOT, null),
  action: fc.constantFrom('s3:GetObject', 's3:DeleteObject', 's3:GetObjectVersion'),
  resource: fc
    .constantFrom('sealed/data/x', 'sealed/x', 'sealed/other/x')
    .map((key) => `arn:aws:s3:::archive/${key}`),
  vpc: fc.constantFrom(undefined, 'vpc-1', 'vpc-3'),
});

// --- one request, one answer ---------------------------------------------------------------------

function like(pattern: string, text: string): boolean {
  const source = pattern.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${source.replaceAll('*', '.*').replaceAll('?', '.')}$`, 'i').test(text);
}

/** @param byAccount whether naming an account names its users. */
function isNamed(names: { AWS: string[] }, who: string | null, byAccount: boolean): boolean {
  if (names.AWS.includes('*')) return true;
  if (who === null) return false;
  return names.AWS.includes(who) || (byAccount && who !== EVE && names.AWS.includes(ROOT));
}

function holds(one: Statement, vpc: string | undefined): boolean {
  return Object.entries(one.Condition ?? {}).every(([operator, { [KEY]: values = [] }]) => {
    if (vpc === undefined) return operator !== 'StringEquals' && operator !== 'StringLike';
    if (operator === 'StringNotEquals') return !values.includes(vpc);
    return operator === 'StringLike' ? values.some((one) => like(one, vpc)) : values.includes(vpc);
  });
}

/** @param exempts whether NotPrincipal with an account leaves out its users: AWS is vague of it. */
function applies(
  one: Statement,
  { who, action, resource, vpc }: Request,
  exempts: boolean,
): boolean {
  const isDeny = one.Effect === 'Deny';
  const isWho =
    one.Principal === undefined
      ? !isNamed(one.NotPrincipal!, who, isDeny && exempts)
      : isNamed(one.Principal, who, isDeny);
  const fits = (plain: string[] | undefined, not: string[] | undefined, text: string): boolean =>
    plain === undefined
      ? !not!.some((pattern) => like(pattern, text))
      : plain.some((pattern) => like(pattern, text));
  return (
    isWho &&
    fits(one.Action, one.NotAction, action) &&
    fits(one.Resource, one.NotResource, resource) &&
    holds(one, vpc)
  );
}

function decide(statements: Statement[], asked: Request, exempts: boolean) {
  const of = (effect: string): boolean =>
    statements.some((one) => one.Effect === effect && applies(one, asked, exempts));
  const isDenied = of('Deny');
  return { isDenied, isAllowed: !isDenied && of('Allow') };
}

const textOf = (statements: Statement[]): string => JSON.stringify({ Statement: statements });
const RUNS = 5_000;

test('whatever a policy allows more, or denies less, is a finding', () => {
  let widened = 0;
  fc.assert(
    fc.property(policy, policy, request, fc.boolean(), (before, now, asked, exempts) => {
      const [was, is] = [decide(before, asked, exempts), decide(now, asked, exempts)];
      const isWider = (is.isAllowed && !was.isAllowed) || (was.isDenied && !is.isDenied);
      if (!isWider) return;
      widened += 1;
      const { findings } = comparePolicies(textOf(before), textOf(now), TARGET);
      assert.ok(findings.length > 0, JSON.stringify(asked));
    }),
    { numRuns: RUNS },
  );
  assert.ok(widened > RUNS / 20, String(widened));
});

test('what anybody may do from anywhere makes the policy public', () => {
  let open = 0;
  fc.assert(
    fc.property(policy, request, fc.boolean(), (statements, asked, exempts) => {
      const stranger = { ...asked, who: null, vpc: undefined };
      if (!decide(statements, stranger, exempts).isAllowed) return;
      open += 1;
      const read = readPolicy(textOf(statements));
      assert.ok('statements' in read);
      assert.ok(publicGrants(judgePolicy(read.statements, TARGET)).length > 0);
    }),
    { numRuns: RUNS },
  );
  assert.ok(open > RUNS / 50, String(open));
});

test('the same policy in another order, or with one more Deny, widens nothing', () => {
  fc.assert(
    fc.property(policy, statement, (statements, more) => {
      const narrower = [{ ...more, Effect: 'Deny' }, ...statements.toReversed()];
      for (const now of [statements.toReversed(), narrower]) {
        const { findings } = comparePolicies(textOf(statements), textOf(now), TARGET);
        assert.deepEqual(findings, []);
      }
    }),
    { numRuns: 500 },
  );
});

// Found by many more runs than these are: one in some ten thousand policies.
test('an account that a denial spares may spare its users', () => {
  const all = { Action: ['*'], Resource: ['arn:aws:s3:::arch*'] };
  const butRoot = { NotPrincipal: { AWS: [ROOT] }, ...all };
  const [allow, deny] = [
    { Effect: 'Allow', ...butRoot },
    { Effect: 'Deny', ...butRoot },
  ];
  const inVpc = { Condition: { StringEquals: { [KEY]: ['vpc-1'] } } };
  const elsewhere = { Condition: { StringNotEquals: { [KEY]: ['vpc-1'] } } };
  const widenings: Array<[before: Statement[], now: Statement[]]> = [
    [[], [allow, deny]],
    [[{ ...allow, ...inVpc }], [allow, { ...deny, ...elsewhere }]],
  ];
  for (const [before, now] of widenings) {
    const { findings } = comparePolicies(textOf(before), textOf(now), TARGET);
    assert.ok(
      findings.some(({ code }) => code === 'policy_grant'),
      textOf(now),
    );
  }
});

test('what is left does not depend on the order of denials', () => {
  const onData = { Resource: ['arn:aws:s3:::archive/sealed/data/*'] };
  const statements: Statement[] = [
    {
      Effect: 'Deny',
      NotPrincipal: { AWS: [ADA] },
      Action: ['*'],
      Resource: ['arn:aws:s3:::arch*'],
    },
    {
      ...{ Effect: 'Allow', NotPrincipal: { AWS: [BOB] }, NotAction: ['s3:Get*'], ...onData },
      Condition: { StringEquals: { [KEY]: ['vpc-1'] } },
    },
    {
      ...{ Effect: 'Deny', Principal: { AWS: [ROOT] }, Action: ['*'], ...onData },
      Condition: { StringNotEquals: { [KEY]: ['vpc-*'] } },
    },
  ];
  const { findings } = comparePolicies(textOf(statements), textOf(statements.toReversed()), TARGET);
  assert.deepEqual(findings, []);
});
