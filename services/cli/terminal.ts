/**
 * What a command may do to the outside world of a user: write, and know whether a person reads.
 * Results go to standard output, everything else to standard error, so that output can be piped.
 */
import { styleText } from 'node:util';
import Table from 'cli-table3';

export interface Terminal {
  env: NodeJS.ProcessEnv;
  /** One or more whole lines to standard output; the last line end is added. */
  out(text: string): void;
  /** The same to standard error. */
  err(text: string): void;
  /** Whether standard output, and standard error, is a screen that takes colour. */
  colour: { out: boolean; err: boolean };
}

/** Nothing is coloured unless a person looks, and never where NO_COLOR is set. */
export function processTerminal(): Terminal {
  const colourful = (stream: NodeJS.WriteStream): boolean =>
    stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  return {
    env: process.env,
    out: (text) => void process.stdout.write(`${text}\n`),
    err: (text) => void process.stderr.write(`${text}\n`),
    colour: { out: colourful(process.stdout), err: colourful(process.stderr) },
  };
}

export type Tone = 'good' | 'bad' | 'attention' | 'quiet' | 'strong';

const STYLES = {
  good: 'green',
  bad: 'red',
  attention: 'yellow',
  quiet: 'dim',
  strong: 'bold',
} as const;

/** Colours for standard output, or the bare text. */
export function paint(terminal: Terminal, tone: Tone, text: string): string {
  if (!terminal.colour.out) return text;
  return styleText(STYLES[tone], text, { validateStream: false });
}

/** Text, or text in a tone. Either way it is made safe for a screen. */
export type Cell = string | [Tone, string];

/** Columns with two blanks between them and no frame: reads well and greps well. */
export function formatTable(terminal: Terminal, head: string[], rows: Cell[][]): string {
  const table = new Table({
    head: head.map((title) => paint(terminal, 'quiet', title)),
    chars: NO_FRAME,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  });
  table.push(...rows.map((row) => row.map((cell) => formatCell(terminal, cell))));
  const lines = table.toString().split('\n');
  return lines.map((line) => line.trimEnd()).join('\n');
}

function formatCell(terminal: Terminal, cell: Cell): string {
  if (typeof cell === 'string') return printable(cell);
  return paint(terminal, cell[0], printable(cell[1]));
}

const NO_FRAME = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
  ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '' },
  middle: '  ',
};

/**
 * Text from outside (a topic name of another, a server's message) made safe for a screen: control
 * characters, which could move the cursor or hide a line, become visible.
 */
export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** Control characters but tab and line end, and those that turn the writing direction. */
const UNPRINTABLE = /(?![\t\n])\p{Cc}|[\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** JSON with offsets, which are bigint, written as strings: JSON numbers would lose digits. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? part.toString() : part), 2);
}
