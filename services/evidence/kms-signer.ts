/**
 * A signing key that AWS KMS keeps: ECDSA on P-256 or Ed25519. The key never leaves the service; what
 * comes back is checked here before anything is made of it. Asks for kms:GetPublicKey and kms:Sign,
 * with the credential that the process has from AWS: the keys of `storage.*` are for the store.
 */
import { createPublicKey } from 'node:crypto';
import { GetPublicKeyCommand, KMSClient, SignCommand } from '@aws-sdk/client-kms';
import {
  ED25519,
  isSignedBy,
  NoteError,
  type Signer,
  type Verifier,
  verifierOf,
} from '../../schemas/evidence/note.ts';
import { Failure, type FailureOptions, isBrokenConnection } from '../runtime/errors.ts';

export interface KmsKey {
  /** Key id or ARN; not an alias, which may stand for another key tomorrow. */
  keyId: string;
  /** What the key stands for in notes and vkeys. */
  name: string;
  region: string;
  endpoint: string | undefined;
}

/** Tries of one request: throttling and broken connections. */
const ATTEMPTS_MAX = 3;
/** Longest wait for one answer. */
const ANSWER_MS_MAX = 3_000;

/** @throws Failure `KMS_…` where the key cannot be used. */
export async function kmsSigner(key: KmsKey, answerMsMax = ANSWER_MS_MAX): Promise<Signer> {
  // Asked a few times a minute at most, so connections are not kept, and nothing has to be closed.
  const agent = { keepAlive: false };
  const client = new KMSClient({
    region: key.region,
    ...(key.endpoint === undefined ? {} : { endpoint: key.endpoint }),
    maxAttempts: ATTEMPTS_MAX,
    requestHandler: {
      connectionTimeout: answerMsMax,
      requestTimeout: answerMsMax,
      throwOnRequestTimeout: true,
      httpAgent: agent,
      httpsAgent: agent,
    },
  });
  const ask = async <Output>(what: string, run: () => Promise<Output>): Promise<Output> => {
    try {
      return await run();
    } catch (error) {
      throw kmsFailure(what, key, error);
    }
  };
  const answer = await ask('give its public key', () =>
    client.send(new GetPublicKeyCommand({ KeyId: key.keyId })),
  );
  const verifier = verifierIn(key, answer.PublicKey);
  const KeyId = answer.KeyId ?? key.keyId;
  // Ed25519 is not signed over a digest, and what is signed here is far below the 4 KiB of a raw text.
  const SigningAlgorithm = verifier.type === ED25519 ? 'ED25519_SHA_512' : 'ECDSA_SHA_256';
  return {
    verifier,
    async sign(text) {
      const { Signature } = await ask('sign', () =>
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

// --- errors --------------------------------------------------------------------------------------

type Diagnosis = Omit<FailureOptions, 'cause'> & { text: string };

const BY_NAME: Array<[RegExp, Diagnosis]> = [
  [
    /^NotFoundException$|^InvalidArnException$/,
    {
      code: 'KMS_NO_KEY',
      text: 'there is no such key',
      hint: 'Check evidence.kmsKeyId and evidence.kmsRegion.',
    },
  ],
  [
    /^DisabledException$|^KMSInvalidStateException$/,
    {
      code: 'KMS_DISABLED',
      text: 'the key is disabled or about to be deleted',
      hint: 'Enable it again; what is sealed meanwhile is signed then.',
    },
  ],
  [
    /^AccessDeniedException$/,
    {
      code: 'KMS_ACCESS_DENIED',
      text: 'it is denied',
      hint: 'The process needs kms:GetPublicKey and kms:Sign on the key.',
    },
  ],
  [
    /^InvalidKeyUsageException$|^UnsupportedOperationException$/,
    {
      code: 'KMS_KEY',
      text: 'the key is not one for signing',
      hint: 'Make a key for SIGN_VERIFY, of ECC_NIST_P256 or ECC_NIST_EDWARDS25519.',
    },
  ],
  [
    /^(CredentialsProviderError|TokenProviderError|UnrecognizedClientException|InvalidSignatureException|ExpiredTokenException|IncompleteSignature)$/,
    {
      code: 'KMS_CREDENTIALS',
      text: 'no credential that AWS takes',
      hint: 'Give the process a role, or AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
    },
  ],
  [
    /^(ThrottlingException|LimitExceededException|TooManyRequestsException)$/,
    { code: 'KMS_SLOW_DOWN', text: 'it asks to slow down', retryable: true },
  ],
  [
    /^(TimeoutError|AbortError|DependencyTimeoutException)$/,
    { code: 'KMS_TIMEOUT', text: 'no answer in time', retryable: true },
  ],
];

const OTHER: Diagnosis = {
  code: 'KMS_UNREACHABLE',
  text: 'it could not be reached, or failed',
  hint: 'Can this machine reach KMS, and are evidence.kmsRegion and evidence.kmsEndpoint right?',
  retryable: true,
};

function kmsFailure(what: string, { keyId, region }: KmsKey, error: unknown): Failure {
  const { name } = (error ?? {}) as { name?: unknown };
  // The SDK calls a broken connection a timeout too.
  const isNamed = typeof name === 'string' && !isBrokenConnection(error);
  const known = isNamed ? BY_NAME.find(([pattern]) => pattern.test(name)) : undefined;
  const { text, ...diagnosis } = known?.[1] ?? OTHER;
  const where = `the KMS key ${keyId} in ${region}`;
  return new Failure(`${where} does not ${what}: ${text}`, { ...diagnosis, cause: error });
}
