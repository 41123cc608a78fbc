/** An installation of lakeseal on the shared servers, under names nobody else has. */
import { Client } from '@opensearch-project/opensearch';
import kafkajs, { type Kafka } from 'kafkajs';
import { patiently } from '../../services/cli/kafka-patience.ts';
import { connectKafka } from '../../services/ingest/kafka.ts';
import { type Config, loadConfig } from '../../services/runtime/config.ts';
import { silentLog } from '../../services/runtime/log.ts';
import type { Setting } from '../stack/environment.ts';
import { freshFetch } from '../stack/fresh-fetch.ts';
import type { Stack } from '../stack/stack.ts';

export interface Installation {
  stack: Stack;
  /** The environment of a lakeseal process of this installation. */
  env(overrides?: Record<string, Setting>): Record<string, string>;
  config(overrides?: Record<string, Setting>): Config;
  kafka: Kafka;
  opensearch: Client;
  close(): Promise<void>;
}

export function createInstallation(stack: Stack, name: string): Installation {
  const names: Record<string, Setting> = {
    'topics.events': stack.unique(`${name}-events`),
    'topics.deadLetter': stack.unique(`${name}-dead`),
    'topics.matches': stack.unique(`${name}-matches`),
    'topics.state': stack.unique(`${name}-state`),
    'topics.partitions': 2,
    'storage.bucket': stack.unique(`${name}-bucket`),
    'archive.group': stack.unique(`${name}-archiver`),
    'archive.retentionDays': 1,
    'archive.kmsKeyId': stack.s3.kmsKeyId,
    'detect.group': stack.unique(`${name}-detector`),
    'opensearch.alertIndexPrefix': stack.unique(`${name}-alerts`),
    'setup.accessKeyId': stack.s3.root.accessKeyId,
    'setup.secretAccessKey': stack.s3.root.secretAccessKey,
  };
  const env = (overrides: Record<string, Setting> = {}): Record<string, string> =>
    stack.configEnv({ ...names, ...overrides });
  const config = (overrides?: Record<string, Setting>): Config =>
    loadConfig(undefined, env(overrides));
  const opensearch = new Client({ node: stack.opensearchUrl });
  return {
    stack,
    env,
    config,
    kafka: connectKafka(config(), silentLog),
    opensearch,
    close: () => opensearch.close(),
  };
}

/** Unsets the administrator's credential. */
export const NO_ADMINISTRATOR = { 'setup.accessKeyId': '', 'setup.secretAccessKey': '' };

/** Everything that setup looks after, as the servers show it: to compare before and after. */
export async function readServers({ stack, config, kafka, opensearch }: Installation) {
  const { topics, storage, registry, opensearch: search } = config();
  const admin = kafka.admin();
  await admin.connect();
  try {
    const wanted = [topics.events, topics.deadLetter, topics.matches, topics.state];
    const existing = (await admin.listTopics()).filter((topic) => wanted.includes(topic)).sort();
    const resources = existing.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name }));
    const settings = await Promise.all(
      resources.map((one) =>
        patiently(() => admin.describeConfigs({ includeSynonyms: false, resources: [one] })),
      ),
    );
    const subject = await freshFetch(`${registry.url}/subjects/${topics.events}-value/versions`);
    const level = await freshFetch(`${registry.url}/config/${topics.events}-value`);
    const template = await opensearch.indices.existsIndexTemplate({
      name: search.alertIndexPrefix,
    });
    return {
      topics: existing,
      settings: settings.map(({ resources }) => resources),
      schemas: subject.status === 200 ? await subject.json() : null,
      compatibility: level.status === 200 ? await level.json() : null,
      bucket: await readBucket(stack, storage.bucket),
      template: template.body
        ? (await opensearch.indices.getIndexTemplate({ name: search.alertIndexPrefix })).body
        : null,
    };
  } finally {
    await admin.disconnect();
  }
}

async function readBucket(stack: Stack, bucket: string) {
  const s3 = await import('@aws-sdk/client-s3');
  const root = stack.rootS3();
  const Bucket = bucket;
  try {
    await root.send(new s3.HeadBucketCommand({ Bucket }));
    const lock = await root.send(new s3.GetObjectLockConfigurationCommand({ Bucket }));
    const versioning = await root.send(new s3.GetBucketVersioningCommand({ Bucket }));
    const policy = await root.send(new s3.GetBucketPolicyCommand({ Bucket }));
    const encryption = await root.send(new s3.GetBucketEncryptionCommand({ Bucket }));
    return {
      lock: lock.ObjectLockConfiguration,
      versioning: versioning.Status,
      policy: inOrder(JSON.parse(policy.Policy ?? 'null')),
      encryption: encryption.ServerSideEncryptionConfiguration,
    };
  } catch (error) {
    if ((error as Error).name === 'NotFound') return null;
    throw error;
  } finally {
    root.destroy();
  }
}

/** MinIO keeps actions as a set and writes it in any order. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder).sort(byText);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, below]) => [name, inOrder(below)]));
}

function byText(a: unknown, b: unknown): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}
