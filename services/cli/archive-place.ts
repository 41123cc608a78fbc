/** What the commands that read an archive share: where it lies, and which keys are trusted. */
import { type Unwrap, unwrapWith } from '../../schemas/envelope.ts';
import type { Certificate } from '../../schemas/evidence/certificate.ts';
import type { Verifier } from '../../schemas/evidence/note.ts';
import type { WrappingKey } from '../../schemas/wrapping-key.ts';
import { wrappingKeys } from '../evidence/keys.ts';
import { configuredSigner } from '../evidence/signer.ts';
import { namedAuthorities, namedVerifiers, namedWitnesses } from '../evidence/trust.ts';
import { readWraps } from '../evidence/wraps.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import { folderStore } from '../store/folder.ts';
import type { ObjectStore } from '../store/store.ts';
import type { Terminal } from './terminal.ts';

export interface KeyFlags {
  key?: string[];
  keyFile?: string[];
}

/** Whom else than lakeseal's keys the user believes. */
export interface AnchorFlags {
  tsaCa?: string[];
  witness?: string[];
}

export interface TrustedAnchors {
  /** Null where none was named: time stamps are then not judged. */
  authorities: Certificate[] | null;
  /** Likewise. */
  witnesses: Verifier[] | null;
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

/** What reading needs of a store. */
export type ReadStore = Pick<ObjectStore, 'get' | 'list' | 'versions'>;

/** A hint for when the store denies something. */
const RIGHTS =
  'Reading an archive needs s3:GetObject and ListBucket of the credential in storage.*.';

/** An archive that is only read. The caller closes it. @throws Failure */
export async function openArchive(
  config: Config,
  place: string | undefined,
): Promise<{ store: ReadStore; prefix: string; name: string; close(): void }> {
  const { storage, folder } = archivePlace(config, place);
  const { prefix } = storage;
  if (folder !== null) {
    return { store: folderStore(folder), prefix, name: folder, close: () => {} };
  }
  // A copy in a folder needs no client.
  const { createS3Store } = await import('../store/s3.ts');
  const store = createS3Store(storage, config.archive, systemClock, RIGHTS);
  const name = `s3://${storage.bucket}/${prefix}`;
  return { store, prefix, name, close: () => store.close() };
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

/** Of the command line, else of the configuration, where it is to count. @throws Failure */
export function trustedAnchors(
  { tsaCa, witness }: AnchorFlags,
  config: Pick<Config, 'anchors'> | null,
): TrustedAnchors {
  const { timestamps = [], witnesses = [] } = config?.anchors ?? {};
  const files = tsaCa ?? timestamps.flatMap(({ caFile }) => caFile ?? []);
  const vkeys = witness ?? witnesses.map(({ key }) => key);
  return {
    authorities: files.length === 0 ? null : namedAuthorities(files),
    witnesses: vkeys.length === 0 ? null : namedWitnesses(vkeys),
  };
}

/** Says on standard error, now and then, how many segments were read. */
export function segmentProgress({
  err,
}: Pick<Terminal, 'err'>): (done: number, all: number) => void {
  return (done, all) => {
    if (done % PROGRESS_SEGMENTS === 0) err(`segment ${done + 1} of ${all}`);
  };
}

const PROGRESS_SEGMENTS = 100;

/**
 * What opens encrypted segments: secrets of the command line, else of the configuration, and what the
 * archive says was wrapped again for them.
 * @throws Failure; `EVIDENCE` where that log is not as it was written.
 */
export async function unwrapping(
  { store, prefix }: { store: ReadStore; prefix: string },
  files: readonly string[] | undefined,
  { archive }: Config,
): Promise<Unwrap> {
  const keys = await wrappingKeys(archive, files);
  if (keys.length === 0) return unwrapWith([]);
  return unwrapWith(keys, await readWraps(store, prefix));
}

/**
 * For a verifier: a log of wrapped keys that cannot be read is told of and left out, because what was
 * done to it is among the findings.
 */
export async function unwrappingAsFar(
  { store, prefix }: { store: Pick<ReadStore, 'get' | 'list'>; prefix: string },
  keys: readonly WrappingKey[],
  leftOut: (why: Failure) => void,
): Promise<Unwrap> {
  if (keys.length === 0) return unwrapWith([]);
  try {
    return unwrapWith(keys, await readWraps(store, prefix));
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'EVIDENCE') throw error;
    leftOut(error);
    return unwrapWith(keys);
  }
}
