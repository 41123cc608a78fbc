/**
 * Between reading and Kafka: gathers records and dead letters into loads, keeps a bounded number of
 * loads under way, and says when everything put in so far is durable.
 *
 * `put` waits while too much is under way: that is the backpressure, and the bound on memory is
 * (loads under way + 1) × load bytes. After a failed load nothing is accepted any more, and no mark
 * behind that load is ever reached.
 */
import type { Clock } from '../runtime/clock.ts';
import { type EventRecord, type Letter, recordBytes, tooLarge } from './build.ts';

/** Where loads go. Both resolve when what they were given is durable. */
export interface Outlet {
  /** Gives the indexes of records that the topic does not take; all others are durable. */
  sendEvents(records: EventRecord[]): Promise<number[]>;
  sendLetters(letters: Letter[]): Promise<void>;
}

export interface PipelineLimits {
  /** A load leaves at this many bytes… */
  loadBytes: number;
  /** …or this many records… */
  loadRecords: number;
  /** …or this long after its first record. */
  loadAgeMs: number;
  /** Loads under way at once. */
  underWayMax: number;
}

export const PIPELINE_LIMITS: PipelineLimits = {
  loadBytes: 4 * 1024 * 1024,
  loadRecords: 10_000,
  loadAgeMs: 500,
  underWayMax: 2,
};

/** Reason, place and headers of a dead letter, roughly. */
const LETTER_OVERHEAD_BYTES = 512;

interface Load {
  records: EventRecord[];
  letters: Letter[];
  bytes: number;
  /** Called in order once this load and all before it are durable. */
  marks: Array<() => void>;
}

export class Pipeline {
  readonly #outlet: Outlet;
  readonly #limits: PipelineLimits;
  readonly #clock: Clock;
  readonly #refused: (letter: Letter) => void;
  #load: Load = emptyLoad();
  /** Each resolves when its load and all before it are durable, oldest first; none rejects. */
  #underWay: Promise<void>[] = [];
  #previous: Promise<void> = Promise.resolve();
  #failure: { error: unknown } | null = null;
  #records = 0;
  #letters = 0;
  #ageTimer: AbortController | null = null;

  /** `refused` hears of each record that the topic did not take; its letter is sent already. */
  constructor(
    outlet: Outlet,
    limits: PipelineLimits,
    clock: Clock,
    refused: (letter: Letter) => void,
  ) {
    this.#refused = refused;
    this.#outlet = outlet;
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Records that are durable. */
  get recordsDurable(): number {
    return this.#records;
  }

  /** Dead letters that are durable. */
  get lettersDurable(): number {
    return this.#letters;
  }

  /** Takes what one line became. True when `settle` should be awaited before the next. */
  put(records: EventRecord[], letters: Letter[]): boolean {
    const load = this.#load;
    if (load.bytes === 0) this.#watchAge(load);
    for (const record of records) {
      load.records.push(record);
      load.bytes += recordBytes(record);
    }
    for (const letter of letters) {
      load.letters.push(letter);
      load.bytes += letter.bytes.length + LETTER_OVERHEAD_BYTES;
    }
    const { loadBytes, loadRecords } = this.#limits;
    const count = load.records.length + load.letters.length;
    if (load.bytes >= loadBytes || count >= loadRecords) this.#dispatch();
    return this.#failure !== null || this.#underWay.length > this.#limits.underWayMax;
  }

  /** Waits until another load may leave. Throws the first failure of a load. */
  async settle(): Promise<void> {
    while (this.#failure === null && this.#underWay.length > this.#limits.underWayMax) {
      await this.#underWay[0];
    }
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** `reached` is called once everything put in so far is durable; never, if a load fails. */
  mark(reached: () => void): void {
    this.#load.marks.push(reached);
    this.#watchAge(this.#load);
  }

  /** Sends what is gathered and waits for everything. Throws the first failure of a load. */
  async drain(): Promise<void> {
    this.#dispatch();
    await this.#previous;
    if (this.#failure !== null) throw this.#failure.error;
  }

  #watchAge(load: Load): void {
    if (this.#ageTimer !== null) return;
    const timer = new AbortController();
    this.#ageTimer = timer;
    void this.#clock.sleep(this.#limits.loadAgeMs, timer.signal).then(() => {
      if (!timer.signal.aborted && this.#load === load) this.#dispatch();
    });
  }

  #dispatch(): void {
    this.#ageTimer?.abort();
    this.#ageTimer = null;
    const load = this.#load;
    if (load.bytes === 0 && load.marks.length === 0) return;
    this.#load = emptyLoad();
    const sent = this.#failure === null ? this.#send(load) : Promise.resolve();
    const previous = this.#previous;
    const done = (async () => {
      try {
        await sent;
      } catch (error) {
        this.#failure ??= { error };
      }
      await previous;
      if (this.#failure === null) for (const reached of load.marks) reached();
      this.#underWay.shift();
    })();
    this.#underWay.push(done);
    this.#previous = done;
  }

  async #send(load: Load): Promise<void> {
    const outcomes = await Promise.allSettled([
      this.#sendEvents(load.records),
      this.#sendLetters(load.letters),
    ]);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  async #sendEvents(records: EventRecord[]): Promise<void> {
    if (records.length === 0) return;
    const refused = await this.#outlet.sendEvents(records);
    this.#records += records.length - refused.length;
    const letters = refused.map((index) => tooLarge(records[index]!, null));
    await this.#sendLetters(letters);
    for (const letter of letters) this.#refused(letter);
  }

  async #sendLetters(letters: Letter[]): Promise<void> {
    if (letters.length > 0) await this.#outlet.sendLetters(letters);
    this.#letters += letters.length;
  }
}

function emptyLoad(): Load {
  return { records: [], letters: [], bytes: 0, marks: [] };
}
