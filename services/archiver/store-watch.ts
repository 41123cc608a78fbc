/** The store as the archiver sees it: patient, and telling of its trouble in logs and readiness. */
import type { Clock } from '../runtime/clock.ts';
import type { Failure } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import { patientStore, type StoreCall } from '../store/patient-store.ts';
import type { ObjectStore } from '../store/store.ts';
import type { ArchiverMetrics } from './metrics.ts';

export interface StoreWatchOptions {
  store: ObjectStore;
  clock: Clock;
  random: () => number;
  log: Log;
  metrics: Pick<ArchiverMetrics, 'troubled' | 'answered'>;
  ready: (check: string, ok: boolean, reason?: string) => void;
}

/** Attempts after which a store in trouble makes the process unready. */
const TROUBLE_ATTEMPTS = 3;

export class StoreWatch {
  readonly #options: StoreWatchOptions;
  /** Store calls that have failed and are being repeated, by call. */
  readonly #troubles = new Map<StoreCall, number>();

  constructor(options: StoreWatchOptions) {
    this.#options = options;
  }

  /** Every call waits for its answer until the signal aborts. */
  patient(signal: AbortSignal): ObjectStore {
    const { store, clock, random, metrics, log } = this.#options;
    return patientStore(store, {
      clock,
      random,
      signal,
      troubled: (call, failure, attempt) => {
        metrics.troubled(call, failure.code);
        const fields = { call, code: failure.code, attempt, hint: failure.hint };
        const text = { ...fields, error: failure.message };
        if (!failure.retryable) log.error(text, 'the store refuses; retrying slowly');
        else if (attempt === TROUBLE_ATTEMPTS)
          log.warn(text, 'the store does not answer; retrying');
        else log.debug(text, 'a store call failed; retrying');
        if (failure.retryable && attempt < TROUBLE_ATTEMPTS) return;
        this.#trouble(call, failure);
      },
      answered: (call, attempts, tookMs) => {
        metrics.answered(call, tookMs);
        if (attempts > 1 || this.#troubles.size > 0) this.#mended(call);
      },
    });
  }

  #trouble(call: StoreCall, failure: Failure): void {
    this.#troubles.set(call, (this.#troubles.get(call) ?? 0) + 1);
    this.#options.ready('store', false, failure.message);
  }

  #mended(call: StoreCall): void {
    if (!this.#troubles.delete(call)) return;
    this.#options.log.info({ call }, 'the store answers again');
    if (this.#troubles.size === 0) this.#options.ready('store', true);
  }
}
