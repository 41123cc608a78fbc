/**
 * Keys from files that only their owner may read: the one that signs checkpoints, and those that
 * encrypt segments. Reads the file system; the forms of keys are in `schemas/`.
 */
import { readFileSync, statSync } from 'node:fs';
import { EnvelopeError, parseWrappingKey, type WrappingKey } from '../../schemas/envelope.ts';
import { NoteError, parsePrivateKey, type Signer } from '../../schemas/evidence/note.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';

/** Rights of group and others. */
const SHARED = 0o077;

/** @throws Failure `KEY_FILE` that says what is wrong; the key itself is never shown. */
export function signerFromFile(path: string): Signer {
  const text = readPrivate(path, 'the signing key', {
    make: 'Make one with `lakeseal keys new`, or mend evidence.keyFile.',
    leaked: '`lakeseal keys rotate`',
  });
  try {
    return parsePrivateKey(text);
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    throw new Failure(`the signing key ${path} is none: ${error.message}`, { code: 'KEY_FILE' });
  }
}

/** @throws Failure `KEY_FILE`, as above. */
export function wrappingKeyFromFile(path: string): WrappingKey {
  const text = readPrivate(path, 'the key of envelopes', {
    make: 'Make one with `lakeseal keys envelope`, or mend archive.envelopeKeys.',
    leaked: 'a new key for what is sealed from now on',
  });
  try {
    return parseWrappingKey(text);
  } catch (error) {
    if (!(error instanceof EnvelopeError)) throw error;
    throw new Failure(`the key of envelopes ${path} is none: ${error.message}`, {
      code: 'KEY_FILE',
    });
  }
}

function readPrivate(path: string, what: string, hints: { make: string; leaked: string }): string {
  try {
    const { mode } = statSync(path);
    if ((mode & SHARED) !== 0) {
      const rights = (mode & 0o777).toString(8).padStart(3, '0');
      throw new Failure(`${what} ${path} may be read by others (mode ${rights})`, {
        code: 'KEY_FILE',
        hint: `chmod 600 ${path}, and think of who may have copied it: ${hints.leaked}.`,
      });
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`${what} ${path} cannot be read: ${reasonOf(error)}`, {
      code: 'KEY_FILE',
      hint: hints.make,
    });
  }
}
