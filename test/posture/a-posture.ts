/** The posture of a bucket as `setup` makes it, for tests that need one. */
import type { Posture } from '../../schemas/evidence/baseline-leaf.ts';

const absent = { state: 'absent' } as const;

export const POSTURE: Posture = {
  objectLock: { state: 'set', value: 'Enabled' },
  defaultRetention: { state: 'set', value: { mode: 'COMPLIANCE', days: 365 } },
  versioning: { state: 'set', value: { status: 'Enabled', mfaDelete: 'Disabled' } },
  policy: absent,
  acl: { state: 'set', value: { owner: 'owner', grants: [['owner', 'FULL_CONTROL']] } },
  publicAccessBlock: {
    state: 'unknown',
    why: 'not_offered',
    detail: 'NotImplemented (status 501)',
  },
  ownership: absent,
  lifecycle: absent,
  replication: absent,
  encryption: { state: 'set', value: { algorithm: 'aws:kms', key: 'é "key"\u2028' } },
  logging: absent,
  notification: absent,
};
