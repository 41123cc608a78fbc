/** A clock that stands still until it is moved; sleepers wake in the order of their times. */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../services/runtime/clock.ts';

/** Turns of the event loop after which whatever was woken has come to its next sleep. */
const TURNS = 50;

export class HandClock implements Clock {
  #now: number;
  #sleepers: Array<{ atMs: number; wake: () => void }> = [];

  constructor(nowMs: number) {
    this.#now = nowMs;
  }

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      signal?.addEventListener('abort', () => resolve(), { once: true });
      this.#sleepers.push({ atMs: this.#now + ms, wake: resolve });
    });
  }

  /** Lets what is awake run, then everything that is due within that time, in order. */
  async pass(ms: number): Promise<void> {
    const endMs = this.#now + ms;
    await turns();
    for (;;) {
      this.#sleepers.sort((one, other) => one.atMs - other.atMs);
      const next = this.#sleepers[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#sleepers.shift();
      this.#now = Math.max(this.#now, next.atMs);
      next.wake();
      await turns();
    }
    this.#now = endMs;
  }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await setImmediate();
}
