/**
 * The archiver as a process: wires the consumer group, the schema registry and the store to the
 * partitions, and ends them in order. All decisions are elsewhere.
 */
import { availableParallelism } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import type { WriterSchema } from '../../schemas/datum.ts';
import { NO_CLUSTER_ID } from '../../schemas/layout.ts';
import { parseSpliceSchema } from '../../schemas/segment.ts';
import { archiveStore } from '../evidence/archive-store.ts';
import { configuredSigner } from '../evidence/signer.ts';
import { createConsumer } from '../ingest/consume.ts';
import type { RecordConsumer } from '../ingest/consume-types.ts';
import { connectKafka } from '../ingest/kafka.ts';
import { SchemaCache } from '../ingest/registry.ts';
import { clusterId } from '../ingest/topic-ids.ts';
import type { Log } from '../runtime/log.ts';
import type { ServiceContext } from '../runtime/service.ts';
import { digestOf } from '../store/s3.ts';
import { type Anchors, configuredAnchors } from './anchors/anchors.ts';
import { anchorMetrics } from './anchors/metrics.ts';
import { Archive, TICK_MS } from './archive.ts';
import { startBlockThreads } from './block-threads.ts';
import { archiverMetrics } from './metrics.ts';
import type { WriterSchemas } from './schemas.ts';

/** One finishes blocks hardly faster than the event loop fills them; slow codecs take more. */
const THREADS_MAX = 4;

/**
 * Archives until the signal aborts, then seals and commits what is open and leaves the group.
 * Rejects where the consumer fails beyond retry; what was open is then read again by the next one.
 */
export async function archive(context: ServiceContext): Promise<void> {
  const { config, log, clock, signal } = context;
  const cache = new SchemaCache(config.registry, { log, clock });
  const store = await archiveStore(config, clock);
  const { prefix } = config.storage;
  const anchored = configuredAnchors(config, {
    ...context,
    prefix,
    store,
    metrics: anchorMetrics(context.metrics),
  });
  const topics = config.archive.topics ?? [config.topics.events, config.topics.deadLetter];
  const consumer = createConsumer({
    config,
    groupId: config.archive.group,
    topics,
    startAt: config.archive.startAt,
    log,
    metrics: context.metrics,
  });
  let died: (error: Error) => void = () => {};
  const broken = new Promise<never>((_, reject) => {
    died = reject;
  });
  broken.catch(() => {});
  const { codec, codecLevel: level, blockBytes } = config.archive;
  const threads = Math.min(THREADS_MAX, availableParallelism());
  const finisher = startBlockThreads({ codec, level, threads, died });
  try {
    const cluster = (await clusterId(connectKafka(config, log))) ?? NO_CLUSTER_ID;
    log.info({ cluster, topics, bucket: config.storage.bucket }, 'archiver starts');
    const partitions = new Archive({
      clusterId: cluster,
      prefix,
      startAt: config.archive.startAt,
      limits: config.archive,
      memoryBytesMax: config.archive.memoryBytesMax,
      blocks: { codec, blockBytes, finisher },
      store,
      sha256: digestOf,
      signer: () => configuredSigner(config),
      onRoot: anchored.anchors.onRoot,
      schemas: writerSchemas(cache, log),
      consumer,
      clock,
      random: context.random,
      log,
      metrics: archiverMetrics(context.metrics),
      ready: (check, ok, reason) => context.health.ready(check, ok, reason),
      breathe: () => setImmediate(),
    });
    const loops = { consumer, partitions, anchors: anchored.anchors, broken };
    await consumeUntil(signal, loops, context);
  } finally {
    cache.close();
    store.close();
    anchored.close();
    await finisher.close();
  }
}

interface Loops {
  consumer: RecordConsumer;
  partitions: Archive;
  anchors: Anchors;
  /** Rejects when nothing more can be sealed. */
  broken: Promise<never>;
}

/** Runs both loops; the first that ends, or the signal, ends the other. */
async function consumeUntil(
  signal: AbortSignal,
  { consumer, partitions, anchors, broken }: Loops,
  { clock }: ServiceContext,
): Promise<void> {
  const end = new AbortController();
  const ticking = async (): Promise<void> => {
    while (!end.signal.aborted) {
      partitions.tick();
      await clock.sleep(TICK_MS, end.signal);
    }
  };
  const consuming = consumer.run(partitions);
  // Not waited for: what it leaves undone, the next process does.
  void partitions.roots(end.signal);
  void anchors.run(end.signal);
  const loops = Promise.race([consuming, ticking(), broken]);
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  try {
    await Promise.race([loops, aborted]);
    end.abort();
    await partitions.stop();
  } finally {
    end.abort();
    await consumer.stop();
  }
  await consuming;
}

/** Parses each schema once. A schema that cannot stand in a segment is told once. */
export function writerSchemas(
  cache: Pick<SchemaCache, 'warm' | 'get' | 'text'>,
  log: Log,
): WriterSchemas {
  const parsed = new Map<number, WriterSchema | null>();
  return {
    warm: (schemaIds) => cache.warm(schemaIds),
    find(schemaId) {
      const known = parsed.get(schemaId);
      if (known !== undefined) return known;
      const answer = cache.get(schemaId);
      if (answer === undefined || typeof answer === 'string') return null;
      const text = cache.text(schemaId);
      if (text === undefined) return null;
      const schema = parseSpliceSchema(text);
      if ('problem' in schema) {
        log.warn({ schemaId, problem: schema.problem }, 'records of this schema are kept opaque');
      }
      const result = 'problem' in schema ? null : schema;
      parsed.set(schemaId, result);
      return result;
    },
  };
}
