/**
 * What is wrong with a rule, where, and how to mend it. Parsing collects these instead of throwing,
 * so that a person sees every problem of every file at once.
 */
import { compareText } from '../../runtime/order.ts';

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
