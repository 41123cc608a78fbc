/**
 * The contract between Kafka consumption (`consume.ts`) and the services that consume.
 * Everything here is data and callbacks; no Kafka client type leaks through it.
 */
import type { KafkaRecord } from './record.ts';

export interface TopicPartition {
  topic: string;
  partition: number;
}

export interface Assignment extends TopicPartition {
  /** Kafka's topic id, base64url, 22 characters; `-` where the broker has none (Event Hubs). */
  topicId: string;
  /** First offset that Kafka still holds, and the offset after the newest record, at assignment. */
  logStartOffset: bigint;
  logEndOffset: bigint;
  /** The group's committed offset, or null. Advisory for the archiver. */
  committedOffset: bigint | null;
}

export interface RecordBatch extends TopicPartition {
  /** Counts assignments of this process; work of an older generation must not be committed. */
  generation: number;
  /** In offset order. Values are slices of a fetch response: copy what is kept. */
  records: KafkaRecord[];
  /** Where the next fetch starts: after the last record and any control records behind it. */
  nextOffset: bigint;
  highWatermark: bigint;
  /** The first offset Kafka still holds, as the fetch response says; -1n where it does not. */
  logStartOffset: bigint;
  /** Call at least every second inside long work. Never throws: a rebalance makes `stale()` true. */
  heartbeat(): Promise<void>;
  /** True once this batch's partition was sought or revoked, or the consumer is stopping. */
  stale(): boolean;
}

export interface ConsumerHandlers {
  /**
   * After every (re)join, with all partitions now owned, before any record is delivered. Returns
   * where to start per partition; a partition left out starts at the committed offset, else
   * `startAt`. Fetching is paused until it resolves; a rejection stops the consumer.
   */
  assigned(
    assignments: Assignment[],
    generation: number,
  ): Promise<Array<TopicPartition & { offset: bigint }>>;
  /**
   * One batch. Resolving accepts it (fetching moves on to `nextOffset`), which is not a commit.
   * Not resolving is the backpressure. A rejection stops the consumer (bad input is a value, so
   * only an edge that is beyond retry rejects).
   */
  batch(batch: RecordBatch): Promise<void>;
}

export interface RecordConsumer {
  /** Joins the group and consumes until `stop` or a failure beyond retry, which rejects. */
  run(handlers: ConsumerHandlers): Promise<void>;
  /** Moves the fetch position; batches in flight turn stale. */
  seek(partition: TopicPartition, offset: bigint): void;
  pause(partitions: TopicPartition[]): void;
  resume(partitions: TopicPartition[]): void;
  /** Commits next-offsets. Returns false (and logs at debug) where the generation has passed. */
  commit(offsets: Array<TopicPartition & { offset: bigint }>, generation: number): Promise<boolean>;
  /** Leaves the group and resolves when no handler is running any more. */
  stop(): Promise<void>;
}
