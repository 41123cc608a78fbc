/**
 * Virtual time. Nothing passes by itself: `advance` wakes sleepers in order and lets everything
 * that they set off run to rest before the next. A process has a view of its own: it can be frozen
 * (SIGSTOP), killed, and its wall clock can be wrong.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../../services/runtime/clock.ts';

interface Sleeper {
  atMs: number;
  order: number;
  wake: () => void;
}

export class World {
  nowMs = 1_790_000_000_000;
  #order = 0;
  #sleepers: Sleeper[] = [];

  sleep(ms: number): Promise<void> {
    return new Promise((wake) => this.at(ms, wake));
  }

  at(ms: number, wake: () => void): void {
    const sleeper = { atMs: this.nowMs + Math.max(0, ms), order: this.#order++, wake };
    let at = this.#sleepers.length;
    while (at > 0 && this.#sleepers[at - 1]!.atMs > sleeper.atMs) at--;
    this.#sleepers.splice(at, 0, sleeper);
  }

  /** Runs whatever can run without time passing. */
  async settle(): Promise<void> {
    await setImmediate();
  }

  async advance(ms: number): Promise<void> {
    const target = this.nowMs + ms;
    await this.settle();
    while (this.#sleepers.length > 0 && this.#sleepers[0]!.atMs <= target) {
      const sleeper = this.#sleepers.shift()!;
      this.nowMs = Math.max(this.nowMs, sleeper.atMs);
      sleeper.wake();
      await this.settle();
    }
    this.nowMs = target;
  }
}

/** What one process sees of the world. */
export class ProcessClock implements Clock {
  /** Its wall clock is wrong by so much. */
  skewMs = 0;
  readonly #world: World;
  #dead = false;
  #frozen = false;
  #held: Array<() => void> = [];

  constructor(world: World) {
    this.#world = world;
  }

  get dead(): boolean {
    return this.#dead;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  now(): number {
    return this.#world.nowMs + this.skewMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      const wake = (): void => this.run(resolve);
      signal?.addEventListener('abort', wake, { once: true });
      this.#world.at(ms, wake);
    });
  }

  /** Runs now, when thawed, or never. */
  run(act: () => void): void {
    if (this.#dead) return;
    if (this.#frozen) this.#held.push(act);
    else act();
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    const held = this.#held;
    this.#held = [];
    for (const act of held) act();
  }

  kill(): void {
    this.#dead = true;
    this.#held = [];
  }
}
