/** Thresholds of conditions: whether they hold, and what they need to hold. */
import type { Threshold } from '../sigma/rule.ts';

export function holds(thresholds: readonly Threshold[], figure: number): boolean {
  return thresholds.every(({ operator, operand }) => {
    switch (operator) {
      case 'gt':
        return figure > operand;
      case 'gte':
        return figure >= operand;
      case 'lt':
        return figure < operand;
      case 'lte':
        return figure <= operand;
      case 'eq':
        return figure === operand;
      case 'neq':
        return figure !== operand;
    }
    return false;
  });
}

/** Whether more can only make it truer, so that it needs no end of the window to be judged. */
export function isMonotone(thresholds: readonly Threshold[]): boolean {
  return thresholds.every(({ operator }) => operator === 'gt' || operator === 'gte');
}

/** Least count, from 1, that is enough. Of monotone thresholds only. */
export function countWanted(thresholds: readonly Threshold[]): number {
  let wanted = 1;
  for (const { operator, operand } of thresholds) {
    wanted = Math.max(wanted, operator === 'gt' ? Math.floor(operand) + 1 : Math.ceil(operand));
  }
  return wanted;
}

/** Counts above this are all judged alike. */
export function countOfInterest(thresholds: readonly Threshold[]): number {
  return Math.max(1, ...thresholds.map(({ operand }) => Math.floor(operand) + 1));
}

const WORDS: Record<Threshold['operator'], string> = {
  gt: 'more than',
  gte: 'at least',
  lt: 'less than',
  lte: 'at most',
  eq: 'exactly',
  neq: 'not',
};

/** `at least 5`, `at least 5 and less than 10`. */
export function thresholdText(thresholds: readonly Threshold[]): string {
  return thresholds.map(({ operator, operand }) => `${WORDS[operator]} ${operand}`).join(' and ');
}

const UNITS: ReadonlyArray<readonly [ms: number, unit: string]> = [
  [604_800_000, 'w'],
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'm'],
  [1_000, 's'],
];

/** `1h`, `90m`: the largest unit that it is a whole number of. */
export function spanText(ms: number): string {
  const [unitMs, unit] = UNITS.find(([length]) => ms >= length && ms % length === 0) ?? [1, ' ms'];
  return `${ms / unitMs}${unit}`;
}
