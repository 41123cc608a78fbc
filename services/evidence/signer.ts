/**
 * The signer that the configuration names, behind one interface: a key in a file, or one in a key
 * service, which never leaves it.
 */
import type { Signer } from '../../schemas/evidence/note.ts';
import type { Config } from '../runtime/config.ts';
import { signerFromFile } from './keys.ts';

export interface SignerSettings {
  evidence: Config['evidence'];
  storage: Pick<Config['storage'], 'region'>;
}

/** Null where no key is configured. @throws Failure where it cannot be used. */
export async function configuredSigner(config: SignerSettings): Promise<Signer | null> {
  const { keyFile, kmsKeyId, kmsKeyName } = config.evidence;
  if (keyFile !== undefined) return signerFromFile(keyFile);
  if (kmsKeyId === undefined || kmsKeyName === undefined) return null;
  return signerFromKms(config, kmsKeyId, kmsKeyName);
}

/** Another key of the same service. @throws Failure where it cannot be used. */
export async function signerFromKms(
  { evidence, storage }: SignerSettings,
  keyId: string,
  name: string,
): Promise<Signer> {
  const region = evidence.kmsRegion ?? storage.region;
  // Its client is large, and most keys are files.
  const { kmsSigner } = await import('./kms-signer.ts');
  return kmsSigner({ keyId, name, region, endpoint: evidence.kmsEndpoint });
}
