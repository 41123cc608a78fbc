/**
 * Records onto one topic: idempotent, acknowledged by all in-sync replicas, in chunks that a broker
 * takes.
 *
 * Promises: when `produceBatch` resolves, every record that it does not name as refused is durable.
 * Records of one partition keep their order. A record with a key goes to the partition that Java's
 * default partitioner chooses. At most one request per broker is in flight, so memory is bounded by
 * what the caller hands over. Retries inside the client write nothing twice; after a failure that
 * ends them, a record may be there twice if the caller tries again.
 *
 * Three traps of kafkajs 2.2.4 shape this file:
 * - It does not split: a request whose share for one partition is over the topic's limit fails whole.
 * - It takes sequence numbers back when a request fails, though the broker may have written it (a
 *   lost answer, or the other partitions of the request). Whatever is sent next under those numbers
 *   is taken for a repetition, acknowledged, and dropped. So one request runs at a time, and after a
 *   failed one the producer is thrown away: a new one has a new id.
 * - It chooses the partition again on each retry. So the partition is chosen here, once.
 */
import kafkajs, { type IHeaders, type Kafka, type Message, type Producer } from 'kafkajs';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import { connectKafka, errorType, kafkaFailure } from './kafka.ts';
import type { RecordHeader } from './record.ts';

export interface OutgoingRecord {
  key: Buffer | null;
  value: Buffer | null;
  /** kafkajs cannot write a null header value; it goes out empty. */
  headers?: RecordHeader[];
  /** Milliseconds since the epoch; the time of sending where left out. */
  timestamp?: number;
  /** Default: by the key, else in turns, a chunk at a time. */
  partition?: number;
}

/** A record that the topic does not take, by its index in what was given. */
export interface RefusedRecord {
  index: number;
  bytes: number;
  code: 'too_large';
}

export type Compression = Config['collect']['compression'];

export interface ProducerOptions {
  config: Config;
  topic: string;
  log: Log;
  /** Default none. */
  compression?: Compression;
  /** Most bytes of one partition in one request, uncompressed; default `collect.batchBytesMax`. */
  batchBytesMax?: number;
}

export interface RecordProducer {
  /**
   * Durable when it resolves; gives the records that were refused. Calls run one after another.
   * @throws Failure where Kafka could not be reached or refuses for another reason; then any of the
   *   records may be written or not.
   */
  produceBatch(records: OutgoingRecord[]): Promise<RefusedRecord[]>;
  /** Partitions of the topic, once connected. */
  partitionCount(): Promise<number>;
  disconnect(): Promise<void>;
}

/** kafkajs groups the records of a request in quadratic time. */
const CHUNK_RECORDS_MAX = 2_000;
const REQUEST_BYTES_MAX = 8 * 1024 * 1024;
/** Brokers close a connection that sends more than `socket.request.max.bytes` (100 MiB). */
const RECORD_BYTES_MAX = 96 * 1024 * 1024;
/** Length fields, attributes and deltas of one record, at most. */
const RECORD_OVERHEAD_BYTES = 32;
const HEADER_OVERHEAD_BYTES = 10;
const REPLACEMENTS_MAX = 3;
/** About 50 s: as long as a broker takes to restart or to elect a leader. */
const RETRIES = 20;

const TOO_LARGE = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']);
/** The broker no longer knows this producer's sequence; a new producer mends it. */
const LOST_SEQUENCE = new Set([
  'UNKNOWN_PRODUCER_ID',
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
]);

const CODECS: Record<Compression, number> = {
  none: kafkajs.CompressionTypes.None,
  gzip: kafkajs.CompressionTypes.GZIP,
  snappy: kafkajs.CompressionTypes.Snappy,
  lz4: kafkajs.CompressionTypes.LZ4,
  zstd: kafkajs.CompressionTypes.ZSTD,
};

/** An upper bound of what the record takes in a request, uncompressed. */
export function recordBytes({ key, value, headers = [] }: OutgoingRecord): number {
  let bytes = RECORD_OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0);
  for (const header of headers) {
    bytes += HEADER_OVERHEAD_BYTES + Buffer.byteLength(header.key) + (header.value?.length ?? 0);
  }
  return bytes;
}

export interface Chunk {
  partition: number;
  bytes: number;
  /** Indexes into what was given, in order. */
  indexes: number[];
  /** One record over the limit: sent by itself, so that its refusal touches nothing else. */
  alone: boolean;
}

export type PartitionOf = (record: OutgoingRecord, bytes: number) => number;

/** Cuts the records into chunks, in order per partition. Pure but for `partitionOf`. */
export function chunkRecords(
  records: OutgoingRecord[],
  partitionOf: PartitionOf,
  bytesMax: number,
): Chunk[] {
  const chunks: Chunk[] = [];
  const open = new Map<number, Chunk>();
  records.forEach((record, index) => {
    const bytes = recordBytes(record);
    const partition = partitionOf(record, bytes);
    let chunk = open.get(partition);
    const alone = bytes > bytesMax;
    const full =
      chunk === undefined ||
      alone ||
      chunk.alone ||
      chunk.bytes + bytes > bytesMax ||
      chunk.indexes.length >= CHUNK_RECORDS_MAX;
    if (full) {
      chunk = { partition, bytes: 0, indexes: [], alone };
      chunks.push(chunk);
      open.set(partition, chunk);
    }
    chunk!.bytes += bytes;
    chunk!.indexes.push(index);
  });
  return chunks;
}

/**
 * Orders chunks into requests: at most one chunk of a partition in each, a lone one by itself, no
 * more than `REQUEST_BYTES_MAX`. Pure.
 */
export function planRequests(chunks: Chunk[]): Chunk[][] {
  const requests: Chunk[][] = [];
  let current: Chunk[] = [];
  let bytes = 0;
  const close = (): void => {
    if (current.length > 0) requests.push(current);
    current = [];
    bytes = 0;
  };
  for (let waiting = chunks; waiting.length > 0; ) {
    const later: Chunk[] = [];
    const seen = new Set<number>();
    for (const chunk of waiting) {
      if (seen.has(chunk.partition)) {
        later.push(chunk);
        continue;
      }
      seen.add(chunk.partition);
      if (chunk.alone || bytes + chunk.bytes > REQUEST_BYTES_MAX) close();
      current.push(chunk);
      bytes += chunk.bytes;
      if (chunk.alone) close();
    }
    close();
    waiting = later;
  }
  return requests;
}

/** Java's default partitioner for records with a key; `null` for others. */
export function keyPartition(key: Buffer | null, partitions: number): number | null {
  if (key === null) return null;
  const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({
    partitionId,
    leader: 0,
  }));
  const input = { topic: '', partitionMetadata, message: { key, value: null } };
  return choose(input as unknown as Parameters<typeof choose>[0]);
}

const choose = kafkajs.Partitioners.DefaultPartitioner();

export function createRecordProducer(options: ProducerOptions): RecordProducer {
  return new TopicProducer(options);
}

class TopicProducer implements RecordProducer {
  readonly #options: ProducerOptions;
  readonly #kafka: Kafka;
  #bytesMax: number;
  #producer: Producer | null = null;
  #partitions: number | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  #sticky = 0;
  #stickyBytes = 0;

  constructor(options: ProducerOptions) {
    this.#options = options;
    this.#kafka = connectKafka(options.config, options.log, RETRIES);
    this.#bytesMax = options.batchBytesMax ?? options.config.collect.batchBytesMax;
  }

  produceBatch(records: OutgoingRecord[]): Promise<RefusedRecord[]> {
    return this.#inTurn(() => this.#produce(records));
  }

  partitionCount(): Promise<number> {
    return this.#inTurn(() => this.#countPartitions());
  }

  disconnect(): Promise<void> {
    return this.#inTurn(() => this.#discard());
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #produce(records: OutgoingRecord[]): Promise<RefusedRecord[]> {
    const partitions = await this.#countPartitions();
    const chunks = chunkRecords(
      records,
      (record, bytes) => this.#partitionOf(record, bytes, partitions),
      this.#bytesMax,
    );
    const refused: RefusedRecord[] = [];
    for (const request of planRequests(chunks)) await this.#send(records, request, refused);
    return refused.sort((a, b) => a.index - b.index);
  }

  #partitionOf(record: OutgoingRecord, bytes: number, partitions: number): number {
    if (record.partition !== undefined) return record.partition;
    const keyed = keyPartition(record.key, partitions);
    if (keyed !== null) return keyed;
    if (this.#stickyBytes + bytes > this.#bytesMax) {
      this.#sticky++;
      this.#stickyBytes = 0;
    }
    this.#stickyBytes += bytes;
    return this.#sticky % partitions;
  }

  async #send(
    records: OutgoingRecord[],
    request: Chunk[],
    refused: RefusedRecord[],
  ): Promise<void> {
    const [only] = request;
    if (request.length === 1 && only!.indexes.length === 1 && only!.bytes > RECORD_BYTES_MAX) {
      refused.push({ index: only!.indexes[0]!, bytes: only!.bytes, code: 'too_large' });
      return;
    }
    for (let replaced = 0; ; replaced++) {
      try {
        await this.#attempt(records, request);
        return;
      } catch (error) {
        await this.#discard();
        const type = errorType(error) ?? '';
        if (TOO_LARGE.has(type)) return this.#split(records, request, refused);
        if (!LOST_SEQUENCE.has(type) || replaced >= REPLACEMENTS_MAX) {
          throw kafkaFailure(error, `write to ${this.#options.topic}`);
        }
        this.#options.log.info({ type }, 'the broker forgot the producer; taking a new one');
      }
    }
  }

  async #attempt(records: OutgoingRecord[], request: Chunk[]): Promise<void> {
    const { topic, compression = 'none' } = this.#options;
    const producer = await this.#connected();
    const messages = request.flatMap(({ partition, indexes }) =>
      indexes.map((index) => toMessage(records[index]!, partition)),
    );
    await producer.send({ topic, messages, acks: -1, compression: CODECS[compression] });
  }

  /** The topic takes less than a chunk: find out what it does take, down to single records. */
  async #split(
    records: OutgoingRecord[],
    request: Chunk[],
    refused: RefusedRecord[],
  ): Promise<void> {
    for (const chunk of request) {
      const { indexes, bytes, partition } = chunk;
      if (request.length > 1) {
        await this.#send(records, [chunk], refused);
        continue;
      }
      if (indexes.length === 1) {
        refused.push({ index: indexes[0]!, bytes, code: 'too_large' });
        continue;
      }
      this.#bytesMax = Math.min(this.#bytesMax, Math.max(1, Math.floor(bytes / 2)));
      for (const part of chunkRecords(
        indexes.map((index) => records[index]!),
        () => partition,
        this.#bytesMax,
      )) {
        const original = part.indexes.map((at) => indexes[at]!);
        await this.#send(records, [{ ...part, indexes: original }], refused);
      }
    }
  }

  async #connected(): Promise<Producer> {
    if (this.#producer !== null) return this.#producer;
    const producer = this.#kafka.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    });
    this.#producer = producer;
    await producer.connect();
    return producer;
  }

  async #discard(): Promise<void> {
    const producer = this.#producer;
    this.#producer = null;
    try {
      await producer?.disconnect();
    } catch (error) {
      this.#options.log.debug({ err: error }, 'the producer did not disconnect cleanly');
    }
  }

  /** Asked once: a topic that grows is used in full after a restart. */
  async #countPartitions(): Promise<number> {
    this.#partitions ??= await topicPartitions(this.#kafka, this.#options.topic);
    return this.#partitions;
  }
}

/** @throws Failure KAFKA_TOPIC_MISSING, KAFKA_UNREACHABLE, … */
export async function topicPartitions(kafka: Kafka, topic: string): Promise<number> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    const count = topics[0]?.partitions.length ?? 0;
    if (count > 0) return count;
    throw new Failure(`topic ${topic} has no partitions`, { code: 'KAFKA_TOPIC_MISSING' });
  } catch (error) {
    throw kafkaFailure(error, `find topic ${topic}`);
  } finally {
    await admin.disconnect().catch(() => {});
  }
}

function toMessage(record: OutgoingRecord, partition: number): Message {
  const message: Message = { key: record.key, value: record.value, partition };
  if (record.headers !== undefined && record.headers.length > 0) {
    message.headers = toHeaders(record.headers);
  }
  if (record.timestamp !== undefined) message.timestamp = String(record.timestamp);
  return message;
}

/** Prototype-less, so that a header named `__proto__` is a header. */
function toHeaders(headers: RecordHeader[]): IHeaders {
  const byKey = Object.create(null) as Record<string, Buffer[]>;
  for (const { key, value } of headers) {
    const values = byKey[key] ?? [];
    values.push(value ?? Buffer.alloc(0));
    byKey[key] = values;
  }
  return byKey;
}
