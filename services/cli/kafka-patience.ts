/**
 * Waits out what a healthy Kafka answers for a moment: while a group's coordinator is being found or
 * loaded (the first group of a new cluster), or a new topic is not known to every broker yet. The
 * client retries some of these by itself, in the consumer but not in the administration.
 */
import { errorType } from '../ingest/kafka.ts';
import { backoffMs } from '../runtime/backoff.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';

const PASSING = new Set([
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'GROUP_LOAD_IN_PROGRESS',
  'LEADER_NOT_AVAILABLE',
  'NOT_COORDINATOR_FOR_GROUP',
  'NOT_LEADER_FOR_PARTITION',
  'UNKNOWN_TOPIC_OR_PARTITION',
]);

const WAIT_MS_MAX = 20_000;
const BACKOFF = { firstMs: 100, maxMs: 1_000 };

export function isPassing(error: unknown): boolean {
  const type = errorType(error);
  return type !== undefined && PASSING.has(type);
}

/** Runs until it succeeds, fails for another reason, or has been tried for `WAIT_MS_MAX`. */
export async function patiently<T>(run: () => Promise<T>, clock: Clock = systemClock): Promise<T> {
  const startedMs = clock.now();
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await run();
    } catch (error) {
      if (!isPassing(error) || clock.now() - startedMs > WAIT_MS_MAX) throw error;
      await clock.sleep(backoffMs(attempt, BACKOFF, Math.random));
    }
  }
}
