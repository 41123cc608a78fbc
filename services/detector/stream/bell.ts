/** Pauses that anybody may end: rung while nobody pauses, it ends the next one at once. */
import type { Clock } from '../../runtime/clock.ts';

export class Bell {
  #waker = new AbortController();

  ring(): void {
    this.#waker.abort();
  }

  async pause(clock: Clock, ms: number): Promise<void> {
    await clock.sleep(ms, this.#waker.signal);
    this.#waker = new AbortController();
  }
}
