/**
 * Matches on their way to the matches topic. Each that is added is acknowledged by all in-sync
 * replicas before it is settled, in the order of adding; until then it waits here and is sent again,
 * for ever, and `add` makes the reader wait when too many do. After a failed request some of its
 * records may be on the topic twice: correlation counts an event once.
 */
import type { OutgoingRecord, RefusedRecord } from '../../ingest/produce.ts';
import { backoffMs } from '../../runtime/backoff.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { packMatches } from './records.ts';

export interface OutgoingMatch {
  partition: number;
  value: Buffer;
  /** Called once, when it is on the topic, or durable elsewhere. */
  settled: () => void;
  /** Makes one that the topic does not take durable elsewhere; may reject, and is then asked again. */
  refused: (bytes: number) => Promise<void>;
}

export interface OutboxOptions {
  /** Durable when it resolves; gives those that the topic does not take. */
  produce: (records: OutgoingRecord[]) => Promise<RefusedRecord[]>;
  clock: Clock;
  random: () => number;
  log: Log;
  /** Matches that may wait before `add` makes its caller wait. */
  waitingMax: number;
  /** Whether the last request got through. */
  reachable: (ok: boolean, reason: string) => void;
}

/** Most matches of one request. */
const REQUEST_MATCHES_MAX = 2_000;
/** Most bytes of matches in one record: well below what any topic takes. */
const PACK_BYTES_MAX = 64 * 1024;
const BACKOFF = { firstMs: 200, maxMs: 10_000 };

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #stop = new AbortController();
  readonly #loop: Promise<void>;
  #queue: OutgoingMatch[] = [];
  #inFlight = 0;
  /** 0: each match is a record of its own. */
  #packBytesMax = PACK_BYTES_MAX;
  /** Matches ever added, and ever settled. */
  #added = 0;
  #settled = 0;
  #wake: () => void = () => {};
  #roomWaiters: Array<() => void> = [];
  #flushWaiters: Array<{ count: number; resolve: (done: boolean) => void }> = [];

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#loop = this.#run();
  }

  get waiting(): number {
    return this.#queue.length + this.#inFlight;
  }

  /** Takes the match at once; resolves when there is room for another. */
  add(match: OutgoingMatch): Promise<void> {
    this.#queue.push(match);
    this.#added += 1;
    this.#wake();
    if (this.waiting < this.#options.waitingMax || this.#stop.signal.aborted) {
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#roomWaiters.push(resolve));
  }

  /** True when all that was added so far is settled; false where it stopped before. */
  flushed(): Promise<boolean> {
    if (this.#settled >= this.#added) return Promise.resolve(true);
    if (this.#stop.signal.aborted) return Promise.resolve(false);
    const count = this.#added;
    return new Promise((resolve) => this.#flushWaiters.push({ count, resolve }));
  }

  /** Ends. What still waits is given up: it is not settled, so its offset is not committed. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    // Those who wait go first: the request under way may take as long as Kafka is away.
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
    for (const { resolve } of this.#flushWaiters.splice(0)) resolve(false);
    await this.#loop;
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      if (this.#queue.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const batch = this.#queue.splice(0, REQUEST_MATCHES_MAX);
      this.#inFlight = batch.length;
      for (let left = batch; left.length > 0 && !this.#stop.signal.aborted; ) {
        left = await this.#send(left);
        failures = left.length === 0 ? 0 : failures + 1;
        if (left.length > 0) await this.#pause(failures);
      }
      this.#inFlight = 0;
      this.#wakeWaiters();
    }
  }

  async #pause(failures: number): Promise<void> {
    const { clock, random } = this.#options;
    await clock.sleep(backoffMs(failures - 1, BACKOFF, random), this.#stop.signal);
  }

  /** Those that must be sent again. */
  async #send(batch: OutgoingMatch[]): Promise<OutgoingMatch[]> {
    const { produce, log, reachable } = this.#options;
    const packs = packed(batch, this.#packBytesMax);
    const alone: OutgoingMatch[] = [];
    try {
      const refused = await produce(
        packs.map(({ partition, matches }) => {
          const value = packMatches(matches.map((match) => match.value));
          return { key: null, value, partition };
        }),
      );
      for (const { index, bytes } of refused) {
        const { matches } = packs[index]!;
        // A topic that takes only small records gets each match by itself.
        if (matches.length > 1) alone.push(...matches);
        else await matches[0]!.refused(bytes);
      }
    } catch (err) {
      log.warn({ err, waiting: this.waiting }, 'matches cannot be written; trying on');
      reachable(false, 'the matches topic takes nothing');
      return batch;
    }
    reachable(true, '');
    if (alone.length > 0) this.#packBytesMax = 0;
    const again = new Set(alone);
    for (const match of batch) {
      if (again.has(match)) continue;
      match.settled();
      this.#settled += 1;
    }
    return alone;
  }

  #wakeWaiters(): void {
    if (this.waiting < this.#options.waitingMax) {
      for (const resolve of this.#roomWaiters.splice(0)) resolve();
    }
    const open = this.#flushWaiters;
    this.#flushWaiters = open.filter(({ count }) => count > this.#settled);
    for (const { count, resolve } of open) if (count <= this.#settled) resolve(true);
  }
}

interface Pack {
  partition: number;
  matches: OutgoingMatch[];
}

/** Matches of one partition together, in their order. */
function packed(batch: readonly OutgoingMatch[], bytesMax: number): Pack[] {
  const packs: Pack[] = [];
  const open = new Map<number, { pack: Pack; bytes: number }>();
  for (const match of batch) {
    const { length } = match.value;
    const last = open.get(match.partition);
    if (last !== undefined && last.bytes + length <= bytesMax) {
      last.pack.matches.push(match);
      last.bytes += length;
      continue;
    }
    const pack = { partition: match.partition, matches: [match] };
    packs.push(pack);
    open.set(match.partition, { pack, bytes: length });
  }
  return packs;
}
