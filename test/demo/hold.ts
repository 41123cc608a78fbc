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
import type { ArchiveView } from './archive.ts';
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
  archive: ArchiveView,
  alert: DemoAlert,
): Promise<void> {
  const bucket = env.LAKESEAL_STORAGE_BUCKET!;
  const session = await assumeRole(stack.s3, holderPolicy(bucket));
  const holder = { ...env };
  for (const [name, value] of Object.entries(session)) holder[envName(`holds.${name}`)] = value;
  const tell = (line: string): void => story.line(`  ${line}`);

  const { actor, evidence, rule, time } = alert;
  const who = actor.includes('@') ? ['--filter', `actor.email=${actor}`] : [];
  const partitions = new Set(evidence.map(({ partition }) => String(partition)));
  const where = [...partitions].flatMap((partition) => ['--partition', partition]);
  const asked = [
    '--reason',
    rule.title,
    '--topic',
    evidence[0]!.topic,
    ...where,
    '--to',
    time,
    ...who,
  ];
  const add = ['hold', 'add', CASE, ...asked];
  story.line(`  lakeseal hold add ${CASE} ${asked.slice(2).join(' ')}`);
  let plan = '';
  await runLakeseal([...add, '--dry-run', '--json'], holder, (line) => {
    plan += line;
  });
  const { segments } = JSON.parse(plan) as { segments: Array<{ segmentKey: string }> };
  const added = await runLakeseal(add, holder, tell);
  const listed = await runLakeseal(['hold', 'list'], holder, tell);
  const counted = evidence.map((record) => segmentOf(archive, record));
  const all = counted.every((key) => segments.some(({ segmentKey }) => segmentKey === key));
  story.check(
    'what the alert counted is held, as the signed log says',
    all && added + listed === 0,
  );
  await tryToLift(story, stack, bucket, counted[0]!);
}

/** Keys are in order of partition and offset. */
function segmentOf(
  { keys }: ArchiveView,
  { partition, offset }: DemoAlert['evidence'][number],
): string {
  const place = (key: string): number[] =>
    key
      .split('/')
      .slice(-2)
      .map((part) => Number.parseInt(part, 10));
  return keys.findLast((key) => {
    const [of, first] = place(key);
    return of === partition && first! <= offset;
  })!;
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
