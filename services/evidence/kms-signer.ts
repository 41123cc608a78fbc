/**
 * A signing key that AWS KMS keeps: ECDSA on P-256 or Ed25519. The key never leaves the service; what
 * comes back is checked here before anything is made of it. Asks for kms:GetPublicKey and kms:Sign.
 */
import { createPublicKey } from 'node:crypto';
import { GetPublicKeyCommand, SignCommand } from '@aws-sdk/client-kms';
import {
  ED25519,
  isSignedBy,
  NoteError,
  type Signer,
  type Verifier,
  verifierOf,
} from '../../schemas/evidence/note.ts';
import { Failure } from '../runtime/errors.ts';
import { ANSWER_MS_MAX, askKms, type KmsUse, kmsClient } from './kms-client.ts';

export interface KmsKey {
  /** Key id or ARN; not an alias, which may stand for another key tomorrow. */
  keyId: string;
  /** What the key stands for in notes and vkeys. */
  name: string;
  region: string;
  endpoint: string | undefined;
}

const HINTS: KmsUse['hints'] = {
  KMS_NO_KEY: 'Check evidence.kmsKeyId and evidence.kmsRegion.',
  KMS_DISABLED: 'Enable it again; what is sealed meanwhile is signed then.',
  KMS_ACCESS_DENIED: 'The process needs kms:GetPublicKey and kms:Sign on the key.',
  KMS_KEY: 'Make a key for SIGN_VERIFY, of ECC_NIST_P256 or ECC_NIST_EDWARDS25519.',
  KMS_UNREACHABLE:
    'Can this machine reach KMS, and are evidence.kmsRegion and evidence.kmsEndpoint right?',
};

/** @throws Failure `KMS_…` where the key cannot be used. */
export async function kmsSigner(key: KmsKey, answerMsMax = ANSWER_MS_MAX): Promise<Signer> {
  const use = { ...key, hints: HINTS };
  const client = kmsClient(use, answerMsMax);
  const answer = await askKms(use, 'give its public key', () =>
    client.send(new GetPublicKeyCommand({ KeyId: key.keyId })),
  );
  const verifier = verifierIn(key, answer.PublicKey);
  const KeyId = answer.KeyId ?? key.keyId;
  // Ed25519 is not signed over a digest, and what is signed here is far below the 4 KiB of a raw text.
  const SigningAlgorithm = verifier.type === ED25519 ? 'ED25519_SHA_512' : 'ECDSA_SHA_256';
  return {
    verifier,
    async sign(text) {
      const { Signature } = await askKms(use, 'sign', () =>
        client.send(
          new SignCommand({ KeyId, Message: text, MessageType: 'RAW', SigningAlgorithm }),
        ),
      );
      const signature = Buffer.from(Signature ?? []);
      if (isGood(text, signature, verifier)) return signature;
      throw new Failure(`the KMS key ${key.keyId} gave a signature that is not its own`, {
        code: 'KMS_SIGNATURE',
        hint: 'Is evidence.kmsEndpoint a KMS, and the key the one that it was at the start?',
      });
    },
  };
}

function isGood(text: Buffer, signature: Buffer, verifier: Verifier): boolean {
  try {
    return isSignedBy(text.toString('utf8'), signature, verifier);
  } catch {
    // DER that cannot be read.
    return false;
  }
}

function verifierIn({ keyId, name }: KmsKey, der: Uint8Array | undefined): Verifier {
  try {
    const key = createPublicKey({ key: Buffer.from(der ?? []), format: 'der', type: 'spki' });
    return verifierOf(name, key);
  } catch (error) {
    const isName = error instanceof NoteError && error.message.startsWith('the name');
    const what = isName ? error.message : 'it is neither ECC_NIST_P256 nor ECC_NIST_EDWARDS25519';
    throw new Failure(`the KMS key ${keyId} cannot sign evidence: ${what}`, {
      code: 'KMS_KEY',
      hint: isName ? 'Mend evidence.kmsKeyName.' : 'Make a key for SIGN_VERIFY of one of the two.',
      cause: error,
    });
  }
}
