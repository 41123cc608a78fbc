/** What `setup` says of each thing it looks after. Pure data. */
import type { Failure } from '../runtime/errors.ts';
import { describeCause } from './problem.ts';

export type SetupOutcome =
  | 'made'
  | 'changed'
  | 'found'
  /** In a dry run, instead of `made` and `changed`. */
  | 'would make'
  | 'would change'
  /** There, not as configured, and left alone: the hint says what a person may do. */
  | 'differs'
  /** This server has no such thing. */
  | 'not offered'
  | 'failed';

export type SetupPart = 'kafka' | 'registry' | 'store' | 'opensearch';

export interface SetupItem {
  part: SetupPart;
  /** `topic databricks.audit` */
  item: string;
  outcome: SetupOutcome;
  detail: string;
  hint?: string;
}

/** What is to be done about one item, decided from what was seen and what is wanted. */
export interface Decision {
  step: 'make' | 'change' | 'found' | 'differs' | 'not offered' | 'failed';
  detail: string;
  hint?: string;
}

/** Carries a decision out, or says what would be done; a failure becomes an item. */
export async function carryOut(
  part: SetupPart,
  item: string,
  decision: Decision,
  dryRun: boolean,
  effect: () => Promise<unknown>,
): Promise<SetupItem> {
  const { step, ...rest } = decision;
  if (step !== 'make' && step !== 'change') return { part, item, outcome: step, ...rest };
  if (dryRun) return { part, item, outcome: `would ${step}`, ...rest };
  try {
    await effect();
    return { part, item, outcome: step === 'make' ? 'made' : 'changed', ...rest };
  } catch (error) {
    return failedItem(part, item, error);
  }
}

export function failedItem(part: SetupPart, item: string, error: unknown): SetupItem {
  const { hint } = error as Partial<Failure>;
  const detail = describeCause(error);
  return { part, item, outcome: 'failed', detail, ...(hint === undefined ? {} : { hint }) };
}
