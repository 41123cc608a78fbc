/**
 * A copy of an archive in a folder, read as a store: keys are paths. Nothing is written, and a
 * folder knows no versions: each key has the one that is there.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, posix, sep } from 'node:path';
import { Failure, reasonOf } from '../runtime/errors.ts';
import type { ObjectStore } from './store.ts';

/** @throws Failure `NO_FOLDER` */
export function folderStore(folder: string): Pick<ObjectStore, 'get' | 'list' | 'versions'> {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new Failure(`${folder} is not a folder`, {
      code: 'NO_FOLDER',
      hint: 'Name a copy of the archive, or s3://BUCKET/PREFIX.',
    });
  }
  let keys: string[] | null = null;
  const all = (): string[] => {
    keys ??= keysUnder(folder);
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

/** Keys are plain ASCII, so that the order of their units is that of their bytes. */
function keysUnder(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const paths = files.map(({ parentPath, name }) => join(parentPath, name).slice(folder.length));
  return paths.map((path) => path.split(sep).join(posix.sep).replace(/^\/+/, '')).sort();
}

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
