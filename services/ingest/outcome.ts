/** Whether the action worked. Pure. */
import type { Outcome } from './event.ts';

/**
 * Status codes are those of HTTP, but commands (`runCommand`, `commandSubmit`, `commandFinish`)
 * report 0 and 1. Without a status nothing is known: a submitted command has no response yet.
 */
export function outcomeOf(actionName: string, statusCode: number | null): Outcome {
  if (statusCode === null) return 'unknown';
  if (statusCode >= 200 && statusCode <= 299) return 'success';
  if (statusCode === 0 && isCommand(actionName)) return 'success';
  return 'failure';
}

function isCommand(actionName: string): boolean {
  return actionName === 'runCommand' || actionName.startsWith('command');
}
