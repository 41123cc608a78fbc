/**
 * Cosignatures of witnesses over checkpoints (C2SP tlog-cosignature, `cosignature/v1`, Ed25519), as
 * they stand in a `.witness` file: signature lines and nothing else. Pure.
 */
import {
  COSIGNATURE,
  cosignatureTime,
  formatSignature,
  isSignedBy,
  type Note,
  NoteError,
  parseNote,
  type Verifier,
} from './note.ts';

/** Who vouched for the checkpoint, and when, seconds since the epoch. */
export interface Cosigned {
  by: Verifier;
  time: number;
  /** As it stands in the file, with its line feed. */
  line: string;
}

/**
 * Cosignatures of these witnesses among the lines; those of others are passed over.
 * @throws NoteError where the lines are none, or one of a known witness does not verify.
 */
export function cosignaturesIn(
  { text }: Pick<Note, 'text'>,
  lines: Buffer,
  witnesses: readonly Verifier[],
): Cosigned[] {
  const { signatures, text: same } = parseNote(Buffer.concat([Buffer.from(`${text}\n`), lines]));
  if (same !== text) throw new NoteError('not signature lines alone');
  const found: Cosigned[] = [];
  for (const { name, keyId, signature } of signatures) {
    const by = witnesses.find((one) => one.name === name && one.keyId.equals(keyId));
    if (by === undefined) continue;
    if (!isSignedBy(text, signature, by)) {
      throw new NoteError(`the signature of the witness ${name} does not verify`);
    }
    const line = formatSignature({ name, keyId, signature });
    found.push({ by, time: Number(cosignatureTime(signature)), line });
  }
  return found;
}

/** What is wrong with the lines under the note, or null. */
export function judgeWitness(
  note: Buffer,
  lines: Buffer,
  witnesses: readonly Verifier[],
): string | null {
  try {
    cosignaturesIn(parseNote(note), lines, witnesses);
    return null;
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    return error.message;
  }
}

/** @throws NoteError where the key is not one of a witness. */
export function assertWitness({ name, type }: Verifier): void {
  if (type === COSIGNATURE) return;
  throw new NoteError(`${name} is not the key of a witness: its type is not 04`);
}
