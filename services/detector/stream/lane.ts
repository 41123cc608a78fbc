/**
 * One partition of the matches topic in hand: the state that its records have made, and what of it is
 * durable. A record is folded wholly in one turn: the state, the alerts that it raises and the
 * position move together, or a flush between them would write what it has not waited for. What is
 * waited for afterwards is only room.
 */
import type { TopicPartition } from '../../ingest/consume-types.ts';
import type { DeadLetter } from '../../ingest/dead-letter.ts';
import type { KafkaRecord } from '../../ingest/record.ts';
import type { Clock } from '../../runtime/clock.ts';
import { alertJson, statefulAlertIndex, statefulAlertOf } from '../alert/alert.ts';
import type { AlertSender } from '../alert/send.ts';
import type { Effect, StateChange, StatefulAlert } from '../correlate/types.ts';
import { encodeCheckpoint, type Owner } from './checkpoint.ts';
import type { Judge, Judges } from './judge.ts';
import { letterOf, recordTime } from './letters.ts';
import type { CorrelationMetrics } from './metrics.ts';
import type { PlanHold } from './plan-hold.ts';
import type { PlannedMatch, Progress, StreamRecord } from './records.ts';
import { encodeHistory, type RuleHistory } from './rule-history.ts';
import { Settling } from './settling.ts';
import { encodeStateEntry, type StateEntry, type StateMessage } from './state-entries.ts';
import type { Watermark } from './watermark.ts';

export type StateWrite = StateMessage & { partition: number };

/** What every lane works with. */
export interface LaneParts {
  sender: Pick<AlertSender, 'add'>;
  /** Durable when it resolves. */
  deadLetter: (letters: DeadLetter[]) => Promise<void>;
  alertIndexPrefix: string;
  metrics: CorrelationMetrics;
  clock: Clock;
  /** Tells this process's entries in the state topic from those of others. */
  writer: bigint;
}

/** What a lane begins with. */
export interface LaneStart extends TopicPartition {
  judges: Judges;
  judge: Judge;
  watermark: Watermark;
  /** Everything before this offset is in `judge`. */
  next: bigint;
  /** Groups that were folded further than the checkpoint when they were read, and how far. */
  ahead: Map<string, bigint>;
  /** What is to be written with the next flush, by key of the group. */
  unwritten: Map<string, StateChange>;
  /** Those who have owned the partition, this process the last. */
  owners: readonly Owner[];
  /** The sets that have judged the partition, ours among them; null where the state topic has them. */
  untold: RuleHistory | null;
}

/** A lane as it was at one moment, on its way to the state topic. */
export interface Snapshot {
  lane: Lane;
  next: bigint;
  changes: StateChange[];
  untold: RuleHistory | null;
  messages: StateWrite[];
  /** Resolves when all alerts and dead letters of before are settled. */
  settled: Promise<void>;
}

const REFUSALS = {
  group_entries: 'its group holds as many events as one may (detect.groupEntriesMax)',
  groups: 'as many groups are open as may be (detect.groupsMax)',
  time: 'its event has no time that a calendar knows',
} as const;

function apartLetter({ match, plan }: PlannedMatch): DeadLetter {
  const detail = `this meaning of it (${plan}) is not in force here, and did not come while it was waited for`;
  return letterOf(match, 'rule_not_in_force', detail);
}

export class Lane implements TopicPartition {
  readonly topic: string;
  readonly partition: number;
  /** The rules it judges by, until it is renewed. */
  judges: Judges;
  readonly judge: Judge;
  readonly watermark: Watermark;
  /** Everything before this offset is in `judge`. */
  next: bigint;
  committed: bigint | null = null;
  readonly #parts: LaneParts;
  readonly #hold: PlanHold;
  /** Everything before it is on the state topic. */
  #durable: bigint;
  readonly #ahead: Map<string, bigint>;
  readonly #owners: readonly Owner[];
  #untold: RuleHistory | null;
  /** Changes that are not acknowledged by the state topic yet, by key of the group. */
  readonly #unwritten: Map<string, StateChange>;
  /** Newest states of alerts that went out already since the last flush. */
  readonly #held = new Map<string, StatefulAlert>();
  /** Alerts that went out since the last flush. */
  readonly #sent = new Set<string>();
  #settling = new Settling();

  constructor(parts: LaneParts, hold: PlanHold, start: LaneStart) {
    this.#parts = parts;
    this.#hold = hold;
    this.topic = start.topic;
    this.partition = start.partition;
    this.judges = start.judges;
    this.judge = start.judge;
    this.watermark = start.watermark;
    this.next = start.next;
    this.#durable = start.next;
    this.#ahead = start.ahead;
    this.#unwritten = start.unwritten;
    this.#owners = start.owners;
    this.#untold = start.untold;
  }

  get durable(): bigint {
    return this.#durable;
  }

  /** Whether all it has is on the state topic. */
  get isDurable(): boolean {
    return this.#durable >= this.next && this.#unwritten.size === 0 && this.#untold === null;
  }

  /** Whether the record is to be waited with, because rules that it is of may be on their way. */
  isHeld(read: StreamRecord): boolean {
    if (read.kind !== 'matches') return false;
    const nowMs = this.#parts.clock.now();
    return read.matches.some((one) => {
      return !this.#isInForce(one) && this.#hold.of(one.plan, nowMs) === 'hold';
    });
  }

  #isInForce({ plan, match }: PlannedMatch): boolean {
    return this.judges.plans.get(match.ruleId) === plan;
  }

  /** Folds one record, read already. What it gives is only room to be waited for. */
  take(record: KafkaRecord, read: StreamRecord): Promise<unknown> | null {
    let done: Promise<unknown> | null = null;
    const nowMs = Number(record.timestamp);
    if (read.kind === 'matches') {
      const apart = read.matches.filter((one) => !this.#match(one, record.offset, nowMs));
      if (apart.length > 0) done = this.#letters(apart.map(apartLetter));
    } else if (read.kind === 'progress') done = this.#progress(read.progress, nowMs);
    else done = this.#unreadable(record, read.reason);
    this.next = record.offset + 1n;
    return done;
  }

  /** False where it is of a rule that did not come into force: to be set apart. */
  #match(planned: PlannedMatch, offset: bigint, nowMs: number): boolean {
    const { metrics, clock } = this.#parts;
    const { plan, match } = planned;
    if (!this.#isInForce(planned)) {
      const isOutdated = this.#hold.of(plan, clock.now()) === 'outdated';
      metrics.matches(isOutdated ? 'outdated' : 'unknown_rule');
      return isOutdated;
    }
    if (this.#ahead.size > 0) {
      const folded = this.#ahead.get(this.judge.keyOf(match));
      if (folded !== undefined && offset < folded) {
        metrics.matches('folded');
        return true;
      }
    }
    metrics.matches('judged');
    this.judge.fold(match, nowMs);
    return true;
  }

  #progress(progress: Progress, nowMs: number): Promise<unknown> | null {
    // What came before it is judged by what was known then: a match that was late was late.
    const before = this.tell(this.judge.takeEffects());
    if (!this.watermark.note(progress)) return before;
    const after = this.tell(this.judge.advance(this.watermark.value!, nowMs));
    return Promise.all([before, after]);
  }

  #unreadable(record: KafkaRecord, reason: string): Promise<unknown> {
    this.#parts.metrics.matches('unreadable');
    return this.#letters([{ source: record, reason: 'match_unreadable', detail: reason }]);
  }

  /** Begins everything in this turn; what it gives is only to be waited for. */
  tell(effects: Effect[]): Promise<unknown> | null {
    if (effects.length === 0) return null;
    const { metrics } = this.#parts;
    const waits: Array<Promise<unknown>> = [];
    const letters: DeadLetter[] = [];
    for (const effect of effects) {
      if (effect.kind === 'alert') {
        const room = this.#alert(effect.alert);
        if (room !== null) waits.push(room);
      } else if (effect.kind === 'refused') {
        metrics.refused(effect.reason);
        letters.push(letterOf(effect.match, 'group_budget', REFUSALS[effect.reason]));
      } else if (this.watermark.isRepeated(effect.match.partition, effect.match.offset)) {
        // It was judged in its time; a reader died before its commit and found it again.
        metrics.matches('repeated');
      } else {
        metrics.late();
        const behind = `${Math.round(effect.behindMs / 1000)} s behind what was judged already`;
        letters.push(letterOf(effect.match, 'late_for_correlation', behind));
      }
    }
    if (letters.length > 0) waits.push(this.#letters(letters));
    return Promise.all(waits);
  }

  #letters(letters: DeadLetter[]): Promise<void> {
    const settled = this.#settling.begin();
    return this.#parts.deadLetter(letters).then(settled);
  }

  /**
   * An alert goes out at once the first time; what becomes of it until the next flush is sent once,
   * then. A group that counts a thousand events in a second is two documents, not a thousand.
   */
  #alert(alert: StatefulAlert): Promise<void> | null {
    if (this.#sent.has(alert.id)) {
      this.#held.set(alert.id, alert);
      return null;
    }
    this.#sent.add(alert.id);
    return this.#send(alert);
  }

  #send(alert: StatefulAlert): Promise<void> {
    const { sender, metrics, alertIndexPrefix } = this.#parts;
    const rule = this.judges.ruleOf(alert.ruleId);
    if (rule === null) return Promise.resolve();
    metrics.raised(alert.ruleId);
    const last = alert.evidence.at(-1);
    return sender.add({
      index: statefulAlertIndex(alertIndexPrefix, alert),
      id: alert.id,
      json: alertJson(statefulAlertOf(rule, alert)),
      revision: alert.revision,
      record: {
        topic: last?.topic ?? this.topic,
        partition: last?.partition ?? this.partition,
        offset: last?.offset ?? this.next,
        timestamp: recordTime(alert.last),
        key: null,
        value: null,
        headers: [],
      },
      settled: this.#settling.begin(),
    });
  }

  /** In one turn: states, watermark and position are of the same moment. */
  snapshot(): Snapshot {
    this.tell(this.judge.takeEffects())?.catch(() => {});
    for (const alert of this.#held.values()) this.#send(alert).catch(() => {});
    this.#held.clear();
    this.#sent.clear();
    const settled = this.#settling.settled();
    this.#settling = new Settling();
    for (const change of this.judge.takeChanges()) this.#unwritten.set(change.key, change);
    const changes = [...this.#unwritten.values()];
    const { next, partition } = this;
    const { writer, metrics } = this.#parts;
    const messageOf = (what: StateEntry['what'], group: string, state: Buffer | null) => ({
      partition,
      ...encodeStateEntry({ what, group, folded: next, writer, state }),
    });
    const checkpoint = encodeCheckpoint(this.watermark.state(), this.#owners);
    const untold = this.#untold;
    const messages = [
      ...(untold === null ? [] : [messageOf('rules', '', encodeHistory(untold))]),
      ...changes.map(({ key, state }) => messageOf('group', key, state)),
      messageOf('checkpoint', '', checkpoint),
    ];
    metrics.groups(partition, this.judge.groups);
    metrics.watermark(partition, this.watermark.value);
    return { lane: this, next, changes, untold, messages, settled };
  }

  /** The snapshot is on the state topic. */
  written({ next, changes, untold }: Snapshot): void {
    this.#durable = next;
    if (this.#untold === untold) this.#untold = null;
    for (const change of changes) {
      // It may have changed again meanwhile.
      if (this.#unwritten.get(change.key) === change) this.#unwritten.delete(change.key);
    }
    for (const [key, folded] of this.#ahead) if (folded <= next) this.#ahead.delete(key);
  }
}
