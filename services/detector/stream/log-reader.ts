/**
 * The edge that reads a partition without a consumer group: from an offset to another, once; and asks
 * where partitions begin and end. kafkajs has no consumer that is assigned by hand, so the fetch
 * requests are made here, over its own connections (its TLS, its login); their answers are read by
 * `record-batch.ts`, with checksums, like all others.
 */
import { byTopic, partitionKey } from '../../ingest/consume-assignment.ts';
import type { TopicPartition } from '../../ingest/consume-types.ts';
import { connectKafka, kafkaFailure } from '../../ingest/kafka.ts';
import type { ClientBroker, ClientCluster } from '../../ingest/kafkajs-patches.ts';
import type { KafkaRecord } from '../../ingest/record.ts';
import type { FetchedRecord } from '../../ingest/record-batch.ts';
import { clusterOf } from '../../ingest/topic-ids.ts';
import { backoffMs } from '../../runtime/backoff.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Config } from '../../runtime/config.ts';
import { Failure } from '../../runtime/errors.ts';
import type { Log } from '../../runtime/log.ts';

export interface LogBounds {
  /** First offset that is held, and the one after the newest record. */
  start: bigint;
  end: bigint;
}

export interface LogReader {
  /**
   * Hands over every record from `from` (included) to `to` (excluded), in order, in pieces, and waits
   * for each piece to be taken. Tries again for as long as the signal lasts.
   * @throws Failure where trying again cannot help, or the signal aborts.
   */
  read(
    at: TopicPartition,
    from: bigint,
    to: bigint,
    take: (records: KafkaRecord[]) => Promise<void> | void,
    signal: AbortSignal,
  ): Promise<void>;
  /** As `read`: tries again. One entry for each partition, in the order given. */
  bounds(partitions: TopicPartition[], signal: AbortSignal): Promise<LogBounds[]>;
  /** Where each ends, asked once, without trying again. */
  ends(partitions: TopicPartition[]): Promise<bigint[]>;
  close(): Promise<void>;
}

/** Most bytes of one answer; bounds what a reader holds besides what it keeps. */
const FETCH_BYTES_MAX = 4 * 1024 * 1024;
const FETCH_WAIT_MS = 250;
/** Only what is committed, where a transaction wrote. */
const READ_COMMITTED = 1;
const BACKOFF = { firstMs: 200, maxMs: 5_000 };
const REPLICA_OF_A_CLIENT = -1;

interface FetchingBroker extends ClientBroker {
  fetch(request: object): Promise<{
    responses: Array<{
      topicName: string;
      partitions: Array<{ partition: number; highWatermark: string; messages: FetchedRecord[] }>;
    }>;
  }>;
}

export interface LogReaderOptions {
  config: Config;
  topics: string[];
  log: Log;
  clock: Clock;
  random: () => number;
}

export function openLogReader(options: LogReaderOptions): LogReader {
  return new ClusterReader(options);
}

class ClusterReader implements LogReader {
  readonly #options: LogReaderOptions;
  readonly #cluster: ClientCluster;
  #connected: Promise<void> | null = null;
  #closed = false;
  #fetching: Promise<unknown> = Promise.resolve();

  constructor(options: LogReaderOptions) {
    this.#options = options;
    this.#cluster = clusterOf(connectKafka(options.config, options.log));
  }

  async read(
    at: TopicPartition,
    from: bigint,
    to: bigint,
    take: (records: KafkaRecord[]) => Promise<void> | void,
    signal: AbortSignal,
  ): Promise<void> {
    for (let next = from; next < to; ) {
      const asked = next;
      const found = await this.#patiently(`read ${at.topic}`, signal, () => this.#fetch(at, asked));
      const records = found.records.filter(({ offset }) => offset >= asked && offset < to);
      if (records.length > 0) await take(records);
      next = found.next;
    }
  }

  async bounds(partitions: TopicPartition[], signal: AbortSignal): Promise<LogBounds[]> {
    const { starts, ends } = await this.#patiently('read the ends of a log', signal, async () => {
      const [one, other] = [
        await this.#offsets(partitions, true),
        await this.#offsets(partitions, false),
      ];
      return { starts: one, ends: other };
    });
    return partitions.map((_, index) => ({ start: starts[index]!, end: ends[index]! }));
  }

  async ends(partitions: TopicPartition[]): Promise<bigint[]> {
    try {
      await this.#connect();
      return await this.#offsets(partitions, false);
    } catch (error) {
      await this.#refresh();
      throw kafkaFailure(error, 'read the ends of a log');
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#connected?.catch(() => {});
    await this.#cluster.disconnect().catch(() => {});
  }

  /** A cluster that was disconnected would connect again, and nobody would end that. */
  async #refresh(): Promise<void> {
    if (!this.#closed) await this.#cluster.refreshMetadata().catch(() => {});
  }

  #connect(): Promise<void> {
    if (this.#closed) return Promise.reject(stopping('use a log'));
    this.#connected ??= (async () => {
      await this.#cluster.connect();
      await this.#cluster.addMultipleTargetTopics(this.#options.topics);
    })().catch((error: unknown) => {
      this.#connected = null;
      throw error;
    });
    return this.#connected;
  }

  async #patiently<T>(doing: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const { clock, random, log } = this.#options;
    for (let attempt = 0; ; attempt += 1) {
      if (signal.aborted) throw stopping(doing);
      try {
        await this.#connect();
        return await work();
      } catch (error) {
        const failure = kafkaFailure(error, doing);
        if (!failure.retryable) throw failure;
        if (attempt === 0) log.debug({ err: failure }, 'a log cannot be read yet');
        await clock.sleep(backoffMs(attempt, BACKOFF, random), signal);
        await this.#refresh();
      }
    }
  }

  async #offsets(partitions: TopicPartition[], fromBeginning: boolean): Promise<bigint[]> {
    const topics = byTopic(partitions).map((topic) => ({ ...topic, fromBeginning }));
    const found = new Map<string, bigint>();
    for (const { topic, partitions: list } of await this.#cluster.fetchTopicsOffset(topics)) {
      for (const { partition, offset } of list) {
        found.set(partitionKey({ topic, partition }), BigInt(offset));
      }
    }
    return partitions.map((at) => {
      const offset = found.get(partitionKey(at));
      if (offset !== undefined) return offset;
      throw new Failure(`Kafka does not know partition ${at.partition} of ${at.topic}`, {
        code: 'KAFKA_TOPIC_MISSING',
        hint: 'run lakeseal setup',
        retryable: true,
      });
    });
  }

  /**
   * One at a time. kafkajs keeps a second connection to each broker for fetches and makes it anew for
   * each of several that begin at once; all but the last of them are then closed by nobody.
   */
  #fetch(at: TopicPartition, offset: bigint): Promise<{ records: KafkaRecord[]; next: bigint }> {
    const turn = this.#fetching.then(() => this.#fetchNow(at, offset));
    this.#fetching = turn.catch(() => {});
    return turn;
  }

  async #fetchNow(
    { topic, partition }: TopicPartition,
    offset: bigint,
  ): Promise<{ records: KafkaRecord[]; next: bigint }> {
    const metadata = this.#cluster.findTopicPartitionMetadata(topic);
    const leader = metadata.find(({ partitionId }) => partitionId === partition)?.leader ?? -1;
    const broker = (await this.#cluster.findBroker({ nodeId: leader })) as FetchingBroker;
    const { responses } = await broker.fetch({
      replicaId: REPLICA_OF_A_CLIENT,
      isolationLevel: READ_COMMITTED,
      maxWaitTime: FETCH_WAIT_MS,
      minBytes: 1,
      maxBytes: FETCH_BYTES_MAX,
      topics: [
        {
          topic,
          partitions: [{ partition, fetchOffset: String(offset), maxBytes: FETCH_BYTES_MAX }],
        },
      ],
    });
    const answer = responses[0]?.partitions[0];
    const messages = answer?.messages ?? [];
    const last = messages.at(-1);
    // Compaction leaves batches without records behind: an answer of nothing but those, below the end
    // of the log, means that there is no record up to there.
    const next =
      last === undefined ? highest(offset, answer?.highWatermark) : BigInt(last.offset) + 1n;
    const records = messages
      .filter(({ isControlRecord }) => !isControlRecord)
      .map((message) => recordOf(topic, partition, message));
    return { records, next };
  }
}

function stopping(doing: string): Failure {
  return new Failure(`cannot ${doing}: stopping`, { code: 'STOPPING' });
}

function highest(offset: bigint, highWatermark: string | undefined): bigint {
  const end = BigInt(highWatermark ?? '-1');
  return end > offset ? end : offset;
}

function recordOf(topic: string, partition: number, message: FetchedRecord): KafkaRecord {
  const { offset, timestamp, key, value, headerList } = message;
  return {
    topic,
    partition,
    offset: BigInt(offset),
    timestamp: BigInt(timestamp),
    key,
    value,
    headers: headerList ?? [],
  };
}
