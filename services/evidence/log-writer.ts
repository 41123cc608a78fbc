/**
 * Appends to a log of evidence (`schemas/evidence.md`): leaves with one conditional PUT each, then
 * signed checkpoints. Several writers may append at once: the store decides each sequence number,
 * and who comes second reads what is there and goes on behind it. A crash between any two writes
 * leaves a log that the next writer continues: a leaf without a checkpoint is covered by the next.
 *
 * Nothing here keeps data from being sealed: who cannot append or sign waits, the segments do not.
 */
import { checkpointText, originOf, parseCheckpoint } from '../../schemas/evidence/checkpoint.ts';
import {
  emptyLog,
  endAfter,
  LeafError,
  type LogEnd,
  parseHead,
} from '../../schemas/evidence/leaf.ts';
import {
  type EvidenceKind,
  evidenceKey,
  logPrefix,
  parseEvidenceKey,
} from '../../schemas/evidence/log-layout.ts';
import { parseNote, type Signer, signNote } from '../../schemas/evidence/note.ts';
import { Failure } from '../runtime/errors.ts';
import type { ObjectStore } from '../store/store.ts';

/** What is there does not look as a writer left it; a person must look. */
export class BrokenLog extends Error {
  readonly key: string;

  constructor(key: string, message: string) {
    super(message);
    this.name = 'BrokenLog';
    this.key = key;
  }
}

/** Tries to append where other writers are at the same log. */
export const ATTEMPTS_MAX = 10;

type Reader = Pick<ObjectStore, 'get' | 'list' | 'versions'>;

/** Makes the bytes of the leaf that would be next. */
export type MakeLeaf = (end: LogEnd) => Buffer;

/** `overtaken`: another writer's leaf took the number; it was read, and may be appended behind. */
export type Appended =
  | { outcome: 'created' | 'repeated'; sequence: number; bytes: Buffer }
  | { outcome: 'overtaken'; sequence: number; bytes: Buffer };

export class LogWriter {
  readonly log: string;
  readonly #store: ObjectStore;
  readonly #prefix: string;
  #end: LogEnd;
  #last: Buffer | null;
  /** Size of the newest checkpoint that is known to be there. */
  #signed: number;

  private constructor(store: ObjectStore, prefix: string, found: FoundEnd, signed: number) {
    this.log = found.end.log;
    this.#store = store;
    this.#prefix = prefix;
    this.#end = found.end;
    this.#last = found.last;
    this.#signed = signed;
  }

  /** Finds the end of the log. @throws BrokenLog where its last leaf is not as it should be. */
  static async open(store: ObjectStore, prefix: string, log: string): Promise<LogWriter> {
    const size = await countLeaves(store, prefix, log);
    const found: FoundEnd =
      size === 0 ? { end: emptyLog(log), last: null } : await readEnd(store, prefix, log, size - 1);
    const signed = await newestCheckpoint(store, prefix, log, size);
    return new LogWriter(store, prefix, found, signed);
  }

  get end(): LogEnd {
    return this.#end;
  }

  get size(): number {
    return this.#end.sequence;
  }

  /** Bytes of the newest leaf; null where there is none. */
  get last(): Buffer | null {
    return this.#last;
  }

  /** True where the newest leaf is covered by a checkpoint. */
  get isSigned(): boolean {
    return this.#signed === this.size;
  }

  /** Leaves behind the newest checkpoint, see `newestCheckpoint`. */
  get unsigned(): number {
    return this.size - this.#signed;
  }

  /**
   * Goes on behind what other writers have appended since.
   * @throws BrokenLog where that does not follow.
   */
  async catchUp(): Promise<void> {
    const before = this.size;
    for (;;) {
      const key = this.#key('leaf', this.size);
      if ((await this.#store.get(key)) === null) break;
      this.#follow(key, await onlyVersion(this.#store, key));
    }
    if (this.size === before && this.isSigned) return;
    this.#signed = await newestCheckpoint(this.#store, this.#prefix, this.log, this.size);
  }

  /**
   * Writes the next leaf. After `overtaken` the log has one leaf more, which is not this one.
   * @throws BrokenLog where the number is taken by what is no leaf that could follow.
   */
  async append(make: MakeLeaf): Promise<Appended> {
    const { sequence } = this.#end;
    const bytes = make(this.#end);
    const key = this.#key('leaf', sequence);
    const { outcome } = await this.#store.putIfAbsent(key, bytes);
    if (outcome === 'created') {
      this.#goOn(endAfter(this.#end, bytes), bytes);
      return { outcome, sequence, bytes };
    }
    const theirs = await onlyVersion(this.#store, key);
    if (theirs.equals(bytes)) {
      this.#goOn(endAfter(this.#end, bytes), bytes);
      return { outcome: 'repeated', sequence, bytes };
    }
    this.#follow(key, theirs);
    return { outcome: 'overtaken', sequence, bytes: theirs };
  }

  /**
   * Writes a leaf that may stand behind whatever others write meanwhile.
   * @throws Failure `LOG_BUSY` where they never stop; BrokenLog as `append`.
   */
  async appendBehind(make: MakeLeaf): Promise<number> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const { outcome, sequence } = await this.append(make);
      if (outcome !== 'overtaken') return sequence;
    }
    throw busy(this.log);
  }

  #follow(key: string, theirs: Buffer): void {
    this.#goOn(follow(this.#end, key, theirs), theirs);
  }

  #goOn(end: LogEnd, last: Buffer): void {
    this.#end = end;
    this.#last = last;
  }

  /**
   * Signs the newest size, unless that is done. False where another's checkpoint is there that is
   * about the same tree (signed by an older or newer key, or not deterministic).
   * @throws BrokenLog where a checkpoint of another tree is there: two histories.
   */
  async sign(signer: Signer): Promise<boolean> {
    if (this.isSigned) return false;
    const size = this.size;
    const origin = originOf(signer.verifier.name, this.log);
    const text = checkpointText({ origin, size, root: this.#end.frontier.root() });
    const key = this.#key('note', size);
    const note = await signNote(text, signer);
    const { outcome } = await this.#store.putIfAbsent(key, note);
    if (outcome === 'exists') {
      const theirs = await onlyVersion(this.#store, key);
      if (!theirs.equals(note)) checkSame(key, theirs, text);
    }
    this.#signed = size;
    return outcome === 'created';
  }

  /** Key of the checkpoint of the newest size. */
  get checkpointKey(): string {
    return this.#key('note', this.size);
  }

  #key(kind: EvidenceKind, number: number): string {
    return evidenceKey(this.#prefix, { log: this.log, kind, number });
  }
}

/** Others write to a log all the time. */
export function busy(log: string): Failure {
  return new Failure(`others write to the log ${log} all the time`, {
    code: 'LOG_BUSY',
    hint: 'Run it again.',
    retryable: true,
  });
}

function checkSame(key: string, theirs: Buffer, text: string): void {
  let found: string;
  try {
    const note = parseNote(theirs);
    parseCheckpoint(note);
    found = note.text;
  } catch (error) {
    throw new BrokenLog(key, `not a checkpoint: ${(error as Error).message}`);
  }
  if (found !== text) throw new BrokenLog(key, 'a checkpoint of another tree is there');
}

function follow(end: LogEnd, key: string, theirs: Buffer): LogEnd {
  try {
    const head = parseHead(theirs);
    const same =
      head.log === end.log &&
      head.sequence === end.sequence &&
      head.previous === end.previous &&
      head.tree.length === end.tree.length &&
      head.tree.every((hash, at) => hash.equals(end.tree[at]!));
    if (!same) throw new LeafError('it does not follow the leaf before it');
    return endAfter(head, theirs);
  } catch (error) {
    if (error instanceof LeafError) throw new BrokenLog(key, error.message);
    throw error;
  }
}

interface FoundEnd {
  end: LogEnd;
  last: Buffer | null;
}

/** Where the log goes on behind leaf `sequence`, from that leaf alone. @throws BrokenLog */
export async function endOf(
  store: Reader,
  prefix: string,
  log: string,
  sequence: number,
): Promise<LogEnd> {
  const { end } = await readEnd(store, prefix, log, sequence);
  return end;
}

async function readEnd(
  store: Reader,
  prefix: string,
  log: string,
  sequence: number,
): Promise<FoundEnd> {
  const key = evidenceKey(prefix, { log, kind: 'leaf', number: sequence });
  const bytes = await onlyVersion(store, key);
  try {
    const head = parseHead(bytes);
    if (head.log !== log || head.sequence !== sequence) throw new LeafError('it is another leaf');
    return { end: endAfter(head, bytes), last: bytes };
  } catch (error) {
    if (error instanceof LeafError) throw new BrokenLog(key, error.message);
    throw error;
  }
}

async function onlyVersion(store: Reader, key: string): Promise<Buffer> {
  const versions = await store.versions(key);
  const object = versions.length === 1 ? await store.get(key) : null;
  if (object !== null) return object.bytes;
  throw new BrokenLog(key, `${versions.length} versions or markers where one version should be`);
}

/**
 * How many leaves a log has. Numbers are dense, so looking whether anything lies at or behind a
 * number, with doubling steps and then halves, takes twice the logarithm of the size; `known`, a
 * number of leaves that were there before, makes it that of what came since.
 */
export async function countLeaves(
  store: Pick<ObjectStore, 'list'>,
  prefix: string,
  log: string,
  known = 0,
): Promise<number> {
  const reaches = async (sequence: number): Promise<boolean> => {
    // Just before the leaf: nothing has its key without the suffix. The checkpoint of the same
    // number covers only leaves before it, so it must not count.
    const leaf = evidenceKey(prefix, { log, kind: 'leaf', number: sequence });
    const after = leaf.slice(0, -'.json'.length);
    let from = after;
    for (;;) {
      const keys = await store.list(logPrefix(prefix, log), from, LOOK_KEYS);
      for (const key of keys) {
        const place = parseEvidenceKey(prefix, key);
        if (place?.kind === 'leaf' && place.number >= sequence) return true;
      }
      if (keys.length < LOOK_KEYS) return false;
      from = keys.at(-1)!;
    }
  };
  if (!(await reaches(known))) return known;
  let low = known;
  let step = 1;
  let high = low + step;
  while (await reaches(high)) {
    low = high;
    step *= 2;
    high = low + step;
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await reaches(middle)) low = middle;
    else high = middle;
  }
  return high;
}

/** A leaf, and the three kinds of files that may lie beside it. */
const LOOK_KEYS = 8;

/**
 * Size of the newest checkpoint of a log of `size` leaves; 0 where none is found. Looked for among
 * the newest `back` leaves only: a log that was not signed for longer counts as never signed.
 */
export async function newestCheckpoint(
  store: Pick<ObjectStore, 'list'>,
  prefix: string,
  log: string,
  size: number,
  back = LOOK_BACK_LEAVES,
): Promise<number> {
  let end = size + 1;
  for (let leaves = 1; end > 0 && leaves <= back; leaves *= LOOK_BACK_FACTOR) {
    const start = Math.max(0, end - leaves);
    const found = await newestIn(store, prefix, log, start, end);
    if (found > 0) return found;
    end = start;
  }
  return 0;
}

/** Of the numbers [start, end). */
async function newestIn(
  store: Pick<ObjectStore, 'list'>,
  prefix: string,
  log: string,
  start: number,
  end: number,
): Promise<number> {
  const first = evidenceKey(prefix, { log, kind: 'leaf', number: start });
  let from = first.slice(0, -'.json'.length);
  let newest = 0;
  for (;;) {
    const keys = await store.list(logPrefix(prefix, log), from, PAGE_KEYS);
    for (const key of keys) {
      const place = parseEvidenceKey(prefix, key);
      if (place === null) continue;
      if (place.number >= end) return newest;
      if (place.kind === 'note') newest = place.number;
    }
    if (keys.length < PAGE_KEYS) return newest;
    from = keys.at(-1)!;
  }
}

const PAGE_KEYS = 1000;
const LOOK_BACK_FACTOR = 32;
const LOOK_BACK_LEAVES = 32_768;
