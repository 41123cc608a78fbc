/** Exponential backoff with full jitter. Pure: randomness is an argument. */

export interface BackoffOptions {
  /** Ceiling of the first delay, milliseconds. */
  firstMs: number;
  /** Ceiling of every delay, milliseconds. */
  maxMs: number;
}

/** Delay before attempt number `attempt` (0 is the first retry), milliseconds. */
export function backoffMs(attempt: number, options: BackoffOptions, random: () => number): number {
  const ceiling = Math.min(options.maxMs, options.firstMs * 2 ** Math.min(attempt, 30));
  return Math.round(ceiling / 2 + random() * (ceiling / 2));
}
