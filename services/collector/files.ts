/**
 * Files, globs, folders and standard input as sources. Edge: the file system.
 *
 * Nothing is opened before every name was looked at: all that is missing is named at once.
 */
import { createReadStream } from 'node:fs';
import { access, constants, glob, readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { byDelivery, type Delivered } from './order.ts';

export interface FileSource {
  /** As the user would name it. */
  name: string;
  /** null where it cannot be known before (standard input, a pipe). */
  bytes: number | null;
  /** Yields buffers. */
  open(): Readable;
}

export interface ExpandedInputs {
  sources: FileSource[];
  /** One sentence each, naming the input. */
  missing: string[];
}

/** What a delivery file is called, in folders and buckets. A file named by itself may have any name. */
const DELIVERY_NAME = /\.(json|jsonl|ndjson)(\.(gz|gzip|zst|zstd))?$/i;
const GLOB_CHARACTERS = /[*?[\]{}]/;
const READ_CHUNK_BYTES = 256 * 1024;

export function isDeliveryName(name: string): boolean {
  const last = name.slice(name.lastIndexOf('/') + 1);
  return DELIVERY_NAME.test(last) && !last.startsWith('.') && !last.startsWith('_');
}

/**
 * In the order given; the files of one glob or folder in order of delivery. A file that two inputs
 * name is taken once.
 */
export async function expandInputs(inputs: string[], stdin: Readable): Promise<ExpandedInputs> {
  const found = new Map<string, FileSource>();
  const missing: string[] = [];
  for (const input of inputs) {
    if (input === '-') {
      found.set('-', { name: 'stdin', bytes: null, open: () => stdin });
      continue;
    }
    const { names, problem } = await namesOf(input);
    if (problem !== null) missing.push(problem);
    const there: Array<Delivered & { source: FileSource }> = [];
    for (const name of names) {
      const outcome = await fileSource(name);
      if (typeof outcome === 'string') missing.push(outcome);
      else there.push(outcome);
    }
    for (const { path, source } of there.sort(byDelivery)) {
      if (!found.has(resolve(path))) found.set(resolve(path), source);
    }
  }
  return { sources: [...found.values()], missing };
}

interface Names {
  names: string[];
  problem: string | null;
}

async function namesOf(input: string): Promise<Names> {
  const here = await stat(input).catch(() => null);
  if (here === null && GLOB_CHARACTERS.test(input)) return globbed(input);
  if (here?.isDirectory() !== true) return { names: [input], problem: null };
  const entries = await readdir(input, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => !entry.isDirectory() && isDeliveryName(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  if (names.length > 0) return { names, problem: null };
  return { names, problem: `${input}: no .json, .jsonl or .ndjson file (.gz, .zst) inside` };
}

async function globbed(pattern: string): Promise<Names> {
  const names: string[] = [];
  for await (const entry of glob(pattern, { withFileTypes: true })) {
    if (!entry.isDirectory()) names.push(join(entry.parentPath, entry.name));
  }
  return names.length > 0
    ? { names, problem: null }
    : { names, problem: `${pattern}: no file matches` };
}

/** The file, or why there is none. Copies of a bucket keep the times of delivery as those of files. */
async function fileSource(name: string): Promise<(Delivered & { source: FileSource }) | string> {
  try {
    const found = await stat(name);
    await access(name, constants.R_OK);
    const open = (): Readable => createReadStream(name, { highWaterMark: READ_CHUNK_BYTES });
    const source = { name, bytes: found.isFile() ? found.size : null, open };
    return { path: name, deliveredMs: found.mtimeMs, source };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    const reasons: Record<string, string> = {
      ENOENT: 'no such file',
      EACCES: 'not readable by this user',
      ENOTDIR: 'no such file',
    };
    return `${name}: ${reasons[code] ?? code}`;
  }
}
