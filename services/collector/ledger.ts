/**
 * What was collected from a delivery bucket into a topic: one append-only file per (cluster, topic,
 * bucket), one JSON line per collected object. Edge: the file system.
 *
 * An entry is appended, and on disk, only after every event of the object is durable on Kafka. So a
 * crash at any point costs at most a second reading (the same event ids again), never an object
 * left out. The newest line of a key counts. A line torn by a crash is dropped, as is one that
 * cannot be read: forgetting is safe, inventing is not, hence the checksum of each line. The file is
 * rewritten (new file, fsync, rename, fsync of the folder) when most of its lines are outdated.
 *
 * Two collectors on one ledger do no harm beyond reading twice; nothing keeps them apart.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failure } from '../runtime/errors.ts';

export interface LedgerEntry {
  key: string;
  /** As the store gave it with the bytes that were read. */
  etag: string;
  /** Size of the object as stored. */
  bytes: number;
  /** Up to and with the last line end, in decompressed bytes: where an overwritten object resumes. */
  doneBytes: number;
  /** Line ends within `doneBytes`. */
  doneLines: number;
  /** SHA-256 (hex) of the first `doneBytes` decompressed bytes. */
  doneHash: string;
}

export interface Ledger {
  /** Lines that could not be read when it was opened. */
  damaged: number;
  /** The newest entry of a key. */
  get(key: string): LedgerEntry | undefined;
  /** Durable when it resolves. */
  add(entries: LedgerEntry[]): Promise<void>;
  close(): Promise<void>;
}

/** A ledger with more lines than this, most of them outdated, is rewritten when it is opened. */
const REWRITE_LINES_MIN = 1_000;
const CHECKSUM_HEX_DIGITS = 8;

/** True when the object is, byte for byte, what was collected under this entry. */
export function isCollected(
  entry: LedgerEntry | undefined,
  object: { etag: string; bytes: number },
): boolean {
  return entry !== undefined && entry.etag === object.etag && entry.bytes === object.bytes;
}

export function formatEntry(entry: LedgerEntry): string {
  const { key, etag, bytes, doneBytes, doneLines, doneHash } = entry;
  const text = JSON.stringify({ key, etag, bytes, doneBytes, doneLines, doneHash });
  return `${checksum(text)} ${text}\n`;
}

/** The entry of one line (without its end), or null where it is torn, damaged or not ours. */
export function parseEntry(line: string): LedgerEntry | null {
  const text = line.slice(CHECKSUM_HEX_DIGITS + 1);
  if (line.slice(0, CHECKSUM_HEX_DIGITS + 1) !== `${checksum(text)} `) return null;
  return JSON.parse(text) as LedgerEntry;
}

export interface ParsedLedger {
  entries: Map<string, LedgerEntry>;
  /** Readable lines, outdated ones included. */
  lines: number;
  /** Lines dropped. One at the end is what a crash leaves. */
  damaged: number;
  /** Whether the text ends with a line end; else the next append must begin with one. */
  endsWithLine: boolean;
}

export function parseLedger(text: string): ParsedLedger {
  const entries = new Map<string, LedgerEntry>();
  let lines = 0;
  let damaged = 0;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const entry = parseEntry(line);
    if (entry === null) {
      damaged += 1;
      continue;
    }
    lines += 1;
    entries.set(entry.key, entry);
  }
  return { entries, lines, damaged, endsWithLine: text === '' || text.endsWith('\n') };
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, CHECKSUM_HEX_DIGITS);
}

/** What a ledger is about: the same object collected into another topic is another matter. */
export interface LedgerSubject {
  clusterId: string;
  topic: string;
  bucket: string;
  /** Host of an S3-compatible store; undefined for AWS, where bucket names are unique. */
  storeHost: string | undefined;
}

/** `FOLDER/collected/CLUSTER/TOPIC/BUCKET[@HOST].log` */
export function ledgerFile(folder: string, subject: LedgerSubject): string {
  const { clusterId, topic, bucket, storeHost } = subject;
  const store = storeHost === undefined ? bucket : `${bucket}@${storeHost}`;
  const parts = [clusterId, topic, `${store}.log`];
  return join(folder, 'collected', ...parts.map((part) => part.replaceAll(/[^\w.@-]/g, '_')));
}

/**
 * Opens or makes a ledger. `readOnly` (a dry run) makes nothing and takes no entry.
 * Throws `Failure` LEDGER_UNUSABLE.
 */
export async function openLedger(path: string, readOnly: boolean): Promise<Ledger> {
  try {
    if (!readOnly) await mkdir(dirname(path), { recursive: true });
    const parsed = parseLedger(await readIfThere(path));
    const { entries, damaged } = parsed;
    const get = (key: string): LedgerEntry | undefined => entries.get(key);
    if (readOnly) return { get, damaged, add: async () => {}, close: async () => {} };
    const outdated = parsed.lines > REWRITE_LINES_MIN && parsed.lines > 2 * entries.size;
    if (outdated) await rewrite(path, entries.values());
    const file = await open(path, 'a', 0o600);
    if (!outdated && !parsed.endsWithLine) await file.appendFile('\n');
    await syncFolder(dirname(path));
    return { get, damaged, add: appender(file, entries, path), close: () => file.close() };
  } catch (error) {
    throw unusable(path, error);
  }
}

function appender(
  file: FileHandle,
  entries: Map<string, LedgerEntry>,
  path: string,
): Ledger['add'] {
  return async (added) => {
    if (added.length === 0) return;
    try {
      await file.appendFile(added.map(formatEntry).join(''));
      await file.datasync();
    } catch (error) {
      throw unusable(path, error);
    }
    for (const entry of added) entries.set(entry.key, entry);
  };
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

async function rewrite(path: string, entries: Iterable<LedgerEntry>): Promise<void> {
  const next = `${path}.${process.pid}.new`;
  const file = await open(next, 'w', 0o600);
  try {
    for (const entry of entries) await file.appendFile(formatEntry(entry));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(next, path);
  await syncFolder(dirname(path));
}

/** Makes a new or renamed file's name durable too. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function unusable(path: string, cause: unknown): Failure {
  return new Failure(`cannot use the ledger ${path}`, {
    code: 'LEDGER_UNUSABLE',
    hint: 'name a folder that this user can write with collect.ledger (LAKESEAL_COLLECT_LEDGER)',
    cause,
  });
}
