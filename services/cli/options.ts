/** Values of options as commands want them, or commander's own error. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { dayStart } from '../../schemas/evidence/access-leaf.ts';

/**
 * An option that may be given again; undefined where it was not. Each takes one value, so that no
 * argument is swallowed.
 */
export function repeatable(flags: string, description: string): Option {
  const collected = (value: string, before: string[] = []): string[] => [...before, value];
  return new Option(flags, `${description} (repeatable)`).argParser(collected);
}

/** Epoch ms of an ISO 8601 time. */
export function timeOption(text: string): number {
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw new InvalidArgumentError('write it as 2026-11-24T10:00:00Z.');
  return time;
}

/** `first`, or seconds since the epoch of an ISO 8601 time. */
export function stampsSinceOption(text: string): number | 'first' {
  return text === 'first' ? text : timeOption(text) / 1000;
}

/** The same of `verifier.stampsSince`, which was checked; every root where nothing is set. */
export function stampsSinceSetting(text: string | undefined): number | 'first' {
  return text === undefined ? 0 : stampsSinceOption(text);
}

/** A day as `2026-11-24`. */
export function dayOption(text: string): string {
  if (dayStart(text) === null) throw new InvalidArgumentError('write it as 2026-11-24.');
  return text;
}

/** A whole number from 0 on. */
export function countOption(text: string): number {
  const count = Number(text);
  if (text === '' || !Number.isSafeInteger(count) || count < 0) {
    throw new InvalidArgumentError('not a whole number.');
  }
  return count;
}

export function jsonOption(): Option {
  return new Option('--json', 'print JSON instead of text');
}

/** Which public keys are trusted. */
export function trustedKeyOptions(command: Command): Command {
  return command
    .addOption(repeatable('--key <vkey>', 'public key that is trusted'))
    .addOption(repeatable('--key-file <file>', 'file of public keys, one a line'));
}

/** What opens encrypted segments. */
export function unwrapOption(): Option {
  return repeatable('--unwrap-key <file>', 'key that opens encrypted segments');
}
