/** What `posture` says to a person. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ourStatements } from '../../services/cli/bucket-plan.ts';
import { tellPosture } from '../../services/cli/posture.ts';
import type { PostureVerdict } from '../../services/posture/judge.ts';
import { readPolicy } from '../../services/posture/policy-document.ts';
import { toldPowers } from '../../services/posture/policy-judge.ts';
import { POSTURE } from '../posture/a-posture.ts';
import { createScreen } from './screen.ts';

const TARGET = { bucket: 'archive', prefix: '' };
const reader = {
  Sid: 'Auditor',
  Effect: 'Allow',
  Principal: { AWS: 'arn:aws:iam::111122223333:role/auditor' },
  Action: 's3:GetObjectVersion',
  Resource: 'arn:aws:s3:::archive/*',
};

function told(verdict: Partial<PostureVerdict>): string {
  const read = readPolicy(
    JSON.stringify({ Statement: [...ourStatements('archive', true), reader] }),
  );
  assert.ok('statements' in read);
  const screen = createScreen();
  tellPosture(screen, 's3://archive/', {
    baseline: {
      sequence: 2,
      time: '2026-11-28T07:20:00Z',
      bucket: 'archive',
      approvedBy: 'ada@example.com',
      reason: 'retention \u001b[31mraised',
      posture: POSTURE,
      rights: [],
    },
    posture: POSTURE,
    powers: toldPowers(read.statements, TARGET),
    findings: [],
    notes: [{ item: 'rights', text: 'not tried' }],
    exitCode: 0,
    ...verdict,
  });
  return screen.output();
}

test('as recorded: who may do what, what was not read, and what cannot be known', () => {
  assert.equal(
    told({}),
    `s3://archive/, what protects it against its signed baseline

baseline 2 of 2026-11-28T07:20:00Z: retention \\u001b[31mraised, approved by ada@example.com

note: rights: not tried

denied to everyone by the policy: delete objects, delete versions, delete the bucket, bypass governance retention
allowed by the policy:
  read objects: arn:aws:iam::111122223333:role/auditor: s3:GetObjectVersion on arn:aws:s3:::archive/* (statement Auditor)

11 of 12 settings could be read.
AS RECORDED: nothing protects the archive less than the baseline says.
What this cannot know: rights that the store gives by policies of its users and roles, but for
those of the archiver that were tried; and whether the keys of its encryption still exist.
`,
  );
});

test('widened: each finding with its difference, and how to say that it was meant', () => {
  const found = told({
    findings: [{ code: 'versioning', item: 'versioning', expected: 'Enabled', found: 'off' }],
    notes: [],
    powers: null,
    exitCode: 1,
  });
  assert.match(
    found,
    /^widened: versioning: versioning\n {2}versions are not kept.*\n {2}expected {2}Enabled\n {2}found {5}off$/m,
  );
  assert.match(found, /^WIDENED: .*\nIf a change was intended: lakeseal preflight --record-base/m);
});
