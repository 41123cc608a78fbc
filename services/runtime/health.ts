/**
 * The named checks behind /livez and /readyz. Each says by itself when it changes; nothing here
 * asks a server. A check that was never set does not count, but readiness is false until the first is,
 * and from the moment the process is told to stop.
 */
import type { Health } from './service.ts';

export interface Check {
  check: string;
  reason: string;
}

export class HealthState implements Health {
  readonly #ready = new Map<string, Check | null>();
  readonly #live = new Map<string, Check | null>();
  #stopping = false;

  ready(check: string, ok: boolean, reason = 'not ready'): void {
    this.#ready.set(check, ok ? null : { check, reason });
  }

  live(check: string, ok: boolean, reason = 'not alive'): void {
    this.#live.set(check, ok ? null : { check, reason });
  }

  /** Readiness is false from here on, whatever the checks say. */
  stopping(): void {
    this.#stopping = true;
  }

  failingReady(): Check[] {
    const stopping = this.#stopping
      ? [{ check: 'stopping', reason: 'the process is stopping' }]
      : [];
    const starting =
      this.#ready.size === 0 ? [{ check: 'starting', reason: 'the process is starting' }] : [];
    return [...stopping, ...starting, ...failing(this.#ready)];
  }

  failingLive(): Check[] {
    return failing(this.#live);
  }
}

function failing(checks: Map<string, Check | null>): Check[] {
  return [...checks.values()].filter((check) => check !== null);
}
