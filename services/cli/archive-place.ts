/** What the commands that read an archive share: where it lies, and which keys are trusted. */
import type { Verifier } from '../../schemas/evidence/note.ts';
import { wrappingKeyFromFile } from '../evidence/keys.ts';
import { configuredSigner } from '../evidence/signer.ts';
import { namedVerifiers } from '../evidence/trust.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';

export interface KeyFlags {
  key?: string[];
  keyFile?: string[];
}

/** A bucket, or a copy in a folder; `storage.prefix` counts for both. */
export interface ArchivePlace {
  storage: Config['storage'];
  /** Null for a bucket. */
  folder: string | null;
}

/** `place`: `s3://BUCKET/PREFIX` or a folder; left out, the bucket of the configuration. @throws Failure */
export function archivePlace({ storage }: Config, place: string | undefined): ArchivePlace {
  if (place === undefined) return { storage, folder: null };
  if (!place.startsWith('s3://')) return { storage, folder: place };
  const [, bucket, path = ''] = /^s3:\/\/([^/]+)\/?(.*)$/.exec(place) ?? [];
  if (bucket === undefined) {
    throw new Failure(`not s3://BUCKET/PREFIX: ${place}`, { code: 'USAGE' });
  }
  const prefix = path === '' || path.endsWith('/') ? path : `${path}/`;
  return { storage: { ...storage, bucket, prefix }, folder: null };
}

/** Keys of the command line, else of the configuration, else that of the signing key. @throws Failure */
export async function trustedKeys(
  { key = [], keyFile = [] }: KeyFlags,
  config: () => Config,
): Promise<Verifier[]> {
  if (key.length + keyFile.length > 0) return namedVerifiers({ keys: key, files: keyFile });
  const settings = config();
  if (settings.evidence.publicKeys.length > 0) {
    return namedVerifiers({ keys: settings.evidence.publicKeys });
  }
  const signer = await configuredSigner(settings);
  if (signer !== null) return [signer.verifier];
  throw new Failure('no public key was given', {
    code: 'NO_KEY',
    hint: 'Pass --key (`lakeseal keys show` prints it), or set evidence.publicKeys.',
  });
}

/** What opens encrypted segments: the files of the command line, else those of the configuration. */
export function unwrapKeys(files: readonly string[] | undefined, { archive }: Config) {
  return (files ?? archive.envelopeKeys).map(wrappingKeyFromFile);
}
