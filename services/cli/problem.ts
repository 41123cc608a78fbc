/** Errors in one line, for a table of results. Pure. */
import { Failure, reasonOf } from '../runtime/errors.ts';

/** `what, because why (CODE)`: the message of a failure with its innermost reason. */
export function describeCause(error: unknown): string {
  const text = reasonOf(error);
  if (!(error instanceof Failure)) return text;
  let innermost: unknown;
  for (let cause = error.cause, depth = 0; cause instanceof Error && depth < 5; depth += 1) {
    innermost = cause;
    cause = cause.cause;
  }
  const reason = innermost === undefined ? '' : reasonOf(innermost);
  const because = reason === '' || text.includes(reason) ? '' : `: ${reason}`;
  return `${text}${because} (${error.code})`;
}
