/** Producers that never rest: they fill a topic until they are told to stop, and count. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type MixedMessage, mixedMessage } from './events.ts';
import { connectedProducer, produceAll } from './kafka.ts';

export interface Load {
  /** Records acknowledged by Kafka so far. */
  readonly produced: number;
  /** Ends the producers; everything they sent is durable when it resolves. Gives the count. */
  stop(): Promise<number>;
}

export interface LoadOptions {
  brokers: string[];
  topic: string;
  producers: number;
  /** Records of one request of one producer, and the pause after it. */
  batch: number;
  pauseMs: number;
  message: (scope: number, number: number) => MixedMessage;
}

export function startLoad(options: LoadOptions): Load {
  const { brokers, topic, producers, batch, pauseMs, message } = options;
  let stopping = false;
  let produced = 0;
  const run = async (scope: number): Promise<void> => {
    const producer = await connectedProducer(brokers);
    try {
      for (let number = 0; !stopping; number += batch) {
        const messages = Array.from({ length: batch }, (_, index) =>
          message(scope, number + index),
        );
        const sent = await produceAll(producer, topic, messages, batch);
        produced += sent;
        await sleep(pauseMs);
      }
    } finally {
      await producer.disconnect();
    }
  };
  const work = Promise.all(Array.from({ length: producers }, (_, index) => run(index + 1)));
  work.catch(() => {});
  return {
    get produced() {
      return produced;
    },
    async stop() {
      stopping = true;
      await work;
      return produced;
    },
  };
}

export function mixedLoad(schemaId: number): LoadOptions['message'] {
  return (scope, number) => mixedMessage(schemaId, { scope, number });
}
