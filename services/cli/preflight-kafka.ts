/** What lakeseal relies on in Kafka. Reads only, but for one short-lived consumer group. */
import type { Admin, Kafka } from 'kafkajs';
import { connectKafka, kafkaFailure } from '../ingest/kafka.ts';
import { NO_TOPIC_ID, topicIds } from '../ingest/topic-ids.ts';
import type { Config } from '../runtime/config.ts';
import type { Log } from '../runtime/log.ts';
import { type Check, check, type Finding, failed, ok, unknown } from './checks.ts';
import { patiently } from './kafka-patience.ts';
import {
  ARRIVAL_TIME,
  alterCommand,
  CLEANUP_SETTING,
  type FoundTopic,
  findTopics,
  TIMESTAMP_SETTING,
} from './kafka-topics.ts';

/** A group that is not joined by then has a coordinator that does not work. */
const JOIN_MS_MAX = 45_000;
/** Less leaves no time to notice and mend an archiver that stands still. */
const RETENTION_MS_MIN = 24 * 3_600_000;

export async function checkKafka(config: Config, log: Log, random: string): Promise<Check[]> {
  const kafka = connectKafka(config, log);
  const admin = kafka.admin();
  const step = (name: string, run: () => Promise<Finding>): Promise<Check> =>
    check('kafka', name, async () => {
      try {
        return await patiently(run);
      } catch (error) {
        throw kafkaFailure(error, `check that ${name}`);
      }
    });
  try {
    const reachable = await step('brokers answer', () => checkBrokers(admin));
    if (reachable.outcome === 'failed') return [reachable];
    const checks = [reachable];
    for (const topic of [config.topics.events, config.topics.deadLetter]) {
      checks.push(await step(`topic ${topic} fits`, () => checkTopic(admin, config, topic)));
    }
    checks.push(await step('topics of correlation fit', () => checkInternal(admin, config)));
    if (checks.slice(1).some(({ hint }) => hint === MAKE_TOPIC)) return checks;
    checks.push(
      await step('topics have ids', () => checkTopicIds(kafka, config)),
      await step('nothing was deleted unsealed', () => checkLoss(admin, config)),
      await step('a group can be joined', () => checkGroup(kafka, admin, config, random)),
    );
    return checks;
  } finally {
    await admin.disconnect();
  }
}

async function checkBrokers(admin: Admin): Promise<Finding> {
  await admin.connect();
  const { brokers, clusterId } = await admin.describeCluster();
  const count = brokers.length === 1 ? '1 broker' : `${brokers.length} brokers`;
  return ok(`${count}, cluster ${clusterId}`);
}

const MAKE_TOPIC = 'run lakeseal setup';

async function checkTopic(admin: Admin, config: Config, topic: string): Promise<Finding> {
  const found = (await findTopics(admin, [topic])).get(topic);
  if (found === undefined) return failed('it does not exist', MAKE_TOPIC);
  return judgeTopic(topic, found, config);
}

/** Pure. */
export function judgeTopic(topic: string, found: FoundTopic, config: Config): Finding {
  const setting = (name: string): string => found.settings.get(name) ?? '';
  const recordBytes = Number(setting('max.message.bytes'));
  const retentionMs = Number(setting('retention.ms'));
  if (setting('cleanup.policy').includes('compact')) {
    return failed(
      'it is compacted: Kafka deletes records before they are sealed',
      alterCommand(topic, 'cleanup.policy=delete'),
    );
  }
  if (recordBytes < config.collect.batchBytesMax) {
    return failed(
      `max.message.bytes is ${recordBytes}, the collector sends up to ${config.collect.batchBytesMax}`,
      `raise max.message.bytes to ${config.topics.recordBytesMax}, or lower collect.batchBytesMax`,
    );
  }
  if (retentionMs >= 0 && retentionMs < RETENTION_MS_MIN) {
    return failed(
      `retention.ms is ${retentionMs}: an archiver that stands still that long loses records`,
      alterCommand(topic, `retention.ms=${7 * RETENTION_MS_MIN}`),
    );
  }
  const stamped = setting(TIMESTAMP_SETTING);
  if (retentionMs >= 0 && stamped !== '' && stamped !== ARRIVAL_TIME) {
    return failed(
      `retention goes by ${stamped}: Kafka deletes records of old events before they are sealed`,
      alterCommand(topic, `${TIMESTAMP_SETTING}=${ARRIVAL_TIME}`),
    );
  }
  const kept = retentionMs < 0 ? 'without end' : `${Math.floor(retentionMs / 3_600_000)} hours`;
  return ok(`${found.partitions} partitions, kept ${kept}, records up to ${recordBytes} bytes`);
}

async function checkInternal(admin: Admin, config: Config): Promise<Finding> {
  const { matches, state } = config.topics;
  const found = await findTopics(admin, [matches, state]);
  return judgeInternal(config, found.get(matches) ?? null, found.get(state) ?? null);
}

/** The topics of rules over many events. Pure. */
export function judgeInternal(
  { topics, detect }: Config,
  matches: FoundTopic | null,
  state: FoundTopic | null,
): Finding {
  const missing = [...(matches ? [] : [topics.matches]), ...(state ? [] : [topics.state])];
  if (matches === null || state === null) {
    return failed(`not there: ${missing.join(', ')}`, MAKE_TOPIC);
  }
  if (matches.partitions !== state.partitions) {
    return failed(
      `${topics.matches} has ${matches.partitions} partitions and ${topics.state} ${state.partitions}`,
      'a group of events must have its state under the same number: name two new topics',
    );
  }
  const policy = (topic: FoundTopic): string => topic.settings.get(CLEANUP_SETTING) ?? '';
  if (policy(state) !== 'compact') {
    return failed(
      `${topics.state} has cleanup.policy ${policy(state)}: Kafka deletes state that is still needed`,
      alterCommand(topics.state, `${CLEANUP_SETTING}=compact`),
    );
  }
  if (policy(matches).includes('compact')) {
    return failed(
      `${topics.matches} is compacted: its records have no keys`,
      alterCommand(topics.matches, `${CLEANUP_SETTING}=delete`),
    );
  }
  const retentionMs = Number(matches.settings.get('retention.ms') ?? '-1');
  if (retentionMs >= 0 && retentionMs < Math.max(RETENTION_MS_MIN, detect.latenessMs)) {
    return failed(
      `retention.ms of ${topics.matches} is ${retentionMs}: a detector that stands still that long loses matches`,
      alterCommand(topics.matches, `retention.ms=${7 * RETENTION_MS_MIN}`),
    );
  }
  return ok(`${topics.matches} and ${topics.state}, ${matches.partitions} partitions each`);
}

async function checkTopicIds(kafka: Kafka, config: Config): Promise<Finding> {
  const ids = await topicIds(kafka, [config.topics.events, config.topics.deadLetter]);
  const without = [...ids].filter(([, id]) => id === NO_TOPIC_ID).map(([name]) => name);
  if (without.length === 0) return ok([...ids.values()].join(', '));
  return unknown(
    `none for ${without.join(', ')}`,
    'a topic that is deleted and made again cannot be told apart here: never do that',
  );
}

async function checkLoss(admin: Admin, config: Config): Promise<Finding> {
  const groupId = config.archive.group;
  const topics = config.archive.topics ?? [config.topics.events, config.topics.deadLetter];
  const committed = await admin.fetchOffsets({ groupId, topics });
  const lost: string[] = [];
  let behind = 0n;
  let known = 0;
  for (const { topic, partitions } of committed) {
    const ends = new Map((await admin.fetchTopicOffsets(topic)).map((end) => [end.partition, end]));
    for (const { partition, offset } of partitions) {
      const end = ends.get(partition);
      const next = BigInt(offset);
      if (end === undefined || next < 0n) continue;
      known += 1;
      behind += BigInt(end.high) - next;
      if (next < BigInt(end.low)) lost.push(`${topic}/${partition}: ${BigInt(end.low) - next}`);
    }
  }
  if (lost.length > 0) {
    return failed(
      `records deleted by Kafka before they were sealed: ${lost.join(', ')}`,
      'the archiver seals a gap record there; lengthen retention.ms and watch the lag',
    );
  }
  if (known === 0) return ok(`group ${groupId} has not archived yet`);
  return ok(`group ${groupId} is ${behind} records behind`);
}

async function checkGroup(
  kafka: Kafka,
  admin: Admin,
  config: Config,
  random: string,
): Promise<Finding> {
  const groupId = `${config.archive.group}-preflight-${random}`;
  const { sessionTimeoutMs: sessionTimeout, heartbeatIntervalMs: heartbeatInterval } = config.kafka;
  const consumer = kafka.consumer({
    groupId,
    sessionTimeout,
    heartbeatInterval,
    maxWaitTimeInMs: 250,
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    const joined = new Promise<boolean>((resolve, reject) => {
      timer = setTimeout(() => resolve(false), JOIN_MS_MAX);
      consumer.on('consumer.group_join', () => resolve(true));
      consumer.on('consumer.crash', ({ payload }) => {
        if (!payload.restart) reject(payload.error);
      });
    });
    await consumer.connect();
    await consumer.subscribe({ topic: config.topics.events, fromBeginning: false });
    await consumer.run({ autoCommit: false, eachBatch: async () => {} });
    if (!(await joined)) {
      return failed(`${groupId} was not joined in ${JOIN_MS_MAX / 1000} s`, 'see the broker log');
    }
    return ok(groupId);
  } finally {
    clearTimeout(timer);
    await consumer.disconnect();
    // What is left of an empty group goes by itself; tidiness is no reason to fail.
    await admin.deleteGroups([groupId]).catch(() => {});
  }
}
