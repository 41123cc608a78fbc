/** A progress bar of a command: on a screen, and not where the output is read by a program. */
import cliProgress from 'cli-progress';

export interface ProgressFlags {
  quiet?: true;
  json?: true;
}

/** Null where nobody would see it. `format` as cli-progress has it. */
export function progressBar(
  { quiet, json }: ProgressFlags,
  format: string,
): cliProgress.SingleBar | null {
  if (quiet === true || json === true || !process.stderr.isTTY) return null;
  return new cliProgress.SingleBar({ format, stream: process.stderr, clearOnComplete: true });
}
