/** The files that commands of `rules` read and write: events to explain, a new rule. */
import { createReadStream, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DECODE_LIMITS } from '../ingest/decode.ts';
import { decompress } from '../ingest/decompress.ts';
import { isBlank, LineSplitter } from '../ingest/lines.ts';
import { Failure, systemReason } from '../runtime/errors.ts';

/** Throws `Failure` RULE_FILE_EXISTS or RULE_FILE_UNWRITABLE; makes its folder, never overwrites. */
export function writeNewFile(path: string, text: string, nameInFolder: string): void {
  try {
    const parent = dirname(path);
    if (!existsSync(parent)) mkdirSync(parent, { recursive: true });
    writeFileSync(path, text, { flag: 'wx' });
  } catch (error) {
    const reason = systemReason(error);
    if (reason === 'EEXIST' || reason === 'EISDIR') {
      const folder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
      throw new Failure(`${path} is there already${folder ? ' and is a folder' : ''}`, {
        code: 'RULE_FILE_EXISTS',
        hint: folder
          ? `name a file in it: --out ${join(path, nameInFolder)}`
          : 'name another file, or remove that one; nothing was written',
      });
    }
    throw new Failure(`${path} cannot be written (${reason})`, {
      code: 'RULE_FILE_UNWRITABLE',
      hint: 'check its path and permissions',
      cause: error,
    });
  }
}

/** A line of a file of events. */
export interface EventLine {
  /** From 1. */
  number: number;
  bytes: Buffer;
}

export interface EventPlace {
  file: string;
  /** null: every line. */
  line: number | null;
}

/** `FILE:LINE`, unless a file has that very name. */
export function eventPlace(text: string): EventPlace {
  const match = /^(.+):(\d+)$/s.exec(text);
  if (match === null || isFile(text)) return { file: text, line: null };
  return { file: match[1]!, line: Number(match[2]) };
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

const LINE_LIMITS = { lineBytesMax: DECODE_LIMITS.bytesMax, firstPartBytes: 0 };

/**
 * The lines that are not blank, decompressed where they were compressed. Throws `Failure`
 * EVENTS_UNREADABLE.
 */
export async function* eventLines(file: string): AsyncGenerator<EventLine> {
  const lines = new LineSplitter(LINE_LIMITS);
  try {
    for await (const chunk of decompress(file === '-' ? process.stdin : createReadStream(file))) {
      for (const { number, bytes } of lines.push(chunk))
        if (!isBlank(bytes)) yield { number, bytes };
    }
  } catch (error) {
    throw unreadable(file, error);
  }
  for (const { number, bytes } of lines.end()) if (!isBlank(bytes)) yield { number, bytes };
}

function unreadable(file: string, error: unknown): Failure {
  const reason = systemReason(error);
  const missing = reason === 'ENOENT';
  return new Failure(`${file} cannot be read${missing ? ': no such file' : ` (${reason})`}`, {
    code: 'EVENTS_UNREADABLE',
    hint: missing
      ? 'name a file of audit events, one a line'
      : 'check the file and its permissions',
    ...(missing ? {} : { cause: error }),
  });
}
