/**
 * Makes the bucket of the archive, or brings one that is there to what the archive needs, with the
 * administrator's credential (`setup.*`), which no service ever holds. Safe to run again and again.
 *
 * Object Lock has to be there from the start: a bucket without it is a failure, not something to
 * mend, because only some stores can add it later and none can for what is in the bucket already.
 */
import {
  CreateBucketCommand,
  type CreateBucketCommandInput,
  GetBucketEncryptionCommand,
  GetBucketPolicyCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  GetPublicAccessBlockCommand,
  HeadBucketCommand,
  PutBucketEncryptionCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectLockConfigurationCommand,
  PutPublicAccessBlockCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { retentionDays } from '../posture/read-posture.ts';
import type { Config } from '../runtime/config.ts';
import { errorNames, statusOf } from '../store/sdk-errors.ts';
import {
  decideEncryption,
  decidePolicy,
  decideRetention,
  type Encryption,
  ourStatements,
  type Policy,
  type Retention,
  wantedEncryption,
} from './bucket-plan.ts';
import { carryOut, type Decision, failedItem, type SetupItem } from './setup-items.ts';
import { type StoreLogin, storeClient, storeFailure } from './store-client.ts';

interface BucketContext {
  client: S3Client;
  config: Config;
  bucket: string;
  dryRun: boolean;
  fail: (doing: string, error: unknown) => Error;
}

export async function setUpBucket(config: Config, dryRun: boolean): Promise<SetupItem[]> {
  const login: StoreLogin = 'administrator';
  const client = storeClient(config, login);
  const { bucket } = config.storage;
  const fail = (doing: string, error: unknown): Error =>
    storeFailure(doing, error, config.storage, login);
  const context: BucketContext = { client, config, bucket, dryRun, fail };
  try {
    const made = await ensureBucket(context);
    // Nothing more can be asked of a bucket that is not there, or that will not do.
    if (made.outcome === 'failed') return [made];
    if (made.outcome === 'would make') return [made, ...wouldFollow(context)];
    const items = [made];
    for (const ensure of [
      ensureVersioning,
      ensureRetention,
      ensureEncryption,
      ensurePolicy,
      ensurePublicAccessBlock,
    ]) {
      items.push(await ensure(context));
    }
    return items;
  } finally {
    client.destroy();
  }
}

/** Asks one thing of the bucket; null where it is not set (the store says so with `none`). */
async function ask<Output>(
  { fail }: BucketContext,
  doing: string,
  none: RegExp,
  call: () => Promise<Output>,
): Promise<Output | null> {
  try {
    return await call();
  } catch (error) {
    if (errorNames(error).some((name) => none.test(name))) return null;
    throw fail(doing, error);
  }
}

async function item(
  { dryRun, fail }: BucketContext,
  name: string,
  look: () => Promise<{ decision: Decision; effect: () => Promise<unknown> }>,
): Promise<SetupItem> {
  try {
    const { decision, effect } = await look();
    return await carryOut('store', name, decision, dryRun, async () => {
      try {
        await effect();
      } catch (error) {
        throw fail(`set the ${name}`, error);
      }
    });
  } catch (error) {
    return failedItem('store', name, error);
  }
}

function ensureBucket(context: BucketContext): Promise<SetupItem> {
  const { client, bucket, config } = context;
  return item(context, `bucket ${bucket}`, async () => {
    const effect = (): Promise<unknown> =>
      client.send(new CreateBucketCommand(creation(bucket, config.storage)));
    const exists = await ask(context, 'look for the bucket', /^(NotFound|NoSuchBucket)$/, () =>
      client.send(new HeadBucketCommand({ Bucket: bucket })),
    );
    if (exists === null) return { decision: { step: 'make', detail: 'with Object Lock' }, effect };
    return { decision: await lockDecision(context), effect };
  });
}

function creation(bucket: string, storage: Config['storage']): CreateBucketCommandInput {
  const base: CreateBucketCommandInput = { Bucket: bucket, ObjectLockEnabledForBucket: true };
  // The oldest region is the one that must not be named.
  if (storage.region === 'us-east-1' || storage.endpoint !== undefined) return base;
  const LocationConstraint = storage.region as NonNullable<
    CreateBucketCommandInput['CreateBucketConfiguration']
  >['LocationConstraint'];
  return { ...base, CreateBucketConfiguration: { LocationConstraint } };
}

async function lockDecision(context: BucketContext): Promise<Decision> {
  const { client, bucket } = context;
  const lock = await ask(context, 'read the Object Lock configuration', NO_LOCK, () =>
    client.send(new GetObjectLockConfigurationCommand({ Bucket: bucket })),
  );
  if (lock?.ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled') {
    return { step: 'found', detail: 'with Object Lock' };
  }
  return {
    step: 'failed',
    detail: 'exists without Object Lock, so nothing in it could be sealed (BUCKET_NOT_LOCKED)',
    hint:
      'name a bucket that does not exist yet in storage.bucket (LAKESEAL_STORAGE_BUCKET); ' +
      'most stores cannot add Object Lock to a bucket that is there',
  };
}

const NO_LOCK = /^ObjectLockConfigurationNotFound/;

/** What a dry run says of the rest of a bucket that is not there yet. */
function wouldFollow({ config, bucket }: BucketContext): SetupItem[] {
  const encryption = wantedEncryption(config.archive);
  const { detail: retention } = decideRetention(null, wantedRetention(config.archive));
  const { detail: policy } = decidePolicy(null, ourStatements(bucket, config.setup.requireTls));
  const followers = [
    ['default retention', retention],
    ...(encryption === null
      ? []
      : [['default encryption', decideEncryption(null, encryption).detail]]),
    ['bucket policy', policy],
    ['public access block', 'where the store has one'],
  ];
  return followers.map(([name, detail]) => ({
    part: 'store',
    item: name!,
    outcome: 'would make',
    detail: detail!,
  }));
}

function ensureVersioning(context: BucketContext): Promise<SetupItem> {
  const { client, bucket } = context;
  return item(context, 'versioning', async () => {
    const found = await ask(context, 'read the versioning', NOTHING, () =>
      client.send(new GetBucketVersioningCommand({ Bucket: bucket })),
    );
    const enabled = found?.Status === 'Enabled';
    const from = found?.Status ?? 'off';
    return {
      decision: enabled
        ? { step: 'found', detail: 'enabled' }
        : { step: 'change', detail: `from ${from} to enabled` },
      effect: () =>
        client.send(
          new PutBucketVersioningCommand({
            Bucket: bucket,
            VersioningConfiguration: { Status: 'Enabled' },
          }),
        ),
    };
  });
}

/** Matches no error: the question always has an answer. */
const NOTHING = /$^/;

function wantedRetention(archive: Config['archive']): Retention {
  return { mode: archive.retentionMode, days: archive.retentionDays };
}

function ensureRetention(context: BucketContext): Promise<SetupItem> {
  const { client, bucket, config } = context;
  return item(context, 'default retention', async () => {
    const lock = await ask(context, 'read the default retention', NO_LOCK, () =>
      client.send(new GetObjectLockConfigurationCommand({ Bucket: bucket })),
    );
    const rule = lock?.ObjectLockConfiguration?.Rule?.DefaultRetention;
    const found = rule?.Mode === undefined ? null : { mode: rule.Mode, days: retentionDays(rule) };
    const { retention, ...decision } = decideRetention(found, wantedRetention(config.archive));
    const DefaultRetention = { Mode: retention.mode, Days: retention.days };
    return {
      decision,
      effect: () =>
        client.send(
          new PutObjectLockConfigurationCommand({
            Bucket: bucket,
            ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled', Rule: { DefaultRetention } },
          }),
        ),
    };
  });
}

function ensureEncryption(context: BucketContext): Promise<SetupItem> {
  const { client, bucket, config } = context;
  return item(context, 'default encryption', async () => {
    const found = await ask(
      context,
      'read the default encryption',
      /^ServerSideEncryptionConfigurationNotFound/,
      () => client.send(new GetBucketEncryptionCommand({ Bucket: bucket })),
    );
    const rule =
      found?.ServerSideEncryptionConfiguration?.Rules?.[0]?.ApplyServerSideEncryptionByDefault;
    const wanted = wantedEncryption(config.archive);
    const decision = decideEncryption(
      rule === undefined
        ? null
        : { algorithm: String(rule.SSEAlgorithm), keyId: rule.KMSMasterKeyID },
      wanted,
    );
    // A store of one's own has no default key to fall back on; AWS has one.
    if (isChange(decision) && needsKeyId(wanted, config.storage))
      return { decision: NO_KEY, effect };
    return { decision, effect };

    function effect(): Promise<unknown> {
      return client.send(
        new PutBucketEncryptionCommand({
          Bucket: bucket,
          ServerSideEncryptionConfiguration: { Rules: [encryptionRule(wanted!)] },
        }),
      );
    }
  });
}

function isChange({ step }: Decision): boolean {
  return step === 'make' || step === 'change';
}

function needsKeyId(wanted: Encryption | null, storage: Config['storage']): boolean {
  return (
    wanted?.algorithm === 'aws:kms' && wanted.keyId === undefined && storage.endpoint !== undefined
  );
}

const NO_KEY: Decision = {
  step: 'not offered',
  detail: 'a store with an endpoint of its own needs a key id; each segment still asks for SSE-KMS',
  hint: 'set archive.kmsKeyId (LAKESEAL_ARCHIVE_KMS_KEY_ID) to make it the default of the bucket',
};

function encryptionRule({ algorithm, keyId }: Encryption) {
  const KMSMasterKeyID = keyId === undefined ? {} : { KMSMasterKeyID: keyId };
  const SSEAlgorithm = algorithm as 'AES256' | 'aws:kms';
  return {
    ApplyServerSideEncryptionByDefault: { SSEAlgorithm, ...KMSMasterKeyID },
    // One data key of the bucket for many objects: fewer requests to the key service.
    ...(algorithm === 'aws:kms' ? { BucketKeyEnabled: true } : {}),
  };
}

function ensurePolicy(context: BucketContext): Promise<SetupItem> {
  const { client, bucket, config } = context;
  return item(context, 'bucket policy', async () => {
    const found = await ask(context, 'read the bucket policy', /^NoSuchBucketPolicy$/, () =>
      client.send(new GetBucketPolicyCommand({ Bucket: bucket })),
    );
    const before = found?.Policy ? (JSON.parse(found.Policy) as Policy) : null;
    const { policy, ...decision } = decidePolicy(
      before,
      ourStatements(bucket, config.setup.requireTls),
    );
    return {
      decision,
      effect: () =>
        client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy: JSON.stringify(policy) })),
    };
  });
}

const ALL_BLOCKED = {
  BlockPublicAcls: true,
  BlockPublicPolicy: true,
  IgnorePublicAcls: true,
  RestrictPublicBuckets: true,
};

const BLOCKS = Object.keys(ALL_BLOCKED) as Array<keyof typeof ALL_BLOCKED>;
const READ_BLOCK = 'read the public access block';

function ensurePublicAccessBlock(context: BucketContext): Promise<SetupItem> {
  const { client, bucket, config } = context;
  const effect = (): Promise<unknown> =>
    client.send(
      new PutPublicAccessBlockCommand({
        Bucket: bucket,
        PublicAccessBlockConfiguration: ALL_BLOCKED,
      }),
    );
  return item(context, 'public access block', async () => {
    try {
      const found = await ask(context, READ_BLOCK, /^NoSuchPublicAccessBlockConfiguration$/, () =>
        client.send(new GetPublicAccessBlockCommand({ Bucket: bucket })),
      );
      const block = found?.PublicAccessBlockConfiguration ?? {};
      const open = BLOCKS.filter((name) => block[name] !== true);
      if (open.length === 0) return { decision: { step: 'found', detail: 'all four' }, effect };
      const step = found === null ? 'make' : 'change';
      return { decision: { step, detail: open.join(', ') }, effect };
    } catch (error) {
      if (statusOf(error) !== 501) throw error;
      const hint = `see to it that nothing else makes ${config.storage.bucket} public`;
      return { decision: { step: 'not offered', detail: 'this store has none', hint }, effect };
    }
  });
}
