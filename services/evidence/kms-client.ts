/**
 * Asking AWS KMS, and what each of its answers means to an operator. With the credential that the
 * process has from AWS: the keys of `storage.*` are for the store.
 */
import { KMSClient } from '@aws-sdk/client-kms';
import { Failure, type FailureOptions, isBrokenConnection } from '../runtime/errors.ts';

type HintedCode =
  | 'KMS_NO_KEY'
  | 'KMS_DISABLED'
  | 'KMS_ACCESS_DENIED'
  | 'KMS_KEY'
  | 'KMS_UNREACHABLE';

/** Which key is asked for what, and what its operator may do about a refusal. */
export interface KmsUse {
  keyId: string;
  region: string;
  endpoint: string | undefined;
  hints: Record<HintedCode, string>;
}

/** Tries of one request: throttling and broken connections. */
const ATTEMPTS_MAX = 3;
/** Longest wait for one answer. */
export const ANSWER_MS_MAX = 3_000;

export function kmsClient(
  { region, endpoint }: Pick<KmsUse, 'region' | 'endpoint'>,
  answerMsMax: number,
): KMSClient {
  // Asked a few times a minute at most, so connections are not kept, and nothing has to be closed.
  const agent = { keepAlive: false };
  return new KMSClient({
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    maxAttempts: ATTEMPTS_MAX,
    requestHandler: {
      connectionTimeout: answerMsMax,
      requestTimeout: answerMsMax,
      throwOnRequestTimeout: true,
      httpAgent: agent,
      httpsAgent: agent,
    },
  });
}

/** `what`: as in "does not sign". @throws Failure `KMS_…` */
export async function askKms<Output>(
  use: KmsUse,
  what: string,
  run: () => Promise<Output>,
): Promise<Output> {
  try {
    return await run();
  } catch (error) {
    throw kmsFailure(use, what, error);
  }
}

type Diagnosis = Omit<FailureOptions, 'cause'> & { text: string };

const BY_NAME: Array<[RegExp, Diagnosis]> = [
  [
    /^NotFoundException$|^InvalidArnException$/,
    { code: 'KMS_NO_KEY', text: 'there is no such key' },
  ],
  [
    /^DisabledException$|^KMSInvalidStateException$/,
    { code: 'KMS_DISABLED', text: 'the key is disabled or about to be deleted' },
  ],
  [/^AccessDeniedException$/, { code: 'KMS_ACCESS_DENIED', text: 'it is denied' }],
  [
    /^InvalidKeyUsageException$|^UnsupportedOperationException$/,
    { code: 'KMS_KEY', text: 'the key is not one for that' },
  ],
  [
    /^InvalidCiphertextException$|^IncorrectKeyException$/,
    {
      code: 'KMS_CIPHERTEXT',
      text: 'what it was given is not of this key, or was made for another archive',
      hint: 'Was the file changed? What `keys envelope --kms` wrote also stands in the header of each segment.',
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
  retryable: true,
};

function kmsFailure({ keyId, region, hints }: KmsUse, what: string, error: unknown): Failure {
  const { name } = (error ?? {}) as { name?: unknown };
  // The SDK calls a broken connection a timeout too.
  const isNamed = typeof name === 'string' && !isBrokenConnection(error);
  const known = isNamed ? BY_NAME.find(([pattern]) => pattern.test(name)) : undefined;
  const { text, ...diagnosis } = known?.[1] ?? OTHER;
  const hint = diagnosis.hint ?? hints[diagnosis.code as HintedCode];
  const where = `the KMS key ${keyId} in ${region}`;
  return new Failure(`${where} does not ${what}: ${text}`, {
    ...diagnosis,
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}
