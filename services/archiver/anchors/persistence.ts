/**
 * Repeats one anchor until it holds: with patience between attempts, always for the newest root, and
 * told once for each change. Nobody waits for it.
 */
import { backoffMs } from '../../runtime/backoff.ts';
import type { Clock } from '../../runtime/clock.ts';
import { Failure, reasonOf } from '../../runtime/errors.ts';
import type { Log } from '../../runtime/log.ts';
import type { AnchorMetrics } from './metrics.ts';
import type { Anchor, SignedRoot } from './root.ts';

export interface PersistenceOptions {
  clock: Clock;
  random: () => number;
  log: Log;
  metrics: AnchorMetrics;
}

const RETRY = { firstMs: 5_000, maxMs: 600_000 };

export class Persistence {
  readonly #anchor: Anchor;
  readonly #options: PersistenceOptions;
  readonly #done: (root: SignedRoot) => void;
  #wanted: SignedRoot | null = null;
  #woken = new AbortController();
  #reason: string | null = null;

  /** `done` is called after every success. */
  constructor(
    anchor: Anchor,
    options: PersistenceOptions,
    done: (root: SignedRoot) => void = () => {},
  ) {
    this.#anchor = anchor;
    this.#options = options;
    this.#done = done;
    options.metrics.state(anchor.name, false, null);
  }

  /** This root is to be anchored now, also where it was before: something of it may be new. */
  wake(root: SignedRoot): void {
    this.#wanted = root;
    this.#woken.abort();
  }

  /** Until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    for (let attempt = 0; !signal.aborted; ) {
      const root = this.#wanted;
      this.#woken = new AbortController();
      if (root !== null) this.#wanted = null;
      const failed = root !== null && !(await this.#attempt(root, signal));
      if (failed) this.#wanted ??= root;
      attempt = failed ? attempt + 1 : 0;
      // A newer root, or the same again, came while this one was under way.
      if (this.#woken.signal.aborted) continue;
      const either = AbortSignal.any([signal, this.#woken.signal]);
      if (failed) await clock.sleep(backoffMs(attempt - 1, RETRY, random), either);
      else await untilAborted(either);
    }
  }

  async #attempt(root: SignedRoot, signal: AbortSignal): Promise<boolean> {
    const { log, metrics } = this.#options;
    const { name } = this.#anchor;
    const roots = root.size;
    try {
      await this.#anchor.run(root);
      if (this.#reason !== null) log.info({ anchor: name, roots }, 'roots are anchored again');
      this.#reason = null;
      metrics.state(name, false, root.timeMs);
      this.#done(root);
      return true;
    } catch (error) {
      // At the end connections are closed under it: the next process goes on.
      if (signal.aborted) return false;
      const reason = reasonOf(error);
      metrics.failed(name);
      if (reason !== this.#reason) {
        const { code, hint } =
          error instanceof Failure ? error : { code: undefined, hint: undefined };
        const err = error instanceof Failure ? undefined : error;
        log.warn(
          { anchor: name, roots, code, reason, hint, err },
          'a root is not anchored yet; trying again',
        );
      }
      this.#reason = reason;
      metrics.state(name, true, null);
      return false;
    }
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
