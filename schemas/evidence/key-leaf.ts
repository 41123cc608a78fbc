/**
 * Leaves of the log `keys` (`schemas/evidence.md`): one key hands over to the next. Pure.
 *
 * A rotation is believed because a checkpoint that covers its leaf is signed by the key that hands
 * over, and because the new key signed both names: so nobody can be given a key he does not hold.
 */
import { z } from 'zod';
import { type Leaf, LeafError, leafSchema, parseLeaf, timeText } from './leaf.ts';
import { isSignedBy, NoteError, parseVkey, type Signer, type Verifier } from './note.ts';

export const KEYS_LOG = 'keys';

const schema = leafSchema({
  time: timeText,
  from: z.string(),
  to: z.string(),
  proof: z.base64(),
});

export interface RotationBody {
  time: string;
  /** Public keys, as vkeys. */
  from: string;
  to: string;
  /** Signature of `to` over `rotationText`, base64. */
  proof: string;
}

/** What the new key signs, to show that it is held. */
export function rotationText(name: string, from: string, to: string): string {
  return `lakeseal key ${name}\n${from}\n${to}\n`;
}

/** @throws NoteError where the two keys have not one name. */
export async function rotationBody(
  time: string,
  from: Verifier,
  to: Signer,
): Promise<RotationBody> {
  const { name, vkey } = to.verifier;
  if (name !== from.name) throw new NoteError(`the new key is of ${name}, not of ${from.name}`);
  if (vkey === from.vkey) throw new NoteError('the new key is the old one');
  const signature = await to.sign(Buffer.from(rotationText(name, from.vkey, vkey)));
  return { time, from: from.vkey, to: vkey, proof: signature.toString('base64') };
}

/** The two keys of a rotation whose new key is shown to be held. @throws LeafError */
export function parseRotation(bytes: Buffer): Leaf<{ time: string; from: Verifier; to: Verifier }> {
  const { head, body } = parseLeaf<RotationBody>(bytes, schema);
  let from: Verifier;
  let to: Verifier;
  try {
    from = parseVkey(body.from);
    to = parseVkey(body.to);
  } catch (error) {
    throw new LeafError((error as Error).message);
  }
  if (from.name !== to.name) throw new LeafError('the two keys have not one name');
  const text = rotationText(to.name, body.from, body.to);
  if (!isSignedBy(text, Buffer.from(body.proof, 'base64'), to)) {
    throw new LeafError('the new key did not sign its taking over');
  }
  return { head, body: { time: body.time, from, to } };
}
