/**
 * A copy of an archive in a folder, with every version and the store's listing (`versions.jsonl`,
 * `schemas/evidence.md`): what an auditor takes along. A copy that was ended goes on where it was:
 * a file that is there in full is not read again, and `verify` says whether it is the right one.
 */
import { createWriteStream, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EVIDENCE } from '../../schemas/evidence/log-layout.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';
import { VERSIONS_FILE, VERSIONS_FOLDER } from '../store/folder.ts';
import type { ArchiveSource, SourceVersion } from './source.ts';

export interface CopyOptions {
  source: ArchiveSource;
  prefix: string;
  folder: string;
  /** Objects on their way at the same time. */
  concurrency: number;
  /** Nothing is written. */
  dryRun: boolean;
  progress: (done: CopySummary) => void;
}

export interface CopySummary {
  objects: number;
  /** Of those that were there already. */
  kept: number;
  /** Stored bytes of all objects. */
  bytes: number;
  /** Delete markers, of which there is nothing to copy. */
  markers: number;
}

const PART = '.part';

/** @throws Failure `NO_FOLDER` where the folder cannot be written, `GONE` where an object vanished. */
export async function copyArchive(options: CopyOptions): Promise<CopySummary> {
  const { source, prefix, folder, concurrency, dryRun, progress } = options;
  const summary: CopySummary = { objects: 0, kept: 0, bytes: 0, markers: 0 };
  const path = join(folder, VERSIONS_FILE);
  const listing = dryRun ? null : lateListing(folder, `${path}${PART}`);
  const waiting: Array<Promise<string>> = [];
  const take = async (): Promise<void> => {
    const line = await waiting.shift()!;
    await listing?.write(line);
    progress(summary);
  };
  try {
    // In the order of keys.
    for (const below of [`${prefix}data/`, `${prefix}${EVIDENCE}`]) {
      for await (const version of source.versions(below)) {
        const copied = copyVersion(version, options, summary);
        // A failure is told when its turn comes.
        copied.catch(() => {});
        waiting.push(copied);
        if (waiting.length >= concurrency) await take();
      }
    }
    while (waiting.length > 0) await take();
    // Of nothing there is an empty listing.
    await listing?.write('');
  } catch (error) {
    // The others end before the reason is told.
    await Promise.allSettled(waiting);
    await listing?.close();
    if (!dryRun) rmSync(`${path}${PART}`, { force: true });
    throw error;
  }
  await listing?.close();
  if (!dryRun) renameSync(`${path}${PART}`, path);
  return summary;
}

/** The line of the listing. */
async function copyVersion(
  version: SourceVersion,
  { source, folder, dryRun }: CopyOptions,
  summary: CopySummary,
): Promise<string> {
  const { key, versionId, isLatest, isDeleteMarker, size } = version;
  if (isDeleteMarker) summary.markers += 1;
  else {
    summary.objects += 1;
    summary.bytes += size;
    if (await copyBytes(source, version, folder, dryRun)) summary.kept += 1;
  }
  if (dryRun) return '';
  const told = isDeleteMarker ? null : await source.protection(version);
  const { retention, encryption } = told ?? { retention: null, encryption: null };
  const row = { key, versionId, isLatest, isDeleteMarker, size, retention, encryption };
  return `${JSON.stringify(row)}\n`;
}

/** True where the file was there already. */
async function copyBytes(
  source: ArchiveSource,
  version: SourceVersion,
  folder: string,
  dryRun: boolean,
): Promise<boolean> {
  const { key, versionId, isLatest, size } = version;
  const parts = isLatest ? key.split('/') : [VERSIONS_FOLDER, ...key.split('/'), versionId];
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new Failure(`a key that is no path: ${JSON.stringify(key)}`, { code: 'NO_FOLDER' });
  }
  const path = join(folder, ...parts);
  if (statSync(path, { throwIfNoEntry: false })?.size === size) return true;
  if (dryRun) return false;
  const bytes = await source.read(version);
  if (bytes === null) {
    throw new Failure(`${key} (version ${versionId}) was listed, and is not there`, {
      code: 'GONE',
      hint: 'Was it deleted meanwhile? Copy again; `lakeseal verify` says what is missing.',
    });
  }
  try {
    mkdirSync(dirname(path), { recursive: true });
    await writeFile(`${path}${PART}`, bytes);
    renameSync(`${path}${PART}`, path);
  } catch (error) {
    throw new Failure(`${path} cannot be written: ${reasonOf(error)}`, { code: 'NO_FOLDER' });
  }
  return false;
}

interface Listing {
  write(line: string): Promise<void>;
  close(): Promise<void>;
}

/** Opened by the first line, so that a store that refuses the first call leaves no folder behind. */
function lateListing(folder: string, path: string): Listing {
  let listing: Listing | null = null;
  return {
    async write(line) {
      listing ??= openListing(folder, path);
      await listing.write(line);
    },
    async close() {
      await listing?.close();
    },
  };
}

function openListing(folder: string, path: string): Listing {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new Failure(`${folder} cannot be made: ${reasonOf(error)}`, { code: 'NO_FOLDER' });
  }
  // A listing is of one copy only: the old one must not stand beside newer files.
  if (existsSync(path)) rmSync(path);
  const stream = createWriteStream(path);
  const failed = new Promise<never>((_, reject) => {
    stream.on('error', (error) =>
      reject(new Failure(`${path} cannot be written: ${error.message}`, { code: 'NO_FOLDER' })),
    );
  });
  failed.catch(() => {});
  return {
    write: async (line) => {
      if (stream.write(line)) return;
      const drained = new Promise<void>((resolve) => stream.once('drain', () => resolve()));
      await Promise.race([drained, failed]);
    },
    close: () =>
      Promise.race([new Promise<void>((resolve) => stream.end(() => resolve())), failed]),
  };
}
