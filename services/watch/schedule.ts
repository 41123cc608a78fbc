/** When which run of the verifier is due. Pure. */

export type RunKind = 'incremental' | 'whole' | 'posture';

/** Epoch ms of the last run that came to its end; null: never. */
export type LastRuns = Readonly<Record<RunKind, number | null>>;
export type Intervals = Readonly<Record<RunKind, number>>;

/** A whole run counts for an incremental one; where both are due, the whole one is run. */
export function nextArchiveRun(
  last: LastRuns,
  every: Intervals,
  nowMs: number,
): { kind: 'incremental' | 'whole'; atMs: number } {
  const whole = dueMs(last.whole, every.whole, nowMs);
  const newest = Math.max(last.incremental ?? -Infinity, last.whole ?? -Infinity);
  const incremental = dueMs(Number.isFinite(newest) ? newest : null, every.incremental, nowMs);
  if (whole <= Math.max(incremental, nowMs)) return { kind: 'whole', atMs: whole };
  return { kind: 'incremental', atMs: incremental };
}

/** A clock that went back must not put a run off: nothing is due later than an interval from now. */
export function dueMs(lastMs: number | null, everyMs: number, nowMs: number): number {
  return lastMs === null ? nowMs : Math.min(lastMs, nowMs) + everyMs;
}
