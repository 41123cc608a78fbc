/**
 * Promise A2 watched while it might be broken: again and again the committed offsets of a group are
 * read, and then what is durable. What is durable only grows, so a commit beyond it at that moment
 * was a commit too early.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import { committedOffsets, plainKafka } from './kafka.ts';

const PERIOD_MS = 300;

export interface TooEarly {
  partition: number;
  committed: bigint;
  durable: bigint;
}

export class CommitSampler {
  readonly tooEarly: TooEarly[] = [];
  /** Looks at which both sides could be read. */
  samples = 0;
  /** What was durable at the last look, by partition. */
  durable = new Map<number, bigint>();
  committed = new Map<number, bigint>();
  readonly #admin: Admin;
  readonly #read: () => Promise<Map<number, bigint>>;
  readonly #where: { group: string; topic: string };
  #stopping = false;
  #looking: Promise<boolean> | undefined;
  #loop: Promise<void> | undefined;

  /** `read` gives what is durable now, by partition; it may reject while a server is down. */
  constructor(
    brokers: string[],
    where: { group: string; topic: string },
    read: () => Promise<Map<number, bigint>>,
  ) {
    this.#admin = plainKafka(brokers).admin();
    this.#where = where;
    this.#read = read;
  }

  async start(): Promise<void> {
    await this.#admin.connect();
    this.#loop = this.#run();
  }

  /** One look now; false where it could not be had. Never two at once. */
  look(): Promise<boolean> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#loop;
    await this.#admin.disconnect();
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      await this.look();
      await sleep(PERIOD_MS);
    }
  }

  async #look(): Promise<boolean> {
    const { group, topic } = this.#where;
    try {
      const committed = await committedOffsets(this.#admin, group, topic);
      const durable = await this.#read();
      this.#judge(committed, durable);
      this.samples++;
      return true;
    } catch {
      return false;
    }
  }

  #judge(committed: Map<number, bigint>, durable: Map<number, bigint>): void {
    for (const [partition, offset] of committed) {
      const end = durable.get(partition) ?? 0n;
      if (offset > end) this.tooEarly.push({ partition, committed: offset, durable: end });
    }
    this.committed = committed;
    this.durable = durable;
  }
}

export function total(offsets: Map<number, bigint>): bigint {
  return [...offsets.values()].reduce((sum, offset) => sum + offset, 0n);
}
