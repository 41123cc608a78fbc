/**
 * `lakeseal status`: where everything stands, in one look. Reads only. Each server is asked by
 * itself, so that with one of them down the rest is still told, and which one is down.
 */
import type { Kafka } from 'kafkajs';
import { NO_CLUSTER_ID, type PartitionAddress } from '../../schemas/layout.ts';
import { readPosition } from '../archiver/position.ts';
import { openSearchClient } from '../detector/alert/opensearch.ts';
import { openEnrichment } from '../detector/enrich/enrichment.ts';
import { enrichmentNeeds, unmetNeeds } from '../detector/enrich/needs.ts';
import { describeProblem } from '../detector/sigma/problem.ts';
import { LEVELS, type Level } from '../detector/sigma/rule.ts';
import { loadRules, SHIPPED_RULES } from '../detector/sigma/rules.ts';
import { correlationGroup } from '../detector/stream/place.ts';
import { ruleFolders } from '../detector/stream/rules-in-force.ts';
import { archiveStore } from '../evidence/archive-store.ts';
import { connectKafka, kafkaFailure } from '../ingest/kafka.ts';
import { registerSchemas } from '../ingest/registry.ts';
import { clusterTopics } from '../ingest/topic-ids.ts';
import type { Config } from '../runtime/config.ts';
import type { Failure } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import { patiently } from './kafka-patience.ts';
import { openSearchVersion } from './preflight-opensearch.ts';
import { describeCause } from './problem.ts';
import { topicSchemas } from './schemas.ts';

const DAY_MS = 86_400_000;
/** Partitions whose position is read from the store at once. */
const READERS_MAX = 8;

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
  archiver: GroupPosition;
  /** null for a topic that the detector does not read. */
  detector: GroupPosition | null;
}

/** A partition of the matches topic: how far the judging of rules over many events is. */
export interface CorrelationStatus {
  partition: number;
  logEnd: bigint;
  correlator: GroupPosition;
  /** Records of the partition's state, compacted or not: what the next start has to read. */
  stateRecords: bigint | null;
}

/** Of the files as they are now, which a running detector has taken within `detect.reloadMs`. */
export interface RuleStatus {
  /** Rules that alert, by whether they came with lakeseal; `stateful` of both are over many events. */
  shipped: number;
  own: number;
  stateful: number;
  problems: string[];
  /** Exceptions in force, and titles of those that have expired. */
  exceptions: number;
  expired: string[];
  /** Each configured GeoIP or ASN file. */
  enrichment: Array<{ what: string; file: string; ok: boolean; detail: string }>;
  /** Titles of rules that can say nothing without a file that is not there. */
  blind: string[];
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
  const store = await asked('store', () => readSealed(config, addresses));
  const partitions = (kafka.value?.partitions ?? []).map((partition, index) => ({
    ...partition,
    sealed: withUnsealed(store.value?.[index] ?? null, partition.logEnd),
  }));
  return {
    servers: [kafka.server, registry.server, store.server, opensearch.server],
    partitions,
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

type KafkaPartition = Omit<PartitionStatus, 'sealed'>;

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
    partitions.sort((a, b) => compare(a.topic, b.topic) || a.partition - b.partition);
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

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
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

async function readSealed(
  config: Config,
  addresses: PartitionAddress[],
): Promise<Sealed[] & { detail: string }> {
  const { storage } = config;
  const store = archiveStore(config);
  const sealed: Sealed[] = new Array(addresses.length);
  try {
    // Also where there is no partition to ask about: is the bucket there?
    await store.list(`${storage.prefix}data/`, undefined, 1);
    let next = 0;
    const reader = async (): Promise<void> => {
      while (next < addresses.length) {
        const index = next++;
        sealed[index] = await readPosition(store, storage.prefix, addresses[index]!, null);
      }
    };
    await Promise.all(Array.from({ length: READERS_MAX }, reader));
  } finally {
    store.close();
  }
  return Object.assign(sealed, { detail: `bucket ${storage.bucket}` });
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

function readRules({ detect, enrich }: Config, nowMs: number): RuleStatus {
  const loaded = loadRules(ruleFolders(detect, nowMs));
  const states = openEnrichment(enrich).enrichmentStatus();
  const enrichment = states.map(({ what, file, ok, detail }) => ({ what, file, ok, detail }));
  if (!loaded.ok) {
    const problems = loaded.problems.map(describeProblem);
    return {
      shipped: 0,
      own: 0,
      stateful: 0,
      problems,
      exceptions: 0,
      expired: [],
      enrichment,
      blind: [],
    };
  }
  const { rules, stateful, exceptions } = loaded.set;
  const alerting = [...rules, ...stateful].filter(({ alerts }) => alerts);
  const shipped = alerting.filter(({ file }) => file.startsWith(SHIPPED_RULES)).length;
  return {
    shipped,
    own: alerting.length - shipped,
    stateful: stateful.filter(({ alerts }) => alerts).length,
    problems: loaded.warnings.map(describeProblem),
    exceptions: exceptions.filter(({ expired }) => !expired).length,
    expired: exceptions.filter(({ expired }) => expired).map(({ title }) => title),
    enrichment,
    blind: unmetNeeds(enrichmentNeeds(loaded.set), states).map(({ title }) => title),
  };
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
