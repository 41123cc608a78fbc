/**
 * One partition on its way into the store: where it stands, what is open, and the one PUT that may
 * be unresolved. Durable is only what `nextOffset` says; if the process dies anywhere in here, the
 * next one reads the position from the store and the records from Kafka again.
 *
 *   opening ─► open ─► halted        halted: evidence looks tampered with, a person must look
 *      └────────┴───► closed         closed: given away, or the process ends
 *
 * Within `open` a segment fills while the one before it is sealed. It is never sent before that one
 * is resolved: a writer that loses a slot must not have another object under way behind it.
 * All effects go through the store, the clock and the hooks, so the simulator runs this very code.
 */
import assert from 'node:assert';
import type { SegmentDigest } from '../../schemas/evidence/manifest.ts';
import type { PartitionAddress, Slot } from '../../schemas/layout.ts';
import { slotKey } from '../../schemas/layout.ts';
import {
  FRAME_BYTES,
  FRAME_MAGIC,
  type GapReason,
  readSegmentHeader,
} from '../../schemas/segment.ts';
import { gapSegment } from '../../schemas/segment-writer.ts';
import type { Assignment, RecordBatch } from '../ingest/consume-types.ts';
import type { KafkaRecord } from '../ingest/record.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { Abandoned } from '../store/patient-store.ts';
import type { ObjectStore } from '../store/store.ts';
import { judge } from './adopt.ts';
import { type BlockOptions, OpenSegment } from './open-segment.ts';
import { type BrokenReason, readPosition, versionsDetail } from './position.ts';
import { placement, type RollLimits, type RollReason, rollReason } from './roll.ts';
import type { WriterSchemas } from './schemas.ts';
import { NO_RECORDS } from './segment-facts.ts';

export type HaltReason =
  | BrokenReason
  /** Another object in our slot holds other records than we do. */
  | 'mismatch'
  /** The archive reaches further than Kafka's log: Kafka lost records, or the log is another. */
  | 'ahead_of_kafka'
  /** Kafka delivered offsets that were sealed already. */
  | 'rewound';

export interface PartitionHooks {
  /** An object became durable: by us, or `fenced` by another writer. */
  sealed(event: SealedEvent): void;
  /** Kafka is to be read from here on; what is on its way counts no more. */
  seek(offset: bigint): void;
  /** `key`: the object that it is about, or the slot that would be next. */
  halted(reason: HaltReason, key: string, detail: string): void;
  /** Memory held changed by so many bytes. */
  held(change: number): void;
}

/** Null where there is memory for more; else resolves when there is, or the batch is stale. */
export type Room = (batch: RecordBatch) => Promise<void> | null;

export interface SealedEvent {
  reason: RollReason;
  outcome: 'created' | 'repeated' | 'fenced';
  slot: Slot;
  nextOffset: bigint;
  records: number;
  rawBytes: number;
  storedBytes: number;
  /** From the first record's arrival to durability; 0 where that does not apply. */
  ageMs: number;
  /** What the object in the slot holds; null where it is another writer's. */
  digest: SegmentDigest | null;
}

export interface PartitionOptions {
  prefix: string;
  startAt: 'earliest' | 'latest';
  limits: RollLimits;
  blocks: BlockOptions;
  store: ObjectStore;
  schemas: WriterSchemas;
  clock: Clock;
  log: Log;
  /** SHA-256 of a segment's bytes. */
  sha256: (bytes: Buffer) => Promise<Buffer> | Buffer;
  /** Lets the event loop turn. */
  breathe: () => Promise<void>;
}

/** How often a batch that waits looks whether it still counts, and shows that it is alive. */
const WAIT_MS = 250;
/** Records between two looks at the clock. */
const SLICE_RECORDS = 500;
const HEARTBEAT_MS = 500;
/** An abort without a reason makes an error with a stack, for each batch. */
export const OVER = 'over';

interface Sealing {
  segment: OpenSegment | null;
  slot: Slot;
  bytes: Buffer;
  nextOffset: bigint;
  reason: RollReason;
  sha256: Buffer;
  digest: SegmentDigest;
}

export class PartitionArchive {
  readonly address: PartitionAddress;
  readonly #options: PartitionOptions;
  readonly #hooks: PartitionHooks;
  readonly #log: Log;

  #state: 'opening' | 'open' | 'halted' | 'closed' = 'opening';
  #haltReason: HaltReason | null = null;
  #next = 0n;
  #filling: OpenSegment | null = null;
  #sealing: Promise<void> | null = null;
  /** Where the segment that is being sealed ends: the one after it starts there. */
  #sealingNext: bigint | null = null;
  #sealingBytes = 0;
  #sealingSinceMs: number | null = null;
  #heldBytes = 0;
  /** Grows when the position moved under a batch: what it still holds must not be added. */
  #epoch = 0;
  #misplaced = false;
  /** `readOffset` at the last assignment. */
  #expected: bigint | null = null;
  #failure: unknown;

  constructor(address: PartitionAddress, options: PartitionOptions, hooks: PartitionHooks) {
    this.address = address;
    this.#options = options;
    this.#hooks = hooks;
    const { topic, partition, topicId } = address;
    this.#log = options.log.child({ topic, partition, topicId });
  }

  get state(): 'opening' | 'open' | 'halted' | 'closed' {
    return this.#state;
  }

  get haltReason(): HaltReason | null {
    return this.#haltReason;
  }

  /** Everything before it is durable; null until the store was asked. */
  get nextOffset(): bigint | null {
    return this.#state === 'opening' ? null : this.#next;
  }

  /** Where Kafka is to be read next. */
  get readOffset(): bigint {
    return this.#filling?.nextOffset ?? this.#fillFrom();
  }

  /** True where the consumer may stand elsewhere than at `readOffset`. */
  get misplaced(): boolean {
    return this.#misplaced;
  }

  /** Memory that sealing now would start to free; 0 while a segment is being sealed. */
  get sealableBytes(): number {
    if (this.#sealing !== null || this.#state !== 'open') return 0;
    return this.#filling !== null && this.#filling.records > 0 ? this.#filling.memoryBytes : 0;
  }

  get isSealing(): boolean {
    return this.#sealing !== null;
  }

  /** When the oldest record that is not durable arrived, or null. */
  get oldestMs(): number | null {
    return this.#sealingSinceMs ?? this.#filling?.openedAtMs ?? null;
  }

  // --- opening -----------------------------------------------------------------------------------

  /**
   * Reads the position and, where Kafka has lost what comes next, seals that as a gap. Resolves in
   * the state `open`, `halted` or `closed`.
   */
  async open(assignment: Omit<Assignment, 'topic' | 'partition'>): Promise<void> {
    const { store, prefix, startAt } = this.#options;
    const { logStartOffset, logEndOffset, committedOffset } = assignment;
    try {
      const position = await readPosition(store, prefix, this.address, committedOffset);
      if (position.state === 'broken') {
        this.#halt(position.reason, position.key, position.detail);
        return;
      }
      let gap: { to: bigint; reason: GapReason } | null = null;
      if (position.state === 'at') {
        this.#next = position.nextOffset;
        if (logStartOffset > this.#next) gap = { to: logStartOffset, reason: 'retention' };
      } else if (startAt === 'latest' && logEndOffset > 0n) {
        gap = { to: logEndOffset, reason: 'start_latest' };
      } else if (logStartOffset > 0n) {
        gap = { to: logStartOffset, reason: 'before_archive' };
      }
      if (gap !== null) await this.#sealGap(gap.to, gap.reason, logStartOffset);
      if (this.#state === 'opening') this.#state = 'open';
      this.#log.info({ state: this.#state, next: String(this.#next) }, 'partition opened');
    } catch (error) {
      this.#endWith(error);
    }
  }

  /**
   * Where the consumer is to start, of a log that was seen to end at `logEndOffset`; null where
   * nothing is wanted of it now, or no more.
   *
   * A position behind the end that was seen proves nothing yet: another writer may have sealed what
   * came after the look. It is then sought, and if Kafka does not have it the consumer asks again
   * with a new look: an end before a position that was known before that look is a log cut short.
   */
  start(logEndOffset: bigint): bigint | null {
    if (this.#state === 'open' && this.#expected !== null && this.#expected > logEndOffset) {
      const detail = `Kafka's log ends at ${logEndOffset}, the archive at ${this.#expected}`;
      this.#halt('ahead_of_kafka', this.#nextKey(), detail);
    }
    if (this.#state === 'open') this.#expected = this.readOffset;
    this.#misplaced = this.#state !== 'open' || this.readOffset > logEndOffset;
    return this.#misplaced ? null : this.readOffset;
  }

  /** The consumer was told another place than `readOffset`, or may have been. */
  misplace(): void {
    this.#misplaced = true;
    this.#hooks.seek(this.readOffset);
  }

  // --- batches -----------------------------------------------------------------------------------

  /** Takes a batch in; resolves early, with nothing lost, where the batch no longer counts. */
  async batch(batch: RecordBatch, room: Room): Promise<void> {
    if (this.#state !== 'open' || batch.stale()) return;
    if (this.#misplaced) {
      this.misplace();
      this.#misplaced = false;
      return;
    }
    const epoch = this.#epoch;
    const first = batch.records[0]?.offset ?? batch.nextOffset;
    if (first < this.readOffset) {
      const detail = `Kafka delivered ${first} where ${this.readOffset} was to come`;
      this.#halt('rewound', this.#nextKey(), detail);
      return;
    }
    if (batch.logStartOffset > this.readOffset && first > this.readOffset) {
      const to = batch.logStartOffset < first ? batch.logStartOffset : first;
      if (!(await this.#gap(batch, epoch, to))) return;
    }
    if (!(await this.#during(batch, epoch, this.#options.schemas.warm(schemaIds(batch.records))))) {
      return;
    }
    if (!(await this.#fill(batch, epoch, room))) return;
    // Control records and holes behind the last record belong to the segment too.
    if (batch.nextOffset > this.readOffset) this.#open().nextOffset = batch.nextOffset;
  }

  async #fill(batch: RecordBatch, epoch: number, room: Room): Promise<boolean> {
    const { limits, clock } = this.#options;
    let nowMs = clock.now();
    let beatenMs = nowMs;
    let count = 0;
    for (const record of batch.records) {
      const reason = this.#place(record, nowMs);
      if (reason !== null) {
        if (!(await this.#roll(batch, epoch, reason))) return false;
        const again = this.#place(record, nowMs);
        assert(again === null, 'an empty segment takes any record');
      }
      if (++count % SLICE_RECORDS === 0) {
        nowMs = clock.now();
        if (nowMs - beatenMs >= HEARTBEAT_MS) {
          beatenMs = nowMs;
          await batch.heartbeat();
          if (!this.#counts(batch, epoch)) return false;
        }
      }
      const congestion = this.#filling?.congestion ?? null;
      if (congestion !== null && !(await this.#during(batch, epoch, congestion))) return false;
      // While this waited, the open segment may have been sealed for its age.
      const full = this.#filling === null ? null : rollReason(this.#filling, limits, nowMs);
      if (full !== null && !(await this.#roll(batch, epoch, full))) return false;
      const waiting = this.#account() ? room(batch) : null;
      if (waiting !== null) {
        await waiting;
        if (!this.#counts(batch, epoch)) return false;
      }
    }
    return true;
  }

  /** Adds the record to the open segment, or says why that must be closed first. */
  #place(record: KafkaRecord, nowMs: number): RollReason | null {
    const { schemas, limits } = this.#options;
    const open = this.#open();
    const { value } = record;
    const id = framedSchemaId(value);
    const schema = id === null ? null : schemas.find(id);
    if (id === null || schema === null || value === null) {
      open.add(record, null, nowMs);
      return null;
    }
    const place = placement(open, id, limits);
    const isDatum =
      place !== 'opaque' && schema.walk(value, FRAME_BYTES, value.length) === value.length;
    if (!isDatum) {
      open.add(record, null, nowMs);
      return null;
    }
    if (place === 'roll') return 'schema';
    if (open.schemaId === null) open.adoptSchema(id, schema);
    open.add(record, id, nowMs);
    return null;
  }

  #open(): OpenSegment {
    if (this.#filling === null) {
      const slot = { ...this.address, firstOffset: this.#fillFrom() };
      this.#filling = new OpenSegment(slot, this.#options.blocks);
    }
    return this.#filling;
  }

  #fillFrom(): bigint {
    return this.#sealingNext ?? this.#next;
  }

  /** Waits for the segment before this one, then starts to seal this one. */
  async #roll(batch: RecordBatch, epoch: number, reason: RollReason): Promise<boolean> {
    while (this.#sealing !== null) {
      if (!(await this.#during(batch, epoch, this.#sealing))) return false;
    }
    if (this.#filling !== null) this.#startSealing(reason);
    return true;
  }

  async #gap(batch: RecordBatch, epoch: number, to: bigint): Promise<boolean> {
    const from = this.readOffset;
    this.#log.warn(
      { from: String(from), to: String(to) },
      'kafka lost records before they were sealed',
    );
    const work = async (): Promise<void> => {
      // Ends too where another writer has sealed the gap, or this batch counts no more.
      while (this.#state === 'open' && this.#epoch === epoch && this.readOffset < to) {
        await this.#drain('gap');
        if (this.#state !== 'open' || this.#epoch !== epoch) return;
        if (this.#sealing === null) {
          this.#track(this.#sealGap(to, 'retention', batch.logStartOffset));
        }
        await this.#sealing;
      }
    };
    return this.#during(batch, epoch, work());
  }

  /** False where the batch no longer counts; waits for `work` as long as it does. */
  async #during(batch: RecordBatch, epoch: number, work: Promise<unknown>): Promise<boolean> {
    const { clock } = this.#options;
    const cancel = new AbortController();
    let settled = false;
    const done = work.finally(() => {
      settled = true;
      cancel.abort(OVER);
    });
    done.catch(() => {});
    try {
      while (!settled) {
        await Promise.race([done, clock.sleep(WAIT_MS, cancel.signal)]);
        if (settled) break;
        await batch.heartbeat();
        if (!this.#counts(batch, epoch)) return false;
      }
      await done;
    } finally {
      cancel.abort(OVER);
    }
    return this.#counts(batch, epoch);
  }

  #counts(batch: RecordBatch, epoch: number): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#state === 'open' && this.#epoch === epoch && !batch.stale();
  }

  // --- sealing -----------------------------------------------------------------------------------

  /** To be called often: closes the open segment when it is old enough. */
  tick(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#state !== 'open' || this.#sealing !== null || this.#filling === null) return;
    const { limits, clock } = this.#options;
    const reason = rollReason(this.#filling, limits, clock.now());
    if (reason !== null) this.#startSealing(reason);
  }

  /** Seals the open segment early, where none is being sealed. */
  sealEarly(reason: RollReason): void {
    if (this.sealableBytes > 0) this.#startSealing(reason);
  }

  /** Resolves when everything taken in so far is durable, or the partition halted or closed. */
  async flush(reason: RollReason): Promise<void> {
    while (this.#state === 'open') {
      if (this.#sealing !== null) await this.#sealing;
      else if (this.#filling !== null && this.#filling.records > 0) this.#startSealing(reason);
      else return;
    }
  }

  /** Drops what is open. A PUT under way may still happen; the fence makes that harmless. */
  close(): void {
    if (this.#state !== 'halted') this.#state = 'closed';
    this.#drop();
  }

  async #drain(reason: RollReason): Promise<void> {
    await this.flush(reason);
    // An open segment of no records, but of some range: the gap must not claim that range.
    if (this.#state === 'open' && this.#filling !== null && this.readOffset > this.#next) {
      this.#startSealing(reason);
      await this.#sealing;
    }
  }

  #startSealing(reason: RollReason): void {
    const segment = this.#filling;
    assert(segment !== null && this.#sealing === null, 'one unresolved PUT per partition');
    this.#filling = null;
    this.#sealingNext = segment.nextOffset;
    this.#sealingBytes = segment.memoryBytes;
    this.#sealingSinceMs = segment.openedAtMs;
    this.#track(this.#seal(segment, reason));
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.#endWith(error))
      .finally(() => {
        if (this.#sealing === tracked) this.#sealing = null;
        this.#sealingNext = null;
        this.#sealingBytes = 0;
        this.#sealingSinceMs = null;
        this.#account();
      });
    this.#sealing = tracked;
  }

  async #seal(segment: OpenSegment, reason: RollReason): Promise<void> {
    const { slot, nextOffset } = segment;
    const { header, bytes, facts } = await segment.finish();
    this.#sealingBytes = bytes.length;
    this.#account();
    const sha256 = await this.#options.sha256(bytes);
    const digest = { header, gap: null, ...facts, bytes: bytes.length, sha256 };
    await this.#put({ segment, slot, bytes, sha256, nextOffset, reason, digest });
  }

  async #sealGap(to: bigint, reason: GapReason, logStartOffset: bigint): Promise<void> {
    const from = this.#next;
    this.#sealingNext = to;
    try {
      const bytes = gapSegment(this.address, { from, to, reason, logStartOffset });
      const slot = { ...this.address, firstOffset: from };
      const sha256 = await this.#options.sha256(bytes);
      const { header } = readSegmentHeader(bytes);
      const gap = { reason, logStartOffset };
      const digest = { header, gap, ...NO_RECORDS, bytes: bytes.length, sha256 };
      const nextOffset = to;
      await this.#put({ segment: null, slot, bytes, sha256, nextOffset, reason: 'gap', digest });
    } finally {
      this.#sealingNext = null;
    }
  }

  /** The commit point. The store repeats the PUT until it is answered. */
  async #put(sealing: Sealing): Promise<void> {
    const { store, prefix } = this.#options;
    const { slot, bytes, nextOffset } = sealing;
    const key = slotKey(prefix, slot);
    const { outcome } = await store.putIfAbsent(key, bytes, sealing.sha256);
    if (outcome === 'created') {
      this.#advance(sealing, 'created', nextOffset);
      return;
    }
    const versions = await store.versions(key);
    const theirs = versions.length === 1 ? await store.get(key) : null;
    if (theirs === null) {
      this.#halt('versions', key, versionsDetail(versions.length));
      return;
    }
    const verdict = await judge(slot, bytes, theirs.bytes, this.#options.breathe);
    if (verdict.verdict === 'ours') {
      this.#advance(sealing, 'repeated', nextOffset);
      return;
    }
    if (verdict.verdict === 'mismatch') {
      this.#halt('mismatch', key, verdict.detail);
      return;
    }
    if (verdict.coversRecords) {
      const fields = { key, next: String(verdict.header.nextOffset) };
      this.#log.error(fields, 'another writer sealed as lost what this one held');
    }
    this.#advance(sealing, 'fenced', verdict.header.nextOffset);
  }

  #advance(sealing: Sealing, outcome: SealedEvent['outcome'], nextOffset: bigint): void {
    if (this.#state === 'closed' || this.#state === 'halted') return;
    const { segment, slot, bytes, reason, digest } = sealing;
    const openedAtMs = segment?.openedAtMs ?? null;
    this.#next = nextOffset;
    if (outcome === 'fenced' && nextOffset !== sealing.nextOffset) this.#resync();
    const ageMs = openedAtMs === null ? 0 : this.#options.clock.now() - openedAtMs;
    this.#hooks.sealed({
      reason,
      outcome,
      slot,
      nextOffset,
      records: segment?.records ?? 0,
      rawBytes: segment?.rawBytes ?? 0,
      storedBytes: bytes.length,
      ageMs,
      digest: outcome === 'fenced' ? null : digest,
    });
  }

  /** The chain went on elsewhere than we thought: forget what is open and read from there. */
  #resync(): void {
    this.#epoch++;
    this.#drop();
    this.#sealingNext = null;
    this.misplace();
  }

  #drop(): void {
    this.#filling?.discard();
    this.#filling = null;
    this.#account();
  }

  /** Key of the slot that would be next. */
  #nextKey(): string {
    return slotKey(this.#options.prefix, { ...this.address, firstOffset: this.#next });
  }

  #halt(reason: HaltReason, key: string, detail: string): void {
    if (this.#state === 'closed') return;
    this.#state = 'halted';
    this.#haltReason = reason;
    this.#epoch++;
    this.#drop();
    const fields = { reason, key, detail };
    this.#log.error(fields, 'partition halted: nothing more of it is sealed');
    this.#hooks.halted(reason, key, detail);
  }

  /** An abandoned call closes the partition; anything else is a defect, and is thrown later. */
  #endWith(error: unknown): void {
    if (!(error instanceof Abandoned)) this.#failure = error;
    this.close();
  }

  /** Reports how much memory is held; true where that changed. */
  #account(): boolean {
    const held = (this.#filling?.memoryBytes ?? 0) + this.#sealingBytes;
    const change = held - this.#heldBytes;
    if (change === 0) return false;
    this.#heldBytes = held;
    this.#hooks.held(change);
    return true;
  }
}

/** The schema id of a Confluent frame, or null where the value has none. */
export function framedSchemaId(value: Buffer | null): number | null {
  if (value === null || value.length < FRAME_BYTES || value[0] !== FRAME_MAGIC) return null;
  const id = value.readInt32BE(1);
  return id < 0 ? null : id;
}

function schemaIds(records: KafkaRecord[]): Set<number> {
  const ids = new Set<number>();
  let last = -1;
  for (const { value } of records) {
    const id = framedSchemaId(value);
    if (id === null || id === last) continue;
    last = id;
    ids.add(id);
  }
  return ids;
}
