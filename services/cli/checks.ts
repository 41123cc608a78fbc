/** What `preflight` says of each behaviour it looked at. Pure data. */
import type { Failure } from '../runtime/errors.ts';
import { describeCause } from './problem.ts';

export type CheckPart = 'kafka' | 'registry' | 'store' | 'anchors' | 'opensearch';

/** `unknown`: it cannot be told from here, which is neither fine nor wrong. */
export type CheckOutcome = 'ok' | 'failed' | 'unknown';

export interface Finding {
  outcome: CheckOutcome;
  detail: string;
  /** What to do about it. */
  hint?: string;
}

export interface Check extends Finding {
  part: CheckPart;
  check: string;
  /** Where it tries whether the archiver lacks a right: which. */
  right?: string;
}

export const ok = (detail: string): Finding => ({ outcome: 'ok', detail });
export const failed = (detail: string, hint: string): Finding => ({
  outcome: 'failed',
  detail,
  hint,
});
export const unknown = (detail: string, hint: string): Finding => ({
  outcome: 'unknown',
  detail,
  hint,
});

/** Runs one check; what it throws is its failure. */
export async function check(
  part: CheckPart,
  name: string,
  run: () => Promise<Finding>,
): Promise<Check> {
  try {
    return { part, check: name, ...(await run()) };
  } catch (error) {
    const { hint } = error as Partial<Failure>;
    const detail = describeCause(error);
    return {
      part,
      check: name,
      outcome: 'failed',
      detail,
      ...(hint === undefined ? {} : { hint }),
    };
  }
}
