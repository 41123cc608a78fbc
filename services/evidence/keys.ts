/**
 * Keys from files that only their owner may read: the one that signs checkpoints, and those that
 * encrypt segments, where KMS does not keep those. Reads the file system; the forms of keys are in
 * `schemas/`.
 */
import { readFileSync, statSync } from 'node:fs';
import { NoteError, parsePrivateKey, type Signer } from '../../schemas/evidence/note.ts';
import {
  EnvelopeError,
  isKmsSecretText,
  parseKmsSecret,
  parseWrappingKey,
  type WrappingKey,
} from '../../schemas/wrapping-key.ts';
import type { Config } from '../runtime/config.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';

/** Rights of group and others. */
const SHARED = 0o077;

/** @throws Failure `KEY_FILE` that says what is wrong; the key itself is never shown. */
export function signerFromFile(path: string): Signer {
  const what = 'the signing key';
  const text = readKey(path, what, 'Make one with `lakeseal keys new`, or mend evidence.keyFile.');
  assertPrivate(path, what, '`lakeseal keys rotate`');
  try {
    return parsePrivateKey(text);
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    throw new Failure(`the signing key ${path} is none: ${error.message}`, { code: 'KEY_FILE' });
  }
}

/** What KMS is asked for, where it keeps a secret. */
export interface KmsPlace {
  /** Unset for AWS. */
  envelopeKmsEndpoint?: string | undefined;
}

/**
 * The secret in a file, or that of which KMS keeps the key: such a file may be read by anybody.
 * @throws Failure `KEY_FILE`, as above; `KMS_…` where KMS does not decrypt it.
 */
export async function wrappingKeyFromFile(
  path: string,
  { envelopeKmsEndpoint }: KmsPlace = {},
): Promise<WrappingKey> {
  const what = 'the key of envelopes';
  const hints = {
    make: 'Make one with `lakeseal keys envelope`, or mend archive.envelopeKeys.',
    leaked: 'a new key for what is sealed from now on',
  };
  const text = readKey(path, what, hints.make);
  try {
    if (!isKmsSecretText(text)) {
      assertPrivate(path, what, hints.leaked);
      return parseWrappingKey(text);
    }
    const secret = parseKmsSecret(text);
    // Its client is large, and most keys are files.
    const { openKmsSecret } = await import('./kms-envelope.ts');
    return await openKmsSecret(secret, envelopeKmsEndpoint);
  } catch (error) {
    if (!(error instanceof EnvelopeError)) throw error;
    throw new Failure(`the key of envelopes ${path} is none: ${error.message}`, {
      code: 'KEY_FILE',
    });
  }
}

/** The secrets in files, or those of the configuration. @throws Failure, as `wrappingKeyFromFile` */
export function wrappingKeys(
  archive: Pick<Config['archive'], 'envelopeKeys' | 'envelopeKmsEndpoint'>,
  files: readonly string[] = archive.envelopeKeys,
): Promise<WrappingKey[]> {
  return Promise.all(files.map((file) => wrappingKeyFromFile(file, archive)));
}

/**
 * That a new segment may be encrypted with it, in that archive.
 * @throws Failure `ENVELOPE_KEY` where KMS binds it to another.
 */
export function assertMadeFor(
  key: WrappingKey,
  storage: Pick<Config['storage'], 'bucket' | 'prefix'>,
): void {
  const archive = archiveName(storage);
  if (key.archive === null || key.archive === archive) return;
  throw new Failure(`the KMS secret ${key.id} was made for ${key.archive}, not for ${archive}`, {
    code: 'ENVELOPE_KEY',
    hint: 'Make one for this archive with `lakeseal keys envelope --kms`; the other may stay behind it in archive.envelopeKeys.',
  });
}

/** What KMS binds a secret to. */
export function archiveName({
  bucket,
  prefix,
}: Pick<Config['storage'], 'bucket' | 'prefix'>): string {
  return `${bucket}/${prefix}`;
}

function assertPrivate(path: string, what: string, leaked: string): void {
  const { mode } = statSync(path);
  if ((mode & SHARED) === 0) return;
  const rights = (mode & 0o777).toString(8).padStart(3, '0');
  throw new Failure(`${what} ${path} may be read by others (mode ${rights})`, {
    code: 'KEY_FILE',
    hint: `chmod 600 ${path}, and think of who may have copied it: ${leaked}.`,
  });
}

function readKey(path: string, what: string, make: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Failure(`${what} ${path} cannot be read: ${reasonOf(error)}`, {
      code: 'KEY_FILE',
      hint: make,
    });
  }
}
