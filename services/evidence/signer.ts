/**
 * The signer that the configuration names, behind one interface: a key in a file, or one in a key
 * service, which never leaves it.
 */
import type { Signer } from '../../schemas/evidence/note.ts';
import type { Config } from '../runtime/config.ts';
import { signerFromFile } from './keys.ts';

/** Null where no key is configured. @throws Failure where it cannot be used. */
export function configuredSigner({ evidence }: Pick<Config, 'evidence'>): Promise<Signer | null> {
  const { keyFile } = evidence;
  return Promise.resolve(keyFile === undefined ? null : signerFromFile(keyFile));
}
