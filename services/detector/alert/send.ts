/**
 * Alerts on their way to OpenSearch. Every alert that is added ends in one of three ways: stored,
 * found to be there already, or rejected by OpenSearch for what it holds and then dead-lettered.
 * Until then it waits here and is sent again, for ever; `add` makes the reader wait when too many
 * do (promise D4). If the process dies, what waited was not committed and is read again, and the
 * deterministic id makes that harmless (D1).
 */
import { strict as assert } from 'node:assert';
import type { KafkaRecord } from '../../ingest/record.ts';
import { backoffMs } from '../../runtime/backoff.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { type BulkAnswer, type BulkItem, isRequestAtFault, verdictOf } from './bulk.ts';

export interface OutgoingAlert {
  index: string;
  id: string;
  /** The document, one line of JSON. */
  json: string;
  /**
   * Revision of an alert that is brought up to date: it replaces a lower one, and one that is not
   * lower is as good as stored. null for an alert that never changes: it is only ever created.
   */
  revision: number | null;
  /** Where the event is, without the record's bytes. */
  record: KafkaRecord;
  /** Called once, when the alert needs no further care. */
  settled: () => void;
}

export interface SenderOptions {
  /** Sends one bulk body; never rejects. */
  bulk: (lines: string[]) => Promise<BulkAnswer>;
  /** Makes a rejected alert durable elsewhere; when it rejects, the alert is tried again. */
  reject: (alert: OutgoingAlert, item: BulkItem) => Promise<void>;
  clock: Clock;
  random: () => number;
  log: Log;
  /** Most bytes of one request. A larger single alert is sent alone. */
  bytesMax: number;
  /** Longest an alert waits for others. */
  ageMsMax: number;
  /** Alerts that may wait before `add` makes its caller wait. */
  unsentMax: number;
  counted: (outcome: 'stored' | 'duplicate' | 'rejected' | 'retried', count: number) => void;
  /** Whether the last request got through. */
  reachable: (ok: boolean, reason: string) => void;
}

/** Most documents of one request. */
const DOCUMENTS_MAX = 1_000;
const BACKOFF = { firstMs: 200, maxMs: 30_000 };

interface Waiting {
  alert: OutgoingAlert;
  /** The action line. */
  action: string;
  bytes: number;
  addedMs: number;
}

/**
 * OpenSearch itself keeps the order: with an external version a lower or equal one answers 409, so
 * neither retries nor a detector that does not know that it is over can bring an old state back.
 */
export function bulkAction({
  index,
  id,
  revision,
}: Pick<OutgoingAlert, 'index' | 'id' | 'revision'>) {
  const target = { _index: index, _id: id };
  if (revision === null) return JSON.stringify({ create: target });
  return JSON.stringify({ index: { ...target, version: revision, version_type: 'external' } });
}

export class AlertSender {
  readonly #options: SenderOptions;
  readonly #stop = new AbortController();
  readonly #loop: Promise<void>;
  #queue: Waiting[] = [];
  #inFlight = 0;
  #draining = false;
  #documentsMax = DOCUMENTS_MAX;
  #failures = 0;
  #waker: AbortController | undefined;
  #roomWaiters: Array<() => void> = [];
  #emptyWaiters: Array<() => void> = [];

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#loop = this.#run();
  }

  /** Alerts that are neither stored nor rejected yet. */
  get unsent(): number {
    return this.#queue.length + this.#inFlight;
  }

  /** Takes the alert at once; resolves when there is room for another. */
  add(alert: OutgoingAlert): Promise<void> {
    assert(!this.#stop.signal.aborted, 'nothing is added after stop');
    const action = bulkAction(alert);
    const bytes = Buffer.byteLength(alert.json) + action.length + 2;
    this.#queue.push({ alert, action, bytes, addedMs: this.#options.clock.now() });
    this.#waker?.abort();
    return this.room();
  }

  /** Resolves when fewer alerts wait than may. */
  room(): Promise<void> {
    if (this.unsent < this.#options.unsentMax || this.#stop.signal.aborted) {
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#roomWaiters.push(resolve));
  }

  /** Sends what waits without waiting for more; resolves when nothing waits. */
  drain(): Promise<void> {
    if (this.unsent === 0 || this.#stop.signal.aborted) return Promise.resolve();
    this.#draining = true;
    this.#waker?.abort();
    return new Promise((resolve) => this.#emptyWaiters.push(resolve));
  }

  /** Ends. What still waits is given up: it is not settled, so its offset is not committed. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#waker?.abort();
    await this.#loop;
    this.#wakeWaiters(true);
  }

  async #run(): Promise<void> {
    const { clock, ageMsMax } = this.#options;
    while (!this.#stop.signal.aborted) {
      const oldest = this.#queue[0];
      if (oldest === undefined) {
        await this.#wait(null);
        continue;
      }
      const waitMs = oldest.addedMs + ageMsMax - clock.now();
      if (waitMs > 0 && !this.#draining && !this.#isFull()) {
        await this.#wait(waitMs);
        continue;
      }
      const sent = await this.#send(this.#take());
      this.#wakeWaiters(false);
      if (!sent) {
        const delay = backoffMs(this.#failures - 1, BACKOFF, this.#options.random);
        await clock.sleep(delay, this.#stop.signal);
      }
    }
  }

  #isFull(): boolean {
    if (this.#queue.length >= Math.min(this.#documentsMax, this.#options.unsentMax)) return true;
    let bytes = 0;
    for (const waiting of this.#queue) {
      bytes += waiting.bytes;
      if (bytes >= this.#options.bytesMax) return true;
    }
    return false;
  }

  #take(): Waiting[] {
    let count = 0;
    let bytes = 0;
    for (const waiting of this.#queue) {
      if (count >= this.#documentsMax) break;
      if (count > 0 && bytes + waiting.bytes > this.#options.bytesMax) break;
      bytes += waiting.bytes;
      count += 1;
    }
    const batch = this.#queue.splice(0, count);
    this.#inFlight = batch.length;
    return batch;
  }

  /** False where something has to be tried again. */
  async #send(batch: Waiting[]): Promise<boolean> {
    const lines = batch.flatMap(({ action, alert }) => [action, alert.json]);
    let answer = await this.#options.bulk(lines);
    if (answer.kind === 'items' && answer.items.length !== batch.length) {
      answer = { kind: 'failed', status: null, reason: 'an answer for other documents' };
    }
    const again =
      answer.kind === 'items'
        ? await this.#settle(batch, answer.items)
        : await this.#failed(batch, answer);
    this.#queue.unshift(...again);
    this.#inFlight = 0;
    if (again.length === 0) {
      this.#failures = 0;
      this.#documentsMax = Math.min(DOCUMENTS_MAX, this.#documentsMax * 2);
      return true;
    }
    this.#failures += 1;
    this.#options.counted('retried', again.length);
    return false;
  }

  /** The documents of an answered request that must be sent again. */
  async #settle(batch: Waiting[], items: BulkItem[]): Promise<Waiting[]> {
    const again: Waiting[] = [];
    let reason = '';
    for (const [index, waiting] of batch.entries()) {
      const item = items[index]!;
      const verdict = verdictOf(item);
      if (verdict === 'retry') {
        reason ||= `${item.status} ${item.errorType ?? ''}`.trim();
        again.push(waiting);
      } else if (verdict === 'rejected') {
        if (!(await this.#rejected(waiting, item))) again.push(waiting);
      } else {
        this.#options.counted(verdict, 1);
        waiting.alert.settled();
      }
    }
    this.#tell(reason === '', reason);
    return again;
  }

  async #failed(batch: Waiting[], answer: BulkAnswer & { kind: 'failed' }): Promise<Waiting[]> {
    if (!isRequestAtFault(answer)) {
      this.#tell(false, answer.reason);
      return batch;
    }
    if (batch.length > 1) {
      this.#documentsMax = Math.ceil(batch.length / 2);
      return batch;
    }
    const [only] = batch;
    const item = {
      status: answer.status!,
      errorType: 'request_refused',
      errorReason: answer.reason,
    };
    return (await this.#rejected(only!, item)) ? [] : batch;
  }

  async #rejected(waiting: Waiting, item: BulkItem): Promise<boolean> {
    try {
      await this.#options.reject(waiting.alert, item);
    } catch (err) {
      this.#options.log.warn(
        { err, id: waiting.alert.id },
        'a rejected alert cannot be dead-lettered',
      );
      return false;
    }
    this.#options.log.warn(
      { id: waiting.alert.id, status: item.status, type: item.errorType },
      'OpenSearch rejected an alert; it is dead-lettered',
    );
    this.#options.counted('rejected', 1);
    waiting.alert.settled();
    return true;
  }

  #tell(ok: boolean, reason: string): void {
    if (!ok && this.#failures === 0) {
      this.#options.log.warn(
        { reason, unsent: this.unsent },
        'OpenSearch takes no alerts; trying on',
      );
    } else if (ok && this.#failures > 0) {
      this.#options.log.info({ failures: this.#failures }, 'OpenSearch takes alerts again');
    }
    this.#options.reachable(ok, reason);
  }

  async #wait(ms: number | null): Promise<void> {
    const waker = new AbortController();
    this.#waker = waker;
    if (ms !== null) {
      await this.#options.clock.sleep(ms, waker.signal);
    } else {
      await new Promise<void>((resolve) => {
        waker.signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    this.#waker = undefined;
  }

  #wakeWaiters(all: boolean): void {
    if (all || this.unsent < this.#options.unsentMax) {
      for (const resolve of this.#roomWaiters.splice(0)) resolve();
    }
    if (all || this.unsent === 0) {
      this.#draining = false;
      for (const resolve of this.#emptyWaiters.splice(0)) resolve();
    }
  }
}
