/**
 * Bucket policies judged: each case is a policy, and who may do what by it. The cases follow AWS's
 * pages on evaluation logic, the elements of a policy, and the meaning of "public".
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { describeConditions } from '../../services/posture/policy-condition.ts';
import { canonicalPolicy, readPolicy } from '../../services/posture/policy-document.ts';
import {
  type ArchiveTarget,
  judgePolicy,
  otherActions,
  publicGrants,
} from '../../services/posture/policy-judge.ts';
import { covers, matches, overlap } from '../../services/posture/policy-pattern.ts';
import { describeWho } from '../../services/posture/policy-principal.ts';

const TARGET: ArchiveTarget = { bucket: 'archive', prefix: 'sealed/' };
const BUCKET = 'arn:aws:s3:::archive';
const OBJECTS = 'arn:aws:s3:::archive/*';
const ADA = 'arn:aws:iam::111122223333:user/ada';
const BOB = 'arn:aws:iam::111122223333:user/bob';
const ROOT = 'arn:aws:iam::111122223333:root';
const OTHER = 'arn:aws:iam::444455556666:root';

type Fields = Record<string, unknown>;

/** Everybody may read all objects, but for what the case says. */
const allow = (fields: Fields): Fields => ({
  Effect: 'Allow',
  ...(fields.NotPrincipal === undefined ? { Principal: '*' } : {}),
  ...(fields.NotAction === undefined ? { Action: 's3:GetObject' } : {}),
  ...(fields.NotResource === undefined ? { Resource: OBJECTS } : {}),
  ...fields,
});
const deny = (fields: Fields): Fields => ({ ...allow(fields), Effect: 'Deny' });
const when = (operator: string, key: string, value: unknown): Fields => ({
  Condition: { [operator]: { [key]: value } },
});

function judged(...statements: Fields[]) {
  const read = readPolicy(JSON.stringify({ Version: '2012-10-17', Statement: statements }));
  assert.ok('statements' in read, JSON.stringify(read));
  return judgePolicy(read.statements, TARGET, otherActions(read.statements));
}

/** `WHO if CONDITIONS` of those who may do it. */
function mayDo(action: string, ...statements: Fields[]): string[] {
  return judged(...statements)
    .grants.filter((grant) => grant.action === action)
    .map(({ who, conditions }) => {
      const told = describeConditions(conditions);
      return `${describeWho(who)}${told === '' ? '' : ` if ${told}`}`;
    });
}

const READ = 's3:GetObject';
const DELETE = 's3:DeleteObjectVersion';
const LIST = 's3:ListBucket';

type Case = [name: string, action: string, statements: Fields[], expected: string[]];

const WHO_MAY: Case[] = [
  // --- principals
  ['everybody, as a star', READ, [allow({})], ['everyone']],
  ['everybody, as an AWS star', READ, [allow({ Principal: { AWS: '*' } })], ['everyone']],
  ['everybody in a list', READ, [allow({ Principal: { AWS: [ADA, '*'] } })], ['everyone']],
  ['one user', READ, [allow({ Principal: { AWS: ADA } })], [ADA]],
  ['an account by its number', READ, [allow({ Principal: { AWS: '111122223333' } })], [ROOT]],
  ['two users are told apart', READ, [allow({ Principal: { AWS: [ADA, BOB] } })], [ADA, BOB]],
  [
    'a service',
    's3:PutObject',
    [allow({ Principal: { Service: 'logging.s3.amazonaws.com' }, Action: 's3:PutObject' })],
    ['Service:logging.s3.amazonaws.com'],
  ],
  [
    'NotPrincipal with Allow is nearly everybody',
    READ,
    [allow({ NotPrincipal: { AWS: ADA } })],
    [`everyone but ${ADA}`],
  ],
  // --- actions
  ['an action in other case', READ, [allow({ Action: 'S3:getobject' })], ['everyone']],
  ['a star of actions', DELETE, [allow({ Action: 's3:*' })], ['everyone']],
  ['a star of everything', DELETE, [allow({ Action: '*' })], ['everyone']],
  ['a star inside an action', DELETE, [allow({ Action: 's3:Delete*Version' })], ['everyone']],
  ['a question mark in an action', READ, [allow({ Action: 's3:GetObjec?' })], ['everyone']],
  ['a question mark is one character', READ, [allow({ Action: 's3:GetObject?' })], []],
  ['another action', DELETE, [allow({})], []],
  ['another service', READ, [allow({ Action: 'sqs:*' })], []],
  ['NotAction allows all others', DELETE, [allow({ NotAction: 's3:Get*' })], ['everyone']],
  ['NotAction leaves out what it names', READ, [allow({ NotAction: 's3:Get*' })], []],
  // --- resources
  ['the bucket is not its objects', READ, [allow({ Resource: BUCKET })], []],
  ['objects are not the bucket', LIST, [allow({ Action: 's3:*' })], []],
  ['the bucket', LIST, [allow({ Action: 's3:*', Resource: BUCKET })], ['everyone']],
  ['every resource', DELETE, [allow({ Action: 's3:*', Resource: '*' })], ['everyone']],
  ['another bucket', READ, [allow({ Resource: 'arn:aws:s3:::archive2/*' })], []],
  ['a star in a bucket’s name', READ, [allow({ Resource: 'arn:aws:s3:::arch*' })], ['everyone']],
  ['another prefix', READ, [allow({ Resource: `${BUCKET}/public/*` })], []],
  ['a part of the archive', READ, [allow({ Resource: `${BUCKET}/sealed/data/*` })], ['everyone']],
  ['one object', READ, [allow({ Resource: `${BUCKET}/sealed/data/x` })], ['everyone']],
  ['objects by their end', READ, [allow({ Resource: `${BUCKET}/*.avro` })], ['everyone']],
  ['another cloud of AWS', READ, [allow({ Resource: 'arn:aws-cn:s3:::archive/*' })], ['everyone']],
  [
    'a variable may be anything',
    READ,
    [allow({ Principal: { AWS: ADA }, Resource: `${BUCKET}/${'$'}{aws:username}/*` })],
    [ADA],
  ],
  [
    'NotResource elsewhere',
    READ,
    [allow({ NotResource: 'arn:aws:s3:::archive2/*' })],
    ['everyone'],
  ],
  ['NotResource of all of it', READ, [allow({ NotResource: OBJECTS })], []],
  // --- denials
  ['a Deny overrides', READ, [allow({}), deny({})], []],
  ['a Deny overrides, whatever comes first', READ, [deny({}), allow({})], []],
  ['a Deny of another action does not', READ, [allow({}), deny({ Action: DELETE })], ['everyone']],
  [
    'a Deny of a part of the objects does not',
    READ,
    [allow({}), deny({ Resource: `${BUCKET}/sealed/data/*` })],
    ['everyone'],
  ],
  [
    'a Deny of a part takes that part',
    READ,
    [
      allow({ Resource: `${BUCKET}/sealed/data/x*` }),
      deny({ Resource: `${BUCKET}/sealed/data/*` }),
    ],
    [],
  ],
  [
    'a Deny to one leaves the others',
    READ,
    [allow({}), deny({ Principal: { AWS: ADA } })],
    [`everyone but ${ADA}`],
  ],
  [
    'a Deny to an account takes its users',
    READ,
    [allow({ Principal: { AWS: [ADA, OTHER] } }), deny({ Principal: { AWS: ROOT } })],
    [OTHER],
  ],
  [
    'NotPrincipal with Deny leaves those named',
    READ,
    [allow({}), deny({ NotPrincipal: { AWS: [ADA, ROOT] } })],
    [`${ADA}, ${ROOT}`],
  ],
  [
    'NotPrincipal with Deny takes the others',
    READ,
    [allow({ Principal: { AWS: OTHER } }), deny({ NotPrincipal: { AWS: [ADA, ROOT] } })],
    [],
  ],
  [
    'an account that is exempt may exempt its users',
    READ,
    [allow({ Principal: { AWS: BOB } }), deny({ NotPrincipal: { AWS: ROOT } })],
    [BOB],
  ],
  [
    'NotAction with Deny takes all others',
    DELETE,
    [allow({ Action: 's3:*' }), deny({ NotAction: 's3:Get*' })],
    [],
  ],
  [
    'NotResource with Deny takes what lies outside',
    READ,
    [allow({}), deny({ NotResource: 'arn:aws:s3:::archive2/*' })],
    [],
  ],
  [
    'a Deny with a variable takes nothing for sure',
    READ,
    [allow({}), deny({ Resource: `${BUCKET}/${'$'}{aws:username}*` })],
    ['everyone'],
  ],
  // --- conditions
  [
    'a condition is told',
    READ,
    [allow(when('IpAddress', 'aws:SourceIp', '192.0.2.0/24'))],
    ['everyone if IpAddress aws:sourceip 192.0.2.0/24'],
  ],
  [
    'conditions add up',
    READ,
    [
      allow({
        Condition: {
          StringEquals: { 'aws:PrincipalOrgID': 'o-a1b2c3d4e5' },
          Bool: { 'aws:SecureTransport': true },
        },
      }),
    ],
    ['everyone if StringEquals aws:principalorgid o-a1b2c3d4e5 and Bool aws:securetransport true'],
  ],
  [
    'a Deny with a condition takes nothing for sure',
    READ,
    [allow({}), deny(when('Bool', 'aws:SecureTransport', 'false'))],
    ['everyone'],
  ],
  [
    'a Deny outside of addresses leaves the addresses',
    READ,
    [allow({}), deny(when('NotIpAddress', 'aws:SourceIp', ['192.0.2.0/24']))],
    ['everyone if IpAddress aws:sourceip 192.0.2.0/24'],
  ],
  [
    'a Deny under two conditions leaves more',
    READ,
    [
      allow({}),
      deny({
        Condition: {
          NotIpAddress: { 'aws:SourceIp': '192.0.2.0/24' },
          Bool: { 'aws:ViaAWSService': 'false' },
        },
      }),
    ],
    ['everyone'],
  ],
  ['no statement', READ, [], []],
];

describe('who may do what', () => {
  for (const [name, action, statements, expected] of WHO_MAY) {
    test(name, () => assert.deepEqual(mayDo(action, ...statements), expected));
  }

  test('actions beside the known ones are judged as they are written', () => {
    const tagging = allow({ Action: ['s3:*Tagging', 's3:GetObject'] });
    assert.deepEqual(mayDo('s3:*tagging', tagging), ['everyone']);
    assert.deepEqual(mayDo('s3:*tagging', tagging, deny({ Action: 's3:*' })), []);
    const allButOne = deny({ NotAction: 's3:GetObjectTagging' });
    assert.deepEqual(mayDo('s3:*tagging', tagging, allButOne), ['everyone']);
    const allButOther = deny({ NotAction: 's3:GetObject' });
    assert.deepEqual(mayDo('s3:*tagging', tagging, allButOther), []);
    assert.deepEqual(mayDo('s3:*tagging', tagging, deny({ Action: 's3:GetObjectTagging' })), [
      'everyone',
    ]);
  });
});

type PublicCase = [name: string, isPublic: boolean, ...statements: Fields[]];

const PUBLIC: PublicCase[] = [
  ['everybody', true, allow({})],
  ['one user', false, allow({ Principal: { AWS: ADA } })],
  ['a name with a star', true, allow({ Principal: { AWS: 'arn:aws:iam::*:root' } })],
  ['everybody but one', true, allow({ NotPrincipal: { AWS: ADA } })],
  ['everybody, denied', false, allow({}), deny({})],
  ['everybody, denied to one', true, allow({}), deny({ Principal: { AWS: ADA } })],
  ['everybody, denied to all but one', false, allow({}), deny({ NotPrincipal: { AWS: ADA } })],
  ['one organisation', false, allow(when('StringEquals', 'aws:PrincipalOrgID', 'o-a1b2c3d4e5'))],
  ['any organisation', true, allow(when('StringLike', 'aws:PrincipalOrgID', 'o-*'))],
  ['one network', false, allow(when('IpAddress', 'aws:SourceIp', '203.0.113.0/24'))],
  ['one address', false, allow(when('IpAddress', 'aws:SourceIp', '203.0.113.7'))],
  ['one network of IPv6', false, allow(when('IpAddress', 'aws:SourceIp', '2001:db8::/32'))],
  ['half of all addresses', true, allow(when('IpAddress', 'aws:SourceIp', '0.0.0.0/1'))],
  ['all addresses of IPv6', true, allow(when('IpAddress', 'aws:SourceIp', '::/0'))],
  [
    'many networks that are much together',
    true,
    allow(when('IpAddress', 'aws:SourceIp', ['0.0.0.0/8', '255.0.0.0/8'])),
  ],
  ['no addresses', true, allow(when('IpAddress', 'aws:SourceIp', 'nonsense'))],
  ['all other addresses', true, allow(when('NotIpAddress', 'aws:SourceIp', '203.0.113.0/24'))],
  [
    'other addresses denied',
    false,
    allow({}),
    deny(when('NotIpAddress', 'aws:SourceIp', '203.0.113.0/24')),
  ],
  ['one network of a cloud', false, allow(when('StringEquals', 'aws:SourceVpc', 'vpc-91237329'))],
  ['any network of a cloud', true, allow(when('StringLike', 'aws:SourceVpc', 'vpc-*'))],
  [
    'one network, or none at all',
    true,
    allow(when('StringEqualsIfExists', 'aws:SourceVpc', 'vpc-91237329')),
  ],
  [
    'all values of a key that may be missing',
    true,
    allow(when('ForAllValues:StringEquals', 'aws:PrincipalOrgPaths', 'o-a1b2c3d4e5/r-ab12/')),
  ],
  [
    'any value of it',
    false,
    allow(when('ForAnyValue:StringEquals', 'aws:PrincipalOrgPaths', 'o-a1b2c3d4e5/r-ab12/')),
  ],
  ['a variable', true, allow(when('StringEquals', 'aws:SourceAccount', '${'.concat('aws:x}')))],
  ['a referer, which anybody can send', true, allow(when('StringLike', 'aws:Referer', 'x'))],
  ['TLS, which everybody has', true, allow(when('Bool', 'aws:SecureTransport', 'true'))],
  [
    'access points of one account',
    false,
    allow(
      when('ArnLike', 's3:DataAccessPointArn', 'arn:aws:s3:us-east-1:111122223333:accesspoint/*'),
    ),
  ],
  ['a key in other case', false, allow(when('StringEquals', 'AWS:SOURCEVPC', 'vpc-91237329'))],
  ['everybody on another bucket', false, allow({ Resource: 'arn:aws:s3:::other/*' })],
  ['only denials', false, deny({})],
];

describe('public', () => {
  for (const [name, isPublic, ...statements] of PUBLIC) {
    test(`${name}: ${isPublic ? 'yes' : 'no'}`, () => {
      assert.equal(publicGrants(judged(...statements)).length > 0, isPublic);
    });
  }
});

describe('a policy as text', () => {
  test('what is not wholly understood is a problem, with its place', () => {
    const problem = (policy: unknown): string => {
      const read = readPolicy(JSON.stringify(policy));
      return 'problem' in read ? read.problem : 'none';
    };
    const of = (fields: Fields): string => problem({ Statement: [{ Sid: 'x', ...fields }] });
    assert.deepEqual(readPolicy(null), { statements: [] });
    assert.deepEqual(readPolicy('{'), { problem: 'the policy is not JSON' });
    assert.equal(problem([]), 'the policy is not an object');
    assert.equal(problem({ Statements: [] }), 'Statements is no part of a policy');
    assert.match(of(allow({ effect: 'Deny' })), /statement x: effect is not known/);
    assert.match(of({ ...allow({}), Effect: 'allow' }), /neither Allow nor Deny/);
    assert.match(of({ ...allow({}), NotAction: 's3:*' }), /one of Action and NotAction/);
    assert.match(of({ Effect: 'Allow', Action: '*', Resource: '*' }), /Principal/);
    assert.match(of(allow({ Principal: 'x' })), /Principal is not an object/);
    assert.match(of(allow({ Condition: { Bool: 'x' } })), /Condition Bool is not an object/);
    assert.match(of(allow({ Action: [{}] })), /Action is no text/);
    assert.equal(problem({ Statement: allow({}) }), 'none');
  });

  test('other words for the same give the same text, and are judged alike', () => {
    const one = { Version: '2012-10-17', Statement: [allow({ Sid: 'a' }), deny({ Sid: 'b' })] };
    const other = {
      Statement: [
        { Resource: [OBJECTS], Action: ['s3:GetObject'], ...deny({ Sid: 'b' }) },
        { ...allow({ Sid: 'a' }), Principal: { AWS: ['*'] } },
      ],
      Version: '2012-10-17',
    };
    const text = canonicalPolicy(JSON.stringify(one));
    assert.equal(canonicalPolicy(JSON.stringify(other)), text);
    assert.equal(canonicalPolicy(text), text);
    assert.deepEqual(judgedText(text), judgedText(JSON.stringify(one)));
    assert.equal(canonicalPolicy('no policy'), 'no policy');
  });
});

function judgedText(text: string) {
  const read = readPolicy(text);
  assert.ok('statements' in read);
  return judgePolicy(read.statements, TARGET);
}

describe('patterns', () => {
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 6 });
  const word = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 6 });
  const regex = (text: string): RegExp =>
    new RegExp(`^${text.replaceAll('*', '.*').replaceAll('?', '.')}$`);

  test('match as regular expressions do', () => {
    fc.assert(
      fc.property(pattern, word, (one, text) => matches(one, text) === regex(one).test(text)),
    );
  });

  test('a pattern that covers another matches all that it matches', () => {
    fc.assert(
      fc.property(pattern, pattern, word, (wide, narrow, text) => {
        fc.pre(covers(wide, narrow) && matches(narrow, text));
        return matches(wide, text);
      }),
    );
  });

  test('two that match one text overlap, and words overlap only what matches them', () => {
    fc.assert(
      fc.property(pattern, pattern, word, (one, other, text) => {
        if (matches(one, text) && matches(other, text)) assert.ok(overlap(one, other));
        assert.equal(overlap(one, text), matches(one, text));
        assert.equal(overlap(one, other), overlap(other, one));
      }),
      { numRuns: 500 },
    );
  });
});
