/**
 * Records to alerts, and to matches of stateful rules: the handlers of the detector's first consumer.
 * A record is passed when each of its events was judged; its offset may be committed when each alert
 * it raised is settled, each match it made is acknowledged by the matches topic, and what could not
 * be decoded is in the dead-letter topic (promises A2, D4, I1).
 *
 * Everything it touches comes in as an argument; `run.ts` brings the real things.
 */
import { unframe } from '../../schemas/audit-event.ts';
import { startOffset } from '../ingest/consume-assignment.ts';
import type {
  Assignment,
  ConsumerHandlers,
  RecordBatch,
  TopicPartition,
} from '../ingest/consume-types.ts';
import type { DeadLetter } from '../ingest/dead-letter.ts';
import { type Decoded, type DecodeLimits, decodeRecord } from '../ingest/decode.ts';
import type { AuditEvent } from '../ingest/event.ts';
import type { KafkaRecord } from '../ingest/record.ts';
import { RecordViewer } from '../ingest/record-view.ts';
import type { Clock } from '../runtime/clock.ts';
import { alertIndex, alertJson, alertOf } from './alert/alert.ts';
import type { BulkItem } from './alert/bulk.ts';
import type { AlertSender, OutgoingAlert } from './alert/send.ts';
import type { Match } from './correlate/types.ts';
import type { DetectorMetrics } from './metrics.ts';
import { PartitionProgress } from './progress.ts';
import type { SchemaSource } from './schema-source.ts';
import type { Rule } from './sigma/rule.ts';
import { AnnouncedPartition, movesTime } from './stream/announce.ts';
import type { Engine } from './stream/engine.ts';
import { letterOf } from './stream/letters.ts';
import type { Outbox } from './stream/outbox.ts';
import { groupPartition } from './stream/place.ts';
import { encodeMatch } from './stream/records.ts';

/** Longest time without giving the event loop to others. */
const SLICE_MS = 50;
/** A value of this size takes so long to decode and judge that it gets a turn of its own for each. */
const HEAVY_BYTES = 512 * 1024;
const DEAD_LETTERS_MAX = 500;
/** How often a record whose schema cannot be had is tried again. */
const SCHEMA_RETRY_MS = 1_000;

export interface DetectorParts {
  /** The rules as they are now: they change while it runs, between two events. */
  engine: () => Engine;
  sender: Pick<AlertSender, 'add' | 'unsent'>;
  outbox: Pick<Outbox, 'add'>;
  /** Of the matches topic. */
  matchesPartitions: number;
  latenessMs: number;
  startAt: 'earliest' | 'latest';
  schemas: Pick<SchemaSource, 'get' | 'warm' | 'away'>;
  /** Durable when it resolves. */
  deadLetter: (letters: DeadLetter[]) => Promise<void>;
  limits: DecodeLimits;
  alertIndexPrefix: string;
  metrics: DetectorMetrics;
  clock: Clock;
  /** Lets other work run. */
  breathe: () => Promise<unknown>;
  ready: (check: 'kafka' | 'registry', ok: boolean, reason?: string) => void;
}

export interface Commit {
  offsets: Array<TopicPartition & { offset: bigint }>;
  generation: number;
}

/** What a record's one event was found to be, before it is decoded. */
interface Viewed {
  /** Of the rules it was judged by. */
  engine: Engine;
  hits: readonly Rule[];
  /** Epoch ms. */
  eventTime: number;
}

interface Lane extends TopicPartition {
  topicId: string;
  progress: PartitionProgress;
  committed: bigint | null;
  announced: AnnouncedPartition;
}

/** A partition that is owned, as far as event time goes. */
export type Source = TopicPartition & { topicId: string; announced: AnnouncedPartition };

export class Detector implements ConsumerHandlers {
  readonly #parts: DetectorParts;
  readonly #stop = new AbortController();
  readonly #turns: Turns;
  readonly #viewer = new RecordViewer();
  #lanes = new Map<string, Lane>();
  #generation = -1;

  constructor(parts: DetectorParts) {
    this.#parts = parts;
    this.#turns = new Turns(parts.breathe);
    parts.ready('kafka', false, 'no partition is assigned yet');
  }

  /** Every partition starts at its committed offset: what was unsettled is judged again. */
  assigned(assignments: Assignment[], generation: number): Promise<[]> {
    const before = this.#lanes;
    this.#generation = generation;
    this.#lanes = new Map();
    for (const assignment of assignments) {
      const { topic, partition, topicId } = assignment;
      const { latenessMs, startAt } = this.#parts;
      const { offset } = startOffset(assignment, undefined, startAt);
      const announced = new AnnouncedPartition(partition, offset, latenessMs);
      const progress = new PartitionProgress();
      const lane: Lane = { topic, partition, topicId, progress, committed: null, announced };
      this.#lanes.set(laneKey(lane), lane);
    }
    for (const [key, lane] of before) if (!this.#lanes.has(key)) this.#parts.metrics.revoked(lane);
    this.#parts.ready('kafka', true);
    return Promise.resolve([]);
  }

  async batch(batch: RecordBatch): Promise<void> {
    const lane = this.#lanes.get(laneKey(batch));
    if (lane === undefined || batch.generation !== this.#generation) return;
    const slice = new Slice(this.#parts, batch);
    try {
      for (const record of batch.records) {
        const heavy = (record.value?.length ?? 0) >= HEAVY_BYTES;
        const viewed = heavy ? null : this.#view(record);
        if (viewed !== null && viewed.hits.length === 0) {
          slice.passed(viewed.eventTime, lane);
          if (slice.isOver()) await slice.end();
          if (this.#isLeft(batch)) return;
          continue;
        }
        if (heavy) await this.#turns.next();
        if (this.#isLeft(batch)) return;
        const decoded = await this.#decode(record, batch);
        if (decoded === null) return;
        slice.letters.push(...this.#lettersOf(record, decoded));
        if (heavy) await this.#turns.next();
        if (this.#isLeft(batch)) return;
        for (const event of decoded.ok ? decoded.events : []) {
          await this.#judge(record, event, lane, viewed);
          if (slice.isOver()) await slice.end();
          if (this.#isLeft(batch)) return;
        }
        if (slice.isOver()) await slice.end();
      }
      await slice.end();
    } catch (error) {
      // The dead-letter topic gives up when the process ends; nothing is passed then.
      if (this.#stop.signal.aborted) return;
      throw error;
    } finally {
      slice.count();
    }
    if (this.#isLeft(batch)) return;
    lane.progress.passed(batch.nextOffset);
    lane.announced.read(batch.nextOffset);
    this.#tellLag(batch);
    this.#parts.metrics.dropped(this.#parts.engine().takeDropped());
  }

  #isLeft(batch: RecordBatch): boolean {
    return this.#stop.signal.aborted || batch.stale();
  }

  /** What may be committed now and was not yet, for the generation it belongs to. */
  committable(): Commit {
    const offsets: Commit['offsets'] = [];
    for (const { topic, partition, progress, committed } of this.#lanes.values()) {
      const offset = progress.committable();
      if (offset !== null && offset !== committed) offsets.push({ topic, partition, offset });
    }
    return { offsets, generation: this.#generation };
  }

  committed({ offsets, generation }: Commit): void {
    if (generation !== this.#generation) return;
    for (const at of offsets) this.#lanes.get(laneKey(at))!.committed = at.offset;
  }

  /** The partitions that are owned now. */
  sources(): Source[] {
    return [...this.#lanes.values()];
  }

  /** Handlers return at their next record and pass nothing any more. */
  stop(): void {
    this.#stop.abort();
  }

  /**
   * The record's one event judged where it lies, without decoding; null where only decoding tells.
   * Most events concern no rule, and of those nothing more is needed than their time.
   */
  #view(record: KafkaRecord): Viewed | null {
    const { schemas, limits } = this.#parts;
    const view = this.#viewer.record(record.value, schemas.get, limits);
    if (view === null) return null;
    const engine = this.#parts.engine();
    const hits = engine.matcher.match(view);
    return view.isDoubtful ? null : { engine, hits, eventTime: view.eventTime };
  }

  /** null where the batch is to be left: a later reading of the record will decode it. */
  async #decode(record: KafkaRecord, batch: RecordBatch): Promise<Decoded | null> {
    const { schemas, limits, clock, ready } = this.#parts;
    for (let waited = false; ; waited = true) {
      const decoded = decodeRecord(record.value, schemas.get, limits);
      const reason = decoded.ok ? '' : decoded.reason;
      if (reason === 'schema_not_loaded') {
        await schemas.warm([unframe(record.value!)!.schemaId]);
        continue;
      }
      if (reason !== 'schema_unavailable' || !schemas.away()) {
        if (waited) ready('registry', true);
        return decoded;
      }
      ready('registry', false, 'the schema registry does not answer');
      await clock.sleep(SCHEMA_RETRY_MS, this.#stop.signal);
      await batch.heartbeat();
      if (this.#stop.signal.aborted || batch.stale()) return null;
    }
  }

  #lettersOf(record: KafkaRecord, decoded: Decoded): DeadLetter[] {
    const { metrics } = this.#parts;
    if (!decoded.ok) {
      metrics.undecodable(decoded.reason);
      return [{ source: record, reason: decoded.reason, detail: decoded.detail }];
    }
    return decoded.refused.map(({ index, reason, detail, raw }) => {
      metrics.undecodable(reason);
      const source = { ...record, value: Buffer.from(raw) };
      return { source, reason, detail: `event ${index + 1} of the record: ${detail}` };
    });
  }

  /**
   * Everything that comes of an event begins in one turn, so that what is said of the partition's
   * event time (`announced`) never covers an event whose matches are only half on their way.
   */
  async #judge(
    record: KafkaRecord,
    event: AuditEvent,
    lane: Lane,
    viewed: Viewed | null,
  ): Promise<void> {
    const { metrics, clock } = this.#parts;
    const engine = this.#parts.engine();
    metrics.events(1);
    // Other rules may have come into force while the record was decoded.
    const hits = viewed?.engine === engine ? viewed.hits : engine.matcher.match(event);
    const rooms: Array<Promise<void>> = [];
    if (hits.length > 0) {
      // The sender may be gone already; the record is not passed and will be read again.
      if (this.#stop.signal.aborted) return;
      for (const rule of hits) {
        metrics.matched(rule.id);
        if (rule.alerts) rooms.push(this.#alert(engine, rule, record, event, lane));
      }
      for (const match of engine.matchesOf(hits, event, record)) {
        rooms.push(this.#handOn(engine, match, lane));
      }
    }
    if (movesTime(event.eventTime, clock.now())) lane.announced.seen(event.eventTime);
    else metrics.timeless(1);
    if (rooms.length > 0) await Promise.all(rooms);
  }

  #alert(
    engine: Engine,
    rule: Rule,
    record: KafkaRecord,
    event: AuditEvent,
    lane: Lane,
  ): Promise<void> {
    const { sender, metrics, alertIndexPrefix } = this.#parts;
    const alert = alertOf(rule, event, record, engine.matcher.levelOf(rule, event));
    const pending = lane.progress.begin(record.offset);
    const room = sender.add({
      index: alertIndex(alertIndexPrefix, alert),
      id: alert.id,
      json: alertJson(alert),
      revision: null,
      record: { ...record, key: null, value: null, headers: [] },
      settled: () => {
        pending.settled = true;
      },
    });
    metrics.unsent(sender.unsent);
    return room;
  }

  #handOn(engine: Engine, match: Match, lane: Lane): Promise<void> {
    const { outbox, matchesPartitions, deadLetter, metrics } = this.#parts;
    const pending = lane.progress.begin(match.offset);
    if (!Number.isSafeInteger(match.eventTime)) {
      metrics.undecodable('match_without_time');
      const letter = letterOf(match, 'match_without_time', 'its event has no time in milliseconds');
      return deadLetter([letter]).then(() => {
        pending.settled = true;
      });
    }
    return outbox.add({
      partition: groupPartition(match.ruleId, match.group, matchesPartitions),
      value: encodeMatch(match, engine.plans.get(match.ruleId)!.fingerprint),
      settled: () => {
        pending.settled = true;
      },
      refused: (bytes) => {
        metrics.undecodable('match_too_large');
        const detail = `the matches topic does not take ${bytes} bytes`;
        return deadLetter([letterOf(match, 'match_too_large', detail)]);
      },
    });
  }

  #tellLag(batch: RecordBatch): void {
    const last = batch.records.at(-1);
    const behind = batch.nextOffset < batch.highWatermark && last !== undefined;
    const ageMs = behind ? this.#parts.clock.now() - Number(last.timestamp) : 0;
    this.#parts.metrics.lag(batch, Math.max(0, ageMs / 1000));
  }
}

/**
 * One turn of the event loop for each heavy piece of work, whichever partition it is for: without
 * it, the partitions of one fetch would decode theirs one after the other in the same turn.
 */
class Turns {
  readonly #breathe: () => Promise<unknown>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(breathe: () => Promise<unknown>) {
    this.#breathe = breathe;
  }

  next(): Promise<unknown> {
    this.#last = this.#last.then(this.#breathe);
    return this.#last;
  }
}

/** Records between two looks at the clock: a look costs as much as passing over an event. */
const LOOK_RECORDS = 16;

/**
 * Work between two turns of the event loop, the dead letters that came out of it, and how many
 * events were passed over.
 */
class Slice {
  letters: DeadLetter[] = [];
  readonly #parts: DetectorParts;
  readonly #batch: RecordBatch;
  #nowMs: number;
  #endMs: number;
  #looks = 0;
  #events = 0;

  constructor(parts: DetectorParts, batch: RecordBatch) {
    this.#parts = parts;
    this.#batch = batch;
    this.#nowMs = parts.clock.now();
    this.#endMs = this.#nowMs + SLICE_MS;
  }

  /** An event that no rule fired on. */
  passed(eventTime: number, lane: Lane): void {
    this.#events += 1;
    if (movesTime(eventTime, this.#nowMs)) lane.announced.seen(eventTime);
    else this.#parts.metrics.timeless(1);
  }

  isOver(): boolean {
    if (this.letters.length >= DEAD_LETTERS_MAX) return true;
    this.#looks += 1;
    if (this.#looks % LOOK_RECORDS !== 0) return false;
    this.#nowMs = this.#parts.clock.now();
    return this.#nowMs >= this.#endMs;
  }

  async end(): Promise<void> {
    const { letters } = this;
    this.letters = [];
    if (letters.length > 0) await this.#parts.deadLetter(letters);
    this.count();
    await this.#batch.heartbeat();
    await this.#parts.breathe();
    this.#nowMs = this.#parts.clock.now();
    this.#endMs = this.#nowMs + SLICE_MS;
  }

  /** Tells the metrics what was passed over. */
  count(): void {
    if (this.#events > 0) this.#parts.metrics.events(this.#events);
    this.#events = 0;
  }
}

/** The dead letter of an alert that OpenSearch rejected: its value is the alert. */
export function rejectedLetter(alert: OutgoingAlert, item: BulkItem): DeadLetter {
  return {
    source: {
      ...alert.record,
      value: Buffer.from(alert.json),
      headers: [{ key: 'lakeseal.alert', value: Buffer.from(alert.id) }],
    },
    reason: 'alert_rejected',
    detail: `${item.status} ${item.errorType ?? ''}: ${item.errorReason ?? ''}`,
  };
}

function laneKey({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
