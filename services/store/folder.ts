/**
 * A copy of an archive in a folder, read as a store: keys are paths. Nothing is written, and a
 * folder knows no versions: each key has the one that is there.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, reasonOf } from '../runtime/errors.ts';
import type { ObjectStore } from './store.ts';

/** Where a copy has the store's listing, and versions that are not the latest (`evidence.md`). */
export const VERSIONS_FILE = 'versions.jsonl';
export const VERSIONS_FOLDER = 'versions';

/** @throws Failure `NO_FOLDER` */
export function assertFolder(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
  throw new Failure(`${folder} is not a folder`, {
    code: 'NO_FOLDER',
    hint: 'Name a copy of the archive, or s3://BUCKET/PREFIX.',
  });
}

/** @throws Failure `NO_FOLDER` */
export function folderStore(folder: string): Pick<ObjectStore, 'get' | 'list' | 'versions'> {
  assertFolder(folder);
  let keys: string[] | null = null;
  const all = (): string[] => {
    keys ??= [...keysBelow(folder)];
    return keys;
  };
  return {
    get: async (key, range) => {
      const bytes = readIfThere(join(folder, ...key.split('/')));
      if (bytes === null) return null;
      const part = range === undefined ? bytes : bytes.subarray(range.from, range.to);
      return { bytes: part, versionId: '', size: bytes.length };
    },
    list: async (prefix, startAfter, max) => {
      const found = all();
      const from = startAfter === undefined || startAfter < prefix ? prefix : startAfter;
      const result: string[] = [];
      for (let at = lowerBound(found, from); at < found.length && result.length < max; at++) {
        const key = found[at]!;
        if (!key.startsWith(prefix)) break;
        if (key !== startAfter) result.push(key);
      }
      return result;
    },
    versions: async (key) => {
      const size = statSync(join(folder, ...key.split('/')), { throwIfNoEntry: false })?.size;
      if (size === undefined) return [];
      return [{ key, versionId: '', isLatest: true, isDeleteMarker: false, size }];
    },
  };
}

/** The keys at a path of the folder, which ends with a slash or is empty, by their bytes. */
export function* keysBelow(folder: string, at = ''): Generator<string> {
  const path = join(folder, ...at.split('/'));
  if (!existsSync(path)) return;
  const entries = readdirSync(path, { withFileTypes: true })
    .filter(({ name }) => at !== '' || (name !== VERSIONS_FOLDER && name !== VERSIONS_FILE))
    // A folder's keys all have its name and a slash, which sorts otherwise than its name alone.
    .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name));
  sortByBytes(entries);
  for (const name of entries) {
    if (name.endsWith('/')) yield* keysBelow(folder, `${at}${name}`);
    else yield `${at}${name}`;
  }
}

/** In plain ASCII, which is what lakeseal writes, the order of the units is that of the bytes. */
function sortByBytes(names: string[]): void {
  if (names.every((name) => ASCII.test(name))) names.sort();
  else names.sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
}

const ASCII = /^[\0-\x7f]*$/;

/** Keys of an archive are plain ASCII, so that the order of their units is that of their bytes. */
function lowerBound(keys: readonly string[], from: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle]! < from) low = middle + 1;
    else high = middle;
  }
  return low;
}

function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Failure(`${path} cannot be read: ${reasonOf(error)}`, { code: 'NO_FOLDER' });
  }
}
