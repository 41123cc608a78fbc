/** What the commands that read an archive share: where it lies, and which keys are trusted. */
import { type Unwrap, unwrapWith } from '../../schemas/envelope.ts';
import type { Verifier } from '../../schemas/evidence/note.ts';
import { wrappingKeyFromFile } from '../evidence/keys.ts';
import { configuredSigner } from '../evidence/signer.ts';
import { namedVerifiers } from '../evidence/trust.ts';
import { readWraps } from '../evidence/wraps.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import { folderStore } from '../store/folder.ts';
import { createS3Store } from '../store/s3.ts';
import type { ObjectStore } from '../store/store.ts';

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

export interface OpenArchive {
  /** Only reads are asked of it. */
  store: Pick<ObjectStore, 'get' | 'list' | 'versions'>;
  prefix: string;
  close(): void;
}

/** `place`: as in `archivePlace`. @throws Failure */
export function openArchive(config: Config, place: string | undefined): OpenArchive {
  const { storage, folder } = archivePlace(config, place);
  const { prefix } = storage;
  if (folder !== null) return { store: folderStore(folder), prefix, close: () => {} };
  const store = createS3Store(storage, config.archive);
  return { store, prefix, close: () => store.close() };
}

/** Secrets of the command line, else of the configuration. @throws Failure */
export function unwrapKeys(files: readonly string[] | undefined, { archive }: Config) {
  return (files ?? archive.envelopeKeys).map(wrappingKeyFromFile);
}

/**
 * What opens encrypted segments: those secrets, and what the archive says was wrapped again for them.
 * @throws Failure; `EVIDENCE` where that log is not as it was written.
 */
export async function unwrapping(
  { store, prefix }: Pick<OpenArchive, 'store' | 'prefix'>,
  files: readonly string[] | undefined,
  config: Config,
): Promise<Unwrap> {
  const keys = unwrapKeys(files, config);
  if (keys.length === 0) return unwrapWith([]);
  return unwrapWith(keys, await readWraps(store, prefix));
}
