/** What is wrong with one item of a detection, and where in it. */
import type { Severity } from './problem.ts';

/** A YAML scalar; `text` is it as written, so that long numbers keep all digits. */
export interface ScalarValue {
  value: string | number | boolean | null;
  text: string;
}

/**
 * Where in the item a problem is: in modifier number `modifier` (0 is the field name), or in value
 * number `value`.
 */
export interface ItemProblem {
  severity: Severity;
  message: string;
  hint: string;
  modifier?: number;
  value?: number;
}

/** Thrown while one item is read, and caught where that began. */
export class ItemError extends Error {
  readonly problem: ItemProblem;

  constructor(message: string, hint: string, place: { modifier?: number; value?: number } = {}) {
    super(message);
    this.problem = { severity: 'error', message, hint, ...place };
  }
}
