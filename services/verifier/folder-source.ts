/**
 * A copy of an archive in a folder: keys are paths. Where `versions.jsonl` lies beside, it tells of
 * every version, marker and retention that the store had when the copy was made; without it a folder
 * has one version of each file, and nothing is known of how it was protected.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Protection } from '../../schemas/evidence/manifest.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';
import { assertFolder, keysBelow, VERSIONS_FILE, VERSIONS_FOLDER } from '../store/folder.ts';
import type { ArchiveSource, SourceVersion } from './source.ts';

const line = z.looseObject({
  key: z.string(),
  versionId: z.string(),
  isLatest: z.boolean(),
  isDeleteMarker: z.boolean(),
  size: z.int().nonnegative(),
  retention: z
    .object({ mode: z.enum(['COMPLIANCE', 'GOVERNANCE']), until: z.string() })
    .nullable()
    .default(null),
  encryption: z.looseObject({ kind: z.string() }).nullable().default(null),
});

/** @throws Failure `NO_FOLDER`; `NO_LISTING` where `versions.jsonl` cannot be read. */
export function folderSource(folder: string): ArchiveSource {
  assertFolder(folder);
  const path = join(folder, VERSIONS_FILE);
  const listed = existsSync(path) ? readListing(path) : null;
  const known = new Map(listed?.map((one) => [placeOf(one.version), one.protection]));
  const fileOf = (version: SourceVersion): string => {
    const { key, versionId, isLatest } = version;
    if (isLatest) return join(folder, ...safe(key));
    return join(folder, VERSIONS_FOLDER, ...safe(key), ...safe(versionId));
  };
  return {
    name: folder,
    tellsVersions: listed !== null,
    async *versions(prefix, after = '') {
      const files = filesBelow(folder, prefix, after);
      let file = files.next();
      for (const { version } of listed ?? []) {
        if (!version.key.startsWith(prefix) || version.key <= after) continue;
        // What lies in the folder beside what was listed came later.
        for (; file.done !== true && file.value.key < version.key; file = files.next()) {
          yield file.value;
        }
        if (file.done !== true && file.value.key === version.key) file = files.next();
        yield version;
      }
      for (; file.done !== true; file = files.next()) yield file.value;
    },
    async read(version) {
      try {
        return readFileSync(fileOf(version));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw new Failure(`${version.key} cannot be read: ${reasonOf(error)}`, {
          code: 'NO_FOLDER',
        });
      }
    },
    protection: async (version) => known.get(placeOf(version)) ?? null,
  };
}

function safe(key: string): string[] {
  const parts = key.split('/');
  if (!parts.some((part) => part === '' || part === '.' || part === '..')) return parts;
  throw new Failure(`a key that is no path: ${JSON.stringify(key)}`, { code: 'NO_FOLDER' });
}

const placeOf = ({ key, versionId }: SourceVersion): string => `${key}\n${versionId}`;

interface Listed {
  version: SourceVersion;
  protection: Protection;
}

/** In the order of the file, which is that of the keys. */
function readListing(path: string): Listed[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.flatMap((text, index): Listed[] => {
    if (text === '') return [];
    let parsed: z.infer<typeof line>;
    try {
      parsed = line.parse(JSON.parse(text));
    } catch (error) {
      throw new Failure(`${path}:${index + 1}: not a line of a listing: ${reasonOf(error)}`, {
        code: 'NO_LISTING',
        hint: 'Copy it anew from the store, or leave it out: versions are then not checked.',
      });
    }
    const { key, versionId, isLatest, isDeleteMarker, size, retention, encryption } = parsed;
    const protection = { retention, encryption: encryption as Protection['encryption'] };
    return [{ version: { key, versionId, isLatest, isDeleteMarker, size }, protection }];
  });
}

/** Files below a prefix and behind a key, by the bytes of their keys. */
function* filesBelow(folder: string, prefix: string, after: string): Generator<SourceVersion> {
  for (const key of keysBelow(folder, prefix.slice(0, prefix.lastIndexOf('/') + 1))) {
    if (!key.startsWith(prefix) || key <= after) continue;
    const { size } = statSync(join(folder, ...key.split('/')));
    yield { key, versionId: '', isLatest: true, isDeleteMarker: false, size };
  }
}
