/**
 * Compiles the AssemblyScript of each `assembly` folder to the module that is read at run time. The
 * module is kept beside the folder, so that a checkout runs as it is; a test holds the two
 * together. `npm run assemble` after a change.
 */
import { strict as assert } from 'node:assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import asc from 'assemblyscript/asc';
import { MEMORY_PAGES as HASHES_PAGES } from '../schemas/evidence/node-layout.ts';
import { MEMORY_PAGES as ROW_PAGES } from '../services/ingest/row-layout.ts';

const ROOT = join(import.meta.dirname, '..');

export interface Assembly {
  /** Of the repository. */
  folder: string;
  name: string;
  /** Of its memory, which does not grow. */
  pages: number;
}

export const ROW_SCAN: Assembly = {
  folder: 'services/ingest',
  name: 'row-scan',
  pages: ROW_PAGES,
};
export const NODE_HASHES: Assembly = {
  folder: 'schemas/evidence',
  name: 'node-hashes',
  pages: HASHES_PAGES,
};

export function moduleOf({ folder, name }: Assembly): string {
  return join(ROOT, folder, `${name}.wasm`);
}

/** The module as the compiler of the lockfile makes it of the source: always the same bytes. */
export async function assembled({ folder, name, pages }: Assembly): Promise<Uint8Array> {
  const binary = `${name}.wasm`;
  let module: Uint8Array | null = null;
  const { error, stderr } = await asc.main(
    [
      ...[`assembly/${name}.ts`, '--outFile', binary, '--runtime', 'stub'],
      ...['--enable', 'simd', '-O3', '--noAssert'],
      ...['--initialMemory', `${pages}`, '--maximumMemory', `${pages}`],
    ],
    {
      readFile: (path) => {
        try {
          return readFileSync(join(ROOT, folder, path), 'utf8');
        } catch {
          return null;
        }
      },
      writeFile: (path, contents) => {
        if (path === binary) module = contents as Uint8Array;
      },
      listFiles: () => [],
    },
  );
  assert(error === null && module !== null, `it does not compile: ${stderr.toString()}`);
  return module;
}

if (import.meta.main) {
  for (const one of [ROW_SCAN, NODE_HASHES]) writeFileSync(moduleOf(one), await assembled(one));
}
