/**
 * The proof that a log was only appended to between two checkpoints: what an auditor who kept the
 * first one asks for. Its form is `kind`, `format`, both notes as text, and the hashes of RFC 6962,
 * section 2.1.2. Making it reads the archive; checking it needs the keys alone.
 */
import { z } from 'zod';
import { openCheckpoint, type SignedCheckpoint } from '../../schemas/evidence/checkpoint.ts';
import { hashText } from '../../schemas/evidence/leaf.ts';
import { verifyConsistency } from '../../schemas/evidence/merkle.ts';
import { NoteError, type Verifier } from '../../schemas/evidence/note.ts';
import { ProofError } from '../../schemas/evidence/proof.ts';
import { LogReader } from '../evidence/log-reader.ts';
import { Failure } from '../runtime/errors.ts';
import type { ProofStore } from './prove.ts';

export const CONSISTENCY_KIND = 'lakeseal-consistency-proof';

const schema = z.strictObject({
  kind: z.literal(CONSISTENCY_KIND),
  format: z.literal(1),
  first: z.string(),
  second: z.string(),
  hashes: z.array(hashText),
});

export type ConsistencyProof = z.infer<typeof schema>;

export interface Continued {
  log: string;
  first: number;
  second: number;
}

/** From a checkpoint that somebody kept to the newest one of its log. @throws Failure, ProofError */
export async function proveConsistency(
  kept: Buffer,
  store: ProofStore,
  prefix: string,
  verifiers: readonly Verifier[],
): Promise<ConsistencyProof> {
  const first = opened(kept, verifiers);
  const log = new LogReader(store, prefix, first.log);
  const count = await log.count();
  if (count < first.size) {
    throw new ProofError(
      `the log had ${first.size} leaves when that was signed and has ${count}: it was cut`,
    );
  }
  for (let size = count; size >= first.size; size--) {
    const second = await log.checkpoint(size);
    if (second === null) continue;
    const hashes = first.size === 0 ? [] : await log.consistency(first.size, size);
    const proof: ConsistencyProof = {
      kind: CONSISTENCY_KIND,
      format: 1,
      first: kept.toString('utf8'),
      second: second.toString('utf8'),
      hashes: hashes.map((hash) => hash.toString('base64')),
    };
    checkConsistency(proof, verifiers);
    return proof;
  }
  throw new Failure(`${first.log} has no newer checkpoint`, { code: 'NOT_PROVABLE' });
}

/** @throws ProofError where it does not hold. */
export function checkConsistency(
  { first: firstNote, second: secondNote, hashes }: ConsistencyProof,
  verifiers: readonly Verifier[],
): Continued {
  const first = opened(Buffer.from(firstNote), verifiers);
  const second = opened(Buffer.from(secondNote), verifiers);
  if (first.log !== second.log) throw new ProofError('the checkpoints are of two logs');
  const path = hashes.map((text) => Buffer.from(text, 'base64'));
  if (!verifyConsistency(first.size, second.size, first.root, second.root, path)) {
    throw new ProofError('the second checkpoint does not continue the first: two histories');
  }
  return { log: first.log, first: first.size, second: second.size };
}

/** Null where the value is no consistency proof at all. @throws ProofError where it is a bad one. */
export function parseConsistency(value: unknown): ConsistencyProof | null {
  if ((value as { kind?: unknown } | null)?.kind !== CONSISTENCY_KIND) return null;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ProofError(`the file is no proof: ${issue!.path.join('.')}: ${issue!.message}`);
}

function opened(bytes: Buffer, verifiers: readonly Verifier[]): SignedCheckpoint {
  try {
    return openCheckpoint(bytes, verifiers);
  } catch (error) {
    if (error instanceof NoteError) throw new ProofError(error.message);
    throw error;
  }
}
