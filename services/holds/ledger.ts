/**
 * The log `holds` in the store: what it says now, and its next leaf. What is to be done is written
 * and signed first and done to the store then, so that whoever stops half-way leaves a log that says
 * what is missing, and the same command again does the rest.
 */
import { HOLDS_LOG, type HoldBody, HoldBook, parseHold } from '../../schemas/evidence/hold-leaf.ts';
import { leafBytes } from '../../schemas/evidence/leaf.ts';
import type { Signer } from '../../schemas/evidence/note.ts';
import { evidenceFailure, leavesOf } from '../evidence/log-reader.ts';
import { ATTEMPTS_MAX, BrokenLog, busy, LogWriter } from '../evidence/log-writer.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';
import type { ObjectStore } from '../store/store.ts';

export interface ReadBook {
  book: HoldBook;
  /** Leaves that were read. */
  size: number;
}

/** @throws Failure `EVIDENCE` where a leaf does not follow or is none. */
export async function readBook(
  store: Pick<ObjectStore, 'get' | 'list'>,
  prefix: string,
): Promise<ReadBook> {
  const book = new HoldBook();
  let size = 0;
  try {
    for await (const { bytes } of leavesOf(store, prefix, HOLDS_LOG)) {
      book.take(parseHold(bytes));
      size += 1;
    }
  } catch (error) {
    throw evidenceFailure(error);
  }
  return { book, size };
}

export interface Recorded extends ReadBook {
  /** The leaf that was written; null where nothing had to be said. */
  leaf: { sequence: number; body: HoldBody } | null;
  /** Why the log is not signed up to its end; null where it is. */
  unsigned: string | null;
}

/**
 * Writes what `decide` makes of the log as it is, and signs it. `decide` is asked again where
 * another was first.
 */
export async function record(
  store: ObjectStore,
  prefix: string,
  signer: Signer,
  decide: (book: HoldBook) => Promise<HoldBody | null>,
): Promise<Recorded> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const log = await open(store, prefix);
    const { book, size } = await readBook(store, prefix);
    if (size !== log.size) continue;
    const body = await decide(book);
    if (body === null) {
      return { book, size, leaf: null, unsigned: await sign(log, signer) };
    }
    const { outcome, sequence, bytes } = await log.append((end) => leafBytes(end, body));
    if (outcome === 'overtaken') continue;
    book.take(parseHold(bytes));
    const leaf = { sequence, body };
    return { book, size: size + 1, leaf, unsigned: await sign(log, signer) };
  }
  throw busy(HOLDS_LOG);
}

async function open(store: ObjectStore, prefix: string): Promise<LogWriter> {
  try {
    return await LogWriter.open(store, prefix, HOLDS_LOG);
  } catch (error) {
    if (!(error instanceof BrokenLog)) throw error;
    throw new Failure(`the log of holds cannot be continued: ${error.key}: ${error.message}`, {
      code: 'HOLD_LOG',
      hint: '`lakeseal verify` says what was done to it.',
    });
  }
}

/** A hold matters more than its signature: without the key it is set all the same, and said. */
async function sign(log: LogWriter, signer: Signer): Promise<string | null> {
  if (log.size === 0) return null;
  try {
    await log.sign(signer);
    return null;
  } catch (error) {
    return reasonOf(error);
  }
}
