/** What a verification of a small archive finds, with the settings that tests share. */
import { setImmediate } from 'node:timers/promises';
import { unwrapWith } from '../../schemas/envelope.ts';
import type { Finding } from '../../services/verifier/findings.ts';
import type { ArchiveSource } from '../../services/verifier/source.ts';
import { type Verification, type VerifyOptions, verify } from '../../services/verifier/verify.ts';
import { PREFIX, START_MS, signer } from './proof-archive.ts';

export async function findingsIn(
  source: ArchiveSource,
  changes: Partial<VerifyOptions> = {},
): Promise<Finding[]> {
  return (await verifiedIn(source, changes)).found;
}

/** The same, with all that it returns. */
export async function verifiedIn(
  source: ArchiveSource,
  changes: Partial<VerifyOptions> = {},
): Promise<{ found: Finding[]; verification: Verification }> {
  const verification = await verify({
    source,
    prefix: PREFIX,
    verifiers: [signer.verifier],
    kept: [],
    state: null,
    deep: true,
    unwrap: unwrapWith([]),
    nowMs: START_MS,
    rootAgeMsMax: null,
    concurrency: 2,
    judgeStamp: null,
    judgeWitness: null,
    stampsSince: null,
    breathe: () => setImmediate(),
    progress: () => {},
    ...changes,
  });
  return { found: [...verification.findings], verification };
}
