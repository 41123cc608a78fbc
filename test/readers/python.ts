/**
 * A Python of our own for readers that share no code with lakeseal: a virtual environment in the
 * cache folder, made once with pinned packages by the ordinary client, found again afterwards.
 */
import { execFile } from 'node:child_process';
import { hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder, lock } from '../stack/artifacts.ts';

const run = promisify(execFile);

export const READER_PACKAGES = ['fastavro==1.13.1'];
export const DUCKDB_PACKAGES = [
  'duckdb==1.5.5',
  'duckdb-extensions==1.5.5',
  'duckdb-extension-avro==1.5.5',
];

/**
 * Path of a Python interpreter that has these packages. The environment is complete or absent: a
 * marker is made last, and a half-made one is made anew.
 */
export async function pythonWith(packages: string[]): Promise<string> {
  const name = `python-${hash('sha256', packages.join('\n')).slice(0, 16)}`;
  const folder = join(cacheFolder(), name);
  const python = join(folder, 'bin', 'python');
  const marker = join(folder, 'complete');
  if (existsSync(marker)) return python;
  const unlock = await lock(`${folder}.lock`);
  try {
    if (existsSync(marker)) return python;
    // An environment has its own path inside, so it is made in place and not renamed.
    await rm(folder, { recursive: true, force: true });
    await run('python3', ['-m', 'venv', folder]);
    await run(join(folder, 'bin', 'pip'), ['install', '--quiet', ...packages]);
    await mkdir(marker);
  } finally {
    unlock();
  }
  return python;
}

/** Runs a script of this folder and parses the one JSON object it prints. */
export async function runReader(
  python: string,
  script: string,
  args: string[],
): Promise<Record<string, unknown>> {
  const { stdout } = await run(python, [join(import.meta.dirname, script), ...args], {
    maxBuffer: 64 * 1024 * 1024,
  });
  return JSON.parse(stdout) as Record<string, unknown>;
}
