/** Certificate and key files that the configuration names. Edge: the file system. */
import { readFileSync } from 'node:fs';
import { Failure } from './errors.ts';

/** @param key the setting that names the file. @throws Failure `code` where it cannot be read. */
export function readPem(path: string, key: string, code: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Failure(`cannot read ${path}`, {
      code,
      hint: `Is ${key} right, and may this user read the file?`,
      cause,
    });
  }
}
