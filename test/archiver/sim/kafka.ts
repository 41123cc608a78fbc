/**
 * A Kafka of one topic, for the simulator: logs with holes and retention, groups that rebalance,
 * members that learn of it late. What a member does is what `services/ingest/consume.ts` promises.
 */
import type {
  Assignment,
  ConsumerHandlers,
  RecordBatch,
  RecordConsumer,
  TopicPartition,
} from '../../../services/ingest/consume-types.ts';
import type { KafkaRecord } from '../../../services/ingest/record.ts';
import type { Random } from './random.ts';
import type { ProcessClock, World } from './time.ts';

export const TOPIC = 'audit';
export const TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAAAA';

/** One partition's log; records that retention took away are kept for the judge. */
export class Log {
  readonly partition: number;
  readonly records: KafkaRecord[] = [];
  startOffset = 0n;
  endOffset = 0n;

  constructor(partition: number) {
    this.partition = partition;
  }

  /** A hole is what a transaction marker or compaction leaves. */
  append(record: Omit<KafkaRecord, 'topic' | 'partition' | 'offset'>, hole: number): void {
    this.endOffset += BigInt(hole);
    this.records.push({
      topic: TOPIC,
      partition: this.partition,
      offset: this.endOffset,
      ...record,
    });
    this.endOffset += 1n;
  }

  /** Up to `max` held records from `offset` on, and where the next fetch starts. */
  read(offset: bigint, max: number): { records: KafkaRecord[]; nextOffset: bigint } {
    const from = this.records.findIndex((record) => record.offset >= offset);
    const records = from < 0 ? [] : this.records.slice(from, from + max);
    const last = records.at(-1);
    const isEnd = last === undefined || last === this.records.at(-1);
    return { records, nextOffset: isEnd ? this.endOffset : last.offset + 1n };
  }
}

export interface Commit {
  member: string;
  partition: number;
  offset: bigint;
}

/** A consumer group: hands out partitions, knows the true generation, takes commits. */
export class Group {
  readonly committed = new Map<number, bigint>();
  #generation = 0;
  #owners = new Map<number, Member>();
  readonly #logs: Log[];
  readonly #onCommit: (commit: Commit) => void;

  constructor(logs: Log[], onCommit: (commit: Commit) => void) {
    this.#logs = logs;
    this.#onCommit = onCommit;
  }

  /** Every member learns of it when it gets to run, some time later. */
  rebalance(members: Member[], random: Random): void {
    this.#generation++;
    this.#owners = new Map();
    for (const log of this.#logs) {
      if (members.length > 0) this.#owners.set(log.partition, random.pick(members));
    }
    for (const member of members) {
      const owned = this.#logs.filter((log) => this.#owners.get(log.partition) === member);
      member.learn(owned, this.#generation, random.int(0, 3_000));
    }
  }

  commit(member: Member, partition: number, offset: bigint, generation: number): boolean {
    if (generation !== this.#generation || this.#owners.get(partition) !== member) return false;
    this.committed.set(partition, offset);
    this.#onCommit({ member: member.name, partition, offset });
    return true;
  }
}

interface Lane {
  log: Log;
  position: bigint;
  seeks: number;
  paused: boolean;
}

/** One member of a group, in one process. */
export class Member implements Omit<RecordConsumer, 'run'> {
  readonly name: string;
  readonly #world: World;
  readonly #clock: ProcessClock;
  readonly #group: Group;
  readonly #random: Random;
  readonly #onDefect: (error: unknown) => void;
  #handlers: ConsumerHandlers | undefined;
  #lanes = new Map<number, Lane>();
  #generation = 0;
  /** The group's number of the assignment that this member works by. */
  #groupGeneration = 0;
  #ready = false;
  #stopped = false;
  #running = new Set<Promise<void>>();
  #assigning: Promise<void> = Promise.resolve();

  constructor(
    name: string,
    options: {
      world: World;
      clock: ProcessClock;
      group: Group;
      random: Random;
      onDefect: (error: unknown) => void;
    },
  ) {
    this.name = name;
    this.#world = options.world;
    this.#clock = options.clock;
    this.#group = options.group;
    this.#random = options.random;
    this.#onDefect = options.onDefect;
  }

  handle(handlers: ConsumerHandlers): void {
    this.#handlers = handlers;
  }

  learn(owned: Log[], groupGeneration: number, delayMs: number): void {
    this.#world.at(delayMs, () =>
      this.#clock.run(() => {
        if (groupGeneration > this.#groupGeneration) this.#assign(owned, groupGeneration);
      }),
    );
  }

  #assign(owned: Log[], groupGeneration: number): void {
    if (this.#stopped) return;
    this.#groupGeneration = groupGeneration;
    this.#generation++;
    this.#ready = false;
    const generation = this.#generation;
    const before = this.#lanes;
    this.#lanes = new Map(
      owned.map((log) => {
        const paused = before.get(log.partition)?.paused ?? false;
        return [log.partition, { log, position: 0n, seeks: 0, paused }];
      }),
    );
    this.#assigning = this.#assigning
      .then(() => this.#place(owned, generation))
      .catch(this.#onDefect);
  }

  async #place(owned: Log[], generation: number): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    await this.#clock.sleep(this.#random.int(0, 50));
    if (generation !== this.#generation || this.#stopped) return;
    const assignments: Assignment[] = owned.map(({ partition, startOffset, endOffset }) => ({
      topic: TOPIC,
      partition,
      topicId: TOPIC_ID,
      logStartOffset: startOffset,
      logEndOffset: endOffset,
      committedOffset: this.#group.committed.get(partition) ?? null,
    }));
    const starts = await this.#handlers!.assigned(assignments, generation);
    if (generation !== this.#generation || this.#stopped) return;
    for (const { partition, offset } of starts) {
      const { logEndOffset } = assignments.find((one) => one.partition === partition)!;
      if (offset > logEndOffset) throw new Error('told to start beyond the end of the log');
      this.#lanes.get(partition)!.position = offset;
    }
    this.#ready = true;
    for (const lane of this.#lanes.values()) void this.#poll(lane, generation);
  }

  async #poll(lane: Lane, generation: number): Promise<void> {
    const current = (): boolean => generation === this.#generation && !this.#stopped;
    while (current()) {
      await this.#clock.sleep(this.#random.int(5, 200));
      if (!current()) return;
      const { log } = lane;
      if (lane.position > log.endOffset) {
        this.#assign(
          [...this.#lanes.values()].map((one) => one.log),
          this.#groupGeneration,
        );
        return;
      }
      if (lane.position < log.startOffset) lane.position = log.startOffset;
      if (lane.paused || lane.position >= log.endOffset) continue;
      const work = this.#deliver(lane, generation).catch(this.#onDefect);
      this.#running.add(work);
      await work;
      this.#running.delete(work);
    }
  }

  async #deliver(lane: Lane, generation: number): Promise<void> {
    const { log, seeks } = lane;
    const { records, nextOffset } = log.read(lane.position, this.#random.int(1, 12));
    const moved = (): boolean => generation !== this.#generation || lane.seeks !== seeks;
    let toldStale = false;
    const batch: RecordBatch = {
      topic: TOPIC,
      partition: log.partition,
      generation,
      records,
      nextOffset,
      highWatermark: log.endOffset,
      logStartOffset: log.startOffset,
      heartbeat: async () => {},
      stale: () => {
        toldStale ||= moved() || this.#stopped;
        return toldStale;
      },
    };
    await this.#handlers!.batch(batch);
    if (!moved() && !toldStale) lane.position = nextOffset;
  }

  seek({ partition }: TopicPartition, offset: bigint): void {
    const lane = this.#lanes.get(partition);
    if (lane === undefined || !this.#ready) return;
    lane.seeks++;
    lane.position = offset;
  }

  pause(partitions: TopicPartition[]): void {
    this.#setPaused(partitions, true);
  }

  resume(partitions: TopicPartition[]): void {
    this.#setPaused(partitions, false);
  }

  #setPaused(partitions: TopicPartition[], paused: boolean): void {
    for (const { partition } of partitions) {
      const lane = this.#lanes.get(partition);
      if (lane !== undefined) lane.paused = paused;
    }
  }

  async commit(
    offsets: Array<TopicPartition & { offset: bigint }>,
    generation: number,
  ): Promise<boolean> {
    await this.#clock.sleep(this.#random.int(1, 20));
    if (generation !== this.#generation) return false;
    let all = true;
    for (const { partition, offset } of offsets) {
      all = this.#group.commit(this, partition, offset, this.#groupGeneration) && all;
    }
    return all;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
