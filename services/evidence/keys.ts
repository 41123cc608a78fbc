/**
 * The key that signs checkpoints, from a file that only its owner may read. Reads the file system;
 * the forms of keys are in `schemas/evidence/note.ts`.
 */
import { readFileSync, statSync } from 'node:fs';
import { NoteError, parsePrivateKey, type Signer } from '../../schemas/evidence/note.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';

/** Rights of group and others. */
const SHARED = 0o077;

/** @throws Failure `KEY_FILE` that says what is wrong; the key itself is never shown. */
export function signerFromFile(path: string): Signer {
  let text: string;
  try {
    const { mode } = statSync(path);
    if ((mode & SHARED) !== 0) {
      const rights = (mode & 0o777).toString(8).padStart(3, '0');
      throw new Failure(`the signing key ${path} may be read by others (mode ${rights})`, {
        code: 'KEY_FILE',
        hint: `chmod 600 ${path}, and think of who may have copied it: \`lakeseal keys rotate\`.`,
      });
    }
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`the signing key ${path} cannot be read: ${reasonOf(error)}`, {
      code: 'KEY_FILE',
      hint: 'Make one with `lakeseal keys new`, or mend evidence.keyFile.',
    });
  }
  try {
    return parsePrivateKey(text);
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    throw new Failure(`the signing key ${path} is none: ${error.message}`, { code: 'KEY_FILE' });
  }
}
