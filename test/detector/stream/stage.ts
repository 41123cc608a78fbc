/**
 * One partition of the matches topic with everything around it in memory: the log, the state topic,
 * OpenSearch, and processes that come and go over them. The judge is the opposite of forgiving: it
 * counts each match that it is given, so one that is folded twice, or not at all, shows in the ids.
 */
import type { OutgoingAlert } from '../../../services/detector/alert/send.ts';
import type { Effect, Match, StateChange } from '../../../services/detector/correlate/types.ts';
import {
  Correlation,
  type CorrelationParts,
} from '../../../services/detector/stream/correlation.ts';
import type { Judge, Judges } from '../../../services/detector/stream/judge.ts';
import type { StateWrite } from '../../../services/detector/stream/lane.ts';
import type { MatchOutcome } from '../../../services/detector/stream/metrics.ts';
import { encodeMatch, encodeProgress } from '../../../services/detector/stream/records.ts';
import type { RecordBatch } from '../../../services/ingest/consume-types.ts';
import type { DeadLetter } from '../../../services/ingest/dead-letter.ts';
import type { KafkaRecord } from '../../../services/ingest/record.ts';
import { silentLog } from '../../../services/runtime/log.ts';
import { rulesOf, ruleText } from '../events.ts';

export const RULE_ID = '00000000-0000-4000-8000-000000000001';
export const PLAN = 'meaning';
const [RULE] = rulesOf(ruleText('sel:\n  actionName: login\ncondition: sel'));
export const T = Date.UTC(2026, 2, 2);
/** Rules reach all detectors within this. */
export const ROLLOUT_MS = 30_000;

interface Group {
  count: number;
  waiting: number[];
}

/** Counts, and judges in order of time what the watermark has passed. */
export class CountingJudge implements Judge {
  readonly groupsByKey = new Map<string, Group>();
  readonly #changed = new Set<string>();
  readonly #effects: Effect[] = [];
  #watermark = Number.NEGATIVE_INFINITY;

  get groups(): number {
    return this.groupsByKey.size;
  }

  keyOf(match: Match): string {
    return match.group[0]!;
  }

  takeEffects(): Effect[] {
    return this.#effects.splice(0);
  }

  fold(match: Match): void {
    const key = this.keyOf(match);
    const group = this.groupsByKey.get(key) ?? { count: 0, waiting: [] };
    this.groupsByKey.set(key, group);
    if (match.eventTime <= this.#watermark) {
      this.#effects.push({ kind: 'late', match, behindMs: 1 });
      return;
    }
    group.count += 1;
    group.waiting.push(match.eventTime);
    this.#changed.add(key);
    const raised = Math.floor(group.count / 3);
    if (raised === 0) return;
    const alert = alertOf(`${key}#${raised}`, match, group.count);
    this.#effects.push({ kind: 'alert', alert });
  }

  advance(watermark: number): Effect[] {
    this.#watermark = Math.max(this.#watermark, watermark);
    const effects = this.takeEffects();
    for (const [key, group] of this.groupsByKey) {
      const due = group.waiting.filter((time) => time <= watermark).sort((a, b) => a - b);
      if (due.length === 0) continue;
      group.waiting = group.waiting.filter((time) => time > watermark);
      this.#changed.add(key);
      for (const time of due) {
        const match = matchOf(key, time, 0);
        effects.push({ kind: 'alert', alert: alertOf(`${key}@${time}`, match, 1) });
      }
    }
    return effects;
  }

  takeChanges(): StateChange[] {
    const changes = [...this.#changed].map((key) => ({
      key,
      state: Buffer.from(JSON.stringify(this.groupsByKey.get(key))),
    }));
    this.#changed.clear();
    return changes;
  }

  restore(key: string, state: Buffer): boolean {
    if (key.startsWith('foreign')) return false;
    this.groupsByKey.set(key, JSON.parse(state.toString()) as Group);
    return true;
  }
}

export function matchOf(group: string, eventTime: number, number: number): Match {
  return {
    ruleId: RULE_ID,
    leafId: RULE_ID,
    group: [group],
    values: [],
    eventTime,
    eventId: `event-${number}`,
    topic: 'events',
    partition: 0,
    offset: BigInt(number),
    context: '',
  };
}

function alertOf(id: string, match: Match, revision: number) {
  const { topic, partition, offset, eventId, eventTime, ruleId } = match;
  return {
    id,
    ruleId,
    group: [['name', match.group[0]!]] as const,
    periodMs: T,
    first: eventTime,
    last: eventTime,
    count: revision,
    countIsLowerBound: false,
    evidence: [{ topic, partition, offset, eventId }],
    reason: 'counted',
    context: '',
    revision,
  };
}

/** What outlives every process. */
export class World {
  readonly matches: KafkaRecord[] = [];
  /** What is before it retention has removed. */
  matchesStart = 0n;
  processes = 0n;
  state: KafkaRecord[] = [];
  stateEnd = 0n;
  /** As OpenSearch keeps them: of each id the highest revision. */
  readonly stored = new Map<string, { revision: number; json: string }>();
  readonly letters: DeadLetter[] = [];
  nowMs = T;

  match(group: string, eventTime: number, number: number, plan = PLAN): void {
    this.raw(encodeMatch(matchOf(group, eventTime, number), plan));
  }

  progress(passed: number, nextOffset: number): void {
    const source = { partition: 0, nextOffset: BigInt(nextOffset), newest: passed, passed };
    this.raw(encodeProgress({ topicId: 'id', partitions: 1, sources: [source] }));
  }

  raw(value: Buffer | null): void {
    this.matches.push(recordOf('matches', BigInt(this.matches.length), value));
  }

  write({ key, value, headers }: StateWrite): void {
    const record = recordOf('state', this.stateEnd, value);
    this.stateEnd += 1n;
    this.state.push({ ...record, key, headers, timestamp: BigInt(this.nowMs) });
  }

  /** As a broker does when the lag is over: of each key only the last entry stays. */
  compact(): void {
    const last = new Map(this.state.map((record) => [record.key!.toString(), record.offset]));
    this.state = this.state.filter(({ key, offset }) => last.get(key!.toString()) === offset);
  }
}

function recordOf(topic: string, offset: bigint, value: Buffer | null): KafkaRecord {
  return { topic, partition: 0, offset, timestamp: BigInt(T), key: null, value, headers: [] };
}

export const JUDGES: Judges = {
  version: '1',
  plans: new Map([[RULE_ID, PLAN]]),
  ruleOf: (id) => (id === RULE_ID ? RULE! : null),
  open: () => new CountingJudge(),
};

/** A detector's hold of the partition, from the assignment until it is forgotten. */
export class Process {
  readonly correlation: Correlation;
  readonly counts: Partial<Record<MatchOutcome | 'late', number>> = {};
  readonly outgoing: OutgoingAlert[] = [];
  readonly refused: Record<string, number> = {};
  readonly behind = { mended: 0, incomplete: 0 };
  readonly #world: World;
  /** Entries that a write still gets onto the topic; then it hangs, as before a crash. */
  writesLeft = Number.POSITIVE_INFINITY;
  /** The broker's answer to a question for the membership. */
  member = true;
  position = 0n;

  constructor(world: World, changes: Partial<CorrelationParts> = {}) {
    this.#world = world;
    world.processes += 1n;
    const count = (name: MatchOutcome | 'late'): void => {
      this.counts[name] = (this.counts[name] ?? 0) + 1;
    };
    this.correlation = new Correlation({
      judges: () => JUDGES,
      sender: {
        add: async (alert) => void this.outgoing.push(alert),
      },
      deadLetter: async (letters) => void world.letters.push(...letters),
      state: {
        bounds: async () => ({ start: 0n, end: world.stateEnd }),
        read: async (_, { start, end }, take) =>
          take(world.state.filter(({ offset }) => offset >= start && offset < end)),
        write: async (messages) => {
          for (const message of messages) {
            if (this.writesLeft <= 0) return new Promise(() => {});
            this.writesLeft -= 1;
            world.write(message);
          }
        },
      },
      matches: {
        bounds: async () => ({ start: world.matchesStart, end: BigInt(world.matches.length) }),
        read: async (_, { start, end }, take) =>
          take(world.matches.slice(Number(start), Number(end))),
      },
      isMember: async () => this.member,
      rolloutMs: ROLLOUT_MS,
      alertIndexPrefix: 'alerts',
      metrics: {
        matches: count,
        late: () => count('late'),
        refused: (reason) => {
          this.refused[reason] = (this.refused[reason] ?? 0) + 1;
        },
        raised: () => {},
        behind: (mended, incomplete) => {
          this.behind.mended += mended;
          this.behind.incomplete += incomplete;
        },
        groups: () => {},
        watermark: () => {},
        lag: () => {},
        revoked: () => {},
      },
      clock: {
        now: () => world.nowMs,
        sleep: async (ms) => {
          world.nowMs += ms;
        },
      },
      lookAtRules: () => {},
      log: silentLog,
      breathe: async () => {},
      ready: () => {},
      writer: world.processes,
      ...changes,
    });
  }

  async start(generation = 1): Promise<void> {
    const [start] = await this.correlation.assigned(
      [
        {
          topic: 'matches',
          partition: 0,
          topicId: '-',
          logStartOffset: 0n,
          logEndOffset: BigInt(this.#world.matches.length),
          committedOffset: null,
        },
      ],
      generation,
    );
    this.position = start!.offset;
  }

  /** Delivers the next records, as many as there are. */
  async read(count: number, changes: Partial<RecordBatch> = {}): Promise<void> {
    const from = Number(this.position);
    const records = this.#world.matches.slice(from, from + count);
    if (records.length === 0) return;
    const nextOffset = records.at(-1)!.offset + 1n;
    await this.correlation.batch({
      topic: 'matches',
      partition: 0,
      generation: 1,
      records,
      nextOffset,
      highWatermark: BigInt(this.#world.matches.length),
      logStartOffset: 0n,
      heartbeat: async () => {},
      stale: () => false,
      ...changes,
    });
    this.position = nextOffset;
  }

  /** OpenSearch takes the alerts that wait, or the first of them. */
  store(count = Number.POSITIVE_INFINITY): void {
    for (const alert of this.outgoing.splice(0, count)) {
      const known = this.#world.stored.get(alert.id);
      const { revision, json } = { revision: alert.revision!, json: alert.json };
      if (known === undefined || known.revision < revision) {
        this.#world.stored.set(alert.id, { revision, json });
      }
      alert.settled();
    }
  }

  /** A flush with OpenSearch at hand. Never ends where `writesLeft` runs out. */
  flush(): ReturnType<Correlation['flush']> {
    const done = this.correlation.flush();
    setImmediate(() => this.store());
    return done;
  }
}
