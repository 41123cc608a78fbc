/**
 * An object store that does not give up: every call is repeated until it is answered, with the same
 * bytes. Waiting is the backpressure: while the store is away nothing is sealed, nothing more is
 * read once memory is full, and nothing is lost, because Kafka still holds it.
 *
 * Also a mistake that cannot mend itself (denied, no bucket, a wrong key) is tried again, slowly:
 * an operator will mend it, and giving up would not seal anything either.
 */
import { backoffMs } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { Failure } from '../runtime/errors.ts';
import type { ObjectStore } from './store.ts';

/** The caller's signal was aborted: the work is left undone, not failed. */
export class Abandoned extends Error {
  constructor() {
    super('abandoned');
    this.name = 'Abandoned';
  }
}

export interface Patience {
  clock: Clock;
  random: () => number;
  /** Ends waiting with `Abandoned`. A call under way may still happen. */
  signal: AbortSignal;
  /** After every failed attempt, counted from 1. */
  troubled: (call: StoreCall, failure: Failure, attempt: number) => void;
  /** After an answer; `attempts` is 1 where nothing failed. */
  answered: (call: StoreCall, attempts: number, tookMs: number) => void;
}

export type StoreCall = 'put' | 'get' | 'list' | 'versions' | 'protection';

const RETRY = { firstMs: 200, maxMs: 20_000 };
/** For failures that only an operator can end. */
const SLOW_RETRY = { firstMs: 10_000, maxMs: 60_000 };

export function patientStore(store: ObjectStore, patience: Patience): ObjectStore {
  const { clock, random, signal } = patience;
  const persist = async <Output>(call: StoreCall, run: () => Promise<Output>): Promise<Output> => {
    for (let attempt = 1; ; attempt++) {
      if (signal.aborted) throw new Abandoned();
      const startedMs = clock.now();
      try {
        const output = await abandonable(run(), signal);
        patience.answered(call, attempt, clock.now() - startedMs);
        return output;
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        patience.troubled(call, error, attempt);
        const options = error.retryable ? RETRY : SLOW_RETRY;
        await clock.sleep(backoffMs(attempt - 1, options, random), signal);
      }
    }
  };
  return {
    putIfAbsent: (key, bytes, sha256) =>
      persist('put', () => store.putIfAbsent(key, bytes, sha256)),
    get: (key, range) => persist('get', () => store.get(key, range)),
    list: (prefix, startAfter, max) => persist('list', () => store.list(prefix, startAfter, max)),
    versions: (key) => persist('versions', () => store.versions(key)),
    protection: (key) => persist('protection', () => store.protection(key)),
  };
}

async function abandonable<Output>(work: Promise<Output>, signal: AbortSignal): Promise<Output> {
  let abandon = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abandon = () => reject(new Abandoned());
    signal.addEventListener('abort', abandon, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abandon);
  }
}
