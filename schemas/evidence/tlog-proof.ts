/**
 * Proofs that a leaf is in a log, as text (C2SP tlog-proof): where it stands, the hashes beside its
 * path, and the signed checkpoint. Pure.
 */
import { openCheckpoint, type SignedCheckpoint } from './checkpoint.ts';
import { HASH_BYTES, verifyInclusion } from './merkle.ts';
import { NoteError, type Verifier } from './note.ts';

const HEADER = 'c2sp.org/tlog-proof@v1';

export interface TlogProof {
  index: number;
  hashes: Buffer[];
  /** The whole note, as it lies in the archive. */
  checkpoint: Buffer;
}

export function formatTlogProof({ index, hashes, checkpoint }: TlogProof): string {
  const lines = [HEADER, `index ${index}`, ...hashes.map((hash) => hash.toString('base64'))];
  return `${lines.join('\n')}\n\n${checkpoint.toString('utf8')}`;
}

/** @throws NoteError where the text is no such proof. Extra data is passed over. */
export function parseTlogProof(text: string): TlogProof {
  const end = text.indexOf('\n\n');
  if (end < 0) throw new NoteError('a proof has an empty line before its checkpoint');
  const lines = text.slice(0, end).split('\n');
  if (lines.shift() !== HEADER) throw new NoteError(`a proof begins with ${HEADER}`);
  const extra =
    lines[0]?.startsWith('extra ') === true ? lines.shift()!.slice('extra '.length) : '';
  if (Buffer.from(extra, 'base64').toString('base64') !== extra) {
    throw new NoteError('the extra data of a proof is not base64');
  }
  const index = /^index (0|[1-9]\d*)$/.exec(lines.shift() ?? '')?.[1];
  if (index === undefined || !Number.isSafeInteger(Number(index))) {
    throw new NoteError('a proof tells the index of its leaf');
  }
  const hashes = lines.map((line) => {
    const hash = Buffer.from(line, 'base64');
    if (hash.length !== HASH_BYTES || hash.toString('base64') !== line) {
      throw new NoteError('a line of a proof is not a hash');
    }
    return hash;
  });
  return { index: Number(index), hashes, checkpoint: Buffer.from(text.slice(end + 2)) };
}

/**
 * Checks that the leaf is in the log of the checkpoint, which one of the keys signed.
 * @throws NoteError that says which step failed.
 */
export function checkTlogProof(
  proof: TlogProof,
  leaf: Buffer,
  verifiers: readonly Verifier[],
): SignedCheckpoint {
  const checkpoint = openCheckpoint(proof.checkpoint, verifiers);
  const { size, root } = checkpoint;
  if (!verifyInclusion(proof.index, size, leaf, proof.hashes, root)) {
    throw new NoteError('the leaf is not in the tree of the checkpoint');
  }
  return checkpoint;
}
