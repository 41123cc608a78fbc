/**
 * The edge that tells whether rule and list files are what they were: names, sizes and times of
 * everything below the folders.
 */
import { createHash, type Hash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

const FILES_MAX = 20_000;
const FOLDER_DEPTH_MAX = 32;

/** Another text for other files, for all that names, sizes and times tell. Never rejects. */
export async function stampFiles(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  const count = { files: 0 };
  for (const path of paths) await visit(path, hash, 0, count);
  return hash.digest('base64url');
}

async function visit(
  path: string,
  hash: Hash,
  depth: number,
  count: { files: number },
): Promise<void> {
  if (depth > FOLDER_DEPTH_MAX || count.files >= FILES_MAX) return;
  count.files += 1;
  try {
    const stats = await stat(path, { bigint: true });
    if (!stats.isDirectory()) {
      hash.update(`${path}\n${stats.ino} ${stats.size} ${stats.mtimeNs}\n`);
      return;
    }
    for (const entry of (await readdir(path)).sort()) {
      if (!entry.startsWith('.')) await visit(join(path, entry), hash, depth + 1, count);
    }
  } catch (error) {
    // Gone, or not to be read: that too may change.
    hash.update(`${path}\n${(error as NodeJS.ErrnoException).code ?? 'unreadable'}\n`);
  }
}
