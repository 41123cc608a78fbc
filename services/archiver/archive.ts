/**
 * All partitions of one archiver process: who is owned, how much memory is held, what is committed.
 *
 * Promises:
 * - A2: an offset is committed only after everything before it is in the store. The commit is
 *   advisory, for lag displays; where to read from is asked of the store.
 * - Memory: open segments and those being sealed hold at most `memoryBytesMax`, and one block or
 *   record more for each batch in hand, however many partitions there are. Beyond it the largest
 *   is sealed early and reading waits.
 * - The end: `stop` seals what is open, within its deadline; what it cannot seal is read again by
 *   the next process. Nothing is lost by a deadline, nor by a crash at any point.
 */
import type { PartitionAddress } from '../../schemas/layout.ts';
import type {
  Assignment,
  ConsumerHandlers,
  RecordBatch,
  RecordConsumer,
  TopicPartition,
} from '../ingest/consume-types.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { ObjectStore } from '../store/store.ts';
import { Evidence, type EvidenceOptions } from './evidence.ts';
import type { ArchiverMetrics } from './metrics.ts';
import type { Notary } from './notary.ts';
import type { BlockOptions } from './open-segment.ts';
import { type HaltReason, OVER, PartitionArchive, type SealedEvent } from './partition.ts';
import { memoryVictim, type RollLimits } from './roll.ts';
import type { WriterSchemas } from './schemas.ts';
import { StoreWatch } from './store-watch.ts';

export interface ArchiveOptions extends Pick<EvidenceOptions, 'signer' | 'onRoot'> {
  clusterId: string;
  prefix: string;
  startAt: 'earliest' | 'latest';
  limits: RollLimits;
  memoryBytesMax: number;
  blocks: BlockOptions;
  store: ObjectStore;
  sha256: (bytes: Buffer) => Promise<Buffer> | Buffer;
  schemas: WriterSchemas;
  consumer: Pick<RecordConsumer, 'seek' | 'pause' | 'resume' | 'commit'>;
  clock: Clock;
  random: () => number;
  log: Log;
  metrics: ArchiverMetrics;
  ready: (check: string, ok: boolean, reason?: string) => void;
  breathe: () => Promise<void>;
}

/** How often ages are looked at and commits are sent. */
export const TICK_MS = 1_000;
/** An assignment waits this long for positions; a slower store is waited for batch by batch. */
const OPEN_WAIT_MS = 10_000;
/** How long a partition that was given away may still seal what it holds. */
const RETIRE_MS = 10_000;
/** Within the 30 s that an orchestrator usually grants. */
export const STOP_MS = 18_000;
/** How long the end waits for the last commit, which is advisory. */
const LAST_COMMIT_MS = 3_000;
const MEMORY_WAIT_MS = 250;

interface Owned extends TopicPartition {
  archive: PartitionArchive;
  notary: Notary;
  /** Aborting it ends every wait for the store. */
  abandon: AbortController;
  opened: Promise<void>;
  committed: bigint | null;
}

export class Archive implements ConsumerHandlers {
  readonly #options: ArchiveOptions;
  #owned = new Map<string, Owned>();
  readonly #retiring = new Map<string, Promise<void>>();
  #generation = 0;
  #heldBytes = 0;
  #freed: Array<() => void> = [];
  #stopping = false;
  #committing: Promise<void> | null = null;
  #commitFailure: unknown;
  readonly #watch: StoreWatch;
  readonly #evidence: Evidence;

  constructor(options: ArchiveOptions) {
    this.#options = options;
    this.#watch = new StoreWatch(options);
    this.#evidence = new Evidence(options);
    this.#reportReady();
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Writes the hourly root until the signal aborts. Never rejects. */
  roots(signal: AbortSignal): Promise<void> {
    return this.#evidence.roots(this.#watch.patient(signal)).run(signal);
  }

  // --- the consumer's handlers -------------------------------------------------------------------

  async assigned(
    assignments: Assignment[],
    generation: number,
  ): Promise<Array<TopicPartition & { offset: bigint }>> {
    this.#generation = generation;
    const before = this.#owned;
    this.#owned = new Map();
    for (const assignment of assignments) {
      const key = partitionName(assignment);
      const kept = before.get(key);
      if (kept !== undefined && continues(kept, assignment)) {
        before.delete(key);
        this.#owned.set(key, kept);
      }
    }
    for (const [key, owned] of before) this.#retire(key, owned);
    for (const assignment of assignments) {
      const key = partitionName(assignment);
      if (!this.#owned.has(key)) this.#owned.set(key, this.#acquire(key, assignment));
    }
    await this.#opened();
    this.#reportReady();
    return assignments.map((assignment) => this.#start(assignment));
  }

  async batch(batch: RecordBatch): Promise<void> {
    const owned = this.#owned.get(partitionName(batch));
    if (owned === undefined || this.#stopping || batch.generation !== this.#generation) return;
    const { archive } = owned;
    if (archive.state === 'opening') await this.#untilOpened(owned, batch);
    if (archive.state === 'halted') {
      this.#options.consumer.pause([owned]);
      return;
    }
    await archive.batch(batch, this.#room);
  }

  // --- ownership ---------------------------------------------------------------------------------

  #acquire(key: string, assignment: Assignment): Owned {
    const { topic, partition, topicId } = assignment;
    const { clusterId, consumer, metrics } = this.#options;
    const abandon = new AbortController();
    const address: PartitionAddress = { clusterId, topic, topicId, partition };
    const at = { topic, partition };
    const current = (): boolean => this.#owned.get(key)?.archive === archive;
    const store = this.#watch.patient(abandon.signal);
    const notary = this.#evidence.notary(address, store);
    const archive: PartitionArchive = new PartitionArchive(
      address,
      { ...this.#options, store },
      {
        sealed: (event) => {
          this.#sealed(event);
          notary.sealed(event.slot.firstOffset, event.nextOffset, event.digest);
        },
        seek: (offset) => {
          if (current()) consumer.seek(at, offset);
        },
        halted: (reason, objectKey, detail) => {
          notary.halted(reason, objectKey, detail);
          if (!current()) return;
          metrics.halted(at, reason);
          consumer.pause([at]);
          this.#reportReady();
        },
        held: (change) => this.#account(change),
      },
    );
    const before = this.#retiring.get(key) ?? Promise.resolve();
    const opened = before
      .then(() => {
        notary.open();
        return archive.open(assignment);
      })
      .then(() => {
        const next = archive.nextOffset;
        if (next === null) return;
        notary.reached(next);
        if (current()) metrics.opened(at, next);
      });
    return { ...at, archive, notary, abandon, opened, committed: assignment.committedOffset };
  }

  /** Seals what a partition holds that is no longer ours; the fence makes this safe. */
  #retire(key: string, owned: Owned): void {
    const { clock, metrics } = this.#options;
    metrics.revoked(owned, owned.archive.haltReason);
    this.#evidence.released(owned.notary);
    const done = new AbortController();
    const deadline = clock.sleep(RETIRE_MS, done.signal).then(() => owned.abandon.abort());
    const work = this.#finish(owned, 'revoked').finally(() => {
      this.#close(owned);
      done.abort(OVER);
    });
    const retired = Promise.all([work, deadline])
      .then(() => {})
      .finally(() => {
        if (this.#retiring.get(key) === retired) this.#retiring.delete(key);
      });
    this.#retiring.set(key, retired);
  }

  /** Seals what is open, and then its evidence. Resolves early where that is abandoned. */
  async #finish(owned: Owned, reason: 'revoked' | 'shutdown'): Promise<void> {
    const { archive, notary, abandon } = owned;
    await archive.flush(reason);
    // A key service that does not answer knows nothing of our deadlines.
    await Promise.race([notary.settled(), aborted(abandon.signal)]);
  }

  #close({ archive, notary }: Owned): void {
    archive.close();
    notary.close();
  }

  /** Waits for the positions, but not for a store that is away: fetching must go on elsewhere. */
  async #opened(): Promise<void> {
    const opening = [...this.#owned.values()].filter(({ archive }) => archive.state === 'opening');
    if (opening.length === 0) return;
    const cancel = new AbortController();
    const all = Promise.all(opening.map(({ opened }) => opened)).finally(() => cancel.abort(OVER));
    await Promise.race([all, this.#options.clock.sleep(OPEN_WAIT_MS, cancel.signal)]);
  }

  #start(assignment: Assignment): TopicPartition & { offset: bigint } {
    const { topic, partition, logEndOffset } = assignment;
    const { archive } = this.#owned.get(partitionName(assignment))!;
    const start = archive.start(logEndOffset);
    const at = { topic, partition };
    if (archive.state === 'halted') this.#options.consumer.pause([at]);
    else this.#options.consumer.resume([at]);
    // Nothing of it is wanted, now or for good: the end of the log has nothing to fetch.
    return { ...at, offset: start ?? logEndOffset };
  }

  async #untilOpened(owned: Owned, batch: RecordBatch): Promise<void> {
    const { clock } = this.#options;
    while (owned.archive.state === 'opening' && !batch.stale() && !this.#stopping) {
      await Promise.race([owned.opened, clock.sleep(MEMORY_WAIT_MS)]);
      await batch.heartbeat();
    }
  }

  // --- memory ------------------------------------------------------------------------------------

  #account(change: number): void {
    this.#heldBytes += change;
    this.#options.metrics.heldBytes(this.#heldBytes);
    if (change >= 0) return;
    const waiting = this.#freed;
    this.#freed = [];
    for (const wake of waiting) wake();
  }

  readonly #room = (batch: RecordBatch): Promise<void> | null =>
    this.#heldBytes <= this.#options.memoryBytesMax ? null : this.#makeRoom(batch);

  async #makeRoom(batch: RecordBatch): Promise<void> {
    const { clock, memoryBytesMax } = this.#options;
    while (this.#heldBytes > memoryBytesMax && !batch.stale() && !this.#stopping) {
      const all = [...this.#owned.values()].map(({ archive }) => archive);
      const victim = memoryVictim(all);
      victim?.sealEarly('memory');
      // Nothing can be sealed and nothing is on its way: waiting would not free anything.
      if (victim === null && this.#retiring.size === 0 && !all.some((one) => one.isSealing)) return;
      const cancel = new AbortController();
      const freed = new Promise<void>((resolve) => this.#freed.push(resolve));
      await Promise.race([freed, clock.sleep(MEMORY_WAIT_MS, cancel.signal)]);
      cancel.abort(OVER);
      await batch.heartbeat();
    }
  }

  // --- time, commits, health ---------------------------------------------------------------------

  /** To be called every `TICK_MS`. Throws where a partition met a defect. */
  tick(): void {
    const { clock, metrics, consumer } = this.#options;
    let oldestMs = clock.now();
    for (const owned of this.#owned.values()) {
      const { archive } = owned;
      archive.tick();
      owned.notary.tick();
      if (archive.oldestMs !== null && archive.oldestMs < oldestMs) oldestMs = archive.oldestMs;
      // A seek that met an assignment in progress is ignored: repeat it until a batch shows up.
      if (archive.state === 'open' && archive.misplaced) consumer.seek(owned, archive.readOffset);
    }
    metrics.oldestMs(clock.now() - oldestMs);
    if (this.#commitFailure !== undefined) throw this.#commitFailure;
    this.#startCommit();
  }

  /** One at a time and not waited for: Kafka being away must not keep segments from closing. */
  #startCommit(): Promise<void> {
    this.#committing ??= this.#commit()
      .catch((error: unknown) => {
        this.#commitFailure = error;
      })
      .finally(() => {
        this.#committing = null;
      });
    return this.#committing;
  }

  async #commit(): Promise<void> {
    const generation = this.#generation;
    const due: Array<{ owned: Owned; offset: bigint }> = [];
    for (const owned of this.#owned.values()) {
      const offset = owned.archive.state === 'open' ? owned.archive.nextOffset : null;
      if (offset !== null && offset !== owned.committed) due.push({ owned, offset });
    }
    if (due.length === 0) return;
    const offsets = due.map(({ owned, offset }) => {
      const { topic, partition } = owned;
      return { topic, partition, offset };
    });
    if (!(await this.#options.consumer.commit(offsets, generation))) return;
    for (const { owned, offset } of due) owned.committed = offset;
  }

  #sealed(event: SealedEvent): void {
    const { metrics, log } = this.#options;
    metrics.sealed(event);
    const { topic, partition, firstOffset } = event.slot;
    const fields = {
      topic,
      partition,
      firstOffset: String(firstOffset),
      nextOffset: String(event.nextOffset),
      records: event.records,
      bytes: event.storedBytes,
      reason: event.reason,
      ageMs: event.ageMs,
    };
    if (event.outcome === 'fenced') log.warn(fields, 'another writer sealed this slot; adopted');
    else log.info(fields, 'segment sealed');
  }

  #reportReady(): void {
    const { ready } = this.#options;
    const halted: HaltReason[] = [];
    for (const { archive } of this.#owned.values()) {
      if (archive.haltReason !== null) halted.push(archive.haltReason);
    }
    const reason = `${halted.length} partitions halted: ${[...new Set(halted)].join(', ')}`;
    ready('partitions', halted.length === 0, reason);
    ready('assigned', this.#generation > 0, 'no partitions were assigned yet');
  }

  // --- the end -----------------------------------------------------------------------------------

  /** Seals and commits what it can within `STOP_MS`. The consumer is stopped by the caller. */
  async stop(): Promise<void> {
    const { clock, consumer, log } = this.#options;
    this.#stopping = true;
    const owned = [...this.#owned.values()];
    consumer.pause(owned.map(({ topic, partition }) => ({ topic, partition })));
    const cancel = new AbortController();
    const deadline = clock.sleep(STOP_MS, cancel.signal).then(() => {
      if (cancel.signal.aborted) return;
      log.warn({}, 'not everything could be sealed in time; it will be read again');
      for (const { abandon } of owned) abandon.abort();
    });
    const flushed = owned.map((one) => this.#finish(one, 'shutdown'));
    await Promise.all([...flushed, ...this.#retiring.values()]);
    cancel.abort(OVER);
    await deadline;
    const last = new AbortController();
    const committed = Promise.resolve(this.#committing)
      .then(() => this.#startCommit())
      .finally(() => last.abort(OVER));
    await Promise.race([committed, clock.sleep(LAST_COMMIT_MS, last.signal)]);
    for (const one of owned) {
      this.#close(one);
      one.abandon.abort();
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function partitionName({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

/** The same log as before, and nothing stands against going on with it. */
function continues({ archive }: Owned, assignment: Assignment): boolean {
  const usable = archive.state === 'open' || archive.state === 'opening';
  return usable && archive.address.topicId === assignment.topicId;
}
