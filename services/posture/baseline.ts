/**
 * The log `baseline` (`schemas/evidence.md`): recording what protects the archive, and reading the
 * newest record back. What is read is believed only as far as trusted keys signed it.
 */
import {
  BASELINE_LOG,
  type BaselineBody,
  baselineBody,
  parseBaseline,
} from '../../schemas/evidence/baseline-leaf.ts';
import { LeafError, leafBytes } from '../../schemas/evidence/leaf.ts';
import { NoteError, type Signer, type Verifier } from '../../schemas/evidence/note.ts';
import { parseRootLeaf, ROOT_LOG } from '../../schemas/evidence/root-leaf.ts';
import { LogReader, MissingEvidence } from '../evidence/log-reader.ts';
import { BrokenLog, LogWriter } from '../evidence/log-writer.ts';
import { checkSigned, withSuccessors } from '../evidence/trust.ts';
import { Failure } from '../runtime/errors.ts';
import type { ObjectStore } from '../store/store.ts';

/** Appends and signs. @throws Failure `LOG_BUSY` where others keep writing; what the store throws. */
export async function recordBaseline(
  store: ObjectStore,
  prefix: string,
  body: BaselineBody,
  signer: Signer,
): Promise<{ sequence: number; checkpoint: string }> {
  const log = await LogWriter.open(store, prefix, BASELINE_LOG);
  const ordered = baselineBody(body);
  const sequence = await log.appendBehind((end) => leafBytes(end, ordered));
  await log.sign(signer);
  return { sequence, checkpoint: log.checkpointKey };
}

type Reader = Pick<ObjectStore, 'get' | 'list' | 'versions'>;

export interface FoundBaseline extends BaselineBody {
  /** Its number in the log. */
  sequence: number;
}

export interface ReadBaseline {
  /** The newest that a trusted key signed; null where there is none. */
  baseline: FoundBaseline | null;
  /** Leaves that are there, and as many as the newest signed root tells of. */
  leaves: number;
  told: number;
}

/**
 * @param given keys that are trusted; those they handed over to are found in the archive.
 * @throws Failure `DOES_NOT_VERIFY` where what is there is not what was signed.
 */
export async function readBaseline(
  store: Reader,
  prefix: string,
  given: readonly Verifier[],
): Promise<ReadBaseline> {
  const log = new LogReader(store, prefix, BASELINE_LOG);
  try {
    const verifiers = await withSuccessors(store, prefix, given);
    const leaves = await log.count();
    const told = await toldByRoot(store, prefix, verifiers);
    const size = await log.newestCheckpoint();
    if (size === 0) return { baseline: null, leaves, told };
    await checkSigned(log, size, verifiers);
    const { body } = parseBaseline(await log.leaf(size - 1));
    return { baseline: { ...baselineBody(body), sequence: size - 1 }, leaves, told };
  } catch (error) {
    throw explained(error);
  }
}

/** Leaves of the log that the newest root of a trusted key tells of; 0 where there is no root. */
async function toldByRoot(
  store: Reader,
  prefix: string,
  verifiers: readonly Verifier[],
): Promise<number> {
  const roots = new LogReader(store, prefix, ROOT_LOG);
  const size = await roots.newestCheckpoint();
  if (size === 0) return 0;
  await checkSigned(roots, size, verifiers);
  const { logs } = parseRootLeaf(await roots.leaf(size - 1)).body;
  return logs.find(([log]) => log === BASELINE_LOG)?.[1] ?? 0;
}

function explained(error: unknown): unknown {
  const isKnown =
    error instanceof MissingEvidence ||
    error instanceof BrokenLog ||
    error instanceof LeafError ||
    error instanceof NoteError;
  if (!isKnown) return error;
  const key = error instanceof BrokenLog ? `${error.key}: ` : '';
  return new Failure(`the baseline does not verify: ${key}${error.message}`, {
    code: 'DOES_NOT_VERIFY',
    hint: 'The archive is not as it was sealed, or the key is another: run `lakeseal verify`.',
    cause: error,
  });
}
