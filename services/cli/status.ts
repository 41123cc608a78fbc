/**
 * `lakeseal status`: where everything stands, in one look. Reads only. Each server is asked by
 * itself, so that with one of them down the rest is still told, and which one is down.
 */
import type { Kafka } from 'kafkajs';
import { NO_CLUSTER_ID, type PartitionAddress } from '../../schemas/layout.ts';
import { readPosition } from '../archiver/position.ts';
import { openSearchClient } from '../detector/alert/opensearch.ts';
import { LEVELS, type Level } from '../detector/sigma/rule.ts';
import { correlationGroup } from '../detector/stream/place.ts';
import { archiveStore } from '../evidence/archive-store.ts';
import { connectKafka, kafkaFailure } from '../ingest/kafka.ts';
import { registerSchemas } from '../ingest/registry.ts';
import { clusterTopics } from '../ingest/topic-ids.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import type { Failure } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import { compareText } from '../runtime/order.ts';
import { patiently } from './kafka-patience.ts';
import { openSearchVersion } from './preflight-opensearch.ts';
import { describeCause } from './problem.ts';
import { topicSchemas } from './schemas.ts';
import {
  type KeyStatus,
  type PartitionEvidenceStatus,
  type RootStatus,
  readKey,
  readPartitionEvidence,
  readRoot,
  withBehind,
} from './status-evidence.ts';
import { type RuleStatus, readRules } from './status-rules.ts';

const DAY_MS = 86_400_000;
/** Partitions whose position is read from the store at once. */
const READERS_MAX = 8;
/** A hint for when the store denies something. */
const RIGHTS =
  '`lakeseal status` needs s3:GetObject, ListBucket and ListBucketVersions of the credential in storage.*.';

export interface ServerStatus {
  server: 'kafka' | 'registry' | 'store' | 'opensearch';
  ok: boolean;
  detail: string;
  hint?: string;
}

/** Where a group stands in a partition; null where it has committed nothing. */
export interface GroupPosition {
  committed: bigint | null;
  lag: bigint | null;
}

export interface PartitionStatus {
  topic: string;
  partition: number;
  /** First offset that Kafka still holds, and the one after the newest record. */
  logStart: bigint;
  logEnd: bigint;
  /** What the store says, which is what counts; null where it could not be asked. */
  sealed:
    | { state: 'empty' }
    | { state: 'at'; nextOffset: bigint; unsealed: bigint }
    | { state: 'broken'; key: string; detail: string }
    | null;
  /** How far its manifests are; null where the store could not be asked. */
  evidence: PartitionEvidenceStatus | null;
  archiver: GroupPosition;
  /** null for a topic that the detector does not read. */
  detector: GroupPosition | null;
}

/** Of the archive as a whole. */
export interface EvidenceStatus {
  key: KeyStatus;
  /** null where the store could not be asked. */
  root: RootStatus | null;
}

/** A partition of the matches topic: how far the judging of rules over many events is. */
export interface CorrelationStatus {
  partition: number;
  logEnd: bigint;
  correlator: GroupPosition;
  /** Records of the partition's state, compacted or not: what the next start has to read. */
  stateRecords: bigint | null;
}

export interface AlertStatus {
  /** Alerts whose event happened after this, ISO 8601. */
  since: string;
  total: number;
  byLevel: Record<Level, number>;
}

export interface Status {
  servers: ServerStatus[];
  partitions: PartitionStatus[];
  evidence: EvidenceStatus;
  /** null where the topics of correlation are not there. */
  correlation: CorrelationStatus[] | null;
  rules: RuleStatus;
  alerts: AlertStatus | null;
}

/** Never rejects. */
export async function readStatus(config: Config, log: Log, nowMs: number): Promise<Status> {
  const rules = readRules(config, nowMs);
  const [kafka, registry, opensearch] = await Promise.all([
    asked('kafka', () => readKafka(config, log)),
    asked('registry', () => readRegistry(config)),
    asked('opensearch', () => readAlerts(config, nowMs)),
  ]);
  const addresses = kafka.value?.addresses ?? [];
  const store = await asked('store', () => readArchive(config, addresses, nowMs));
  const partitions = (kafka.value?.partitions ?? []).map((partition, index) => ({
    ...partition,
    sealed: withUnsealed(store.value?.sealed[index] ?? null, partition.logEnd),
    evidence: store.value?.evidence[index] ?? null,
  }));
  const evidence = { key: await readKey(config), root: store.value?.root ?? null };
  return {
    servers: [kafka.server, registry.server, store.server, opensearch.server],
    partitions,
    evidence,
    correlation: kafka.value?.correlation ?? null,
    rules,
    alerts: opensearch.value,
  };
}

interface Asked<T> {
  server: ServerStatus;
  value: T | null;
}

/** For failures that carry none of their own. */
const HINTS: Record<ServerStatus['server'], string> = {
  kafka: 'is Kafka running, and is kafka.brokers right from here?',
  registry: 'is the schema registry running, and is registry.url right?',
  store: 'is the store running, and are storage.endpoint and storage.region right?',
  opensearch: 'is OpenSearch running, and is opensearch.nodes right?',
};

async function asked<T extends { detail: string }>(
  server: ServerStatus['server'],
  ask: () => Promise<T>,
): Promise<Asked<T>> {
  try {
    const value = await ask();
    return { server: { server, ok: true, detail: value.detail }, value };
  } catch (error) {
    const hint = (error as Partial<Failure>).hint ?? HINTS[server];
    const detail = describeCause(error);
    return { server: { server, ok: false, detail, hint }, value: null };
  }
}

// --- Kafka ----------------------------------------------------------------------------------------

type KafkaPartition = Omit<PartitionStatus, 'sealed' | 'evidence'>;

interface KafkaStatus {
  detail: string;
  partitions: KafkaPartition[];
  correlation: CorrelationStatus[] | null;
  /** Of each partition, in the same order. */
  addresses: PartitionAddress[];
}

async function readKafka(config: Config, log: Log): Promise<KafkaStatus> {
  const kafka = connectKafka(config, log);
  try {
    return await patiently(() => readTopics(config, kafka));
  } catch (error) {
    throw kafkaFailure(error, 'read the topics');
  }
}

async function readTopics(config: Config, kafka: Kafka): Promise<KafkaStatus> {
  const wanted = config.archive.topics ?? [config.topics.events, config.topics.deadLetter];
  const topics = [...new Set([config.topics.events, ...wanted])];
  const { clusterId, ids } = await clusterTopics(kafka, topics);
  const existing = topics.filter((topic) => (ids.get(topic) ?? null) !== null);
  const missing = topics.filter((topic) => !existing.includes(topic));
  const admin = kafka.admin();
  await admin.connect();
  try {
    const archived = await committedOffsets(admin, config.archive.group, existing);
    const detected = await committedOffsets(admin, config.detect.group, existing);
    const partitions: KafkaPartition[] = [];
    for (const topic of existing) {
      const reads = topic === config.topics.events;
      for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
        const [logStart, logEnd] = [BigInt(low), BigInt(high)];
        const archiver = positionOf(archived, topic, partition, logEnd);
        const detector = reads ? positionOf(detected, topic, partition, logEnd) : null;
        partitions.push({ topic, partition, logStart, logEnd, archiver, detector });
      }
    }
    partitions.sort((a, b) => compareText(a.topic, b.topic) || a.partition - b.partition);
    const addresses = partitions.map(({ topic, partition }) => {
      return { clusterId: clusterId ?? NO_CLUSTER_ID, topic, topicId: ids.get(topic)!, partition };
    });
    const correlation = await readCorrelation(admin, config);
    if (correlation === null) missing.push(config.topics.matches, config.topics.state);
    const absent = missing.length === 0 ? '' : `; no topic ${missing.join(', ')}`;
    const detail = `cluster ${clusterId ?? NO_CLUSTER_ID}, ${existing.length} topics${absent}`;
    return { detail, partitions, correlation, addresses };
  } finally {
    await admin.disconnect();
  }
}

/** null where a topic of it is missing. Asking for one by name might make it. */
async function readCorrelation(
  admin: ReturnType<Kafka['admin']>,
  { topics, detect }: Config,
): Promise<CorrelationStatus[] | null> {
  const existing = new Set(await admin.listTopics());
  if (!existing.has(topics.matches) || !existing.has(topics.state)) return null;
  const committed = await committedOffsets(admin, correlationGroup(detect.group), [topics.matches]);
  const states = new Map(
    (await admin.fetchTopicOffsets(topics.state)).map(({ partition, low, high }) => [
      partition,
      BigInt(high) - BigInt(low),
    ]),
  );
  const ends = await admin.fetchTopicOffsets(topics.matches);
  return ends
    .map(({ partition, high }) => ({
      partition,
      logEnd: BigInt(high),
      correlator: positionOf(committed, topics.matches, partition, BigInt(high)),
      stateRecords: states.get(partition) ?? null,
    }))
    .sort((a, b) => a.partition - b.partition);
}

type Committed = Map<string, bigint>;

async function committedOffsets(
  admin: ReturnType<Kafka['admin']>,
  groupId: string,
  topics: string[],
): Promise<Committed> {
  if (topics.length === 0) return new Map();
  const found = await admin.fetchOffsets({ groupId, topics });
  return new Map(
    found.flatMap(({ topic, partitions }) =>
      partitions
        .filter(({ offset }) => BigInt(offset) >= 0n)
        .map(({ partition, offset }) => [`${topic}/${partition}`, BigInt(offset)] as const),
    ),
  );
}

function positionOf(
  committed: Committed,
  topic: string,
  partition: number,
  logEnd: bigint,
): GroupPosition {
  const offset = committed.get(`${topic}/${partition}`) ?? null;
  return { committed: offset, lag: offset === null ? null : behind(logEnd, offset) };
}

function behind(logEnd: bigint, offset: bigint): bigint {
  return logEnd > offset ? logEnd - offset : 0n;
}

// --- the other servers ----------------------------------------------------------------------------

async function readRegistry(config: Config): Promise<{ detail: string }> {
  const reports = await registerSchemas(config.registry, topicSchemas(config), { dryRun: true });
  const detail = reports
    .map(({ subject, id }) => `${subject} ${id ?? 'not registered'}`)
    .join(', ');
  return { detail };
}

type Sealed =
  | { state: 'empty' }
  | { state: 'at'; nextOffset: bigint }
  | { state: 'broken'; key: string; detail: string };

interface ArchiveStatus {
  detail: string;
  /** Of each partition, in the order asked. */
  sealed: Sealed[];
  evidence: PartitionEvidenceStatus[];
  root: RootStatus;
}

async function readArchive(
  config: Config,
  addresses: PartitionAddress[],
  nowMs: number,
): Promise<ArchiveStatus> {
  const { prefix } = config.storage;
  const store = await archiveStore(config, systemClock, RIGHTS);
  const sealed: Sealed[] = new Array(addresses.length);
  const evidence: PartitionEvidenceStatus[] = new Array(addresses.length);
  try {
    // Also where there is no partition to ask about: is the bucket there?
    await store.list(`${prefix}data/`, undefined, 1);
    let next = 0;
    const reader = async (): Promise<void> => {
      while (next < addresses.length) {
        const index = next++;
        const address = addresses[index]!;
        // Manifests follow segments: asked in the other order they might seem to lead.
        const manifests = await readPartitionEvidence(store, prefix, address);
        sealed[index] = await readPosition(store, prefix, address, null);
        evidence[index] = withBehind(manifests, sealed[index]);
      }
    };
    await Promise.all(Array.from({ length: READERS_MAX }, reader));
    const root = await readRoot(store, prefix, config.anchors, nowMs);
    return { detail: `bucket ${config.storage.bucket}`, sealed, evidence, root };
  } finally {
    store.close();
  }
}

function withUnsealed(sealed: Sealed | null, logEnd: bigint): PartitionStatus['sealed'] {
  if (sealed === null) return null;
  if (sealed.state === 'empty') return { state: 'empty' };
  if (sealed.state === 'broken') {
    return { state: 'broken', key: sealed.key, detail: sealed.detail };
  }
  const { nextOffset } = sealed;
  return { state: 'at', nextOffset, unsealed: behind(logEnd, nextOffset) };
}

async function readAlerts(
  { opensearch }: Config,
  nowMs: number,
): Promise<AlertStatus & { detail: string }> {
  const client = openSearchClient(opensearch);
  const byLevels: Record<string, unknown> = {
    levels: { terms: { field: 'rule.level', size: LEVELS.length } },
  };
  const since = new Date(nowMs - DAY_MS).toISOString();
  const lastDay: Record<string, unknown> = { range: { '@timestamp': { gte: since } } };
  try {
    const version = await openSearchVersion(client);
    const { body } = await client.search({
      index: `${opensearch.alertIndexPrefix}-*`,
      ignore_unavailable: true,
      body: {
        size: 0,
        track_total_hits: true,
        query: lastDay as Record<string, never>,
        aggs: byLevels as Record<string, never>,
      },
    });
    const { levels } = (body.aggregations ?? {}) as {
      levels?: { buckets: Array<{ key: string; doc_count: number }> };
    };
    const counts = new Map(levels?.buckets.map(({ key, doc_count }) => [key, doc_count]));
    const total = typeof body.hits.total === 'number' ? body.hits.total : body.hits.total?.value;
    const byLevel = Object.fromEntries(LEVELS.map((level) => [level, counts.get(level) ?? 0]));
    return {
      detail: `version ${version}`,
      since,
      total: total ?? 0,
      byLevel: byLevel as Record<Level, number>,
    };
  } finally {
    await client.close();
  }
}
