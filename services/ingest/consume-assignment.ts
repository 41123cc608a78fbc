/**
 * What a consumer must know of its partitions before it reads: topic ids, the bounds of the logs
 * and the committed offsets; and where it then starts. Asked of the brokers once per assignment.
 */
import { Failure } from '../runtime/errors.ts';
import type { Assignment, TopicPartition } from './consume-types.ts';
import type { ClientCluster, ClientGroup, ClientOffsetManager } from './kafkajs-patches.ts';
import { fetchTopics } from './topic-ids.ts';

/** One string per partition; a topic name has no space. */
export function partitionKey({ topic, partition }: TopicPartition): string {
  return `${topic} ${partition}`;
}

interface Grouped {
  topic: string;
  partitions: Array<{ partition: number }>;
}

export function byTopic(partitions: TopicPartition[]): Grouped[] {
  const topics = new Map<string, Grouped>();
  for (const { topic, partition } of partitions) {
    const group = topics.get(topic) ?? { topic, partitions: [] };
    group.partitions.push({ partition });
    topics.set(topic, group);
  }
  return [...topics.values()];
}

type Offsets = Map<string, bigint>;

function flatten(
  topics: Array<{ topic: string; partitions: Array<{ partition: number; offset: string }> }>,
): Offsets {
  const offsets: Offsets = new Map();
  for (const { topic, partitions } of topics) {
    for (const { partition, offset } of partitions) {
      offsets.set(partitionKey({ topic, partition }), BigInt(offset));
    }
  }
  return offsets;
}

/** First offset held and the offset after the newest readable record, per partition. */
export async function logBounds(
  cluster: ClientCluster,
  partitions: TopicPartition[],
): Promise<{ starts: Offsets; ends: Offsets }> {
  const topics = byTopic(partitions);
  const ask = (fromBeginning: boolean) =>
    cluster.fetchTopicsOffset(topics.map((topic) => ({ ...topic, fromBeginning })));
  const [starts, ends] = await Promise.all([ask(true), ask(false)]);
  return { starts: flatten(starts), ends: flatten(ends) };
}

/**
 * Everything of `Assignment` for each partition. Rejects with the client's errors, and with a
 * retryable Failure where a topic or partition is not known (yet).
 */
export async function describeAssignments(
  group: ClientGroup,
  offsetManager: ClientOffsetManager,
  partitions: TopicPartition[],
): Promise<Assignment[]> {
  if (partitions.length === 0) return [];
  const { cluster, groupId } = group;
  const coordinator = await offsetManager.getCoordinator();
  const [{ ids }, { starts, ends }, committed] = await Promise.all([
    fetchTopics(
      cluster,
      partitions.map(({ topic }) => topic),
    ),
    logBounds(cluster, partitions),
    coordinator.offsetFetch({ groupId, topics: byTopic(partitions) }),
  ]);
  const committedOffsets = flatten(committed.responses);
  return partitions.map(({ topic, partition }) => {
    const key = partitionKey({ topic, partition });
    const topicId = ids.get(topic);
    const logStartOffset = starts.get(key);
    const logEndOffset = ends.get(key);
    if (topicId == null || logStartOffset === undefined || logEndOffset === undefined) {
      throw new Failure(`Kafka does not know partition ${partition} of ${topic}`, {
        code: 'KAFKA_TOPIC_MISSING',
        hint: 'Was the topic deleted? Run `lakeseal setup`.',
        retryable: true,
      });
    }
    const known = committedOffsets.get(key) ?? -1n;
    const committedOffset = known < 0n ? null : known;
    return { topic, partition, topicId, logStartOffset, logEndOffset, committedOffset };
  });
}

export interface Start {
  offset: bigint;
  /** The committed offset lies beyond the log: the topic was made anew, or the log was cut. */
  reset: boolean;
}

/** Where a partition starts: what the handler chose, else the committed offset, else `startAt`. */
export function startOffset(
  assignment: Assignment,
  chosen: bigint | undefined,
  startAt: 'earliest' | 'latest',
): Start {
  const { committedOffset, logStartOffset, logEndOffset } = assignment;
  if (chosen !== undefined) return { offset: chosen, reset: false };
  if (committedOffset === null) {
    return { offset: startAt === 'earliest' ? logStartOffset : logEndOffset, reset: false };
  }
  if (committedOffset > logEndOffset) return { offset: logStartOffset, reset: true };
  return { offset: committedOffset, reset: false };
}
