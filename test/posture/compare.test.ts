/** A bucket as it was recorded against one that was changed: each change, and what is found of it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  POSTURE_ITEMS,
  type Posture,
  type Told,
  type TriedRights,
} from '../../schemas/evidence/baseline-leaf.ts';
import { ourStatements } from '../../services/cli/bucket-plan.ts';
import { comparePosture, compareRights } from '../../services/posture/compare.ts';
import { classOfPosture, postureExitCode } from '../../services/posture/findings.ts';
import { canonicalPolicy } from '../../services/posture/policy-document.ts';

const TARGET = { bucket: 'archive', prefix: 'sealed/' };
const OBJECTS = 'arn:aws:s3:::archive/*';

const set = <Value>(value: Value): Told<Value> => ({ state: 'set', value });
const absent = { state: 'absent' } as const;
const unknown = (why: 'denied' | 'not_offered'): Told<never> => ({
  state: 'unknown',
  why,
  detail: why,
});
const rule = (fields: object): Told<string[]> => set([JSON.stringify(fields)]);

function policy(...more: object[]): Told<string> {
  const Statement = [...ourStatements('archive', true), ...more];
  return set(canonicalPolicy(JSON.stringify({ Version: '2012-10-17', Statement })));
}

const reads = (Principal: unknown, fields: object = {}): object => ({
  Sid: 'Reads',
  Effect: 'Allow',
  Principal,
  Action: 's3:GetObject',
  Resource: OBJECTS,
  ...fields,
});
const AUDITOR = { AWS: 'arn:aws:iam::111122223333:role/auditor' };
const NETWORK = { IpAddress: { 'aws:SourceIp': ['192.0.2.0/24', '198.51.100.0/24'] } };

const BEFORE: Posture = {
  objectLock: set('Enabled'),
  defaultRetention: set({ mode: 'COMPLIANCE', days: 365 }),
  versioning: set({ status: 'Enabled', mfaDelete: 'Disabled' }),
  policy: policy(reads(AUDITOR, { Condition: NETWORK })),
  acl: set({ owner: 'owner', grants: [['owner', 'FULL_CONTROL']] }),
  publicAccessBlock: set({
    blockPublicAcls: true,
    ignorePublicAcls: true,
    blockPublicPolicy: true,
    restrictPublicBuckets: true,
  }),
  ownership: set('BucketOwnerEnforced'),
  lifecycle: absent,
  replication: rule({ ID: 'copy', Destination: 'second' }),
  encryption: set({ algorithm: 'aws:kms', key: 'key-1' }),
  logging: set({ bucket: 'logs', prefix: '' }),
  notification: absent,
};

function found(now: Partial<Posture>, before: Partial<Posture> = {}) {
  return comparePosture({ ...BEFORE, ...before }, { ...BEFORE, ...before, ...now }, TARGET);
}

/** Something that protects less: what is changed, the code, and its facts. */
type Widening = [
  name: string,
  now: Partial<Posture>,
  code: string,
  expected: RegExp,
  there: RegExp,
];

const block = {
  ...(BEFORE.publicAccessBlock as { value: object }).value,
  blockPublicPolicy: false,
};
const ALL = 'http://acs.amazonaws.com/groups/global/AllUsers';

const WIDENINGS: Widening[] = [
  ['no Object Lock', { objectLock: absent }, 'object_lock', /^Enabled$/, /^none$/],
  [
    'a shorter retention',
    { defaultRetention: set({ mode: 'COMPLIANCE', days: 364 }) },
    'default_retention',
    /COMPLIANCE, 365 days/,
    /COMPLIANCE, 364 days/,
  ],
  [
    'a weaker retention that is longer',
    { defaultRetention: set({ mode: 'GOVERNANCE', days: 3650 }) },
    'default_retention',
    /COMPLIANCE/,
    /GOVERNANCE, 3650 days/,
  ],
  ['no retention', { defaultRetention: absent }, 'default_retention', /365/, /^none$/],
  [
    'suspended versioning',
    { versioning: set({ status: 'Suspended', mfaDelete: 'Disabled' }) },
    'versioning',
    /Enabled/,
    /Suspended/,
  ],
  [
    'an ACL for everybody',
    {
      acl: set({
        owner: 'owner',
        grants: [
          ['owner', 'FULL_CONTROL'],
          [ALL, 'READ'],
        ],
      }),
    },
    'acl',
    /AllUsers: none/,
    /AllUsers: READ/,
  ],
  ['another owner', { acl: set({ owner: 'eve', grants: [] }) }, 'acl', /owner owner/, /owner eve/],
  [
    'one block less',
    { publicAccessBlock: set(block as never) },
    'public_access_block',
    /blockPublicPolicy/,
    /^blockPublicAcls, ignorePublicAcls, restrictPublicBuckets$/,
  ],
  ['no block', { publicAccessBlock: absent }, 'public_access_block', /restrict/, /^none$/],
  ['ACLs count again', { ownership: absent }, 'ownership', /BucketOwnerEnforced/, /^none$/],
  [
    'objects expire',
    { lifecycle: rule({ ID: 'x', Status: 'Enabled', Expiration: { Days: 1 } }) },
    'lifecycle',
    /^no such rule$/,
    /"Days":1/,
  ],
  ['no copies', { replication: absent }, 'replication', /"copy"/, /^no such rule$/],
  [
    'weaker encryption',
    { encryption: set({ algorithm: 'AES256', key: null }) },
    'encryption',
    /aws:kms with key key-1/,
    /AES256/,
  ],
  [
    'another key',
    { encryption: set({ algorithm: 'aws:kms', key: 'key-2' }) },
    'encryption',
    /key-1/,
    /key-2/,
  ],
  ['no access log', { logging: absent }, 'logging', /to logs\//, /^none$/],
];

describe('what protects less', () => {
  for (const [name, now, code, expected, there] of WIDENINGS) {
    test(name, () => {
      const { findings, notes } = found(now);
      assert.deepEqual(
        findings.map((finding) => finding.code),
        [code],
      );
      assert.match(findings[0]!.expected, expected);
      assert.match(findings[0]!.found, there);
      assert.deepEqual(notes, []);
      assert.equal(postureExitCode(findings), 1);
    });
  }

  test('who is told of changes is not told any more', () => {
    const { findings } = found({ notification: absent }, { notification: set(['{"topic":1}']) });
    assert.equal(findings[0]?.code, 'notification');
  });
});

describe('what protects no less', () => {
  const notes: Array<[string, Partial<Posture>, Partial<Posture>?]> = [
    ['a longer retention', { defaultRetention: set({ mode: 'COMPLIANCE', days: 366 }) }],
    ['versions need MFA', { versioning: set({ status: 'Enabled', mfaDelete: 'Enabled' }) }],
    ['a grant less', { acl: set({ owner: 'owner', grants: [] }) }],
    [
      'unfinished uploads are cleared away',
      { lifecycle: rule({ ID: 'x', Status: 'Enabled', AbortIncompleteMultipartUpload: {} }) },
    ],
    [
      'a rule that is off',
      { lifecycle: rule({ ID: 'x', Status: 'Disabled', Expiration: { Days: 1 } }) },
    ],
    ['a new notification', { notification: set(['{}']) }],
    ['a stricter owner', { ownership: set('BucketOwnerEnforced') }, { ownership: absent }],
    ['encryption where there was none', { encryption: BEFORE.encryption }, { encryption: absent }],
    ['an access log where there was none', { logging: BEFORE.logging }, { logging: absent }],
  ];
  for (const [name, now, before] of notes) {
    test(`${name}: a note`, () => {
      const { findings, notes } = found(now, before);
      assert.deepEqual(findings, []);
      assert.equal(notes.length, 1);
      assert.match(notes[0]!.text, /protects no less: .+ → .+/);
    });
  }

  test('nothing changed: nothing is said', () => {
    assert.deepEqual(found({}), { findings: [], notes: [] });
  });
});

describe('the policy', () => {
  const codes = (now: Told<string>): string[] =>
    found({ policy: now }).findings.map(({ code }) => code);
  const limited = (Principal: unknown, Condition: object = NETWORK): object =>
    reads(Principal, { Condition });

  test('open to everybody is public, and says by which statement', () => {
    const { findings } = found({ policy: policy(limited(AUDITOR), reads('*', { Sid: 'Open' })) });
    assert.deepEqual(
      findings.map(({ code }) => code),
      ['policy_public', 'policy_grant'],
    );
    assert.equal(
      findings[0]!.found,
      `public: everyone: s3:GetObject on ${OBJECTS} (statement Open)`,
    );
    assert.match(findings[1]!.expected, /who may read objects: .*role\/auditor.* if IpAddress/);
  });

  test('another principal, a condition less, a network more or another action is a grant', () => {
    const other = { AWS: 'arn:aws:iam::111122223333:user/eve' };
    const more = {
      IpAddress: { 'aws:SourceIp': [...NETWORK.IpAddress['aws:SourceIp'], '203.0.113.0/24'] },
    };
    for (const statement of [
      limited(other),
      reads(AUDITOR),
      limited(AUDITOR, more),
      reads(AUDITOR, { Condition: NETWORK, Action: ['s3:GetObject', 's3:PutObject'] }),
      reads(AUDITOR, { Condition: NETWORK, Action: ['s3:GetObject', 's3:GetObjectTagging'] }),
    ]) {
      assert.deepEqual(codes(policy(statement)), ['policy_grant'], JSON.stringify(statement));
    }
  });

  test('a network less, a condition more or a smaller part is a note', () => {
    const less = { IpAddress: { 'aws:SourceIp': '192.0.2.0/24' } };
    for (const now of [
      policy(limited(AUDITOR, less)),
      policy(limited(AUDITOR, { ...NETWORK, Bool: { 'aws:SecureTransport': 'true' } })),
      policy(reads(AUDITOR, { Condition: NETWORK, Resource: `${OBJECTS}.avro` })),
      policy(),
      policy(limited(AUDITOR), { ...reads('*'), Sid: 'More', Effect: 'Deny' }),
      policy(limited(AUDITOR), reads('*', { Resource: 'arn:aws:s3:::archive/public/*' })),
    ]) {
      const { findings, notes } = found({ policy: now });
      assert.deepEqual(findings, [], JSON.stringify(now));
      assert.match(notes[0]!.text, /allows no more than recorded: statements/);
    }
  });

  test('a Deny that is gone, exempts somebody or has a condition is told, right by right', () => {
    const [deletes, bucket, tls] = ourStatements('archive', true);
    const of = (...Statement: object[]) => set(canonicalPolicy(JSON.stringify({ Statement })));
    const keep = limited(AUDITOR);
    const without = found({ policy: of(bucket!, tls!, keep) }).findings;
    assert.deepEqual(
      without.map(({ code, expected }) => `${code}: ${/s3:\w+/.exec(expected)?.[0]}`),
      [
        'policy_denial: s3:DeleteObject',
        'policy_denial: s3:DeleteObjectVersion',
        'policy_denial: s3:BypassGovernanceRetention',
      ],
    );
    assert.match(
      without[0]!.found,
      /who is denied to delete objects: everyone: s3:DeleteObject .*securetransport false/,
    );
    const { Principal: _, ...rest } = deletes!;
    const exempt = { ...rest, NotPrincipal: AUDITOR };
    assert.equal(codes(of(exempt, bucket!, tls!, keep)).length, 3);
    const limit = { ...deletes, Condition: NETWORK };
    assert.equal(codes(of(limit, bucket!, tls!, keep)).length, 3);
    assert.ok(codes(absent as never).every((code) => code === 'policy_denial'));
  });

  test('values that must not be met: fewer of them are a grant, more a note', () => {
    const but = (...vpcs: string[]): Told<string> =>
      policy(limited(AUDITOR, { StringNotEquals: { 'aws:SourceVpc': vpcs } }));
    const before = { policy: but('vpc-1', 'vpc-2') };
    const codesOf = (...vpcs: string[]) => found({ policy: but(...vpcs) }, before).findings;
    assert.deepEqual(
      codesOf('vpc-1').map(({ code }) => code),
      ['policy_grant'],
    );
    assert.deepEqual(codesOf('vpc-1', 'vpc-2', 'vpc-3'), []);
  });

  test('a Deny to an account is lost where one of its users is spared', () => {
    const denies = (who: object): Told<string> => {
      const { Principal: _, ...rest } = reads('*', { Sid: 'Denies', Effect: 'Deny' }) as {
        Principal: unknown;
      };
      return policy({ ...rest, ...who });
    };
    const before = { policy: denies({ Principal: { AWS: '111122223333' } }) };
    const codesOf = (who: object) =>
      found({ policy: denies(who) }, before).findings.map(({ code }) => code);
    assert.deepEqual(codesOf({ NotPrincipal: AUDITOR }), ['policy_denial']);
    assert.deepEqual(codesOf({ NotPrincipal: { AWS: '444455556666' } }), []);
    assert.deepEqual(codesOf({ Principal: '*' }), []);
  });

  test('that cannot be judged is not fine', () => {
    const { findings } = found({ policy: set('{"Statement":[{"Effect":"Maybe"}]}') });
    assert.deepEqual(
      findings.map(({ code }) => code),
      ['policy_unreadable'],
    );
    assert.equal(postureExitCode(findings), 2);
  });
});

describe('what cannot be told', () => {
  for (const item of POSTURE_ITEMS) {
    test(`${item}: readable once, and not now, is never fine`, () => {
      const { findings } = found({ [item]: unknown('denied') });
      assert.deepEqual(
        findings.map(({ code, item: told }) => [code, told]),
        [['unreadable', item]],
      );
      assert.equal(classOfPosture('unreadable'), 'incomplete');
      // A store that had it cannot have stopped having it.
      assert.equal(found({ [item]: unknown('not_offered') }).findings[0]?.code, 'unreadable');
    });
  }

  test('what the store never had is a note, what the credential never saw is a finding', () => {
    const never = { ownership: unknown('not_offered') };
    const { findings, notes } = found(never, never);
    assert.deepEqual(findings, []);
    assert.match(notes[0]!.text, /cannot be checked here: not_offered, as recorded/);
    const hidden = { ownership: unknown('denied') };
    assert.equal(found(hidden, hidden).findings[0]?.code, 'unreadable');
    assert.equal(found({ ownership: absent }, hidden).findings[0]?.code, 'unrecorded');
  });
});

describe('rights', () => {
  const before: TriedRights = [
    ['s3:DeleteObject', 'denied'],
    ['s3:PutBucketPolicy', 'denied'],
    ['s3:PutObjectRetention', 'held'],
  ];
  const compared = (right: string, state: TriedRights[number][1]) =>
    compareRights(before, [[right, state]]);

  test('held now is a finding, denied now a note, no answer incomplete', () => {
    assert.deepEqual(compared('s3:PutBucketPolicy', 'held').findings, [
      {
        code: 'right',
        item: 'rights',
        expected: 's3:PutBucketPolicy denied',
        found: 's3:PutBucketPolicy held',
      },
    ]);
    assert.equal(compared('s3:PutBucketVersioning', 'held').findings[0]?.code, 'right');
    assert.equal(compared('s3:PutBucketPolicy', 'unknown').findings[0]?.code, 'unreadable');
    assert.deepEqual(compared('s3:PutObjectRetention', 'held').findings, []);
    assert.match(compared('s3:PutObjectRetention', 'denied').notes[0]!.text, /is denied now/);
  });

  test('what was not tried is said', () => {
    assert.match(compared('s3:PutBucketPolicy', 'denied').notes[0]!.text, /^s3:DeleteObject, /);
    assert.equal(compareRights(before, null).notes[0]!.text, 'not tried');
  });
});
