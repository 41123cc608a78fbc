/**
 * What changed about who may do what between two times, fact by fact, with the events that did it.
 * Two differences that follow each other join to the one between the outer times. Pure.
 */
import { compareText } from '../runtime/order.ts';
import type { AccessEvent, Fact } from './change.ts';
import { AccessState, type Step } from './state.ts';

export interface Difference {
  fact: Fact;
  /** Whether it held at the first time, and at the second. */
  from: boolean;
  to: boolean;
  /** In order; never empty. */
  steps: readonly Step[];
}

/** By fact. */
export type Diff = ReadonlyMap<string, Difference>;

/**
 * `wider`, `narrower`: so at the second time and not at the first. `changed`: it cannot be told
 * which. `passing`: changed and changed back in between. `same`: only said again.
 */
export type Verdict = 'wider' | 'narrower' | 'changed' | 'passing' | 'same';

/** Of changes at or after `fromMs` and before `toMs`. @param events in order, also those before */
export function diffBetween(
  events: readonly AccessEvent[],
  fromMs: number,
  toMs: number,
): Map<string, Difference> {
  const state = new AccessState();
  const diff = new Map<string, { fact: Fact; from: boolean; to: boolean; steps: Step[] }>();
  for (const event of events) {
    if (event.timeMs >= toMs) break;
    if (event.timeMs < fromMs) {
      state.apply(event);
      continue;
    }
    state.apply(event, (key, { fact, holds }, step) => {
      const known = diff.get(key);
      if (known === undefined) {
        const from = step.isNews && step.effect.op !== 'touch' ? !holds : holds;
        diff.set(key, { fact, from, to: holds, steps: [step] });
      } else {
        known.to = holds;
        known.steps.push(step);
      }
    });
  }
  return diff;
}

/** @param later begins where `earlier` ends. */
export function joined(earlier: Diff, later: Diff): Map<string, Difference> {
  const diff = new Map<string, Difference>(earlier);
  for (const [key, difference] of later) {
    const before = earlier.get(key);
    if (before === undefined) diff.set(key, difference);
    else {
      const { fact, from } = before;
      diff.set(key, {
        fact,
        from,
        to: difference.to,
        steps: [...before.steps, ...difference.steps],
      });
    }
  }
  return diff;
}

export function verdictOf({ from, to, steps }: Difference): Verdict {
  const news = steps.filter(({ isNews }) => isNews);
  const last = news.at(-1);
  if (last === undefined) return 'same';
  const isTouch = last.effect.op === 'touch';
  if (from === to && !isTouch) return 'passing';
  const { direction } = last;
  return direction === 'widened' ? 'wider' : direction === 'narrowed' ? 'narrower' : 'changed';
}

/** By verdict, then by fact. */
export function listed(diff: Diff): Array<{ verdict: Verdict; difference: Difference }> {
  return [...diff]
    .map(([key, difference]) => ({ key, verdict: verdictOf(difference), difference }))
    .sort(
      (one, other) =>
        VERDICTS.indexOf(one.verdict) - VERDICTS.indexOf(other.verdict) ||
        compareText(one.key, other.key),
    )
    .map(({ verdict, difference }) => ({ verdict, difference }));
}

export const VERDICTS: readonly Verdict[] = ['wider', 'changed', 'narrower', 'passing', 'same'];
