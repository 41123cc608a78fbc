/**
 * The key that signs checkpoints, for all logs of a process. Losing it stops nothing: leaves are
 * written unsigned, the key is asked for again every minute, and the newest size is then signed.
 */
import type { Signer } from '../../schemas/evidence/note.ts';
import type { LogWriter } from '../evidence/log-writer.ts';
import type { Clock } from '../runtime/clock.ts';
import { Failure } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';

/** Longest wait for the key, or for one signature. */
const ANSWER_MS_MAX = 10_000;
/** Between two attempts to get at a key that failed. */
const RETRY_MS = 60_000;

export interface SigningOptions {
  /** Null where no key is configured. @throws Failure where it cannot be used. */
  signer: () => Promise<Signer | null>;
  clock: Clock;
  log: Log;
  ready: (check: string, ok: boolean, reason?: string) => void;
}

export class Signing {
  readonly #options: SigningOptions;
  #signer: Promise<Signer | null> | null = null;
  /** Until then the key is not asked for again. */
  #againMs = 0;
  #failed = false;

  constructor(options: SigningOptions) {
    this.#options = options;
  }

  /** True where asking for the key now makes sense. */
  get isDue(): boolean {
    return this.#options.clock.now() >= this.#againMs;
  }

  /**
   * Signs the newest size of the log, where there is a key. True where this call wrote the
   * checkpoint. Never throws for want of a key.
   * @throws BrokenLog (see `LogWriter.sign`), and what the store throws.
   */
  async sign(log: LogWriter): Promise<boolean> {
    if (log.isSigned || !this.isDue) return false;
    const signer = await this.#key();
    if (signer === null) return false;
    let written = false;
    try {
      written = await log.sign({
        verifier: signer.verifier,
        // Told apart from what the store throws: this is about the key.
        sign: (text) =>
          this.#inTime(signer.sign(text)).catch((error: unknown) => Promise.reject(lost(error))),
      });
    } catch (error) {
      if (!(error instanceof LostKey)) throw error;
      this.#fail(error.cause);
      return false;
    }
    this.#recover();
    return written;
  }

  async #key(): Promise<Signer | null> {
    this.#signer ??= this.#load();
    try {
      return await this.#inTime(this.#signer);
    } catch (error) {
      this.#fail(error);
      return null;
    }
  }

  async #load(): Promise<Signer | null> {
    const signer = await this.#options.signer();
    if (signer === null) {
      this.#options.log.warn({}, 'no signing key is configured: evidence is written unsigned');
      this.#againMs = Number.POSITIVE_INFINITY;
    }
    return signer;
  }

  /** What does not answer is as good as lost. */
  async #inTime<Output>(work: Promise<Output>): Promise<Output> {
    const done = new AbortController();
    const late = this.#options.clock.sleep(ANSWER_MS_MAX, done.signal).then((): never => {
      throw new Failure(`the key does not answer within ${ANSWER_MS_MAX} ms`, { code: 'KEY_TIME' });
    });
    late.catch(() => {});
    try {
      return await Promise.race([work, late]);
    } finally {
      done.abort('over');
    }
  }

  #fail(error: unknown): void {
    const { clock, log, ready } = this.#options;
    this.#signer = null;
    this.#againMs = clock.now() + RETRY_MS;
    const reason = error instanceof Error ? error.message : String(error);
    const { code, hint } = error instanceof Failure ? error : { code: undefined, hint: undefined };
    const fields = { code, error: reason, hint };
    if (!this.#failed) log.error(fields, 'evidence cannot be signed; it is written unsigned');
    this.#failed = true;
    ready('signing', false, reason);
  }

  #recover(): void {
    if (!this.#failed) return;
    this.#failed = false;
    this.#options.log.info({}, 'evidence is signed again');
    this.#options.ready('signing', true);
  }
}

class LostKey extends Error {}

function lost(cause: unknown): LostKey {
  return new LostKey('the key does not sign', { cause });
}
