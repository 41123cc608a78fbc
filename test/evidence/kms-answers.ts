/** What KMS may answer whatever it is asked for, and what becomes of it. */
import type { KmsFault } from '../double/kms.ts';

/** Code of the failure, and how often KMS was asked before that. */
export type KmsAnswer = [fault: KmsFault, code: string, times: number];

export const KMS_ANSWERS: readonly KmsAnswer[] = [
  [{ error: 'AccessDeniedException', status: 400 }, 'KMS_ACCESS_DENIED', 1],
  [{ error: 'DisabledException', status: 400 }, 'KMS_DISABLED', 1],
  [{ error: 'KMSInvalidStateException', status: 400 }, 'KMS_DISABLED', 1],
  [{ error: 'UnrecognizedClientException', status: 400 }, 'KMS_CREDENTIALS', 1],
  [{ error: 'ThrottlingException', status: 400 }, 'KMS_SLOW_DOWN', 3],
  ['silence', 'KMS_TIMEOUT', 3],
  ['reset', 'KMS_UNREACHABLE', 3],
  ['garbage', 'KMS_UNREACHABLE', 1],
];
