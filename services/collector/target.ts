/**
 * Where a collection sends: the events topic as Avro, the dead-letter topic for the rest.
 * Edge: wires the producer, the registry and the dead-letter sink of `ingest` together.
 */
import { auditEventSchema } from '../../schemas/audit-event.ts';
import { DeadLetterSink } from '../ingest/dead-letter.ts';
import { connectKafka } from '../ingest/kafka.ts';
import { createRecordProducer, type RecordProducer, topicPartitions } from '../ingest/produce.ts';
import { registeredSchemaId } from '../ingest/registry.ts';
import { clusterId } from '../ingest/topic-ids.ts';
import type { ServiceContext } from '../runtime/service.ts';
import type { Outlet } from './pipeline.ts';

export interface Target extends Outlet {
  /** Kafka's cluster id: a ledger is about one cluster. Empty for `discard`. */
  clusterId: string;
  /** Registry id of the event schema; 0 where nothing is sent. */
  schemaId: number;
  close(): Promise<void>;
}

/** With `dryRun` the target takes nothing and needs no registry. */
export type OpenTarget = (context: ServiceContext, dryRun: boolean) => Promise<Target>;

/** For a dry run over files. */
export const discard: Target = {
  clusterId: '',
  schemaId: 0,
  sendEvents: async () => [],
  sendLetters: async () => {},
  close: async () => {},
};

/** In the ledger's name where the broker tells no cluster id. */
const NO_CLUSTER_ID = 'unnamed';

/**
 * Everything a run needs is looked up before the first line is read.
 * Throws `Failure` KAFKA_UNREACHABLE, KAFKA_TOPIC_MISSING, SCHEMA_NOT_REGISTERED and their like.
 */
export async function openKafkaTarget(context: ServiceContext, dryRun: boolean): Promise<Target> {
  const { config, log, clock, random, signal } = context;
  const { events, deadLetter } = config.topics;
  const kafka = connectKafka(config, log);
  const cluster = (await clusterId(kafka)) ?? NO_CLUSTER_ID;
  if (dryRun) return { ...discard, clusterId: cluster };
  const subject = { topic: events, schema: auditEventSchema };
  const schemaId = await registeredSchemaId(config.registry, subject);
  for (const topic of [events, deadLetter]) await topicPartitions(kafka, topic);
  const { compression } = config.collect;
  const producer = createRecordProducer({ config, topic: events, log, compression });
  const sink = new DeadLetterSink({ config, log, clock, random, signal });
  return kafkaTarget(cluster, schemaId, producer, sink);
}

function kafkaTarget(
  cluster: string,
  schemaId: number,
  producer: RecordProducer,
  sink: DeadLetterSink,
): Target {
  return {
    clusterId: cluster,
    schemaId,
    async sendEvents(records) {
      const refused = await producer.produceBatch(
        records.map(({ key, value }) => ({ key, value })),
      );
      return refused.map(({ index }) => index);
    },
    sendLetters: (letters) =>
      sink.send(
        letters.map(({ source, line, bytes, reason, detail }) => ({
          source: { file: source, line, bytes },
          reason,
          detail,
        })),
      ),
    async close() {
      await Promise.allSettled([producer.disconnect(), sink.close()]);
    },
  };
}
