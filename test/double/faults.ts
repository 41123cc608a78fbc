/**
 * Faults that a real server cannot be asked for. A plan says which call of which kind goes wrong
 * and how; what was planned and never reached is known at the end, so that a test cannot pass
 * because its fault did not happen.
 */

export type Operation = 'put' | 'get' | 'list' | 'versions' | 'protection';

export type FaultKind =
  /** 500, nothing written. */
  | 'error_before'
  /** The write happened; 500 all the same. */
  | 'error_after'
  /** The connection breaks, nothing written. */
  | 'reset_before'
  /** The write happened; the connection breaks before the answer. */
  | 'reset_after'
  /** 409 ConditionalRequestConflict, nothing written. */
  | 'conflict'
  /** 503 SlowDown. */
  | 'slow_down'
  /** 403 AccessDenied, until somebody mends it. */
  | 'denied'
  /** The write happened; the answer never comes. */
  | 'silence_after';

export interface Fault {
  operation: Operation;
  /** Which call of this operation, from 0. */
  nth: number;
  kind: FaultKind;
}

export class FaultPlan {
  readonly #pending: Fault[];
  readonly #calls = new Map<Operation, number>();

  constructor(faults: Fault[] = []) {
    this.#pending = [...faults];
  }

  add(...faults: Fault[]): void {
    this.#pending.push(...faults);
  }

  /** Calls of an operation so far: the `nth` of the next. */
  calls(operation: Operation): number {
    return this.#calls.get(operation) ?? 0;
  }

  /** To be asked once per call. */
  next(operation: Operation): FaultKind | null {
    const nth = this.calls(operation);
    this.#calls.set(operation, nth + 1);
    const at = this.#pending.findIndex(
      (fault) => fault.operation === operation && fault.nth === nth,
    );
    return at < 0 ? null : this.#pending.splice(at, 1)[0]!.kind;
  }

  /** What was planned and has not happened. */
  get unreached(): readonly Fault[] {
    return this.#pending;
  }
}
