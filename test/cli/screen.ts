/** A terminal for tests: keeps what a command says. */
import type { Terminal } from '../../services/cli/terminal.ts';

export interface Screen extends Terminal {
  /** All of standard output, and of standard error, so far. */
  output(): string;
  errors(): string;
}

export function createScreen(env: NodeJS.ProcessEnv = {}, colour = false): Screen {
  const out: string[] = [];
  const err: string[] = [];
  return {
    env,
    out: (text) => void out.push(`${text}\n`),
    err: (text) => void err.push(`${text}\n`),
    colour: { out: colour, err: colour },
    output: () => out.join(''),
    errors: () => err.join(''),
  };
}
