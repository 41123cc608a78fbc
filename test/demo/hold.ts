/** A legal hold on the segments of an alert: set by whoever may do that alone, and refused to be lifted. */
import {
  DeleteObjectCommand,
  GetObjectLegalHoldCommand,
  PutObjectLegalHoldCommand,
} from '@aws-sdk/client-s3';
import { envName } from '../../services/runtime/config-keys.ts';
import { assumeRole } from '../stack/session.ts';
import type { Stack } from '../stack/stack.ts';
import type { DemoAlert } from './alerts.ts';
import { runLakeseal } from './pipeline.ts';
import type { Story } from './story.ts';
import { onlyVersion, tryAttempt } from './tamper.ts';

const CASE = 'CASE-7';

/** What `hold` needs, as the README lists it. */
function holderPolicy(bucket: string): object {
  const arn = `arn:aws:s3:::${bucket}`;
  const objects = ['GetObject', 'GetObjectVersion', 'GetObjectLegalHold', 'PutObjectLegalHold'];
  const allow = (actions: string[], resource: string) => ({
    Effect: 'Allow',
    Action: actions.map((action) => `s3:${action}`),
    Resource: [resource],
  });
  return {
    Version: '2012-10-17',
    Statement: [
      allow(objects, `${arn}/*`),
      allow(['PutObject'], `${arn}/evidence/holds/*`),
      allow(['ListBucket', 'ListBucketVersions'], arn),
    ],
  };
}

export async function holdCase(
  story: Story,
  stack: Stack,
  env: Record<string, string>,
  alert: DemoAlert,
): Promise<void> {
  const bucket = env.LAKESEAL_STORAGE_BUCKET!;
  const session = await assumeRole(stack.s3, holderPolicy(bucket));
  const holder = { ...env };
  for (const [name, value] of Object.entries(session)) holder[envName(`holds.${name}`)] = value;
  const tell = (line: string): void => story.line(`  ${line}`);

  const partitions = [...new Set(alert.evidence.map(({ partition }) => String(partition)))];
  const chosen = partitions.flatMap((partition) => ['--partition', partition]);
  const topic = ['--topic', alert.evidence[0]!.topic];
  const range = ['--to', alert.time, ...topic, ...chosen];
  const reason = ['--reason', alert.rule.title];
  let plan = '';
  await runLakeseal(
    ['hold', 'add', CASE, ...range, ...reason, '--dry-run', '--json'],
    holder,
    (line) => {
      plan += line;
    },
  );
  const added = await runLakeseal(['hold', 'add', CASE, ...range, ...reason], holder, tell);
  const listed = await runLakeseal(['hold', 'list'], holder, tell);
  story.check('the segments of the alert are held, as the signed log says', added + listed === 0);

  const { segments } = JSON.parse(plan) as { segments: Array<{ segmentKey: string }> };
  await tryToLift(story, stack, bucket, segments[0]!.segmentKey);
}

async function tryToLift(story: Story, stack: Stack, Bucket: string, Key: string): Promise<void> {
  const root = stack.rootS3();
  const archiver = stack.archiverS3();
  try {
    const version = { Bucket, Key, VersionId: await onlyVersion(root, Bucket, Key) };
    story.line(`  ${Key}`);
    await tryAttempt(story, {
      what: 'lift the hold, as the archiver',
      run: () =>
        archiver.send(new PutObjectLegalHoldCommand({ ...version, LegalHold: { Status: 'OFF' } })),
    });
    await tryAttempt(story, {
      what: 'delete a held segment, as administrator, with the right to bypass governance',
      run: () =>
        root.send(new DeleteObjectCommand({ ...version, BypassGovernanceRetention: true })),
    });
    story.line(
      '    (its retention refuses that today, too; the hold refuses it when that has ended)',
    );
    const { LegalHold } = await root.send(new GetObjectLegalHoldCommand(version));
    story.check('the store holds it still', LegalHold?.Status === 'ON');
  } finally {
    root.destroy();
    archiver.destroy();
  }
}
