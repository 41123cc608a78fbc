/**
 * The real things that correlation works with: the producers of the matches and the state topic, the
 * reader of logs, and the stateful rules in the form that `correlation.ts` asks for.
 */
import { createRecordProducer, type RecordProducer } from '../../ingest/produce.ts';
import { backoffMs } from '../../runtime/backoff.ts';
import type { Config } from '../../runtime/config.ts';
import { Failure } from '../../runtime/errors.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import type { StateWrite } from './lane.ts';
import { type LogReader, openLogReader } from './log-reader.ts';
import type { PartitionLog } from './restore.ts';

export interface CorrelationTopics {
  /** Partitions of the matches topic, and of the state topic. */
  partitions: number;
  matches: RecordProducer;
  /** The matches topic, read back. */
  matchesLog: PartitionLog;
  state: PartitionLog & { write(messages: StateWrite[]): Promise<void> };
  reader: LogReader;
  /** Onto every partition of the matches topic. */
  tellAll(value: Buffer): Promise<void>;
  close(): Promise<void>;
}

const BACKOFF = { firstMs: 500, maxMs: 10_000 };

/**
 * @param ending aborts what waits for Kafka
 * @throws Failure where a topic is missing, or the two do not fit each other.
 */
export async function openCorrelationTopics(
  { config, log, clock, random }: ServiceContext,
  ending: AbortSignal,
): Promise<CorrelationTopics> {
  const { topics } = config;
  const matches = createRecordProducer({ config, topic: topics.matches, log });
  const states = createRecordProducer({ config, topic: topics.state, log });
  const reader = openLogReader({
    config,
    topics: [topics.events, topics.matches, topics.state],
    log,
    clock,
    random,
  });
  const close = async (): Promise<void> => {
    await Promise.all([matches.disconnect(), states.disconnect(), reader.close()]);
  };
  let partitions: number;
  try {
    partitions = await fittingPartitions(config, matches, states);
  } catch (error) {
    await close();
    throw error;
  }
  const logOf = (topic: string): PartitionLog => ({
    bounds: async (partition) => (await reader.bounds([{ topic, partition }], ending))[0]!,
    read: (partition, { start, end }, take) =>
      reader.read({ topic, partition }, start, end, take, ending),
  });
  return {
    partitions,
    matches,
    reader,
    matchesLog: logOf(topics.matches),
    state: {
      ...logOf(topics.state),
      async write(messages) {
        for (let attempt = 0; ; attempt += 1) {
          if (ending.aborted) throw stopping();
          try {
            return await writeState(states, messages);
          } catch (error) {
            if (!(error as Failure).retryable) throw error;
            log.warn(
              { err: error, entries: messages.length },
              'state cannot be written; trying on',
            );
            await clock.sleep(backoffMs(attempt, BACKOFF, random), ending);
          }
        }
      },
    },
    async tellAll(value) {
      // A producer that was disconnected would connect again, and nobody would end that.
      if (ending.aborted) throw stopping();
      const records = Array.from({ length: partitions }, (_, partition) => {
        return { key: null, value, partition };
      });
      const refused = await matches.produceBatch(records);
      if (refused.length > 0) throw tooLarge(topics.matches, refused[0]!.bytes);
    },
    close,
  };
}

async function fittingPartitions(
  { topics }: Config,
  matches: RecordProducer,
  states: RecordProducer,
): Promise<number> {
  const [one, other] = await Promise.all([matches.partitionCount(), states.partitionCount()]);
  if (one === other) return one;
  throw new Failure(
    `${topics.matches} has ${one} partitions and ${topics.state} has ${other}: they must be alike`,
    {
      code: 'CORRELATION_TOPICS_DIFFER',
      hint: 'name two new topics (topics.matches, topics.state) and run lakeseal setup',
    },
  );
}

async function writeState(producer: RecordProducer, messages: StateWrite[]): Promise<void> {
  const refused = await producer.produceBatch(messages);
  if (refused.length === 0) return;
  // Without it a restart would forget the group: better to stand still and say so.
  throw tooLarge('the state topic', Math.max(...refused.map(({ bytes }) => bytes)));
}

function stopping(): Failure {
  return new Failure('cannot write: stopping', { code: 'STOPPING' });
}

function tooLarge(topic: string, bytes: number): Failure {
  return new Failure(`${topic} does not take a record of ${bytes} bytes`, {
    code: 'CORRELATION_RECORD_TOO_LARGE',
    hint: 'raise max.message.bytes of the topic, or lower detect.groupEntriesMax',
  });
}
