/**
 * What is wrong with a rule, where, and how to mend it. Parsing collects these instead of throwing,
 * so that a person sees every problem of every file at once.
 */
import { editDistance } from '../runtime/nearest.ts';

export type Severity = 'error' | 'warning';

export interface Problem {
  severity: Severity;
  file: string;
  /** From 1; 0 where the problem is the file as a whole. */
  line: number;
  /** From 1; 0 where the problem is the file as a whole. */
  column: number;
  /** What is wrong. */
  message: string;
  /** How to mend it. */
  hint: string;
}

/** `file:line:column: error: what is wrong; how to mend it`. */
export function describeProblem(problem: Problem): string {
  const place =
    problem.line === 0 ? problem.file : `${problem.file}:${problem.line}:${problem.column}`;
  return `${place}: ${problem.severity}: ${problem.message}; ${problem.hint}`;
}

/** Errors before warnings are not separated: the order is file, line, column, as a compiler's. */
export function sortProblems(problems: readonly Problem[]): Problem[] {
  return problems.toSorted(
    (a, b) => compareText(a.file, b.file) || a.line - b.line || a.column - b.column,
  );
}

/** The candidate nearest to `word`, or null where none is near enough to be meant. */
export function nearest(word: string, candidates: Iterable<string>): string | null {
  let best: string | null = null;
  // Two letters swapped are two edits, and in a word of three that is too far.
  let bestDistance = (word.length <= 3 ? 1 : Math.max(2, Math.floor(word.length / 3))) + 1;
  const lower = word.toLowerCase();
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= bestDistance) continue;
    const distance = editDistance(lower, candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
