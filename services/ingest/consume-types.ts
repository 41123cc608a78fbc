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
  /**
   * Of the topic id of the assignment. In offset order, never empty, none below the position. The first may be above it: retention or
   * compaction took what lay between, or a transaction marker did. Values are slices of a fetch
   * response: copy what is kept.
   */
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
   * After every (re)join, with all partitions now owned (perhaps none), before any record is
   * delivered. Returns where to start per partition; a partition left out starts at the committed
   * offset, else `startAt`. Fetching is paused until it resolves; a rejection stops the consumer.
   *
   * No `batch` is running when it is called: it waits for those of the older generation, which see
   * `stale()`. It is also called, with a new generation, when Kafka's log no longer reaches the
   * position or a topic got another id (deleted and made anew; `committedOffset` is then null): judge
   * `topicId` and `logEndOffset`. An offset returned beyond `logEndOffset` rejects `run`
   * (KAFKA_POSITION_BEYOND_END); one below `logStartOffset` starts at `logStartOffset`.
   */
  assigned(
    assignments: Assignment[],
    generation: number,
  ): Promise<Array<TopicPartition & { offset: bigint }>>;
  /**
   * One batch. Resolving accepts it (fetching moves on to `nextOffset`), which is not a commit.
   * Not resolving is the backpressure. A rejection stops the consumer (bad input is a value, so
   * only an edge that is beyond retry rejects).
   *
   * Never called twice at once for one partition; called at once for several, so that a slow one
   * holds up no other. The membership is kept however long it takes. Once `stale()`, drop the rest
   * and return: the new generation waits for it.
   */
  batch(batch: RecordBatch): Promise<void>;
}

export interface RecordConsumer {
  /**
   * Joins the group and consumes until `stop` or a failure beyond retry, which rejects: the process
   * should then exit non-zero and be started anew. Call it once.
   */
  run(handlers: ConsumerHandlers): Promise<void>;
  /**
   * Moves the fetch position; batches in flight turn stale and are not accepted. Nothing happens
   * for a partition that is not owned, or whose `assigned` has not resolved.
   */
  seek(partition: TopicPartition, offset: bigint): void;
  /** Stops fetching; kept over a rebalance where the partition stays, forgotten where it goes. */
  pause(partitions: TopicPartition[]): void;
  resume(partitions: TopicPartition[]): void;
  /**
   * Commits next-offsets, durable when it resolves to true. Returns false (and logs at debug) where
   * the generation has passed, here or at the broker, or the consumer has stopped. Tries again by
   * itself as long as the generation lasts; never rejects.
   */
  commit(offsets: Array<TopicPartition & { offset: bigint }>, generation: number): Promise<boolean>;
  /**
   * Delivers nothing more, waits until no handler is running (at most `STOP_HANDLERS_MS`; commits
   * still work meanwhile), leaves the group, and lets `run` resolve. Not to be awaited inside a
   * handler.
   */
  stop(): Promise<void>;
}
