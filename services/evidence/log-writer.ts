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
  /** Size of the newest checkpoint that is known to be there; -1 where that was not looked for. */
  #signed: number;

  private constructor(store: ObjectStore, prefix: string, end: LogEnd, signed: number) {
    this.log = end.log;
    this.#store = store;
    this.#prefix = prefix;
    this.#end = end;
    this.#signed = signed;
  }

  /** Finds the end of the log. @throws BrokenLog where its last leaf is not as it should be. */
  static async open(store: ObjectStore, prefix: string, log: string): Promise<LogWriter> {
    const size = await countLeaves(store, prefix, log);
    const end = size === 0 ? emptyLog(log) : await endOf(store, prefix, log, size - 1);
    const note = size === 0 ? null : evidenceKey(prefix, { log, kind: 'note', number: size });
    const signed = note !== null && (await store.get(note)) !== null ? size : -1;
    return new LogWriter(store, prefix, end, signed);
  }

  get end(): LogEnd {
    return this.#end;
  }

  get size(): number {
    return this.#end.sequence;
  }

  /** True where the newest leaf is covered by a checkpoint. */
  get isSigned(): boolean {
    return this.size === 0 || this.#signed === this.size;
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
      this.#end = endAfter(this.#end, bytes);
      return { outcome, sequence, bytes };
    }
    const theirs = await onlyVersion(this.#store, key);
    if (theirs.equals(bytes)) {
      this.#end = endAfter(this.#end, bytes);
      return { outcome: 'repeated', sequence, bytes };
    }
    this.#end = follow(this.#end, key, theirs);
    return { outcome: 'overtaken', sequence, bytes: theirs };
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

/** Where the log goes on behind leaf `sequence`, from that leaf alone. @throws BrokenLog */
export async function endOf(
  store: Reader,
  prefix: string,
  log: string,
  sequence: number,
): Promise<LogEnd> {
  const key = evidenceKey(prefix, { log, kind: 'leaf', number: sequence });
  const bytes = await onlyVersion(store, key);
  try {
    const head = parseHead(bytes);
    if (head.log !== log || head.sequence !== sequence) throw new LeafError('it is another leaf');
    return endAfter(head, bytes);
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
 * number, with doubling steps and then halves, takes twice the logarithm of the size.
 */
export async function countLeaves(
  store: Pick<ObjectStore, 'list'>,
  prefix: string,
  log: string,
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
  if (!(await reaches(0))) return 0;
  let low = 0;
  let high = 1;
  while (await reaches(high)) {
    low = high;
    high *= 2;
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
