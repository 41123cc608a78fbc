/** Waiting for a condition; fails with what it waited for. */
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 100;

/**
 * Resolves with the first value that is neither false nor null nor undefined. An error of `probe` is
 * an answer "not yet" and is told when time runs out.
 */
export async function until<Value>(
  what: string,
  limitMs: number,
  probe: () => Promise<Value | false | null | undefined> | Value | false | null | undefined,
  pollMs: number = POLL_MS,
): Promise<Value> {
  const deadline = performance.now() + limitMs;
  let problem: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== false && value !== null && value !== undefined) return value;
      problem = undefined;
    } catch (error) {
      problem = error;
    }
    if (performance.now() > deadline) {
      throw new Error(`not within ${limitMs} ms: ${what}`, { cause: problem });
    }
    await sleep(pollMs);
  }
}
