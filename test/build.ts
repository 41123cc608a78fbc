/**
 * Builds the package: JavaScript and everything that is read at run time, under dist/, in the same
 * folders as in the checkout, so that a path relative to a module is right in both. Needed only for
 * the package: Node runs the checkout as it is, but strips no types inside node_modules.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, globSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const OUT = join(ROOT, 'dist');
const SOURCES = ['schemas', 'services'];

/** Every file below the source folders that is no code is an asset. */
export function assetsOf(root: string): string[] {
  return globSync(
    SOURCES.map((folder) => `${folder}/**/*.*`),
    { cwd: root, exclude: ['**/*.ts'] },
  ).sort();
}

function compile(): void {
  const path = [join(ROOT, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
  const { status, error } = spawnSync('tsc', ['-p', join(ROOT, 'tsconfig.build.json')], {
    cwd: ROOT,
    // npm keeps standard output of a packing script for its own JSON.
    stdio: ['ignore', 2, 2],
    env: { ...process.env, PATH: path },
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`tsc ended with ${status}`);
}

export function build(): void {
  rmSync(OUT, { recursive: true, force: true });
  compile();
  for (const asset of assetsOf(ROOT)) cpSync(join(ROOT, asset), join(OUT, asset));
  chmodSync(join(OUT, 'services', 'main.js'), 0o755);
}

if (import.meta.main) build();
