/**
 * What could not be read goes to the dead-letter topic, with the reason, and nothing is lost.
 *
 * A dead letter is a Kafka record:
 * - value: the original bytes, untouched; or, where they are more than the topic takes, their
 *   beginning, and `lakeseal.whole-bytes` and `lakeseal.whole-sha256` (hexadecimal) of all of them
 * - key: the original key (the same key, the same partition)
 * - headers: the original ones, then ours. A reader takes the last where a name comes twice.
 *
 * | header | |
 * |---|---|
 * | `lakeseal.reason` | a word, such as `not_json` |
 * | `lakeseal.detail` | a sentence for people, at most 1,000 characters |
 * | `lakeseal.topic`, `lakeseal.partition`, `lakeseal.offset`, `lakeseal.timestamp` | where a record was |
 * | `lakeseal.file`, `lakeseal.line` | where a line was, counted from 1 |
 * | `lakeseal.schema-id` | of a Confluent-framed value |
 * | `lakeseal.at` | when this letter was written, ISO 8601 |
 * | `lakeseal.tombstone` | `true`: the original value was null |
 * | `lakeseal.whole-bytes`, `lakeseal.whole-sha256` | the value here is only a part |
 * | `lakeseal.dropped` | `headers` or `key`: left out because they alone were too large |
 */
import { createHash } from 'node:crypto';
import { unframe } from '../../schemas/audit-event.ts';
import { backoffMs } from '../runtime/backoff.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import {
  createRecordProducer,
  type OutgoingRecord,
  type RecordProducer,
  recordBytes,
} from './produce.ts';
import type { KafkaRecord, RecordHeader } from './record.ts';

/** A line of a file that the collector could not read. */
export interface UnreadLine {
  file: string;
  /** Counted from 1. */
  line: number;
  bytes: Buffer;
}

export type DeadLetterSource = KafkaRecord | UnreadLine;

export interface DeadLetter {
  source: DeadLetterSource;
  /** A word of a closed set, such as `not_json`. */
  reason: string;
  /** For people; never the data itself. */
  detail: string;
}

const DETAIL_CHARACTERS_MAX = 1_000;
/** What our own headers take, at most. */
const OWN_HEADERS_BYTES = 8 * 1024;
/** Room that the batch around a single record takes. */
const BATCH_OVERHEAD_BYTES = 1024;
const VALUE_BYTES_MIN = 1024;

function isLine(source: DeadLetterSource): source is UnreadLine {
  return 'file' in source;
}

/** The record for the dead-letter topic, of at most `recordBytesMax` bytes. Pure. */
export function deadLetterMessage(
  { source, reason, detail }: DeadLetter,
  nowMs: number,
  recordBytesMax: number,
): OutgoingRecord {
  const value = isLine(source) ? source.bytes : source.value;
  const headers: RecordHeader[] = [];
  const add = (name: string, text: string | number | bigint): void => {
    headers.push({ key: `lakeseal.${name}`, value: Buffer.from(String(text)) });
  };
  add('reason', reason);
  add('detail', detail.slice(0, DETAIL_CHARACTERS_MAX));
  addPlace(source, add);
  add('at', new Date(nowMs).toISOString());
  if (value === null) add('tombstone', 'true');
  const frame = value === null || isLine(source) ? null : unframe(value);
  if (frame !== null) add('schema-id', frame.schemaId);

  const room = recordBytesMax - OWN_HEADERS_BYTES - BATCH_OVERHEAD_BYTES;
  const kept = keepKeyAndHeaders(source, Math.floor(room / 2), add);
  const valueRoom = Math.max(VALUE_BYTES_MIN, room - recordBytes({ ...kept, value: null }));
  if (value === null || value.length <= valueRoom) {
    return { key: kept.key, value, headers: [...kept.headers, ...headers] };
  }
  add('whole-bytes', value.length);
  add('whole-sha256', createHash('sha256').update(value).digest('hex'));
  return {
    key: kept.key,
    value: value.subarray(0, valueRoom),
    headers: [...kept.headers, ...headers],
  };
}

type Add = (name: string, text: string | number | bigint) => void;

function addPlace(source: DeadLetterSource, add: Add): void {
  if (isLine(source)) {
    add('file', source.file.slice(-2_000));
    add('line', source.line);
    return;
  }
  add('topic', source.topic);
  add('partition', source.partition);
  add('offset', source.offset);
  add('timestamp', source.timestamp);
}

/** The original key and headers, where they leave room for a value. */
function keepKeyAndHeaders(
  source: DeadLetterSource,
  bytesMax: number,
  add: Add,
): { key: Buffer | null; headers: RecordHeader[] } {
  if (isLine(source)) return { key: null, headers: [] };
  const { key, headers } = source;
  if (recordBytes({ key, headers, value: null }) <= bytesMax) return { key, headers };
  if (headers.length > 0) add('dropped', 'headers');
  if (recordBytes({ key, value: null }) <= bytesMax) return { key, headers: [] };
  add('dropped', 'key');
  return { key: null, headers: [] };
}

export interface DeadLetterSinkOptions {
  config: Config;
  log: Log;
  clock?: Clock;
  random?: () => number;
  /** Aborts retries; `send` then rejects. */
  signal?: AbortSignal;
  /** Default: a producer to `topics.deadLetter`. */
  producer?: RecordProducer;
}

const BACKOFF = { firstMs: 500, maxMs: 30_000 };
/** A topic that is missing for this many attempts (about 20 s) will not appear by itself. */
const MISSING_ATTEMPTS_MAX = 6;

/** Writes dead letters; each is durable when `send` resolves. */
export class DeadLetterSink {
  readonly #options: DeadLetterSinkOptions;
  readonly #producer: RecordProducer;
  readonly #clock: Clock;
  #recordBytesMax: number;

  constructor(options: DeadLetterSinkOptions) {
    const { config, log } = options;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#recordBytesMax = config.topics.recordBytesMax;
    this.#producer =
      options.producer ?? createRecordProducer({ config, topic: config.topics.deadLetter, log });
  }

  /**
   * Durable when it resolves. Tries again for as long as Kafka cannot be reached, which holds the
   * caller up: that is the backpressure.
   * @throws Failure where trying again cannot help (no rights, no topic) or the signal aborts. Then
   *   the caller must not commit what the letters stand for.
   */
  async send(letters: DeadLetter[]): Promise<void> {
    let waiting = letters;
    for (let attempt = 0; waiting.length > 0; attempt++) {
      try {
        waiting = await this.#try(waiting);
      } catch (error) {
        if (!this.#mayRetry(error, attempt)) throw error;
        this.#options.log.warn({ err: error, letters: waiting.length }, 'dead letters must wait');
        const random = this.#options.random ?? Math.random;
        await this.#clock.sleep(backoffMs(attempt, BACKOFF, random), this.#options.signal);
        if (this.#options.signal?.aborted) throw error;
      }
    }
  }

  /** Gives those that the topic took for too large; the next attempt cuts them shorter. */
  async #try(letters: DeadLetter[]): Promise<DeadLetter[]> {
    const now = this.#clock.now();
    const records = letters.map((letter) => deadLetterMessage(letter, now, this.#recordBytesMax));
    const refused = await this.#producer.produceBatch(records);
    if (refused.length === 0) return [];
    const smallest = VALUE_BYTES_MIN + OWN_HEADERS_BYTES + BATCH_OVERHEAD_BYTES;
    if (this.#recordBytesMax <= smallest) {
      throw new Failure('the dead-letter topic takes no record at all', {
        code: 'DEAD_LETTER_TOO_LARGE',
        hint: 'Raise max.message.bytes of the dead-letter topic.',
      });
    }
    const largest = Math.max(...refused.map(({ bytes }) => bytes));
    const half = Math.floor(Math.min(this.#recordBytesMax, largest) / 2);
    this.#recordBytesMax = Math.max(smallest, half);
    this.#options.log.info(
      { recordBytesMax: this.#recordBytesMax },
      'dead letters are cut shorter',
    );
    return refused.map(({ index }) => letters[index]!);
  }

  #mayRetry(error: unknown, attempt: number): boolean {
    if (!(error instanceof Failure) || this.#options.signal?.aborted) return false;
    if (error.code === 'KAFKA_TOPIC_MISSING') return attempt < MISSING_ATTEMPTS_MAX;
    return error.retryable;
  }

  async close(): Promise<void> {
    await this.#producer.disconnect();
  }
}
