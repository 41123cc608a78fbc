/**
 * The topics of the configuration: made where missing, compared where found. A topic that is there
 * is never changed: adding partitions moves keys, and kafkajs can only replace all of a topic's
 * settings at once; so what differs is said, with the command that mends it.
 */
import kafkajs, { type Admin } from 'kafkajs';
import { connectKafka, kafkaFailure } from '../ingest/kafka.ts';
import type { Config } from '../runtime/config.ts';
import type { Log } from '../runtime/log.ts';
import { patiently } from './kafka-patience.ts';
import { carryOut, type Decision, failedItem, type SetupItem } from './setup-items.ts';

export interface WantedTopic {
  topic: string;
  partitions: number;
  replicationFactor: number;
  /** max.message.bytes */
  recordBytesMax: number;
  /** Further settings, by the broker's names, that must be exactly these. */
  settings: ReadonlyMap<string, string>;
}

export interface FoundTopic {
  partitions: number;
  replicationFactor: number;
  /** By name, as the broker says them: `max.message.bytes`, `retention.ms`, `cleanup.policy`, … */
  settings: Map<string, string>;
}

/** A dead letter holds the record it is about, and headers beside it. */
const DEAD_LETTER_MARGIN_BYTES = 1024 * 1024;

/**
 * Records carry the time of their event, which may be long ago (files delivered late, an export of
 * last year). Kafka's retention goes by that time unless it stamps records itself: it would delete
 * them before they are sealed.
 */
export const TIMESTAMP_SETTING = 'message.timestamp.type';
export const ARRIVAL_TIME = 'LogAppendTime';

export const CLEANUP_SETTING = 'cleanup.policy';
/**
 * The state of correlation is kept by key. A detector that does not know yet that its partition has
 * gone may still write older state than its successor; both stand in the log until this time is over,
 * and whoever reads takes the one that is further. No process is unaware of its end for so long.
 */
const COMPACTION_LAG_MS = 3_600_000;
/** Only closed segments are compacted, and what is not compacted is read at each start. */
const STATE_SEGMENT_BYTES = 64 * 1024 * 1024;

/** Settings of a topic, as one command for a person. */
export function alterCommand(topic: string, setting: string): string {
  return `kafka-configs.sh --alter --topic ${topic} --add-config ${setting}`;
}

export function wantedTopics({ topics }: Config): WantedTopic[] {
  const { partitions, replicationFactor, recordBytesMax } = topics;
  const deadLetterBytesMax = recordBytesMax + DEAD_LETTER_MARGIN_BYTES;
  const shape = { partitions, replicationFactor, recordBytesMax, settings: new Map() };
  return [
    { ...shape, topic: topics.events },
    { ...shape, topic: topics.deadLetter, recordBytesMax: deadLetterBytesMax },
    { ...shape, topic: topics.matches, settings: new Map([[CLEANUP_SETTING, 'delete']]) },
    {
      ...shape,
      topic: topics.state,
      settings: new Map([
        [CLEANUP_SETTING, 'compact'],
        ['min.compaction.lag.ms', String(COMPACTION_LAG_MS)],
        ['segment.bytes', String(Math.max(STATE_SEGMENT_BYTES, recordBytesMax))],
      ]),
    },
  ];
}

/** Pure. */
export function decideTopic(wanted: WantedTopic, found: FoundTopic | null): Decision {
  const shape = (topic: Pick<FoundTopic, 'partitions' | 'replicationFactor'>): string =>
    `${topic.partitions} partitions, replication ${topic.replicationFactor}`;
  if (found === null) {
    const detail = `${shape(wanted)}, records up to ${wanted.recordBytesMax} bytes`;
    return { step: 'make', detail };
  }
  const differences: string[] = [];
  const remedies: string[] = [];
  if (found.partitions !== wanted.partitions) {
    differences.push(`${found.partitions} partitions instead of ${wanted.partitions}`);
    remedies.push('set topics.partitions to what is there, or use another topic');
  }
  if (found.replicationFactor !== wanted.replicationFactor) {
    differences.push(
      `replication ${found.replicationFactor} instead of ${wanted.replicationFactor}`,
    );
    remedies.push('reassign the partitions, or set topics.replicationFactor');
  }
  const bytes = Number(found.settings.get('max.message.bytes'));
  if (bytes < wanted.recordBytesMax) {
    differences.push(`records up to ${bytes} bytes instead of ${wanted.recordBytesMax}`);
    remedies.push(alterCommand(wanted.topic, `max.message.bytes=${wanted.recordBytesMax}`));
  }
  const stamped = found.settings.get(TIMESTAMP_SETTING);
  if (stamped !== undefined && stamped !== ARRIVAL_TIME) {
    differences.push(`retention by ${stamped} instead of ${ARRIVAL_TIME}`);
    remedies.push(alterCommand(wanted.topic, `${TIMESTAMP_SETTING}=${ARRIVAL_TIME}`));
  }
  for (const [name, value] of wanted.settings) {
    const present = found.settings.get(name);
    if (present === undefined || present === value) continue;
    differences.push(`${name} ${present} instead of ${value}`);
    remedies.push(alterCommand(wanted.topic, `${name}=${value}`));
  }
  if (differences.length === 0) return { step: 'found', detail: shape(found) };
  return { step: 'differs', detail: differences.join('; '), hint: remedies.join('; ') };
}

export async function setUpTopics(config: Config, log: Log, dryRun: boolean): Promise<SetupItem[]> {
  const admin = connectKafka(config, log).admin();
  const wanted = wantedTopics(config);
  try {
    await admin.connect();
    const found = await patiently(() =>
      findTopics(
        admin,
        wanted.map(({ topic }) => topic),
      ),
    );
    const items: SetupItem[] = [];
    for (const topic of wanted) {
      const decision = decideTopic(topic, found.get(topic.topic) ?? null);
      items.push(await ensureTopic(admin, topic, decision, dryRun));
    }
    return items;
  } catch (error) {
    return [failedItem('kafka', 'topics', kafkaFailure(error, 'look at the topics'))];
  } finally {
    await admin.disconnect();
  }
}

async function ensureTopic(
  admin: Admin,
  wanted: WantedTopic,
  decision: Decision,
  dryRun: boolean,
): Promise<SetupItem> {
  const name = `topic ${wanted.topic}`;
  const create = async (validateOnly: boolean): Promise<void> => {
    try {
      // Sent twice it finds the topic there, which is no error.
      await patiently(() =>
        admin.createTopics({ validateOnly, waitForLeaders: false, topics: [spec(wanted)] }),
      );
      if (!validateOnly) await patiently(() => checkLeaders(admin, wanted));
    } catch (error) {
      throw kafkaFailure(error, `make the topic ${wanted.topic}`);
    }
  };
  if (dryRun && decision.step === 'make') {
    try {
      // The broker says now what it would refuse: more replicas than brokers, a missing right.
      await create(true);
    } catch (error) {
      return failedItem('kafka', name, error);
    }
  }
  return carryOut('kafka', name, decision, dryRun, () => create(false));
}

/** Until then a producer or consumer would be told that there is no such topic. */
async function checkLeaders(admin: Admin, { topic, partitions }: WantedTopic): Promise<void> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const led = (topics[0]?.partitions ?? []).filter(({ leader }) => leader >= 0);
  if (led.length >= partitions) return;
  const type = 'LEADER_NOT_AVAILABLE';
  throw Object.assign(new Error(`${topic}: ${led.length} of ${partitions} have a leader`), {
    type,
  });
}

function spec({ topic, partitions, replicationFactor, recordBytesMax, settings }: WantedTopic) {
  return {
    topic,
    numPartitions: partitions,
    replicationFactor,
    configEntries: [
      { name: 'max.message.bytes', value: String(recordBytesMax) },
      { name: TIMESTAMP_SETTING, value: ARRIVAL_TIME },
      ...[...settings].map(([name, value]) => ({ name, value })),
    ],
  };
}

/** Those of the topics that exist. Errors are the client's own. */
export async function findTopics(admin: Admin, names: string[]): Promise<Map<string, FoundTopic>> {
  // Asking for a topic by name would make it, where the broker makes topics by itself.
  const existing = new Set(await admin.listTopics());
  const topics = names.filter((name) => existing.has(name));
  if (topics.length === 0) return new Map();
  const metadata = await admin.fetchTopicMetadata({ topics });
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: topics.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
  });
  const settings = new Map(
    resources.map(({ resourceName, configEntries }) => [
      resourceName,
      new Map(configEntries.map(({ configName, configValue }) => [configName, configValue])),
    ]),
  );
  return new Map(
    metadata.topics.map(({ name, partitions }) => [
      name,
      {
        partitions: partitions.length,
        replicationFactor: Math.max(0, ...partitions.map(({ replicas }) => replicas.length)),
        settings: settings.get(name) ?? new Map(),
      },
    ]),
  );
}
