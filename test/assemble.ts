/**
 * Compiles the AssemblyScript of `services/ingest/assembly` to the module that is read at run time.
 * The module is kept beside its source, so that a checkout runs as it is; a test holds the two
 * together. `npm run assemble` after a change.
 */
import { strict as assert } from 'node:assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import asc from 'assemblyscript/asc';
import { MEMORY_PAGES } from '../services/ingest/row-layout.ts';

const INGEST = join(import.meta.dirname, '..', 'services', 'ingest');
export const MODULE = join(INGEST, 'row-scan.wasm');
const SOURCE = 'assembly/row-scan.ts';
const BINARY = 'row-scan.wasm';

/** The module as the compiler of the lockfile makes it of the source: always the same bytes. */
export async function assembled(): Promise<Uint8Array> {
  let module: Uint8Array | null = null;
  const { error, stderr } = await asc.main(
    [
      ...[SOURCE, '--outFile', BINARY, '--runtime', 'stub', '--enable', 'simd', '-O3'],
      ...['--noAssert', '--initialMemory', `${MEMORY_PAGES}`, '--maximumMemory', `${MEMORY_PAGES}`],
    ],
    {
      readFile: (name) => {
        try {
          return readFileSync(join(INGEST, name), 'utf8');
        } catch {
          return null;
        }
      },
      writeFile: (name, contents) => {
        if (name === BINARY) module = contents as Uint8Array;
      },
      listFiles: () => [],
    },
  );
  assert(error === null && module !== null, `it does not compile: ${stderr.toString()}`);
  return module;
}

if (import.meta.main) writeFileSync(MODULE, await assembled());
