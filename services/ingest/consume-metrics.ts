/** The Prometheus series of a consumer group; those of a partition end with its revocation. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { TopicPartition } from './consume-types.ts';

const BY_GROUP = ['group'] as const;
const BY_PARTITION = ['group', 'topic', 'partition'] as const;

export interface ConsumeMetrics {
  accepted(at: TopicPartition, records: number, bytes: number): void;
  /** Records between the position and the end of the log. */
  lag(at: TopicPartition, records: number): void;
  /** The log no longer reached back to the position: records were lost before they were read. */
  jumped(at: TopicPartition, records: number): void;
  rebalanced(): void;
  commitFailed(): void;
  restarted(): void;
  revoked(at: TopicPartition): void;
}

function counter<L extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly L[],
): Counter<L> {
  const found = registry.getSingleMetric(name) as Counter<L> | undefined;
  return found ?? new Counter({ name, help, labelNames, registers: [registry] });
}

function gauge<L extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly L[],
): Gauge<L> {
  const found = registry.getSingleMetric(name) as Gauge<L> | undefined;
  return found ?? new Gauge({ name, help, labelNames, registers: [registry] });
}

export function consumeMetrics(registry: Registry, group: string): ConsumeMetrics {
  const prefix = 'lakeseal_consumer';
  const partitionCounter = (name: string, help: string) =>
    counter(registry, `${prefix}_${name}`, help, BY_PARTITION);
  const groupCounter = (name: string, help: string) =>
    counter(registry, `${prefix}_${name}`, help, BY_GROUP);
  const records = partitionCounter('records_total', 'Records accepted by the service.');
  const bytes = partitionCounter('bytes_total', 'Bytes of keys and values accepted.');
  const lost = partitionCounter(
    'records_lost_total',
    'Offsets that retention removed from Kafka before they were read.',
  );
  const lag = gauge(
    registry,
    `${prefix}_lag_records`,
    'Records between the position and the end of the log.',
    BY_PARTITION,
  );
  const rebalances = groupCounter('rebalances_total', 'Times the group was joined.');
  const commitFailures = groupCounter('commit_failures_total', 'Commits refused or failed.');
  const restarts = groupCounter('restarts_total', 'Times the client restarted after an error.');
  const labels = ({ topic, partition }: TopicPartition) => ({
    group,
    topic,
    partition: String(partition),
  });
  return {
    accepted(at, count, size) {
      records.inc(labels(at), count);
      bytes.inc(labels(at), size);
    },
    lag: (at, count) => lag.set(labels(at), count),
    jumped: (at, count) => lost.inc(labels(at), count),
    rebalanced: () => rebalances.inc({ group }),
    commitFailed: () => commitFailures.inc({ group }),
    restarted: () => restarts.inc({ group }),
    revoked(at) {
      for (const metric of [records, bytes, lost, lag]) metric.remove(labels(at));
    },
  };
}

export const noMetrics: ConsumeMetrics = {
  accepted: () => {},
  lag: () => {},
  jumped: () => {},
  rebalanced: () => {},
  commitFailed: () => {},
  restarted: () => {},
  revoked: () => {},
};
