/**
 * The signer that the configuration names, behind one interface: a key in a file, or one in a key
 * service, which never leaves it.
 */
import type { Signer } from '../../schemas/evidence/note.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
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

/** `why`: what it is needed for, as a sentence. @throws Failure `NO_KEY`; as `configuredSigner` */
export async function neededSigner(config: SignerSettings, why: string): Promise<Signer> {
  const signer = await configuredSigner(config);
  if (signer !== null) return signer;
  throw new Failure(`${why}, and no signing key is configured`, {
    code: 'NO_KEY',
    hint: 'Set evidence.keyFile or evidence.kmsKeyId to the key that signs this archive.',
  });
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
