/** The demo's attacker: every right the store gives, against one sealed segment. */
import { createHash } from 'node:crypto';
import {
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { Stack } from '../stack/stack.ts';
import { type ArchiveView, getBytes } from './archive.ts';
import type { Story } from './story.ts';

export interface Attempt {
  what: string;
  run(): Promise<unknown>;
}

/** Every way of changing one sealed version, as the archiver and as the store's administrator. */
export async function tamper(
  story: Story,
  stack: Stack,
  env: Record<string, string>,
  archive: ArchiveView,
): Promise<void> {
  const bucket = env.LAKESEAL_STORAGE_BUCKET!;
  const key = archive.keys[0]!;
  const root = stack.rootS3();
  const archiver = stack.archiverS3();
  try {
    const versionId = await onlyVersion(root, bucket, key);
    const before = sha256(await getBytes(root, bucket, key, versionId));
    const where = { Bucket: bucket, Key: key };
    const attempts: Attempt[] = [
      {
        what: 'delete it, as the archiver',
        run: () => archiver.send(new DeleteObjectCommand({ ...where, VersionId: versionId })),
      },
      {
        what: 'delete it, as administrator, with the right to bypass governance',
        run: () =>
          root.send(
            new DeleteObjectCommand({
              ...where,
              VersionId: versionId,
              BypassGovernanceRetention: true,
            }),
          ),
      },
      {
        what: 'overwrite it with a conditional write, as lakeseal writes',
        run: () =>
          root.send(
            new PutObjectCommand({
              ...where,
              Body: 'forged',
              IfNoneMatch: '*',
              ChecksumAlgorithm: 'SHA256',
            }),
          ),
      },
      {
        what: 'shorten its retention to ten seconds, as administrator',
        run: () =>
          root.send(
            new PutObjectRetentionCommand({
              ...where,
              VersionId: versionId,
              BypassGovernanceRetention: true,
              Retention: { Mode: 'COMPLIANCE', RetainUntilDate: new Date(Date.now() + 10_000) },
            }),
          ),
      },
    ];
    for (const attempt of attempts) await tryAttempt(story, attempt);
    const after = sha256(await getBytes(root, bucket, key, versionId));
    story.line(`  SHA-256 before ${before}`);
    story.line(`  SHA-256 after  ${after}`);
    story.check('the sealed segment is unchanged', before === after);
  } finally {
    root.destroy();
    archiver.destroy();
  }
}

/**
 * What no lock prevents: a delete marker over a sealed segment, and a forgery over that. A plain read
 * now gives the forgery.
 */
export async function forge(
  stack: Stack,
  env: Record<string, string>,
  archive: ArchiveView,
): Promise<string> {
  const where = { Bucket: env.LAKESEAL_STORAGE_BUCKET!, Key: archive.keys[0]! };
  const root = stack.rootS3();
  try {
    await root.send(new DeleteObjectCommand(where));
    const body = { Body: 'forged', ChecksumAlgorithm: 'SHA256' } as const;
    await root.send(new PutObjectCommand({ ...where, ...body }));
  } finally {
    root.destroy();
  }
  return where.Key;
}

/** Id of the version that is there. */
export async function onlyVersion(client: S3Client, bucket: string, key: string): Promise<string> {
  const command = new ListObjectVersionsCommand({ Bucket: bucket, Prefix: key });
  const versionId = (await client.send(command)).Versions?.[0]?.VersionId;
  if (versionId === undefined) throw new Error(`no version of ${key}`);
  return versionId;
}

/** Says what the store answered, and makes a check of it: it must refuse. */
export async function tryAttempt(story: Story, { what, run }: Attempt): Promise<void> {
  try {
    await run();
    story.line(`  ${what}: the store let it happen`);
    story.check(`refused: ${what}`, false);
  } catch (error) {
    const { name, message, $metadata } = error as Error & {
      $metadata?: { httpStatusCode?: number };
    };
    const status = $metadata?.httpStatusCode;
    story.line(`  ${what}:`);
    story.line(`    refused, ${status ?? 'no answer'} ${name}: ${message}`);
    story.check(`refused: ${what}`, status !== undefined && status >= 400 && status < 500);
  }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
