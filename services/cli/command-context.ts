/** What the files that declare commands are given. */
import type { Command } from 'commander';
import type { Config } from '../runtime/config.ts';
import type { Terminal } from './terminal.ts';

export interface CommandContext {
  terminal: Terminal;
  finish(code: number): void;
  config(): Config;
  /** Adds examples to a command's help. */
  examples(command: Command, lines: string[]): Command;
  /** The command's exit code 1 is a verdict: a command line that is wrong ends with 3. */
  judges(command: Command): void;
}
