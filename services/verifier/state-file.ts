/**
 * Small files that a verifier keeps for itself, readable by their owner only. Written whole and put in
 * place by a rename: a crash leaves the one before.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { Failure, reasonOf } from '../runtime/errors.ts';

/** Null where there is none. @throws Failure `STATE_UNUSABLE` */
export function readStateFile(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw unusable(path, 'read', error);
  }
}

/** Durable when it returns. @throws Failure `STATE_UNUSABLE` */
export function writeStateFile(path: string, text: string): void {
  const next = `${path}.new`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    const file = openSync(next, 'w', 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(next, path);
    const folder = openSync(dirname(path), 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch (error) {
    throw unusable(path, 'written', error);
  }
}

function unusable(path: string, what: string, error: unknown): Failure {
  return new Failure(`the state ${path} cannot be ${what}: ${reasonOf(error)}`, {
    code: 'STATE_UNUSABLE',
    hint: 'Name a file in a folder that this user may write to.',
    cause: error,
  });
}
