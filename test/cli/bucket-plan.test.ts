import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  decideEncryption,
  decidePolicy,
  decideRetention,
  ourStatements,
  type Policy,
  type Retention,
} from '../../services/cli/bucket-plan.ts';

const retention = fc.record({
  mode: fc.constantFrom<Retention['mode']>('COMPLIANCE', 'GOVERNANCE'),
  days: fc.integer({ min: 1, max: 5 }),
});

describe('default retention', () => {
  test('is never weakened, always at least what is wanted, and left alone the second time', () => {
    fc.assert(
      fc.property(fc.option(retention), retention, (found, wanted) => {
        const decision = decideRetention(found, wanted);
        const result = ['make', 'change'].includes(decision.step) ? decision.retention : found!;
        for (const floor of [found ?? wanted, wanted]) {
          assert.ok(result.days >= floor.days);
          assert.ok(result.mode === 'COMPLIANCE' || floor.mode === 'GOVERNANCE');
        }
        const { step } = decideRetention(result, wanted);
        assert.ok(step === 'found' || step === 'differs', step);
      }),
    );
  });

  test('says what is there where that is stricter', () => {
    const decision = decideRetention(
      { mode: 'COMPLIANCE', days: 730 },
      { mode: 'COMPLIANCE', days: 365 },
    );
    assert.equal(decision.step, 'differs');
    assert.match(decision.detail, /730 days, stricter than the configured COMPLIANCE, 365 days/);
  });
});

describe('default encryption', () => {
  const kms = { algorithm: 'aws:kms', keyId: undefined };
  test('made, changed, found', () => {
    assert.equal(decideEncryption(null, kms).step, 'make');
    assert.equal(decideEncryption({ algorithm: 'AES256', keyId: undefined }, kms).step, 'change');
    assert.equal(decideEncryption({ algorithm: 'aws:kms', keyId: 'a' }, kms).step, 'found');
    const other = decideEncryption(
      { algorithm: 'aws:kms', keyId: 'a' },
      { algorithm: 'aws:kms', keyId: 'b' },
    );
    assert.equal(other.step, 'change');
    assert.equal(decideEncryption({ algorithm: 'AES256', keyId: undefined }, null).step, 'found');
  });
});

describe('bucket policy', () => {
  const wanted = ourStatements('archive', true);

  /** As MinIO hands it back: lists sorted, "*" spelled out, single values as lists. */
  const asStored = (policy: Policy): Policy => ({
    Statement: [policy.Statement ?? []].flat().map((statement) => ({
      ...statement,
      Principal: { AWS: ['*'] },
      Action: [statement.Action].flat().toReversed(),
      ...(statement.Condition ? { Condition: { Bool: { 'aws:SecureTransport': ['false'] } } } : {}),
    })),
    Version: '2012-10-17',
  });

  test('made once, then found, also in the words of the store', () => {
    const made = decidePolicy(null, wanted);
    assert.equal(made.step, 'make');
    assert.equal(decidePolicy(made.policy, wanted).step, 'found');
    assert.equal(decidePolicy(asStored(made.policy), wanted).step, 'found');
  });

  test('statements of others stay', () => {
    const theirs = {
      Sid: 'Audit',
      Effect: 'Allow',
      Principal: { AWS: 'arn:x' },
      Action: 's3:GetObject',
    };
    const made = decidePolicy({ Version: '2012-10-17', Statement: theirs }, wanted);
    assert.equal(made.step, 'make');
    assert.deepEqual([made.policy.Statement].flat()[0], theirs);
    assert.equal(decidePolicy(made.policy, wanted).step, 'found');
  });

  test('one of ours that somebody weakened is put right', () => {
    const { policy } = decidePolicy(null, wanted);
    const [first, ...rest] = [policy.Statement ?? []].flat();
    const weakened = { ...first, Action: ['s3:DeleteObject'] };
    const mended = decidePolicy({ ...policy, Statement: [weakened, ...rest] }, wanted);
    assert.equal(mended.step, 'change');
    assert.equal(decidePolicy(mended.policy, wanted).step, 'found');
    const removed = decidePolicy({ ...policy, Statement: rest }, wanted);
    assert.equal(removed.step, 'change');
    assert.equal(decidePolicy(policy, ourStatements('archive', false)).step, 'change');
  });

  test('denies deletion to everyone, and nobody the reading or the policy itself', () => {
    const statements = ourStatements('archive', false);
    assert.ok(statements.every(({ Effect, Principal }) => Effect === 'Deny' && Principal === '*'));
    const actions = statements.flatMap(({ Action }) => Action as string[]);
    for (const action of [
      's3:DeleteObject',
      's3:DeleteObjectVersion',
      's3:BypassGovernanceRetention',
    ]) {
      assert.ok(actions.includes(action), action);
    }
    assert.ok(
      actions.every((action) => /^s3:(Delete|Bypass)/.test(action)),
      actions.join(),
    );
    assert.ok(!actions.includes('s3:DeleteBucketPolicy'));
  });
});
