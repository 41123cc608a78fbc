/**
 * The posture of a real bucket: recorded by `preflight`, widened by its administrator in each way
 * that MinIO allows, found by `posture`, and recovered.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  DeleteBucketLifecycleCommand,
  DeleteBucketPolicyCommand,
  GetBucketPolicyCommand,
  GetBucketPolicyStatusCommand,
  ListObjectVersionsCommand,
  PutBucketEncryptionCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { Check } from '../../services/cli/checks.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { runSetup } from '../../services/cli/setup.ts';
import type { PostureFinding } from '../../services/posture/findings.ts';
import type { PostureVerdict } from '../../services/posture/judge.ts';
import { silentLog } from '../../services/runtime/log.ts';
import { createInstallation, type Installation, NO_ADMINISTRATOR } from '../cli/installation.ts';
import { createScreen } from '../cli/screen.ts';
import type { Setting } from '../stack/environment.ts';
import { setDefaultRetention } from '../stack/stack.ts';
import { useStack } from '../stack/use.ts';

const stack = await useStack();
const DAYS = 2;
const folder = mkdtempSync(join(tmpdir(), 'lakeseal-posture-'));
const keyFile = join(folder, 'signing.key');

let installation: Installation;
let admin: S3Client;
let Bucket: string;

before(async () => {
  installation = createInstallation(stack, 'posture');
  admin = stack.rootS3();
  Bucket = installation.config().storage.bucket;
  await runSetup(installation.config({ 'archive.retentionDays': DAYS }), silentLog, false);
  const made = await runCommandLine(
    ['keys', 'new', '--name', 'audit.example.com', '--out', keyFile],
    createScreen(),
  );
  assert.equal(made, 0);
});

after(async () => {
  admin?.destroy();
  await installation?.close();
  rmSync(folder, { recursive: true });
});

async function run(args: string[], overrides: Record<string, Setting> = {}) {
  const settings = { 'archive.retentionDays': DAYS, 'evidence.keyFile': keyFile, ...overrides };
  const screen = createScreen(installation.env(settings));
  const code = await runCommandLine(args, screen);
  return { code, output: screen.output(), errors: screen.errors() };
}

async function posture(overrides: Record<string, Setting> = {}) {
  const { code, output, errors } = await run(['posture', '--json'], overrides);
  assert.equal(errors, '');
  const verdict = JSON.parse(output) as PostureVerdict;
  assert.equal(verdict.exitCode, code);
  return verdict;
}

async function record(reason: string): Promise<Check> {
  const args = ['preflight', '--record-baseline', '--reason', reason, '--json'];
  const { output } = await run(args);
  const { checks } = JSON.parse(output) as { checks: Check[] };
  return checks.at(-1)!;
}

const codes = ({ findings }: { findings: PostureFinding[] }): string[] => [
  ...new Set(findings.map(({ code }) => code)),
];

const lock = (days: number) => setDefaultRetention(admin, Bucket, { mode: 'COMPLIANCE', days });

const encrypt = (SSEAlgorithm: 'AES256' | 'aws:kms') =>
  admin.send(
    new PutBucketEncryptionCommand({
      Bucket,
      ServerSideEncryptionConfiguration: {
        Rules: [
          {
            ApplyServerSideEncryptionByDefault:
              SSEAlgorithm === 'AES256'
                ? { SSEAlgorithm }
                : { SSEAlgorithm, KMSMasterKeyID: stack.s3.kmsKeyId },
          },
        ],
      },
    }),
  );

const setPolicy = (Policy: string) => admin.send(new PutBucketPolicyCommand({ Bucket, Policy }));

describe('the posture of a bucket', () => {
  test('without a baseline nothing is fine', async () => {
    const verdict = await posture();
    assert.deepEqual([codes(verdict), verdict.exitCode], [['baseline_missing'], 2]);
  });

  test('a baseline is signed by preflight, and then the bucket is as recorded', async () => {
    const recorded = await record('bucket made');
    assert.equal(recorded.check, 'baseline is recorded');
    assert.equal(recorded.outcome, 'ok', recorded.detail);
    assert.match(
      recorded.detail,
      /without publicAccessBlock, ownership; signed: evidence\/baseline/,
    );
    const verdict = await posture();
    assert.deepEqual(verdict.findings, []);
    assert.equal(verdict.exitCode, 0);
    // What MinIO does not have is never passed over.
    assert.deepEqual(
      verdict.notes.map(({ item }) => item),
      ['publicAccessBlock', 'ownership', 'rights'],
    );
    const text = await run(['posture']);
    assert.match(text.output, /AS RECORDED/);
    assert.match(text.output, /note: ownership: cannot be checked here: /);
  });

  test('each widening is found with its difference, and is gone when undone', async () => {
    const { Policy: original } = await admin.send(new GetBucketPolicyCommand({ Bucket }));
    const policy = JSON.parse(original!) as { Statement: Array<{ Sid: string }> };
    const withPolicy = (...more: object[]): string =>
      JSON.stringify({ ...policy, Statement: [...policy.Statement, ...more] });
    const Resource = [`arn:aws:s3:::${Bucket}/*`];
    const restore = () => setPolicy(original!);
    type Widening = [name: string, codes: string[], there: RegExp, () => unknown, () => unknown];
    const widenings: Widening[] = [
      [
        'a public policy',
        ['policy_public', 'policy_grant'],
        /public: everyone: s3:GetObject on /,
        async () => {
          const open = { Effect: 'Allow', Principal: '*', Action: ['s3:GetObject'], Resource };
          await setPolicy(withPolicy({ Sid: 'Open', ...open }));
          const told = await admin.send(new GetBucketPolicyStatusCommand({ Bucket }));
          assert.equal(told.PolicyStatus?.IsPublic, false, 'MinIO tells the truth now');
        },
        restore,
      ],
      [
        'another user may delete versions',
        ['policy_grant', 'policy_denial'],
        /user\/eve: s3:DeleteObjectVersion/,
        () =>
          setPolicy(
            JSON.stringify({
              ...policy,
              Statement: [
                ...policy.Statement.filter(({ Sid }) => Sid !== 'LakesealDenyDelete'),
                {
                  Sid: 'Eve',
                  Effect: 'Allow',
                  Principal: { AWS: ['arn:aws:iam::111122223333:user/eve'] },
                  Action: ['s3:DeleteObjectVersion'],
                  Resource,
                },
              ],
            }),
          ),
        restore,
      ],
      [
        'no policy',
        ['policy_denial'],
        /who is denied to delete versions: nobody/,
        () => admin.send(new DeleteBucketPolicyCommand({ Bucket })),
        restore,
      ],
      [
        'a shorter default retention',
        ['default_retention'],
        /^COMPLIANCE, 1 day$/,
        () => lock(1),
        () => lock(DAYS),
      ],
      [
        'a rule that deletes',
        ['lifecycle'],
        /"Expiration":\{"Days":1\}/,
        () =>
          admin.send(
            new PutBucketLifecycleConfigurationCommand({
              Bucket,
              LifecycleConfiguration: {
                Rules: [
                  {
                    ID: 'gone',
                    Status: 'Enabled',
                    Filter: { Prefix: '' },
                    Expiration: { Days: 1 },
                  },
                ],
              },
            }),
          ),
        () => admin.send(new DeleteBucketLifecycleCommand({ Bucket })),
      ],
      [
        'weaker encryption',
        ['encryption'],
        /^AES256/,
        () => encrypt('AES256'),
        () => encrypt('aws:kms'),
      ],
    ];
    for (const [name, expected, there, widen, undo] of widenings) {
      await widen();
      const verdict = await posture();
      assert.deepEqual(codes(verdict), expected, name);
      assert.equal(verdict.exitCode, 1, name);
      assert.ok(
        verdict.findings.some(({ found }) => there.test(found)),
        `${name}: ${JSON.stringify(verdict.findings)}`,
      );
      await undo();
      assert.deepEqual((await posture()).findings, [], `${name}, undone`);
    }
  });

  test('versioning cannot be suspended in a locked bucket', async () => {
    const VersioningConfiguration = { Status: 'Suspended' } as const;
    await assert.rejects(
      admin.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration })),
    );
  });

  test('who may not see the settings is told so, and never that they are fine', async () => {
    const verdict = await posture(NO_ADMINISTRATOR);
    assert.equal(verdict.exitCode, 2);
    assert.deepEqual(codes(verdict), ['unreadable']);
    assert.ok(verdict.findings.length >= 8, JSON.stringify(verdict.findings));
    assert.match(verdict.findings[0]!.found, /cannot be checked here: AccessDenied \(status 403\)/);
  });

  test('an archiver with more rights is found by trying, which leaves nothing behind', async () => {
    const listed = async (): Promise<number> => {
      const page = await admin.send(new ListObjectVersionsCommand({ Bucket }));
      return (page.Versions ?? []).length + (page.DeleteMarkers ?? []).length;
    };
    const before = await listed();
    const verdict = await posture({
      'storage.accessKeyId': stack.s3.root.accessKeyId,
      'storage.secretAccessKey': stack.s3.root.secretAccessKey,
    });
    assert.deepEqual(codes(verdict), ['right']);
    assert.equal(verdict.findings.length, 7);
    assert.equal(await listed(), before);
    assert.deepEqual((await posture()).findings, []);
  });

  test('an intended change is recorded anew; the keys and the archive still verify', async () => {
    await lock(DAYS + 1);
    const { notes, exitCode } = await posture();
    assert.equal(exitCode, 0);
    assert.ok(notes.some(({ text }) => text.includes('COMPLIANCE, 2 days → COMPLIANCE, 3 days')));
    assert.match((await record('three days')).detail, /^baseline 1 /);
    await lock(DAYS);
    assert.deepEqual(codes(await posture()), ['default_retention']);
    const verified = await run(['verify', '--json']);
    assert.equal(verified.code, 0, verified.output);
  });

  test('another key than the trusted one, and a store that does not answer, could not run', async () => {
    const other = join(folder, 'other.key');
    await runCommandLine(
      ['keys', 'new', '--name', 'audit.example.com', '--out', other],
      createScreen(),
    );
    const wrong = await run(['posture'], { 'evidence.keyFile': other });
    assert.equal(wrong.code, 3);
    assert.match(wrong.errors, /DOES_NOT_VERIFY/);
    const silent = await run(['posture'], { 'setup.secretAccessKey': 'wrong' });
    assert.equal(silent.code, 3);
    assert.match(silent.errors, /S3_CREDENTIALS/);
  });
});
