/**
 * Checkpoints of a log (C2SP tlog-checkpoint): its origin, how many leaves it has and the root of
 * their tree, as the text of a signed note. Pure.
 */
import { HASH_BYTES } from './merkle.ts';
import { type Note, NoteError } from './note.ts';

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
