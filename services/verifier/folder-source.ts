/**
 * A copy of an archive in a folder: keys are paths. Where `versions.jsonl` lies beside, it tells of
 * every version, marker and retention that the store had when the copy was made; without it a folder
 * has one version of each file, and nothing is known of how it was protected.
 */
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { Protection } from '../../schemas/evidence/manifest.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';
import type { ArchiveSource, SourceVersion } from './source.ts';

export const VERSIONS_FILE = 'versions.jsonl';
export const VERSIONS_FOLDER = 'versions';

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

/** @throws Failure `NO_FOLDER` */
export function folderSource(folder: string): ArchiveSource {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new Failure(`${folder} is not a folder`, {
      code: 'NO_FOLDER',
      hint: 'Name a copy of the archive, or s3://BUCKET/PREFIX.',
    });
  }
  const listing = join(folder, VERSIONS_FILE);
  const known = new Map<string, Protection>();
  const listed = existsSync(listing);
  const place = ({ key, versionId, isLatest }: SourceVersion): string => {
    const current = join(folder, ...safe(key));
    return isLatest ? current : join(folder, VERSIONS_FOLDER, ...safe(key), ...safe(versionId));
  };
  return {
    name: folder,
    async *versions(prefix) {
      if (!listed) {
        yield* filesBelow(folder, prefix);
        return;
      }
      const files = filesBelow(folder, prefix)[Symbol.iterator]();
      let file = files.next();
      for await (const { version, protection } of linesOf(listing, prefix)) {
        known.set(`${version.key}\n${version.versionId}`, protection);
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
        return readFileSync(place(version));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw new Failure(`${version.key} cannot be read: ${reasonOf(error)}`, {
          code: 'NO_FOLDER',
        });
      }
    },
    protection: async ({ key, versionId }) => known.get(`${key}\n${versionId}`) ?? null,
  };
}

function safe(key: string): string[] {
  const parts = key.split('/');
  if (!parts.some((part) => part === '' || part === '.' || part === '..')) return parts;
  throw new Failure(`a key that is no path: ${JSON.stringify(key)}`, { code: 'NO_FOLDER' });
}

async function* linesOf(
  path: string,
  prefix: string,
): AsyncGenerator<{ version: SourceVersion; protection: Protection }> {
  let number = 0;
  for await (const text of createInterface({ input: createReadStream(path) })) {
    number += 1;
    if (text === '') continue;
    let parsed: z.infer<typeof line>;
    try {
      parsed = line.parse(JSON.parse(text));
    } catch (error) {
      throw new Failure(`${path}:${number}: not a line of a listing: ${reasonOf(error)}`, {
        code: 'NO_LISTING',
      });
    }
    const { key, versionId, isLatest, isDeleteMarker, size, retention, encryption } = parsed;
    if (!key.startsWith(prefix)) continue;
    const version = { key, versionId, isLatest, isDeleteMarker, size };
    yield {
      version,
      protection: { retention, encryption: encryption as Protection['encryption'] },
    };
  }
}

/** Files below a prefix by the bytes of their keys. */
function* filesBelow(folder: string, prefix: string): Generator<SourceVersion> {
  const start = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  for (const key of keysBelow(folder, start)) {
    if (!key.startsWith(prefix)) continue;
    const { size } = statSync(join(folder, ...key.split('/')));
    yield { key, versionId: '', isLatest: true, isDeleteMarker: false, size };
  }
}

function* keysBelow(folder: string, at: string): Generator<string> {
  const path = join(folder, ...at.split('/'));
  if (!existsSync(path)) return;
  const entries = readdirSync(path, { withFileTypes: true })
    .filter(({ name }) => at !== '' || (name !== VERSIONS_FOLDER && name !== VERSIONS_FILE))
    // A folder's keys all have its name and a slash, which sorts otherwise than its name alone.
    .map((entry) => ({ name: entry.isDirectory() ? `${entry.name}/` : entry.name }))
    .sort((one, other) => Buffer.compare(Buffer.from(one.name), Buffer.from(other.name)));
  for (const { name } of entries) {
    if (name.endsWith('/')) yield* keysBelow(folder, `${at}${name}`);
    else yield `${at}${name}`;
  }
}
