/**
 * Matches to alerts of stateful rules: the handlers of the second consumer of a detector. It owns
 * whole partitions of the matches topic, so whole groups, and holds their state in memory; the state
 * topic is where it outlives the process.
 *
 * What a partition holds is a function of its records alone: matches, and between them the progress
 * from which its watermark comes. Once every second or so what has changed is made durable, in this
 * order, and each step only after the one before:
 *
 * 1. the alerts raised up to offset N are settled, and what was late or refused is dead-lettered;
 * 2. the groups that changed are on the state topic, as they were at N, and after them the checkpoint;
 * 3. N is committed, which is for lag displays: a start reads the checkpoint.
 *
 * So a process may die anywhere. Before 2 is complete, the records from the last checkpoint on are
 * judged again, from the state of that time, and give the same alerts under the same ids and
 * revisions. A group that is on the topic further than the checkpoint skips what it has seen.
 *
 * A detector that lost its partition and does not know it (it was stopped, or its machine was) cannot
 * harm: it asks the broker for its membership before it writes; what it writes nevertheless says how
 * far it is folded, and readers take what is further, or fold the matches in again that such an entry
 * lacks where compaction has left nothing else; its alerts are of a lower or equal revision.
 *
 * Everything it touches comes in as an argument; `run.ts` brings the real things.
 */
import type {
  Assignment,
  ConsumerHandlers,
  RecordBatch,
  TopicPartition,
} from '../../ingest/consume-types.ts';
import type { Log } from '../../runtime/log.ts';
import type { Commit } from '../detector.ts';
import { type CaughtUp, catchUp } from './catch-up.ts';
import { succeeded } from './checkpoint.ts';
import type { Judges } from './judge.ts';
import { Lane, type LaneParts, type StateWrite } from './lane.ts';
import type { LogBounds } from './log-reader.ts';
import { PlanHold } from './plan-hold.ts';
import { decodeStreamRecord, type StreamRecord } from './records.ts';
import { type Behind, type PartitionLog, restoreState } from './restore.ts';
import { markOfSet, untold } from './rule-history.ts';
import { Watermark } from './watermark.ts';

export interface CorrelationParts extends LaneParts {
  /** As they are now: they change while it runs. */
  judges: () => Judges;
  /** The matches topic, for what is missing in the state. */
  matches: PartitionLog;
  state: PartitionLog & {
    /** Durable when it resolves; in the order given, for each partition. */
    write(messages: StateWrite[]): Promise<void>;
  };
  /** True where the broker still holds this generation for a member of the group. */
  isMember: (commit: Commit) => Promise<boolean>;
  /** Looks at the rule files soon: others have rules that are not in force here. */
  lookAtRules: () => void;
  /** `detect.rolloutMs`. */
  rolloutMs: number;
  log: Log;
  /** Lets other work run. */
  breathe: () => Promise<unknown>;
  ready: (ok: boolean, reason?: string) => void;
}

/** Longest time without giving the event loop to others. */
const SLICE_MS = 50;
/** Between two looks for rules that a record waits for. */
const HOLD_STEP_MS = 1_000;
/** How far back from the end of the state topic a checkpoint is looked for first. */
const NEWEST_ENTRIES = 5_000n;
/** State that no rule in force knows is kept so long: a rule may be switched on again. */
const ORPHAN_MS_MAX = 7 * 86_400_000;

export class Correlation implements ConsumerHandlers {
  readonly #parts: CorrelationParts;
  readonly #stop = new AbortController();
  readonly #hold: PlanHold;
  #lanes = new Map<number, Lane>();
  #generation = -1;
  #flushing: Promise<unknown> = Promise.resolve();

  constructor(parts: CorrelationParts) {
    this.#parts = parts;
    this.#hold = new PlanHold(parts.rolloutMs);
    parts.ready(false, 'no partition is assigned yet');
  }

  /** Reads the state of what was assigned; records are delivered when all of it is there. */
  async assigned(
    assignments: Assignment[],
    generation: number,
  ): Promise<Array<TopicPartition & { offset: bigint }>> {
    const { log, ready, metrics } = this.#parts;
    for (const { partition } of this.#lanes.values()) metrics.revoked(partition);
    this.#lanes = new Map();
    this.#generation = generation;
    if (assignments.length > 0) ready(false, 'the state of correlation is being read');
    const restored = await this.#restoreAll(assignments);
    if (restored === null) return [];
    for (const [index, lane] of restored.entries()) {
      const assignment = assignments[index]!;
      if (lane.next < assignment.logStartOffset) {
        const { partition, logStartOffset } = assignment;
        const fields = { partition, from: String(lane.next), to: String(logStartOffset) };
        if (lane.next > 0n) log.warn(fields, 'retention removed matches before they were judged');
        lane.next = logStartOffset;
      }
      lane.committed = assignment.committedOffset;
      this.#lanes.set(lane.partition, lane);
    }
    log.info({ generation, partitions: assignments.length }, 'correlation owns its partitions');
    ready(true);
    return [...this.#lanes.values()].map((lane) => positionOf(lane, lane.next));
  }

  /** null where it was stopped meanwhile: reading then gives up, which is no failure. */
  async #restoreAll(assignments: Assignment[]): Promise<Lane[] | null> {
    try {
      const restored = await Promise.all(assignments.map((one) => this.#restored(one)));
      return this.#stop.signal.aborted ? null : restored;
    } catch (error) {
      if (this.#stop.signal.aborted) return null;
      throw error;
    }
  }

  /** The partition as the state topic has it, under the rules that are in force now. */
  async #restored({ topic, partition }: TopicPartition, haveChanged = false): Promise<Lane> {
    const { state, log, clock, writer } = this.#parts;
    const judges = this.#parts.judges();
    this.#hold.inForce(judges.plans.values());
    const judge = judges.open();
    const startedMs = clock.now();
    const bounds = await state.bounds(partition);
    const restored = await restoreState({
      read: (take) => state.read(partition, bounds, take),
      readNewest: (take) => state.read(partition, newestOf(bounds), take),
      group: (key, bytes) => judge.restore(key, bytes),
      orphanBeforeMs: startedMs - ORPHAN_MS_MAX,
    });
    const { checkpoint, history, entries, orphans, ahead, behind } = restored;
    this.#hold.told(history);
    // Without a checkpoint nothing was ever folded, whatever the group has committed.
    const next = checkpoint?.folded ?? 0n;
    const { groups, alerts } = await this.#caughtUp(partition, judges, behind, next);
    for (const { key, state } of groups) if (state !== null) judge.restore(key, state);
    log.info(
      {
        partition,
        entries,
        groups: judge.groups,
        orphans: orphans.length,
        offset: String(next),
        ms: clock.now() - startedMs,
      },
      'state of correlation is read',
    );
    const lane = new Lane(this.#parts, this.#hold, {
      topic,
      partition,
      judges,
      judge,
      watermark: checkpoint === null ? new Watermark() : Watermark.of(checkpoint.watermark),
      next,
      ahead,
      unwritten: new Map([
        ...orphans.map((key) => [key, { key, state: null }] as const),
        ...groups.map((change) => [change.key, change] as const),
      ]),
      owners: succeeded(checkpoint?.owners ?? [], writer, bounds.end),
      untold: untold(history, markOfSet(judges.plans.values()), haveChanged),
    });
    await lane.tell(alerts);
    const watermark = lane.watermark.value;
    // The groups have been judged up to there; what this gives is for a rule that is new to them.
    if (watermark !== null) await lane.tell(judge.advance(watermark));
    this.#parts.metrics.groups(partition, judge.groups);
    return lane;
  }

  /** Groups whose newest state one who was not the owner has overwritten, brought up to the others. */
  async #caughtUp(
    partition: number,
    judges: Judges,
    behind: readonly Behind[],
    upTo: bigint,
  ): Promise<CaughtUp> {
    const { matches, metrics, log } = this.#parts;
    if (behind.length === 0) return { groups: [], alerts: [], incomplete: 0 };
    const held = await matches.bounds(partition);
    const read = (start: bigint, end: bigint, take: Parameters<PartitionLog['read']>[2]) =>
      matches.read(partition, { start, end }, take);
    const caught = await catchUp({ judges, behind, upTo, held, read });
    const { incomplete } = caught;
    metrics.behind(behind.length - incomplete, incomplete);
    const fields = { partition, groups: behind.length, incomplete };
    const text = 'state was overwritten by a detector that did not own the partition any more';
    if (incomplete === 0) log.warn(fields, `${text}; the matches were folded in again`);
    else log.error(fields, `${text}, and matches are gone: these groups count from below`);
    return caught;
  }

  /**
   * Stateful rules have changed: the partition takes its state up again under the new ones, once all
   * it has is durable. What a rule of the same meaning holds stays as it is; what no rule knows stays
   * on the topic for a while. null where the partition is not ours any more.
   */
  async #renewed(lane: Lane, batch: RecordBatch): Promise<Lane | null> {
    while (!lane.isDurable) {
      await this.flush();
      if (this.#isLeft(batch)) return null;
      await batch.heartbeat();
    }
    const renewed = await this.#restored(lane, true);
    if (this.#isLeft(batch)) return null;
    renewed.next = lane.next;
    renewed.committed = lane.committed;
    this.#lanes.set(lane.partition, renewed);
    return renewed;
  }

  /** Whether it judges by the rules in force. */
  #isCurrent(lane: Lane): boolean {
    const judges = this.#parts.judges();
    if (lane.judges.version !== judges.version) return false;
    // Titles, levels and runbooks may be others under the same meaning.
    lane.judges = judges;
    return true;
  }

  /** Waits until the rules that the record is of are in force, as long as there is hope for them. */
  async #held(first: Lane, read: StreamRecord, batch: RecordBatch): Promise<Lane | null> {
    const { log, clock, lookAtRules } = this.#parts;
    const { partition } = first;
    log.warn(
      { partition },
      'matches are of rules that are not in force here yet; looking for them',
    );
    let lane: Lane | null = first;
    while (lane?.isHeld(read) === true) {
      lookAtRules();
      await clock.sleep(HOLD_STEP_MS, this.#stop.signal);
      await batch.heartbeat();
      if (this.#isLeft(batch)) return null;
      if (!this.#isCurrent(lane)) lane = await this.#renewed(lane, batch);
    }
    return lane;
  }

  async batch(batch: RecordBatch): Promise<void> {
    const { clock, breathe } = this.#parts;
    let lane = this.#lanes.get(batch.partition) ?? null;
    if (lane === null || batch.generation !== this.#generation) return;
    let sliceEndMs = clock.now() + SLICE_MS;
    try {
      for (const record of batch.records) {
        if (this.#isLeft(batch)) return;
        if (!this.#isCurrent(lane)) lane = await this.#renewed(lane, batch);
        if (lane === null) return;
        if (record.offset < lane.next) continue;
        const read = decodeStreamRecord(record.value);
        if (lane.isHeld(read)) lane = await this.#held(lane, read, batch);
        if (lane === null) return;
        const room = lane.take(record, read);
        if (room !== null) await room;
        if (clock.now() < sliceEndMs) continue;
        await lane.tell(lane.judge.takeEffects());
        await batch.heartbeat();
        await breathe();
        sliceEndMs = clock.now() + SLICE_MS;
      }
      await lane.tell(lane.judge.takeEffects());
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      throw error;
    }
    if (this.#isLeft(batch)) return;
    lane.next = largest(lane.next, batch.nextOffset);
    this.#tell(lane, batch);
  }

  #isLeft(batch: RecordBatch): boolean {
    return this.#stop.signal.aborted || batch.stale();
  }

  /**
   * Makes durable what was folded up to now, and gives the offsets that may be committed. Calls run
   * one after another. An empty answer where nothing changed, or the generation passed meanwhile.
   */
  flush(): Promise<Commit> {
    const turn = this.#flushing.then(() => this.#flush());
    this.#flushing = turn.catch(() => {});
    return turn;
  }

  async #flush(): Promise<Commit> {
    const generation = this.#generation;
    const nothing: Commit = { offsets: [], generation };
    const lanes = [...this.#lanes.values()].filter(({ isDurable }) => !isDurable);
    if (lanes.length === 0) return nothing;
    const snapshots = lanes.map((lane) => lane.snapshot());
    const isOver = (): boolean => generation !== this.#generation;
    await Promise.all(snapshots.map(({ settled }) => settled));
    if (isOver()) return nothing;
    const standing = snapshots.map(({ lane }) => positionOf(lane, lane.committed ?? lane.durable));
    if (!(await this.#parts.isMember({ offsets: standing, generation })) || isOver())
      return nothing;
    await this.#parts.state.write(snapshots.flatMap(({ messages }) => messages));
    if (isOver()) return nothing;
    for (const snapshot of snapshots) snapshot.lane.written(snapshot);
    return {
      offsets: snapshots.map(({ lane, next }) => positionOf(lane, next)),
      generation,
    };
  }

  committed({ offsets, generation }: Commit): void {
    if (generation !== this.#generation) return;
    for (const { partition, offset } of offsets) {
      const lane = this.#lanes.get(partition);
      if (lane !== undefined) lane.committed = offset;
    }
  }

  /** Newest event time that any source has told; null before the first. */
  newest(): number | null {
    let newest: number | null = null;
    for (const { watermark } of this.#lanes.values()) {
      if (watermark.newest !== null && (newest === null || watermark.newest > newest)) {
        newest = watermark.newest;
      }
    }
    return newest;
  }

  /** Handlers return at their next record. */
  stop(): void {
    this.#stop.abort();
  }

  #tell(lane: Lane, batch: RecordBatch): void {
    const last = batch.records.at(-1);
    const behind = batch.nextOffset < batch.highWatermark && last !== undefined;
    const ageMs = behind ? this.#parts.clock.now() - Number(last.timestamp) : 0;
    this.#parts.metrics.lag(lane.partition, Math.max(0, ageMs / 1000));
  }
}

/** A flush of many groups is longer: then the owners are found on the way, with one reading more. */
function newestOf({ start, end }: LogBounds): LogBounds {
  return { start: largest(start, end - NEWEST_ENTRIES), end };
}

function positionOf({ topic, partition }: TopicPartition, offset: bigint) {
  return { topic, partition, offset };
}

function largest(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}
