/**
 * What is trusted: keys the user names, authorities of time stamps and witnesses; and of keys also
 * those that they handed over to in the log `keys`. Trust goes forward only: who trusts a key trusts its successors, not what came before it.
 */
import { readFileSync } from 'node:fs';
import {
  type Certificate,
  CertificateError,
  parsePemCertificates,
} from '../../schemas/evidence/certificate.ts';
import { openCheckpoint } from '../../schemas/evidence/checkpoint.ts';
import { KEYS_LOG } from '../../schemas/evidence/key-leaf.ts';
import { LeafError } from '../../schemas/evidence/leaf.ts';
import { COSIGNATURE, NoteError, parseVkey, type Verifier } from '../../schemas/evidence/note.ts';
import { assertWitness } from '../../schemas/evidence/witness.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';
import type { ObjectStore } from '../store/store.ts';
import { LogReader } from './log-reader.ts';
import { type Awaited, Succession } from './succession.ts';

/** `keys`: vkeys as text; `files`: paths of files that hold one on each line. */
export interface NamedKeys {
  keys?: readonly string[];
  files?: readonly string[];
}

/** @throws Failure `PUBLIC_KEY` that says which is wrong and why. */
export function namedVerifiers({ keys = [], files = [] }: NamedKeys): Verifier[] {
  const given = keys.map((text) => ({ text, where: 'the key that was given' }));
  for (const path of files) given.push(...linesOf(path));
  return given.map(({ text, where }) => {
    try {
      const key = parseVkey(text);
      if (key.type === COSIGNATURE) throw new NoteError('it is the key of a witness');
      return key;
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      throw new Failure(`${where}: ${error.message}`, {
        code: 'PUBLIC_KEY',
        hint: '`lakeseal keys show` prints the public key of this installation.',
      });
    }
  });
}

function linesOf(path: string): Array<{ text: string; where: string }> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Failure(`the file of public keys ${path} cannot be read: ${reasonOf(error)}`, {
      code: 'PUBLIC_KEY',
    });
  }
  return text
    .split('\n')
    .map((line, at) => ({ text: line.trim(), where: `${path}:${at + 1}` }))
    .filter((line) => line.text !== '' && !line.text.startsWith('#'));
}

/** Certificates of authorities in PEM files. @throws Failure `TSA_CA` */
export function namedAuthorities(files: readonly string[]): Certificate[] {
  return files.flatMap((path) => {
    try {
      return parsePemCertificates(readFileSync(path, 'utf8'));
    } catch (error) {
      const why =
        error instanceof CertificateError
          ? `: ${error.message}`
          : ` cannot be read: ${reasonOf(error)}`;
      throw new Failure(`the certificates of the time stamp authority ${path}${why}`, {
        code: 'TSA_CA',
        hint: 'A PEM file with the root certificate of the authority, as it publishes it, is needed.',
      });
    }
  });
}

/** Vkeys of witnesses (type 04). @throws Failure `WITNESS_KEY` */
export function namedWitnesses(vkeys: readonly string[]): Verifier[] {
  return vkeys.map((vkey) => {
    try {
      const witness = parseVkey(vkey);
      assertWitness(witness);
      return witness;
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      throw new Failure(`the key of a witness: ${error.message}`, {
        code: 'WITNESS_KEY',
        hint: 'It is a vkey (NAME+KEYID+KEY) of signature type 04, as the witness publishes it.',
      });
    }
  });
}

/**
 * The keys given and their successors. A rotation that does not verify ends the search: it is for
 * `verify` to say what is wrong with it.
 */
export async function withSuccessors(
  store: Pick<ObjectStore, 'get' | 'list' | 'versions'>,
  prefix: string,
  given: readonly Verifier[],
): Promise<Verifier[]> {
  const succession = new Succession(given);
  const log = new LogReader(store, prefix, KEYS_LOG);
  const count = await log.count();
  for (let sequence = 0; sequence < count; sequence++) {
    const refused = succession.statement(await log.leaf(sequence), sequence);
    // A rotation before the trusted key came into force is none of ours.
    if (refused.some(({ why }) => why !== 'stranger')) break;
    const { awaited } = succession;
    if (awaited !== null && (await isSigned(log, awaited))) {
      succession.signed(awaited.size, awaited.from);
    }
  }
  return succession.trusted;
}

/** Whether the checkpoint of that size is signed by the key that hands over. */
async function isSigned(log: LogReader, { size, from }: Awaited): Promise<boolean> {
  try {
    await checkSigned(log, size, [from]);
    return true;
  } catch (error) {
    if (error instanceof LeafError || error instanceof NoteError) return false;
    throw error;
  }
}

/**
 * The leaf before `size` is what a trusted key signed: its chain and tree end in the checkpoint.
 * @throws NoteError where it is not, and what reading that leaf throws.
 */
export async function checkSigned(
  log: LogReader,
  size: number,
  verifiers: readonly Verifier[],
): Promise<void> {
  const note = await log.checkpoint(size);
  if (note === null) throw new NoteError(`the checkpoint of ${log.log} ${size} is hidden`);
  const signed = openCheckpoint(note, verifiers);
  const tree = await log.frontier(size);
  if (signed.log !== log.log || signed.size !== size || !signed.root.equals(tree.root())) {
    throw new NoteError(`the checkpoint of ${log.log} ${size} is of another history`);
  }
}
