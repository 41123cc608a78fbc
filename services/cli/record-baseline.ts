/**
 * `lakeseal preflight --record-baseline`: what protects the bucket, and what the archiver was
 * refused, signed into the log `baseline`. One check like the others, and the last.
 */
import {
  BASELINE_LOG,
  POSTURE_ITEMS,
  type TriedRights,
} from '../../schemas/evidence/baseline-leaf.ts';
import { timeOf } from '../../schemas/evidence/leaf.ts';
import { configuredSigner } from '../evidence/signer.ts';
import { recordBaseline } from '../posture/baseline.ts';
import { readPosture } from '../posture/read-posture.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import { counted } from '../runtime/wording.ts';
import { createS3Store } from '../store/s3.ts';
import { type Check, check, type Finding, failed, ok } from './checks.ts';
import { configReader } from './store-client.ts';

/** A hint for when the store denies something. */
const RIGHTS =
  'Recording a baseline needs s3:PutObject, GetObject, ListBucket and ListBucketVersions of the credential in storage.*.';

export interface BaselineFlags {
  recordBaseline?: true;
  reason?: string;
  approvedBy?: string;
}

/** What a baseline says of its making. */
export interface BaselineWords {
  reason: string;
  approvedBy: string;
}

/** Null where no baseline is asked for. @throws Failure `USAGE` */
export function baselineWords({
  recordBaseline,
  reason,
  approvedBy,
}: BaselineFlags): BaselineWords | null {
  if (recordBaseline === undefined) {
    if (reason === undefined && approvedBy === undefined) return null;
    throw new Failure('--reason and --approved-by are of a baseline', {
      code: 'USAGE',
      hint: 'Add --record-baseline to record one.',
    });
  }
  if (reason === undefined || reason.trim() === '') {
    throw new Failure('a baseline says why it is recorded', {
      code: 'USAGE',
      hint: 'Add --reason "…": it stays in the archive, for whoever reads it later.',
    });
  }
  return { reason, approvedBy: approvedBy ?? '' };
}

/** @param checks those of the store, by which the rights are known. */
export function recordChecked(
  config: Config,
  checks: readonly Check[],
  words: BaselineWords,
  nowMs: number,
): Promise<Check> {
  return check('store', 'baseline is recorded', () => record(config, checks, words, nowMs));
}

async function record(
  config: Config,
  checks: readonly Check[],
  words: BaselineWords,
  nowMs: number,
): Promise<Finding> {
  if (checks.some(({ part, outcome }) => part === 'store' && outcome === 'failed')) {
    return failed('not recorded', 'mend what failed of the store, then record what is right');
  }
  const signer = await configuredSigner(config);
  if (signer === null) {
    return failed('no key signs it', 'set evidence.keyFile; `lakeseal keys new` makes a key');
  }
  const { storage } = config;
  const client = configReader(config);
  const store = createS3Store(storage, config.archive, systemClock, RIGHTS);
  try {
    const posture = await readPosture(client, storage);
    const { sequence, checkpoint } = await recordBaseline(
      store,
      storage.prefix,
      { time: timeOf(nowMs), bucket: storage.bucket, ...words, posture, rights: rightsOf(checks) },
      signer,
    );
    const unknown = POSTURE_ITEMS.filter((item) => posture[item].state === 'unknown');
    const but = unknown.length === 0 ? '' : `, without ${unknown.join(', ')}`;
    const count = counted(POSTURE_ITEMS.length - unknown.length, 'item');
    return ok(`${BASELINE_LOG} ${sequence} of ${count}${but}; signed: ${checkpoint}`);
  } finally {
    client.destroy();
    store.close();
  }
}

/** A right that the configuration grants was not tried; it is recorded as held. */
function rightsOf(checks: readonly Check[]): TriedRights {
  return checks.flatMap(({ right, outcome }): TriedRights => {
    if (right === undefined) return [];
    return [[right, outcome === 'ok' ? 'denied' : 'held']];
  });
}
