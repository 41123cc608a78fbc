/**
 * A consumer group member, as `consume-types.ts` promises it, over kafkajs.
 *
 * Promises:
 * - Every (re)join fences: fetching pauses in the same turn, the generation goes up, and nothing is
 *   delivered before `assigned` has said where to start. What a fetch from before then still brings
 *   is recognised by the offset it was asked for, and dropped.
 * - Nothing is committed but by `commit`, with Kafka's own generation and member id of that
 *   assignment, so that the broker refuses a process that was stopped and came back.
 * - A handler may take as long as it likes. The membership is kept, a rebalance does not wait for
 *   it, and other partitions are read meanwhile.
 * - A batch is of the topic that was assigned, by its id, and not of one that was made anew under
 *   the same name; committed offsets of the one are not used for the other.
 * - It ends loudly: when kafkajs gives up, when bytes fail their checks, or when nothing at all has
 *   happened for longer than a broker may keep silent (three session timeouts, see `quietMsMax`),
 *   `run` rejects.
 *
 * How a slow partition holds up no other. kafkajs fetches from a broker, hands out the batches of
 * the response, and fetches again when all are done. A handler that takes longer than
 * `DETACH_AFTER_MS` is therefore let go: its partition is paused, `eachBatch` returns, and the
 * position moves when the handler is done. At most `DETACHED_MAX` are let go at once, because each
 * keeps its fetch response in memory (`kafka.fetchBytesMax`); beyond that the fetch loop waits, with
 * heartbeats.
 *
 * Not promised: fetching while a handler of the same partition runs; exactly-once.
 */
import kafkajs, { type Consumer, type EachBatchPayload } from 'kafkajs';
import type { Registry } from 'prom-client';
import { backoffMs } from '../runtime/backoff.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import { describeAssignments, logBounds, partitionKey, startOffset } from './consume-assignment.ts';
import { type ConsumeMetrics, consumeMetrics, noMetrics } from './consume-metrics.ts';
import type {
  Assignment,
  ConsumerHandlers,
  RecordBatch,
  RecordConsumer,
  TopicPartition,
} from './consume-types.ts';
import { connectKafka, errorType, kafkaFailure } from './kafka.ts';
import {
  type AssignerContext,
  type ClientCluster,
  type ClientGroup,
  type ClientOffsetManager,
  fetchedPartition,
  watchGroup,
} from './kafkajs-patches.ts';
import type { KafkaRecord } from './record.ts';
import type { FetchedRecord } from './record-batch.ts';
import { fetchTopics, NO_TOPIC_ID } from './topic-ids.ts';
import { TopicWatch } from './topic-watch.ts';

export interface ConsumerOptions {
  config: Config;
  groupId: string;
  topics: string[];
  /** Where a partition starts that has no committed offset and that `assigned` left out. */
  startAt: 'earliest' | 'latest';
  log: Log;
  metrics?: Registry;
}

/** How long a broker may wait for the first byte; also bounds how long `stop` waits for a fetch. */
const FETCH_WAIT_MS = 250;
const PARTITION_BYTES_MAX = 1024 * 1024;
/** Batches of one fetch that may be in handlers at once. */
const HANDLERS_MAX = 64;
const DETACH_AFTER_MS = 500;
const DETACHED_MAX = 16;
/** How long a rebalance waits for handlers that are about to finish and commit. */
const REBALANCE_GRACE_MS = 2_000;
const METADATA_AGE_MS = 60_000;
/** How long an assignment may fail to be described (broker restarting, topic being made). */
const DESCRIBE_MS = 120_000;
export const STOP_HANDLERS_MS = 20_000;
const DISCONNECT_MS = 5_000;
const WATCH_TICKS_PER_SESSION = 4;
const WATCH_SESSIONS = 3;

/**
 * The silence that means that kafkajs is dead. A broker answers a member that joins when the others
 * have joined, or after the rebalance timeout, and then when their leader has synced, or is evicted.
 */
export function quietMsMax({
  sessionTimeoutMs,
  rebalanceTimeoutMs,
}: Pick<Config['kafka'], 'sessionTimeoutMs' | 'rebalanceTimeoutMs'>): number {
  return Math.max(WATCH_SESSIONS * sessionTimeoutMs, rebalanceTimeoutMs + sessionTimeoutMs);
}

/** Their answers are signs of life, though no event of kafkajs follows: it may join in vain for long. */
const JOIN_REQUESTS = new Set(['JoinGroup', 'SyncGroup']);

const BACKOFF = { firstMs: 200, maxMs: 3_000 };

/** The membership is over; only a new join mends it. */
const LOST_MEMBERSHIP = new Set([
  'REBALANCE_IN_PROGRESS',
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'NOT_COORDINATOR_FOR_GROUP',
  'FENCED_INSTANCE_ID',
]);
/** The broker refused a commit because the assignment it belongs to is over. */
const FENCED = new Set(['ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID', 'FENCED_INSTANCE_ID']);

export function createConsumer(options: ConsumerOptions): RecordConsumer {
  return new GroupMember(options);
}

/** One owned partition within one generation. */
interface Lane extends TopicPartition {
  readonly key: string;
  /** Null until the assignment is described. */
  topicId: string | null;
  /** Counts `seek`: a handler that started before one is not accepted. */
  seeks: number;
  /** A handler is running. */
  busy: boolean;
  /** Its handler was let go, and kafkajs is not waiting for it. */
  detached: boolean;
}

interface Deferred {
  promise: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

function deferred(): Deferred {
  let resolve: () => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/** True when `work` settled within `ms`. Never rejects; leaves no timer behind. */
async function settlesWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const done = work.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}

class GroupMember implements RecordConsumer {
  readonly #options: ConsumerOptions;
  readonly #log: Log;
  readonly #metrics: ConsumeMetrics;
  readonly #consumer: Consumer;
  #cluster: ClientCluster | undefined;
  #handlers: ConsumerHandlers | undefined;

  /** kafkajs' own objects of the present membership; the offset manager keeps its generation. */
  #group: ClientGroup | null = null;
  #offsetManager: ClientOffsetManager | null = null;

  #generation = 0;
  #lanes = new Map<string, Lane>();
  readonly #topicWatch: TopicWatch;
  /** Topic name → id of the last assignment that had it. */
  readonly #topicIds = new Map<string, string>();
  #paused = new Set<string>();
  /** Positions are set and records may be delivered. */
  #ready = false;
  /** Called when the present generation ends, for whatever reason. */
  readonly #waiters = new Set<() => void>();
  /** The error with which the broker ended the membership; kafkajs must see it to join again. */
  #lost: Error | null = null;
  /** A handler was told `stale()` because of `#lost`, so nobody knows what it left out. */
  #doubted = false;
  #assigning: Promise<void> = Promise.resolve();
  #committing: Promise<unknown> = Promise.resolve();
  readonly #running = new Set<Promise<void>>();
  #detachedCount = 0;

  readonly #done = deferred();
  #stopping = false;
  #stopped: Promise<void> | undefined;
  #ended = false;
  #watchdog: NodeJS.Timeout | undefined;
  #quietTicks = 0;
  #heartbeatAt = performance.now();
  #topicsCheckedAt = performance.now();

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#log = options.log.child({ group: options.groupId });
    this.#metrics =
      options.metrics === undefined ? noMetrics : consumeMetrics(options.metrics, options.groupId);
    this.#consumer = this.#createClient();
    this.#topicWatch = new TopicWatch(
      async (nodeId) => (await fetchTopics(this.#cluster!, options.topics, nodeId)).ids,
    );
    this.#listen();
  }

  /** A client of its own: kafkajs shares committed offsets between the consumers of one client. */
  #createClient(): Consumer {
    const { config, groupId, log } = this.#options;
    const { sessionTimeoutMs, rebalanceTimeoutMs, heartbeatIntervalMs, fetchBytesMax } =
      config.kafka;
    return connectKafka(config, log).consumer({
      groupId,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: rebalanceTimeoutMs,
      heartbeatInterval: heartbeatIntervalMs,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      maxBytesPerPartition: Math.min(PARTITION_BYTES_MAX, fetchBytesMax),
      maxBytes: fetchBytesMax,
      metadataMaxAge: METADATA_AGE_MS,
      allowAutoTopicCreation: false,
      retry: {
        initialRetryTime: BACKOFF.firstMs,
        maxRetryTime: BACKOFF.maxMs,
        retries: 8,
        restartOnFailure: async (error) => !this.#ended && !isCorrupt(error),
      },
      partitionAssigners: [
        (context) => {
          this.#cluster = (context as unknown as AssignerContext).cluster;
          return kafkajs.PartitionAssigners.roundRobin(context);
        },
      ],
    });
  }

  #listen(): void {
    const { events } = this.#consumer;
    watchGroup(this.#cluster!, {
      joining: (group) => {
        this.#group = group;
        this.#active();
      },
      outOfRange: (group, at) => this.#outOfRange(group, at),
    });
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => this.#joined(payload.memberAssignment));
    this.#consumer.on(events.HEARTBEAT, () => this.#beaten());
    this.#consumer.on(events.REBALANCING, () => {
      this.#lost ??= new Error('the group is rebalancing');
    });
    this.#consumer.on(events.CRASH, ({ payload }) => this.#crashed(payload));
    for (const event of [events.FETCH_START, events.FETCH, events.END_BATCH_PROCESS] as const) {
      this.#consumer.on(event, () => this.#active());
    }
    this.#consumer.on(events.REQUEST, ({ payload }) => {
      if (JOIN_REQUESTS.has(payload.apiName)) this.#active();
    });
  }

  // --- run and stop -----------------------------------------------------------------------------

  async run(handlers: ConsumerHandlers): Promise<void> {
    if (this.#handlers !== undefined) throw new Error('run was called twice');
    this.#handlers = handlers;
    const { topics, groupId } = this.#options;
    try {
      await this.#consumer.connect();
      await this.#consumer.subscribe({ topics, fromBeginning: true });
    } catch (error) {
      const failure = kafkaFailure(error, `subscribe to ${topics.join(', ')}`);
      await settlesWithin(this.#consumer.disconnect(), DISCONNECT_MS);
      throw failure;
    }
    if (this.#stopping) {
      await settlesWithin(this.#consumer.disconnect(), DISCONNECT_MS);
      return this.#done.promise;
    }
    this.#startWatchdog();
    this.#consumer
      .run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: HANDLERS_MAX,
        eachBatch: (payload) => this.#eachBatch(payload),
      })
      .catch((error: unknown) => this.#fail(kafkaFailure(error, `join the group ${groupId}`)));
    return this.#done.promise;
  }

  stop(): Promise<void> {
    this.#stopping = true;
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    if (this.#ended) return;
    for (const lane of this.#lanes.values()) this.#applyPause(lane);
    if (!(await settlesWithin(this.#idle(), STOP_HANDLERS_MS))) {
      this.#log.warn({ handlers: this.#running.size }, 'stopping while handlers are still running');
    }
    await this.#end();
    this.#done.resolve();
  }

  /** Resolves after `ms`, when `work` settles, or when the generation ends, whichever is first. */
  #wait(ms: number, work?: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#waiters.add(done);
      work?.then(done, done);
    });
  }

  #wake(): void {
    for (const done of [...this.#waiters]) done();
  }

  /** Resolves when no handler is running. */
  async #idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #fail(error: unknown): void {
    if (this.#stopping) this.#log.warn({ err: error }, 'failed while stopping');
    if (this.#ended || this.#stopping) return;
    const end = this.#end();
    void end.then(() => this.#done.reject(error));
  }

  async #end(): Promise<void> {
    this.#ended = true;
    clearInterval(this.#watchdog);
    this.#wake();
    if (!(await settlesWithin(this.#consumer.disconnect(), DISCONNECT_MS))) {
      this.#log.warn({}, 'the consumer did not disconnect in time');
      // Its fetch loop hangs: at least close the connections, so that the process can end.
      await settlesWithin(this.#cluster!.disconnect(), DISCONNECT_MS);
    }
    for (const lane of this.#lanes.values()) this.#metrics.revoked(lane);
  }

  #crashed({ error, restart }: { error: Error; restart: boolean }): void {
    this.#active();
    if (this.#ended) return;
    if (restart) {
      this.#metrics.restarted();
      this.#log.warn({ error: error.message }, 'the kafka client failed and is starting anew');
      return;
    }
    this.#fail(kafkaFailure(error, `consume as ${this.#options.groupId}`));
  }

  // --- liveness ---------------------------------------------------------------------------------

  #active(): void {
    this.#quietTicks = 0;
  }

  /** The broker holds us for a member: whatever was taken for a loss was none. */
  #beaten(): void {
    this.#heartbeatAt = performance.now();
    this.#active();
    this.#lost = null;
    if (!this.#doubted) return;
    this.#doubted = false;
    this.#assign([...this.#lanes.values()]);
  }

  /**
   * Counts ticks, not time: a process that was stopped (SIGSTOP, a suspended machine) is not dead,
   * it must get the chance to join again.
   */
  #startWatchdog(): void {
    const { kafka } = this.#options.config;
    const tickMs = Math.ceil(kafka.sessionTimeoutMs / WATCH_TICKS_PER_SESSION);
    const ticksMax = Math.ceil(quietMsMax(kafka) / tickMs);
    const tick = (): void => {
      this.#quietTicks++;
      if (this.#quietTicks > ticksMax) this.#fail(this.#stalled());
      else void this.#checkTopics();
    };
    this.#watchdog = setInterval(tick, tickMs);
    this.#watchdog.unref();
  }

  #stalled(): Failure {
    return new Failure(`nothing happened for ${quietMsMax(this.#options.config.kafka)} ms`, {
      code: 'KAFKA_CONSUMER_STALLED',
      hint: 'The Kafka client has died silently; start the process anew.',
      retryable: true,
    });
  }

  /** A topic deleted and made anew keeps its name: only its id tells. */
  async #checkTopics(): Promise<void> {
    const now = performance.now();
    if (!this.#ready || now - this.#topicsCheckedAt < METADATA_AGE_MS) return;
    this.#topicsCheckedAt = now;
    const generation = this.#generation;
    const lanes = [...this.#lanes.values()];
    try {
      const { ids } = await fetchTopics(
        this.#cluster!,
        lanes.map(({ topic }) => topic),
      );
      const changed = lanes.find(({ topic, topicId }) => {
        const id = ids.get(topic) ?? null;
        return id !== null && topicId !== null && id !== topicId;
      });
      if (changed === undefined || !this.#isCurrent(generation)) return;
      this.#log.warn({ topic: changed.topic }, 'the topic was deleted and made anew');
      this.#assign(lanes);
    } catch (error) {
      this.#log.debug({ err: error }, 'cannot check the topic ids');
    }
  }

  /** Never rejects: an ended membership is noted in `#lost`. */
  async #beat(): Promise<void> {
    const generation = this.#generation;
    const { heartbeatIntervalMs, sessionTimeoutMs } = this.#options.config.kafka;
    try {
      await this.#group?.heartbeat({ interval: heartbeatIntervalMs });
    } catch (error) {
      if (!this.#isCurrent(generation)) return;
      const lost =
        LOST_MEMBERSHIP.has(errorType(error) ?? '') ||
        performance.now() - this.#heartbeatAt > sessionTimeoutMs;
      this.#log.debug({ error: (error as Error).message, lost }, 'heartbeat refused');
      if (lost) this.#lost ??= error as Error;
    }
  }

  // --- assignment -------------------------------------------------------------------------------

  #joined(memberAssignment: Record<string, number[]>): void {
    if (this.#ended) return;
    this.#heartbeatAt = performance.now();
    this.#active();
    this.#metrics.rebalanced();
    this.#offsetManager = this.#group!.offsetManager;
    const owned = Object.entries(memberAssignment).flatMap(([topic, partitions]) =>
      partitions.map((partition) => ({ topic, partition })),
    );
    this.#assign(owned.sort(byTopicAndPartition));
  }

  /** The fence. Everything up to the first await happens in the turn of the join. */
  #assign(owned: TopicPartition[]): void {
    this.#generation++;
    this.#ready = false;
    this.#lost = null;
    this.#doubted = false;
    const before = this.#lanes;
    this.#lanes = new Map(
      owned.map(({ topic, partition }) => {
        const key = partitionKey({ topic, partition });
        const fresh = { seeks: 0, busy: false, detached: false, topicId: null };
        return [key, { topic, partition, key, ...fresh }];
      }),
    );
    for (const lane of this.#lanes.values()) this.#applyPause(lane);
    for (const [key, lane] of before) {
      if (this.#lanes.has(key)) continue;
      this.#paused.delete(key);
      this.#metrics.revoked(lane);
    }
    this.#wake();
    const generation = this.#generation;
    this.#log.info({ generation, partitions: owned.length }, 'partitions assigned');
    this.#assigning = this.#assigning
      .then(() => this.#place(generation, owned))
      .catch((error: unknown) => this.#fail(error));
  }

  async #place(generation: number, owned: TopicPartition[]): Promise<void> {
    await this.#idle();
    const described = await this.#describe(generation, owned);
    if (described === null) return;
    const assignments = described.map((assignment) => this.#ofThisTopic(assignment));
    for (const { topic, topicId } of assignments) this.#topicIds.set(topic, topicId);
    const chosen = await this.#handlers!.assigned(assignments, generation);
    if (!this.#isCurrent(generation)) return;
    const offsets = new Map(chosen.map((start) => [partitionKey(start), start.offset]));
    for (const assignment of assignments) {
      this.#startAt(assignment, offsets.get(partitionKey(assignment)));
    }
    this.#ready = true;
    this.#topicsCheckedAt = performance.now();
    for (const lane of this.#lanes.values()) this.#applyPause(lane);
  }

  /** An offset that was committed for the topic of the same name before is none of this one. */
  #ofThisTopic(assignment: Assignment): Assignment {
    const { topic, topicId, committedOffset } = assignment;
    const known = this.#topicIds.get(topic);
    if (known === undefined || known === topicId || committedOffset === null) return assignment;
    return { ...assignment, committedOffset: null };
  }

  #startAt(assignment: Assignment, chosen: bigint | undefined): void {
    const { topic, partition, topicId, logEndOffset } = assignment;
    const { offset, reset } = startOffset(assignment, chosen, this.#options.startAt);
    if (offset < 0n || offset > logEndOffset) {
      throw new Failure(
        `position ${offset} of ${topic} partition ${partition} is beyond the end ${logEndOffset}`,
        {
          code: 'KAFKA_POSITION_BEYOND_END',
          hint: 'Kafka lost records that were read before, or the topic was made anew; see the guide.',
        },
      );
    }
    const fields = { topic, partition, offset: String(offset), end: String(logEndOffset) };
    if (reset) this.#log.warn(fields, 'committed offset is beyond the end; starting anew');
    else this.#log.debug(fields, 'partition starts');
    const lane = this.#lanes.get(partitionKey(assignment))!;
    lane.topicId = topicId;
    this.#move(lane, offset);
    this.#metrics.lag(lane, Number(logEndOffset - offset));
  }

  /** Null where the generation passed meanwhile. */
  async #describe(generation: number, owned: TopicPartition[]): Promise<Assignment[] | null> {
    const deadline = performance.now() + DESCRIBE_MS;
    for (let attempt = 0; this.#isCurrent(generation); attempt++) {
      try {
        const found = await describeAssignments(this.#group!, this.#offsetManager!, owned);
        return this.#isCurrent(generation) ? found : null;
      } catch (error) {
        if (!this.#isCurrent(generation)) return null;
        const failure = kafkaFailure(error, 'read offsets and topic ids of the partitions');
        if (!failure.retryable || performance.now() > deadline) throw failure;
        this.#log.debug({ err: failure }, 'cannot describe the assignment yet');
        await this.#wait(backoffMs(attempt, BACKOFF, Math.random));
        await this.#cluster!.refreshMetadata().catch(() => {});
      }
    }
    return null;
  }

  /** A fetch asked for an offset that the log does not have. Nothing is committed, ever. */
  async #outOfRange(group: ClientGroup, at: TopicPartition): Promise<void> {
    const lane = this.#lanes.get(partitionKey(at));
    const generation = this.#generation;
    if (lane === undefined || group !== this.#group || !this.#ready) return;
    const position = this.#position(lane);
    const { starts, ends } = await logBounds(group.cluster, [at]);
    if (!this.#isCurrent(generation) || this.#position(lane) !== position) return;
    const start = starts.get(lane.key);
    const end = ends.get(lane.key);
    if (position === null || start === undefined || end === undefined) return;
    const fields = { ...at, position: String(position), start: String(start), end: String(end) };
    if (position < start) {
      this.#log.warn(fields, 'retention removed records before they were read');
      this.#metrics.jumped(lane, Number(start - position));
      this.#move(lane, start);
    } else if (position > end) {
      this.#log.warn(fields, 'the log ends before the position');
      this.#assign([...this.#lanes.values()]);
    } else {
      await this.#wait(FETCH_WAIT_MS);
    }
  }

  // --- positions --------------------------------------------------------------------------------

  #isCurrent(generation: number): boolean {
    return generation === this.#generation && !this.#ended && !this.#stopping;
  }

  /** The next offset that kafkajs asks for, or null where it has none yet. */
  #position({ topic, partition }: TopicPartition): bigint | null {
    const text = this.#offsetManager?.resolvedOffsets[topic]?.[partition];
    return text === undefined ? null : BigInt(text);
  }

  /** kafkajs counts in "last read", one below the position. */
  #move({ topic, partition }: TopicPartition, offset: bigint): void {
    this.#offsetManager!.resolveOffset({ topic, partition, offset: String(offset - 1n) });
  }

  seek(at: TopicPartition, offset: bigint): void {
    const lane = this.#lanes.get(partitionKey(at));
    if (lane === undefined || !this.#ready) return;
    lane.seeks++;
    this.#move(lane, offset);
  }

  pause(partitions: TopicPartition[]): void {
    for (const at of partitions) this.#setPaused(at, true);
  }

  resume(partitions: TopicPartition[]): void {
    for (const at of partitions) this.#setPaused(at, false);
  }

  #setPaused(at: TopicPartition, paused: boolean): void {
    const lane = this.#lanes.get(partitionKey(at));
    if (lane === undefined) return;
    if (paused) this.#paused.add(lane.key);
    else this.#paused.delete(lane.key);
    this.#applyPause(lane);
  }

  /** kafkajs keeps pauses over rebalances, so both directions are always set. */
  #applyPause(lane: Lane): void {
    if (this.#lanes.get(lane.key) !== lane || this.#group === null) return;
    const hold = !this.#ready || this.#stopping || lane.detached || this.#paused.has(lane.key);
    const target = [{ topic: lane.topic, partitions: [lane.partition] }];
    if (hold) this.#group.subscriptionState.pause(target);
    else this.#group.subscriptionState.resume(target);
  }

  // --- batches ----------------------------------------------------------------------------------

  /** Returning without having moved the position means: not taken. */
  async #eachBatch({ batch }: EachBatchPayload): Promise<void> {
    this.#active();
    const key = partitionKey(batch);
    const fetched = fetchedPartition(batch);
    if (!this.#takes(key, fetched.fetchedOffset)) return this.#joinAgain();
    const { heartbeatIntervalMs } = this.#options.config.kafka;
    if (performance.now() - this.#heartbeatAt > 2 * heartbeatIntervalMs) {
      // Long silence: perhaps this process was stopped. Is it a member still?
      await this.#beat();
      if (!this.#takes(key, fetched.fetchedOffset)) return this.#joinAgain();
    }
    const lane = this.#lanes.get(key)!;
    const work = this.#handle(lane, batch, fetched.logStartOffset);
    await this.#wait(DETACH_AFTER_MS, work);
    while (lane.busy && !this.#isOver(lane)) {
      if (this.#lost !== null) {
        await this.#wait(REBALANCE_GRACE_MS, this.#idle());
        return this.#joinAgain();
      }
      if (this.#detach(lane)) return;
      await this.#wait(heartbeatIntervalMs, work);
      await this.#beat();
    }
  }

  #takes(key: string, fetchedOffset: bigint): boolean {
    const lane = this.#lanes.get(key);
    if (lane === undefined || lane.busy || !this.#ready || this.#lost !== null) return false;
    if (this.#stopping || this.#ended) return false;
    return this.#position(lane) === fetchedOffset;
  }

  /** kafkajs joins the group again when it is thrown the broker's own error. */
  #joinAgain(): void {
    if (this.#lost !== null && errorType(this.#lost) !== undefined) throw this.#lost;
  }

  #isOver(lane: Lane): boolean {
    return this.#ended || this.#lanes.get(lane.key) !== lane;
  }

  #detach(lane: Lane): boolean {
    if (this.#detachedCount >= DETACHED_MAX) return false;
    this.#detachedCount++;
    lane.detached = true;
    this.#applyPause(lane);
    return true;
  }

  #handle(lane: Lane, batch: EachBatchPayload['batch'], logStartOffset: bigint): Promise<void> {
    lane.busy = true;
    const work = this.#accept(lane, batch, logStartOffset)
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        lane.busy = false;
        this.#running.delete(work);
        if (!lane.detached) return;
        lane.detached = false;
        this.#detachedCount--;
        this.#applyPause(lane);
      });
    this.#running.add(work);
    return work;
  }

  async #accept(
    lane: Lane,
    batch: EachBatchPayload['batch'],
    logStartOffset: bigint,
  ): Promise<void> {
    const generation = this.#generation;
    const { seeks } = lane;
    const { topic, partition } = lane;
    const nextOffset = BigInt(batch.lastOffset()) + 1n;
    const highWatermark = BigInt(batch.highWatermark);
    const records = toRecords(topic, partition, batch.messages as unknown as FetchedRecord[]);
    const moved = (): boolean => generation !== this.#generation || lane.seeks !== seeks;
    if (!(await this.#isSameTopic(lane, moved))) return;
    let toldStale = false;
    const handed: RecordBatch = {
      topic,
      partition,
      generation,
      records,
      nextOffset,
      highWatermark,
      logStartOffset,
      heartbeat: () => this.#beat(),
      stale: () => {
        toldStale ||= moved() || this.#lost !== null || this.#stopping || this.#ended;
        return toldStale;
      },
    };
    await this.#handlers!.batch(handed);
    if (moved() || this.#ended) return;
    if (toldStale) return this.#distrust();
    this.#move(lane, nextOffset);
    this.#metrics.accepted(lane, records.length, byteCount(records));
    this.#metrics.lag(lane, Number(highWatermark - nextOffset));
  }

  /**
   * Whether what was fetched is of the topic of the assignment. Waits for the answer as long as the
   * batch counts; where the topic is another, it is assigned anew.
   */
  async #isSameTopic(lane: Lane, moved: () => boolean): Promise<boolean> {
    if (lane.topicId === NO_TOPIC_ID) return true;
    const over = (): boolean => moved() || this.#lost !== null || this.#stopping || this.#ended;
    for (let attempt = 0; !over(); attempt++) {
      try {
        const id = (await this.#topicWatch.ask(this.#leaderOf(lane))).get(lane.topic) ?? null;
        if (over()) return false;
        if (id === lane.topicId) return true;
        if (id !== null) {
          this.#log.warn({ topic: lane.topic }, 'the topic was deleted and made anew');
          this.#assign([...this.#lanes.values()]);
          return false;
        }
        this.#log.debug({ topic: lane.topic }, 'the topic of a fetch is gone');
      } catch (error) {
        this.#log.debug({ error: (error as Error).message }, 'cannot check the topic id');
      }
      await this.#wait(backoffMs(attempt, BACKOFF, Math.random));
    }
    return false;
  }

  #leaderOf({ topic, partition }: TopicPartition): number {
    const partitions = this.#cluster!.findTopicPartitionMetadata(topic);
    return partitions.find(({ partitionId }) => partitionId === partition)?.leader ?? -1;
  }

  /** What the handler left out is not known: if the membership goes on, begin from its position. */
  #distrust(): void {
    if (this.#stopping) return;
    if (this.#lost === null) this.#assign([...this.#lanes.values()]);
    else this.#doubted = true;
  }

  // --- commits ----------------------------------------------------------------------------------

  commit(
    offsets: Array<TopicPartition & { offset: bigint }>,
    generation: number,
  ): Promise<boolean> {
    const turn = this.#committing.then(() => this.#commit(offsets, generation));
    this.#committing = turn;
    return turn;
  }

  async #commit(
    offsets: Array<TopicPartition & { offset: bigint }>,
    generation: number,
  ): Promise<boolean> {
    const topics = offsets.map(({ topic, partition, offset }) => ({
      topic,
      partitions: [{ partition, offset: String(offset) }],
    }));
    for (let attempt = 0; this.#mayCommit(offsets, generation); attempt++) {
      if (topics.length === 0) return true;
      try {
        await this.#offsetManager!.commitOffsets({ topics: mergeTopics(topics) });
        return true;
      } catch (error) {
        this.#metrics.commitFailed();
        const type = errorType(error);
        this.#log.debug({ generation, type, error: (error as Error).message }, 'commit refused');
        if (FENCED.has(type ?? '')) return false;
        await this.#wait(backoffMs(attempt, BACKOFF, Math.random));
      }
    }
    this.#log.debug({ generation, present: this.#generation }, 'commit of a passed generation');
    return false;
  }

  /** While stopping, handlers still commit what they finish. */
  #mayCommit(offsets: TopicPartition[], generation: number): boolean {
    if (this.#ended || generation !== this.#generation) return false;
    return offsets.every((at) => this.#lanes.has(partitionKey(at)));
  }
}

type TopicCommit = { topic: string; partitions: Array<{ partition: number; offset: string }> };

function mergeTopics(single: TopicCommit[]): TopicCommit[] {
  const merged = new Map<string, TopicCommit>();
  for (const { topic, partitions } of single) {
    const found = merged.get(topic);
    if (found === undefined) merged.set(topic, { topic, partitions: [...partitions] });
    else found.partitions.push(...partitions);
  }
  return [...merged.values()];
}

function byTopicAndPartition(a: TopicPartition, b: TopicPartition): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1;
  return a.partition - b.partition;
}

function toRecords(topic: string, partition: number, messages: FetchedRecord[]): KafkaRecord[] {
  return messages.map(({ offset, timestamp, key, value, headerList }) => ({
    topic,
    partition,
    offset: BigInt(offset),
    timestamp: BigInt(timestamp),
    key,
    value,
    headers: headerList ?? [],
  }));
}

function byteCount(records: KafkaRecord[]): number {
  let bytes = 0;
  for (const { key, value } of records) bytes += (key?.length ?? 0) + (value?.length ?? 0);
  return bytes;
}

function isCorrupt(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at.name === 'CorruptBatch' || at.name === 'UnpackError') return true;
  }
  return false;
}
