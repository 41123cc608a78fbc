/** What is found wrong while a document is read: collected with places, never thrown. */
import type { Problem, Severity } from './problem.ts';
import type { Spot } from './tree.ts';

export class Findings {
  readonly problems: Problem[] = [];
  readonly #file: string;
  #errors = 0;

  /** `file` is named where a problem has no place in a text. */
  constructor(file: string) {
    this.#file = file;
  }

  /** Errors so far: a reader that compares two of these knows whether what it read is whole. */
  get errors(): number {
    return this.#errors;
  }

  error(spot: Spot | null, message: string, hint: string): void {
    this.report('error', spot, message, hint);
  }

  warning(spot: Spot | null, message: string, hint: string): void {
    this.report('warning', spot, message, hint);
  }

  /** Problems that were found before. */
  take(problems: readonly Problem[]): void {
    for (const problem of problems) {
      if (problem.severity === 'error') this.#errors += 1;
      this.problems.push(problem);
    }
  }

  report(severity: Severity, spot: Spot | null, message: string, hint: string): void {
    if (severity === 'error') this.#errors += 1;
    this.problems.push(problemAt(spot, this.#file, severity, message, hint));
  }
}

function problemAt(
  spot: Spot | null,
  file: string,
  severity: Severity,
  message: string,
  hint: string,
): Problem {
  if (spot === null) return { severity, file, line: 0, column: 0, message, hint };
  const { file: origin, lines } = spot.source;
  return { severity, file: origin, ...lines.positionOf(spot.at), message, hint };
}
