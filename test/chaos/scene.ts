/**
 * The place of one test on a shared stack: names nobody else has, a folder for logs and copies, and
 * the environment of lakeseal processes that work there. What a test started, `close` ends.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { S3Client } from '@aws-sdk/client-s3';
import type { Setting } from '../stack/environment.ts';
import { type ServiceProcess, startService } from '../stack/service.ts';
import type { Stack } from '../stack/stack.ts';
import { makeTopic } from './kafka.ts';

/** Timeouts as short as a broker allows, so that an eviction takes seconds. */
const QUICK_GROUP: Record<string, Setting> = {
  'kafka.sessionTimeoutMs': 6_000,
  'kafka.heartbeatIntervalMs': 500,
  'kafka.rebalanceTimeoutMs': 10_000,
};

export interface Scene {
  readonly stack: Stack;
  readonly topic: string;
  readonly deadLetterTopic: string;
  readonly matchesTopic: string;
  readonly stateTopic: string;
  readonly bucket: string;
  readonly archiveGroup: string;
  readonly detectGroup: string;
  readonly alertIndexPrefix: string;
  readonly folder: string;
  readonly rootS3: S3Client;
  /** The archiver runs with the credentials that hold six rights. */
  archiver(settings?: Record<string, Setting>, name?: string): ServiceProcess;
  detector(settings?: Record<string, Setting>, name?: string): ServiceProcess;
  /** LAKESEAL_* of this scene, for other commands. */
  env(settings?: Record<string, Setting>): Record<string, string>;
  /** Kills what still runs and removes the folder. */
  close(): Promise<void>;
}

export interface SceneOptions {
  partitions: number;
  /** Of the topics of matches and of state; as many as of events by default. */
  correlationPartitions?: number;
  /** Configuration of the events topic, as Kafka names it. */
  topicSettings?: Record<string, string>;
  settings?: Record<string, Setting>;
}

export async function openScene(
  stack: Stack,
  name: string,
  {
    partitions,
    correlationPartitions = partitions,
    topicSettings = {},
    settings: common = {},
  }: SceneOptions,
): Promise<Scene> {
  const topic = stack.unique(name);
  const deadLetterTopic = `${topic}-dead`;
  const matchesTopic = `${topic}-matches`;
  const stateTopic = `${topic}-state`;
  const bucket = await stack.createLockedBucket(stack.unique(name));
  const folder = await mkdtemp(join(tmpdir(), `${topic}-`));
  const rootS3 = stack.rootS3();
  const started: ServiceProcess[] = [];
  const identity = {
    archiveGroup: `${topic}-archiver`,
    detectGroup: `${topic}-detector`,
    alertIndexPrefix: stack.unique(`${name}-alerts`),
  };
  await makeTopic(stack.brokers, topic, partitions, topicSettings);
  await makeTopic(stack.brokers, deadLetterTopic, 1, { 'max.message.bytes': '33554432' });
  await makeTopic(stack.brokers, matchesTopic, correlationPartitions, {
    'message.timestamp.type': 'LogAppendTime',
  });
  await makeTopic(stack.brokers, stateTopic, correlationPartitions, {
    'cleanup.policy': 'compact',
    'min.compaction.lag.ms': '3600000',
    'message.timestamp.type': 'LogAppendTime',
  });

  const env = (settings: Record<string, Setting> = {}): Record<string, string> =>
    stack.configEnv({
      ...QUICK_GROUP,
      'topics.events': topic,
      'topics.deadLetter': deadLetterTopic,
      'topics.matches': matchesTopic,
      'topics.state': stateTopic,
      'storage.bucket': bucket,
      'archive.group': identity.archiveGroup,
      'archive.topics': [topic],
      'detect.group': identity.detectGroup,
      'opensearch.alertIndexPrefix': identity.alertIndexPrefix,
      ...common,
      ...settings,
    });
  const start = (command: string[], settings: Record<string, Setting>, log: string) => {
    const service = startService(command, env(settings), join(folder, `${log}.log`));
    started.push(service);
    return service;
  };
  return {
    stack,
    topic,
    deadLetterTopic,
    matchesTopic,
    stateTopic,
    bucket,
    ...identity,
    folder,
    rootS3,
    archiver: (settings = {}, log = 'archiver') => start(['archive'], settings, log),
    detector: (settings = {}, log = 'detector') => start(['detect'], settings, log),
    env,
    async close() {
      for (const service of started) service.signal('SIGKILL');
      await Promise.allSettled(started.map(({ exited }) => exited));
      rootS3.destroy();
      await keepOrRemove(folder);
    },
  };
}

/** LAKESEAL_TEST_KEEP=1 leaves logs and copies for whoever looks into a failure. */
async function keepOrRemove(folder: string): Promise<void> {
  if (process.env.LAKESEAL_TEST_KEEP) process.stderr.write(`kept: ${folder}\n`);
  else await rm(folder, { recursive: true, force: true });
}
