/**
 * Checkpoints of a log (C2SP tlog-checkpoint): its origin, how many leaves it has and the root of
 * their tree, as the text of a signed note. Pure.
 */
import { HASH_BYTES } from './merkle.ts';
import { type Note, NoteError, parseNote, type Verifier, verifyNote } from './note.ts';

export interface Checkpoint {
  origin: string;
  size: number;
  root: Buffer;
}

/** Name of the signing key and path of the log: what no two logs share. */
export function originOf(keyName: string, log: string): string {
  return `${keyName}/${log}`;
}

export function checkpointText({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${root.toString('base64')}\n`;
}

/** @throws NoteError where the note's text is no checkpoint, or has extension lines. */
export function parseCheckpoint({ text }: Pick<Note, 'text'>): Checkpoint {
  const lines = text.split('\n');
  const [origin, size, root, end] = lines;
  if (lines.length !== 4 || end !== '' || origin === '') {
    throw new NoteError('a checkpoint has three lines');
  }
  const hash = Buffer.from(root!, 'base64');
  if (hash.length !== HASH_BYTES || hash.toString('base64') !== root) {
    throw new NoteError('the third line of a checkpoint is a hash');
  }
  const count = Number(size);
  if (!/^(0|[1-9]\d*)$/.test(size!) || !Number.isSafeInteger(count)) {
    throw new NoteError('the second line of a checkpoint is a number of leaves');
  }
  return { origin: origin!, size: count, root: hash };
}

/** A checkpoint that at least one trusted key signed. */
export interface SignedCheckpoint extends Checkpoint {
  /** The log of the signing key that it is of. */
  log: string;
  note: Note;
  /** Not empty. */
  signedBy: Verifier[];
}

/**
 * The checkpoint of a note, of which nothing is believed before a key has vouched for it.
 * @throws NoteError where it is none, no key of these signed it, a signature of one is wrong, or its
 * origin is not one of that key.
 */
export function openCheckpoint(bytes: Buffer, verifiers: readonly Verifier[]): SignedCheckpoint {
  const note = parseNote(bytes);
  const checkpoint = parseCheckpoint(note);
  const { signed, forged } = verifyNote(note, verifiers);
  const by = signed[0];
  if (by === undefined || forged.length > 0) {
    throw new NoteError('the checkpoint is not signed by the key that was given');
  }
  const start = originOf(by.name, '');
  if (!checkpoint.origin.startsWith(start)) {
    throw new NoteError('the checkpoint is of another origin than its key');
  }
  return { ...checkpoint, log: checkpoint.origin.slice(start.length), note, signedBy: signed };
}
