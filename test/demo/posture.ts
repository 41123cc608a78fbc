/** What protects the bucket: signed, made less by its administrator, found, and put back. */
import { GetBucketPolicyCommand, PutBucketPolicyCommand } from '@aws-sdk/client-s3';
import type { Check } from '../../services/cli/checks.ts';
import type { PostureVerdict } from '../../services/posture/judge.ts';
import type { Stack } from '../stack/stack.ts';
import { runLakeseal } from './pipeline.ts';
import type { Story } from './story.ts';

/** Exit code of `posture` where something protects the bucket less than recorded. */
const WIDENED = 1;

/** @param administrator environment of whoever looks after the bucket. */
export async function showPosture(
  story: Story,
  stack: Stack,
  administrator: Record<string, string>,
  publicKey: string,
): Promise<void> {
  story.check(
    'preflight finds nothing amiss, and signs the baseline',
    await record(story, administrator),
  );
  const Bucket = administrator.LAKESEAL_STORAGE_BUCKET!;
  const arn = `arn:aws:s3:::${Bucket}/*`;
  const root = stack.rootS3();
  let after: PostureVerdict;
  try {
    const { Policy } = await root.send(new GetBucketPolicyCommand({ Bucket }));
    const policy = JSON.parse(Policy!) as { Statement: object[] };
    const open = {
      Effect: 'Allow',
      Principal: '*',
      Action: ['s3:GetObject'],
      Resource: [arn],
    };
    const opened = JSON.stringify({ ...policy, Statement: [...policy.Statement, open] });
    story.line('  the administrator lets everybody read the bucket');
    await root.send(new PutBucketPolicyCommand({ Bucket, Policy: opened }));
    after = await posture(administrator, publicKey);
    await root.send(new PutBucketPolicyCommand({ Bucket, Policy }));
  } finally {
    root.destroy();
  }
  for (const { code, item, expected, found } of after.findings) {
    story.line(`  ${code}: ${item}\n    recorded  ${expected}\n    found     ${found}`);
  }
  const named = after.findings.some(
    ({ code, found }) =>
      code === 'policy_public' && found.includes(`everyone: s3:GetObject on ${arn}`),
  );
  story.check(
    'a bucket opened to everybody is found and named',
    after.exitCode === WIDENED && named,
  );
  const undone = await posture(administrator, publicKey);
  story.line(`  put back: ${undone.findings.length} findings`);
  story.check('and is as recorded when that is undone', undone.exitCode === 0);
}

async function record(story: Story, administrator: Record<string, string>): Promise<boolean> {
  const words = ['--reason', 'bucket made by the demo', '--approved-by', 'demo@example.com'];
  const { code, output } = await run(['preflight', '--record-baseline', ...words], administrator);
  const { checks } = JSON.parse(output) as { checks: Check[] };
  for (const { outcome, part, check, detail } of checks) {
    const told = outcome !== 'ok' || part === 'anchors' || check === 'baseline is recorded';
    if (told) story.line(`  ${outcome} ${part}: ${check}: ${detail}`);
  }
  story.line(
    `  ${checks.filter(({ outcome }) => outcome === 'ok').length} of ${checks.length} checks ok`,
  );
  const recorded = checks.at(-1)?.check === 'baseline is recorded';
  return code === 0 && recorded && checks.every(({ outcome }) => outcome === 'ok');
}

async function posture(
  administrator: Record<string, string>,
  publicKey: string,
): Promise<PostureVerdict> {
  const { output } = await run(['posture', '--key', publicKey], administrator);
  return JSON.parse(output) as PostureVerdict;
}

async function run(
  args: string[],
  env: Record<string, string>,
): Promise<{ code: number; output: string }> {
  let output = '';
  const code = await runLakeseal([...args, '--json'], env, (line) => {
    output += line;
  });
  return { code, output };
}
