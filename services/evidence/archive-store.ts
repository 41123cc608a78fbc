/** The store of the configuration: S3, and encryption in front of it where there is a key for that. */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { envelopeStore } from '../store/envelope-store.ts';
import { createS3Store, digestOf, type S3Store } from '../store/s3.ts';
import { assertMadeFor, wrappingKeys } from './keys.ts';

/**
 * `rights` as `createS3Store` takes it.
 * @throws Failure where a key of envelopes cannot be read, or is of another archive.
 */
export async function archiveStore(
  { storage, archive }: Pick<Config, 'storage' | 'archive'>,
  clock?: Clock,
  rights?: string,
): Promise<S3Store> {
  // Read first: without them nothing may be sealed.
  const keys = await wrappingKeys(archive);
  if (keys.length > 0) assertMadeFor(keys[0]!, storage);
  const store = createS3Store(storage, archive, clock, rights);
  if (keys.length === 0) return store;
  const { prefix } = storage;
  return envelopeStore(store, { prefix, keys, sha256: digestOf, breathe: () => setImmediate() });
}
