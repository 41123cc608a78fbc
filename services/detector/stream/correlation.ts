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
 * far it is folded, and readers take what is further; its alerts are of a lower or equal revision.
 *
 * Everything it touches comes in as an argument; `run.ts` brings the real things.
 */
import type {
  Assignment,
  ConsumerHandlers,
  RecordBatch,
  TopicPartition,
} from '../../ingest/consume-types.ts';
import type { DeadLetter } from '../../ingest/dead-letter.ts';
import type { KafkaRecord } from '../../ingest/record.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { alertJson, statefulAlertIndex, statefulAlertOf } from '../alert/alert.ts';
import type { AlertSender } from '../alert/send.ts';
import type { Effect, Match, StateChange, StatefulAlert } from '../correlate/types.ts';
import type { Commit } from '../detector.ts';
import type { RuleHeader } from '../sigma/rule.ts';
import type { CorrelationMetrics } from './metrics.ts';
import { decodeStreamRecord, type Progress } from './records.ts';
import { restoreState, type StateLog } from './restore.ts';
import { Settling } from './settling.ts';
import { encodeStateEntry, type StateMessage } from './state-entries.ts';
import { Watermark } from './watermark.ts';

/** What judges the matches of one partition. */
export interface Judge {
  /** Takes a match of a rule in force in. `nowMs`: when it was written to the matches topic. */
  fold(match: Match, nowMs: number): void;
  /** Event time has come so far; the effects since they were last taken. */
  advance(watermarkMs: number, nowMs?: number): Effect[];
  /** The effects since they were last taken: of each alert its newest state. */
  takeEffects(): Effect[];
  /** Groups that changed since the last call, as they are now. */
  takeChanges(): StateChange[];
  /** Takes a group's state back; false where no rule in force has any use for it. */
  restore(key: string, state: Buffer): boolean;
  /** Key of the group that a match belongs to. */
  keyOf(match: Match): string;
  /** Groups that are open. */
  readonly groups: number;
}

/** The stateful rules in force. */
export interface Judges {
  /** Another text for another set of stateful rules. */
  readonly version: string;
  /** Fingerprint of the rule's meaning, or null where no such rule is in force. */
  planOf(ruleId: string): string | null;
  ruleOf(ruleId: string): RuleHeader | null;
  open(): Judge;
}

export type StateWrite = StateMessage & { partition: number };

export interface CorrelationParts {
  /** As they are now: they change while it runs. */
  judges: () => Judges;
  sender: Pick<AlertSender, 'add' | 'unsent'>;
  /** Durable when it resolves. */
  deadLetter: (letters: DeadLetter[]) => Promise<void>;
  state: StateLog & {
    /** Durable when it resolves; in the order given, for each partition. */
    write(messages: StateWrite[]): Promise<void>;
  };
  /** True where the broker still holds this generation for a member of the group. */
  isMember: (commit: Commit) => Promise<boolean>;
  alertIndexPrefix: string;
  metrics: CorrelationMetrics;
  clock: Clock;
  log: Log;
  /** Lets other work run. */
  breathe: () => Promise<unknown>;
  ready: (ok: boolean, reason?: string) => void;
  /** Tells this process's entries in the state topic from those of others. */
  writer: bigint;
}

/** Longest time without giving the event loop to others. */
const SLICE_MS = 50;
/** State that no rule in force knows is kept so long: a rule may be switched on again. */
const ORPHAN_MS_MAX = 7 * 86_400_000;

interface Lane extends TopicPartition {
  /** The rules it judges by, until it is renewed. */
  judges: Judges;
  judge: Judge;
  watermark: Watermark;
  /** Everything before this offset is in `judge`. */
  next: bigint;
  /** Everything before it is on the state topic. */
  durable: bigint;
  committed: bigint | null;
  /** Groups that were folded further than the checkpoint when they were read, and how far. */
  ahead: Map<string, bigint>;
  /** Changes that are not acknowledged by the state topic yet, by key of the message. */
  unwritten: Map<string, StateChange>;
  /** Newest states of alerts that went out already since the last flush. */
  held: Map<string, StatefulAlert>;
  /** Alerts that went out since the last flush. */
  sent: Set<string>;
  settling: Settling;
}

export class Correlation implements ConsumerHandlers {
  readonly #parts: CorrelationParts;
  readonly #stop = new AbortController();
  #lanes = new Map<number, Lane>();
  #generation = -1;
  #flushing: Promise<unknown> = Promise.resolve();

  constructor(parts: CorrelationParts) {
    this.#parts = parts;
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
  async #restored({ topic, partition }: TopicPartition): Promise<Lane> {
    const { state, log, clock } = this.#parts;
    const judges = this.#parts.judges();
    const judge = judges.open();
    const startedMs = clock.now();
    const bounds = await state.bounds(partition);
    const { checkpoint, entries, orphans, ahead } = await restoreState({
      read: (take) => state.read(partition, bounds, take),
      group: (key, bytes) => judge.restore(key, bytes),
      orphanBeforeMs: startedMs - ORPHAN_MS_MAX,
    });
    // Without a checkpoint nothing was ever folded, whatever the group has committed.
    const next = checkpoint?.folded ?? 0n;
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
    const lane: Lane = {
      topic,
      partition,
      judges,
      judge,
      watermark: checkpoint === null ? new Watermark() : Watermark.of(checkpoint.watermark),
      next,
      durable: next,
      committed: null,
      ahead,
      unwritten: new Map(orphans.map((key) => [key, { key, state: null }])),
      held: new Map(),
      sent: new Set(),
      settling: new Settling(),
    };
    const watermark = lane.watermark.value;
    // The groups have been judged up to there; what this gives is for a rule that is new to them.
    if (watermark !== null) await this.#effects(lane, judge.advance(watermark));
    this.#parts.metrics.groups(partition, judge.groups);
    return lane;
  }

  /**
   * Stateful rules have changed: the partition takes its state up again under the new ones, once all
   * it has is durable. What a rule of the same meaning holds stays as it is; what no rule knows stays
   * on the topic for a while. null where the partition is not ours any more.
   */
  async #renewed(lane: Lane, batch: RecordBatch): Promise<Lane | null> {
    while (lane.durable < lane.next || lane.unwritten.size > 0) {
      await this.flush();
      if (this.#isLeft(batch)) return null;
      await batch.heartbeat();
    }
    const renewed = await this.#restored(lane);
    if (this.#isLeft(batch)) return null;
    renewed.next = lane.next;
    renewed.committed = lane.committed;
    this.#lanes.set(lane.partition, renewed);
    return renewed;
  }

  async batch(batch: RecordBatch): Promise<void> {
    const { clock, breathe } = this.#parts;
    let lane = this.#lanes.get(batch.partition) ?? null;
    if (lane === null || batch.generation !== this.#generation) return;
    let sliceEndMs = clock.now() + SLICE_MS;
    try {
      for (const record of batch.records) {
        if (this.#isLeft(batch)) return;
        const judges = this.#parts.judges();
        if (lane.judges.version !== judges.version) {
          lane = await this.#renewed(lane, batch);
          if (lane === null) return;
        } else {
          // Titles, levels and runbooks may be others under the same meaning.
          lane.judges = judges;
        }
        if (record.offset < lane.next) continue;
        const room = this.#take(lane, record);
        if (room !== null) await room;
        if (clock.now() < sliceEndMs) continue;
        await this.#effects(lane, lane.judge.takeEffects());
        await batch.heartbeat();
        await breathe();
        sliceEndMs = clock.now() + SLICE_MS;
      }
      await this.#effects(lane, lane.judge.takeEffects());
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
   * Folds one record, wholly in this turn: the state, the alerts that it raises and the position move
   * together, or a flush between them would write what it has not waited for. What is waited for
   * afterwards is only room.
   */
  #take(lane: Lane, record: KafkaRecord): Promise<unknown> | null {
    const read = decodeStreamRecord(record.value);
    let done: Promise<unknown> | null = null;
    const nowMs = Number(record.timestamp);
    if (read.kind === 'matches') {
      for (const one of read.matches) this.#match(lane, one.plan, one.match, record.offset, nowMs);
    } else if (read.kind === 'progress') done = this.#progress(lane, read.progress, nowMs);
    else done = this.#unreadable(lane, record, read.reason);
    lane.next = record.offset + 1n;
    return done;
  }

  #match(lane: Lane, plan: string, match: Match, offset: bigint, nowMs: number): void {
    const { metrics } = this.#parts;
    // Of a rule, or a meaning of a rule, that this process does not have: while rules are rolled out,
    // two detectors differ for a moment. Nothing may be judged by what it was not made for.
    if (lane.judges.planOf(match.ruleId) !== plan) {
      metrics.matches('unknown_rule');
      return;
    }
    if (lane.ahead.size > 0) {
      const folded = lane.ahead.get(lane.judge.keyOf(match));
      if (folded !== undefined && offset < folded) {
        metrics.matches('folded');
        return;
      }
    }
    metrics.matches('judged');
    lane.judge.fold(match, nowMs);
  }

  #progress(lane: Lane, progress: Progress, nowMs: number): Promise<unknown> | null {
    // What came before it is judged by what was known then: a match that was late was late.
    const before = this.#effects(lane, lane.judge.takeEffects());
    if (!lane.watermark.note(progress)) return before;
    const after = this.#effects(lane, lane.judge.advance(lane.watermark.value!, nowMs));
    return Promise.all([before, after]);
  }

  #unreadable(lane: Lane, record: KafkaRecord, reason: string): Promise<unknown> {
    this.#parts.metrics.matches('unreadable');
    return this.#letters(lane, [{ source: record, reason: 'match_unreadable', detail: reason }]);
  }

  /** Begins everything in this turn; what it gives is only to be waited for. */
  #effects(lane: Lane, effects: Effect[]): Promise<unknown> | null {
    if (effects.length === 0) return null;
    const { metrics } = this.#parts;
    const waits: Array<Promise<unknown>> = [];
    const letters: DeadLetter[] = [];
    for (const effect of effects) {
      if (effect.kind === 'alert') {
        const room = this.#alert(lane, effect.alert);
        if (room !== null) waits.push(room);
      } else if (effect.kind === 'refused') {
        metrics.refused(effect.reason);
        letters.push(letterOf(effect.match, 'group_budget', REFUSALS[effect.reason]));
      } else if (lane.watermark.isRepeated(effect.match.partition, effect.match.offset)) {
        // It was judged in its time; a reader died before its commit and found it again.
        metrics.matches('repeated');
      } else {
        metrics.late();
        const behind = `${Math.round(effect.behindMs / 1000)} s behind what was judged already`;
        letters.push(letterOf(effect.match, 'late_for_correlation', behind));
      }
    }
    if (letters.length > 0) waits.push(this.#letters(lane, letters));
    return Promise.all(waits);
  }

  #letters(lane: Lane, letters: DeadLetter[]): Promise<void> {
    const settled = lane.settling.begin();
    return this.#parts.deadLetter(letters).then(settled);
  }

  /**
   * An alert goes out at once the first time; what becomes of it until the next flush is sent once,
   * then. A group that counts a thousand events in a second is two documents, not a thousand.
   */
  #alert(lane: Lane, alert: StatefulAlert): Promise<void> | null {
    if (lane.sent.has(alert.id)) {
      lane.held.set(alert.id, alert);
      return null;
    }
    lane.sent.add(alert.id);
    return this.#send(lane, alert);
  }

  #send(lane: Lane, alert: StatefulAlert): Promise<void> {
    const { sender, metrics, alertIndexPrefix } = this.#parts;
    const rule = lane.judges.ruleOf(alert.ruleId);
    if (rule === null) return Promise.resolve();
    metrics.raised(alert.ruleId);
    const last = alert.evidence.at(-1);
    return sender.add({
      index: statefulAlertIndex(alertIndexPrefix, alert),
      id: alert.id,
      json: alertJson(statefulAlertOf(rule, alert)),
      revision: alert.revision,
      record: {
        topic: last?.topic ?? lane.topic,
        partition: last?.partition ?? lane.partition,
        offset: last?.offset ?? lane.next,
        timestamp: recordTime(alert.last),
        key: null,
        value: null,
        headers: [],
      },
      settled: lane.settling.begin(),
    });
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
    const lanes = [...this.#lanes.values()].filter(
      ({ next, durable, unwritten }) => next > durable || unwritten.size > 0,
    );
    if (lanes.length === 0) return nothing;
    const snapshots = lanes.map((lane) => this.#snapshot(lane));
    const isOver = (): boolean => generation !== this.#generation;
    await Promise.all(snapshots.map(({ settled }) => settled));
    if (isOver()) return nothing;
    const standing = snapshots.map(({ lane }) => positionOf(lane, lane.committed ?? lane.durable));
    if (!(await this.#parts.isMember({ offsets: standing, generation })) || isOver())
      return nothing;
    await this.#parts.state.write(snapshots.flatMap(({ messages }) => messages));
    if (isOver()) return nothing;
    for (const snapshot of snapshots) this.#written(snapshot);
    return {
      offsets: snapshots.map(({ lane, next }) => positionOf(lane, next)),
      generation,
    };
  }

  /** In one turn: states, watermark and position are of the same moment. */
  #snapshot(lane: Lane): Snapshot {
    this.#effects(lane, lane.judge.takeEffects())?.catch(() => {});
    for (const alert of lane.held.values()) this.#send(lane, alert).catch(() => {});
    lane.held.clear();
    lane.sent.clear();
    const settled = lane.settling.settled();
    lane.settling = new Settling();
    for (const change of lane.judge.takeChanges()) lane.unwritten.set(change.key, change);
    const changes = [...lane.unwritten.values()];
    const { next } = lane;
    const { writer } = this.#parts;
    const messageOf = (group: string | null, state: Buffer | null) => ({
      partition: lane.partition,
      ...encodeStateEntry({ group, folded: next, writer, state }),
    });
    const checkpoint = Buffer.from(JSON.stringify(lane.watermark.state()));
    const messages = [
      ...changes.map(({ key, state }) => messageOf(key, state)),
      messageOf(null, checkpoint),
    ];
    this.#parts.metrics.groups(lane.partition, lane.judge.groups);
    this.#parts.metrics.watermark(lane.partition, lane.watermark.value);
    return { lane, next, changes, messages, settled };
  }

  #written({ lane, next, changes }: Snapshot): void {
    lane.durable = next;
    for (const change of changes) {
      // It may have changed again meanwhile.
      if (lane.unwritten.get(change.key) === change) lane.unwritten.delete(change.key);
    }
    for (const [key, folded] of lane.ahead) if (folded <= next) lane.ahead.delete(key);
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

interface Snapshot {
  lane: Lane;
  next: bigint;
  changes: StateChange[];
  messages: StateWrite[];
  settled: Promise<void>;
}

const REFUSALS = {
  group_entries: 'its group holds as many events as one may (detect.groupEntriesMax)',
  groups: 'as many groups are open as may be (detect.groupsMax)',
  time: 'its event has no time that a calendar knows',
} as const;

function positionOf({ topic, partition }: TopicPartition, offset: bigint) {
  return { topic, partition, offset };
}

function recordTime(timeMs: number): bigint {
  return Number.isSafeInteger(timeMs) ? BigInt(timeMs) : 0n;
}

function largest(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}

/** The dead letter of a match that could not be judged: its value is what is known of the event. */
export function letterOf(match: Match, reason: string, detail: string): DeadLetter {
  const { ruleId, leafId, group, values, eventTime, eventId, context } = match;
  const value = JSON.stringify({ ruleId, leafId, group, values, eventTime, eventId, context });
  return {
    source: {
      topic: match.topic,
      partition: match.partition,
      offset: match.offset,
      timestamp: recordTime(eventTime),
      key: null,
      value: Buffer.from(value),
      headers: [{ key: 'lakeseal.rule', value: Buffer.from(ruleId) }],
    },
    reason,
    detail: `rule ${ruleId}: ${detail}`,
  };
}
