/**
 * A secret of encrypted segments that AWS KMS keeps: made by kms:GenerateDataKey, once, and decrypted
 * by kms:Decrypt when a process starts. In between it is in memory only. KMS is asked for a secret and
 * never for a segment, so sealing waits for nobody, and its bytes are the same for every writer.
 */
import { DecryptCommand, GenerateDataKeyCommand } from '@aws-sdk/client-kms';
import {
  EnvelopeError,
  encryptionContext,
  type KmsSecret,
  knownById,
  SECRET_BYTES,
  type WrappingKey,
  wrappingKey,
} from '../../schemas/wrapping-key.ts';
import { Failure } from '../runtime/errors.ts';
import { ANSWER_MS_MAX, askKms, type KmsUse, kmsClient } from './kms-client.ts';

export interface NewKmsSecret {
  /** Key id, ARN or alias of a symmetric key; its ARN is what is remembered. */
  keyId: string;
  /** BUCKET/PREFIX that the secret is for. */
  archive: string;
  region: string;
  endpoint: string | undefined;
}

/** A new secret, whose `name` holds what KMS made of it. @throws Failure `KMS_…` */
export async function newKmsSecret(
  { keyId, archive, region, endpoint }: NewKmsSecret,
  answerMsMax = ANSWER_MS_MAX,
): Promise<WrappingKey> {
  const use = useOf(keyId, archive, regionOf(keyId) ?? region, endpoint, 'kms:GenerateDataKey');
  const client = kmsClient(use, answerMsMax);
  const answer = await askKms(use, 'make a data key', () =>
    client.send(
      new GenerateDataKeyCommand({
        KeyId: keyId,
        NumberOfBytes: SECRET_BYTES,
        EncryptionContext: encryptionContext(archive),
      }),
    ),
  );
  const { KeyId: keyArn = '', CiphertextBlob = [], Plaintext = [] } = answer;
  return madeOf(use, Buffer.from(Plaintext), {
    keyArn,
    archive,
    ciphertext: Buffer.from(CiphertextBlob),
  });
}

/** @throws Failure `KMS_…` where KMS does not decrypt it, or gives something else. */
export async function openKmsSecret(
  { id, ...kept }: KmsSecret,
  endpoint: string | undefined,
  answerMsMax = ANSWER_MS_MAX,
): Promise<WrappingKey> {
  const { keyArn, archive, ciphertext } = kept;
  const use = useOf(keyArn, archive, regionOf(keyArn)!, endpoint, 'kms:Decrypt');
  const client = kmsClient(use, answerMsMax);
  const { Plaintext } = await askKms(use, 'decrypt the secret of segments', () =>
    client.send(
      new DecryptCommand({
        // Not whichever key the ciphertext names.
        KeyId: keyArn,
        CiphertextBlob: ciphertext,
        EncryptionContext: encryptionContext(archive),
      }),
    ),
  );
  const key = madeOf(use, Buffer.from(Plaintext ?? []), kept);
  try {
    return knownById(key, id);
  } catch (error) {
    throw notASecret(use, error);
  }
}

function madeOf(use: KmsUse, secret: Buffer, kept: Omit<KmsSecret, 'id'>): WrappingKey {
  try {
    return wrappingKey(secret, kept);
  } catch (error) {
    if (!(error instanceof RangeError) && !(error instanceof EnvelopeError)) throw error;
    throw notASecret(use, error);
  }
}

function notASecret({ keyId }: KmsUse, cause: unknown): Failure {
  return new Failure(`the KMS key ${keyId} gave something that is not a secret of segments`, {
    code: 'KMS_SECRET',
    hint: 'Is archive.envelopeKmsEndpoint a KMS, and the file as `keys envelope --kms` wrote it?',
    cause,
  });
}

/** `arn:aws:kms:REGION:…`; undefined where it is no ARN. */
function regionOf(keyId: string): string | undefined {
  return /^arn:[^:]*:kms:([^:]+):/.exec(keyId)?.[1];
}

function useOf(
  keyId: string,
  archive: string,
  region: string,
  endpoint: string | undefined,
  right: string,
): KmsUse {
  return {
    keyId,
    region,
    endpoint,
    hints: {
      KMS_NO_KEY:
        'Is it the key of this account and region? A deleted key never comes back, nor do its segments.',
      KMS_DISABLED:
        'Enable it again, or cancel its deletion: until then nothing is sealed and nothing opened, and records wait in Kafka.',
      KMS_ACCESS_DENIED: `The process needs ${right} on the key, with the encryption context lakeseal-archive = ${archive}.`,
      KMS_KEY: 'It has to be a key for ENCRYPT_DECRYPT, of SYMMETRIC_DEFAULT.',
      KMS_UNREACHABLE: 'Can this machine reach KMS, and is archive.envelopeKmsEndpoint right?',
    },
  };
}
