/** What a collection has to say at its end. Pure. */
import { counted, grouped, printable } from '../runtime/wording.ts';
import type { CollectReport } from './collect-types.ts';

/**
 * 0 everything collected; 2 some lines dead-lettered or files broken; 130 stopped half-way (where it
 * follows a bucket, being stopped is how it ends).
 */
export function exitCodeOf(report: CollectReport): number {
  if (report.stoppedAt !== null && !report.follow) return 130;
  return report.broken.length > 0 || deadLetterCount(report) > 0 ? 2 : 0;
}

export function deadLetterCount(report: CollectReport): number {
  return Object.values(report.deadLetters).reduce((sum, count) => sum + count, 0);
}

/** Keys listed by a dry run. */
const KEYS_SHOWN_MAX = 10;

/** A few lines for a person. */
export function describeReport(report: CollectReport, topic: string): string[] {
  const seconds = report.elapsedMs / 1_000;
  const rate = seconds > 0 ? Math.round(report.events / seconds) : report.events;
  const verb = report.dryRun ? 'would send' : 'sent';
  const lines = [
    `read ${counted(report.lines, 'line')} (${bytesText(report.bytes)} as stored) from ${counted(report.sources, 'file')} in ${seconds.toFixed(1)} s, ${grouped(rate)} events/s`,
    `${verb} ${counted(report.dryRun ? report.events : report.records, 'event')} to ${topic}`,
  ];
  if (report.dryRun) lines.push(...keyLines(report));
  lines.push(...knownLines(report));
  for (const [reason, letters] of Object.entries(report.deadLetters)) {
    lines.push(
      `${report.dryRun ? 'would dead-letter' : 'dead-lettered'} ${counted(letters, 'line')}: ${reason}`,
    );
  }
  for (const { name, lines: read, reason } of report.broken) {
    lines.push(`not read to its end: ${name} after ${counted(read, 'line')}: ${reason}`);
  }
  if (report.stoppedAt !== null) lines.push(stoppedLine(report));
  return lines.map(printable);
}

function keyLines(report: CollectReport): string[] {
  const keys = Object.entries(report.keys).sort(([, a], [, b]) => b - a);
  const lines = keys.slice(0, KEYS_SHOWN_MAX).map(([key, n]) => `  key ${key}: ${grouped(n)}`);
  if (keys.length > KEYS_SHOWN_MAX)
    lines.push(`  and ${grouped(keys.length - KEYS_SHOWN_MAX)} more keys`);
  return lines;
}

function knownLines(report: CollectReport): string[] {
  const lines: string[] = [];
  if (report.objectsKnown > 0)
    lines.push(`${counted(report.objectsKnown, 'object')} collected before, unchanged`);
  if (report.linesKnown > 0)
    lines.push(`${counted(report.linesKnown, 'line')} of overwritten objects collected before`);
  if (report.objectsIgnored > 0) {
    lines.push(
      `${counted(report.objectsIgnored, 'object')} ignored: not named .json, .jsonl or .ndjson (.gz, .zst)`,
    );
  }
  return lines;
}

function stoppedLine({ stoppedAt, dryRun }: CollectReport): string {
  if (dryRun) return `stopped at ${stoppedAt}`;
  return `stopped at ${stoppedAt}; everything before it is sent. Collecting again sends an unfinished file or object from its first line; events keep their ids, so nothing counts twice.`;
}

export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
