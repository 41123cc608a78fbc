/** Writes a stream to the topic of a scene, as fast as it is told, and to a file for `scan`. */
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectedProducer } from './kafka.ts';
import type { Random } from './random.ts';
import type { Scene } from './scene.ts';
import { Stream, type StreamEvent } from './stream.ts';

const EVENTS_A_BATCH = 10;
const BATCH_PAUSE_MS = 250;
const STEP_MS = 4_000;
/** All windows, and what waits for silence, end within this after the last event. */
const CLOSING_MS = 3 * 3_600_000;

export class Feed {
  readonly file: string;
  events = 0;
  repeated = 0;
  #stopping = false;
  #work: Promise<void> | undefined;
  readonly #scene: Scene;
  readonly #random: Random;
  readonly #partitions: number;
  readonly #stream: Stream;

  constructor(scene: Scene, random: Random, partitions: number) {
    this.#scene = scene;
    this.#random = random;
    this.#partitions = partitions;
    this.#stream = new Stream(random, Date.now() - 20 * 3_600_000, STEP_MS);
    this.file = join(scene.folder, 'events.ndjson');
  }

  start(): void {
    this.#work = this.#run();
    this.#work.catch(() => {});
  }

  /** The last events bring event time beyond everything that was judged. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#work;
  }

  async #run(): Promise<void> {
    const { stack, topic } = this.#scene;
    const lines = createWriteStream(this.file);
    const producer = await connectedProducer(stack.brokers);
    const send = async (events: StreamEvent[]): Promise<void> => {
      const messages = events.map(({ json }, index) => ({
        key: null,
        value: json,
        partition: (this.events + index) % this.#partitions,
      }));
      await producer.send({ topic, messages, acks: -1 });
    };
    try {
      let again: StreamEvent[] = [];
      while (!this.#stopping) {
        const fresh = Array.from({ length: EVENTS_A_BATCH }, () => this.#stream.next());
        this.#note(fresh, lines);
        await send([...again, ...fresh]);
        this.events += fresh.length;
        this.repeated += again.length;
        again = fresh.filter(() => this.#random.next() < 0.05);
        await sleep(BATCH_PAUSE_MS);
      }
      const closing = this.#stream.closing(CLOSING_MS);
      this.#note([closing], lines);
      await send(Array.from({ length: this.#partitions }, () => closing));
    } finally {
      await producer.disconnect();
      await new Promise<void>((resolve) => lines.end(() => resolve()));
    }
  }

  #note(events: StreamEvent[], lines: WriteStream): void {
    for (const { json } of events) lines.write(`${json}\n`);
  }
}
