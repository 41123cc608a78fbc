/**
 * One log of evidence, leaf by leaf: chain, tree, places and signatures. What its leaves say is the
 * business of whoever gives `leaf`. Memory does not grow with the log.
 */
import { originOf, parseCheckpoint } from '../../schemas/evidence/checkpoint.ts';
import { LeafError, type LeafHead, parseHead } from '../../schemas/evidence/leaf.ts';
import { evidenceKey, logPrefix, parseEvidenceKey } from '../../schemas/evidence/log-layout.ts';
import { Frontier, leafHash, sha256 } from '../../schemas/evidence/merkle.ts';
import { NoteError, parseNote, type Verifier, verifyNote } from '../../schemas/evidence/note.ts';
import type { FindingCode, Report } from './findings.ts';
import { frontierOf, type KeptLog, keptOf } from './kept-state.ts';
import type { ArchiveSource, KeyVersions, Peekable, SourceVersion } from './source.ts';

/** What others know of a log: roots, and checkpoints that somebody kept. */
export interface ToldSize {
  size: number;
  root: Buffer;
  /** Where that was told. */
  by: string;
  /** Sequence of the root that told it. */
  rootSequence?: number;
  /** The run that left the state behind knew of it, too. */
  known?: true;
}

export interface LogCheckOptions {
  source: ArchiveSource;
  prefix: string;
  log: string;
  report: Report;
  /** May grow while the log `keys` is checked. */
  verifiers: readonly Verifier[];
  told: readonly ToldSize[];
  /** Where a run before ended: `keys` then begin with the last leaf of these. */
  kept?: KeptLog | null;
  /** That leaf, where it is what it was. */
  resumed?: (bytes: Buffer, head: LeafHead, version: SourceVersion) => void;
  /** At every good checkpoint: where a later run could begin. */
  reached?: (kept: KeptLog) => void;
  /** Called for every leaf that is whole, in order; its problems are its own. */
  leaf?: (bytes: Buffer, head: LeafHead, version: SourceVersion) => Promise<void>;
  /** Called for every checkpoint that is signed by a trusted key and of this tree. */
  signed?: (size: number, note: Buffer, by: Verifier, version: SourceVersion) => Promise<void>;
  /** Time stamp or witness lines of a checkpoint: `suffix` is `tsr` or `witness`. */
  beside?: (size: number, suffix: 'tsr' | 'witness', bytes: Buffer, key: string) => Promise<void>;
}

export interface CheckedLog {
  size: number;
  root: Buffer;
  /** Size of the newest good checkpoint; 0 where there is none. */
  signedSize: number;
  signedBy: Verifier | null;
}

/** Files of one number: the leaf, and what is about the tree of that size. */
interface Numbered {
  number: number;
  files: Map<string, KeyVersions>;
}

/** @param keys of this log, in order; what is behind it is left. */
export async function checkLog(
  keys: Peekable<KeyVersions>,
  options: LogCheckOptions,
): Promise<CheckedLog> {
  const check = new LogCheck(options);
  const { kept = null } = options;
  if (kept !== null) await check.resume(kept, await takeNumbered(keys, options));
  for (let numbered = await takeNumbered(keys, options); numbered !== null; ) {
    await check.number(numbered);
    numbered = await takeNumbered(keys, options);
  }
  return check.end();
}

async function takeNumbered(
  keys: Peekable<KeyVersions>,
  { prefix, log, report }: LogCheckOptions,
): Promise<Numbered | null> {
  let numbered: Numbered | null = null;
  for (let next = await keys.peek(); next !== null; next = await keys.peek()) {
    const place = parseEvidenceKey(prefix, next.key);
    if (place === null && next.key.startsWith(logPrefix(prefix, log))) {
      // A stranger must not end the log for those who walk it.
      planted(next, report);
      await keys.take();
      continue;
    }
    if (place === null || place.log !== log) break;
    if (numbered !== null && numbered.number !== place.number) break;
    numbered ??= { number: place.number, files: new Map() };
    numbered.files.set(place.kind, next);
    await keys.take();
  }
  return numbered;
}

class LogCheck {
  readonly #options: LogCheckOptions;
  #frontier = new Frontier();
  #previous: string | null = null;
  /** True once a leaf is missing or of another place: what follows cannot be hashed any more. */
  #broken = false;
  #signedSize = 0;
  #signedBy: Verifier | null = null;
  /** What others know, by size, and how much of it was compared. */
  readonly #told: readonly ToldSize[];
  #compared = 0;
  #lastLeaf: string | null = null;

  constructor(options: LogCheckOptions) {
    this.#options = options;
    this.#told = options.told.toSorted((one, other) => one.size - other.size);
  }

  /** What a run before saw must still be there: its last leaf tells of all before it. */
  async resume(kept: KeptLog, last: Numbered | null): Promise<void> {
    this.#frontier = frontierOf(kept);
    this.#previous = kept.previous;
    const key = this.#key('leaf', kept.size - 1);
    const file = last?.number === kept.size - 1 ? last.files.get('leaf') : undefined;
    if (file === undefined) {
      this.#broken = true;
      const expected = `${kept.size} leaves, as at an earlier run`;
      this.#find('truncated', key, expected, `no leaf ${kept.size - 1}`, '');
      if (last !== null) await this.number(last);
      return;
    }
    this.#lastLeaf = file.key;
    const found = await this.#bytes(file);
    const hash = found === null ? null : sha256(found.bytes).toString('hex');
    if (hash !== kept.previous) {
      this.#broken = true;
      if (hash !== null) this.#find('fork', key, `SHA-256 ${kept.previous}`, `SHA-256 ${hash}`, '');
      return;
    }
    const { bytes, version } = found!;
    this.#options.resumed?.(bytes, parseHead(bytes), version);
    this.#compare(kept.size);
  }

  async number({ number, files }: Numbered): Promise<void> {
    const note = files.get('note');
    if (note !== undefined) await this.#note(number, note);
    for (const kind of ['tsr', 'witness'] as const) {
      const file = files.get(kind);
      if (file !== undefined && note === undefined) planted(file, this.#options.report);
      const bytes = file === undefined ? null : await this.#bytes(file);
      if (bytes !== null) await this.#options.beside?.(number, kind, bytes.bytes, file!.key);
    }
    const leaf = files.get('leaf');
    if (leaf !== undefined) await this.#leaf(number, leaf);
  }

  async #leaf(sequence: number, file: KeyVersions): Promise<void> {
    const { log } = this.#options;
    if (sequence > this.#frontier.size && !this.#broken) {
      this.#broken = true;
      const missing = this.#frontier.size;
      this.#find('leaf_missing', this.#key('leaf', missing), `leaf ${missing}`, 'nothing', '');
    }
    this.#lastLeaf = file.key;
    const found = await this.#bytes(file);
    if (found === null) {
      this.#broken = true;
      return;
    }
    const { bytes, version } = found;
    let head: LeafHead;
    try {
      head = parseHead(bytes);
    } catch (error) {
      if (!(error instanceof LeafError)) throw error;
      this.#find('leaf_invalid', file.key, 'a leaf', error.message, version.versionId);
      this.#grow(bytes, sequence);
      return;
    }
    if (head.log !== log || head.sequence !== sequence) {
      const there = `${head.log} ${head.sequence}`;
      this.#find('leaf_misplaced', file.key, `${log} ${sequence}`, there, version.versionId);
    } else if (!this.#broken) this.#follows(head, file.key, version.versionId);
    this.#grow(bytes, sequence);
    await this.#options.leaf?.(bytes, head, version);
  }

  #follows(head: LeafHead, key: string, versionId: string): void {
    if (head.previous !== this.#previous) {
      this.#find('leaf_chain', key, String(this.#previous), String(head.previous), versionId);
    }
    const mine = this.#frontier.hashes;
    const same =
      head.tree.length === mine.length && head.tree.every((hash, at) => hash.equals(mine[at]!));
    if (!same) {
      const told = head.tree.map((hash) => hash.toString('base64')).join(' ');
      const made = mine.map((hash) => hash.toString('base64')).join(' ');
      this.#find('leaf_tree', key, made, told, versionId);
    }
  }

  #grow(bytes: Buffer, sequence: number): void {
    if (this.#broken) return;
    this.#frontier.append(leafHash(bytes));
    this.#previous = sha256(bytes).toString('hex');
    this.#compare(sequence + 1);
  }

  /** With what others told of this size. */
  #compare(size: number): void {
    for (; (this.#told[this.#compared]?.size ?? Infinity) <= size; this.#compared += 1) {
      const { size: toldSize, root, by } = this.#told[this.#compared]!;
      if (toldSize !== size || root.equals(this.#frontier.root())) continue;
      const mine = this.#frontier.root().toString('base64');
      const found = `${mine}, but ${by} tells ${root.toString('base64')}`;
      this.#find('fork', this.#key('note', size), `one root of ${size} leaves`, found, '');
    }
  }

  async #note(size: number, file: KeyVersions): Promise<void> {
    const found = await this.#bytes(file);
    if (found === null) return;
    const { bytes, version } = found;
    const { verifiers, log } = this.#options;
    const bad = (code: FindingCode, expected: string, there: string): void =>
      this.#find(code, file.key, expected, there, version.versionId);
    try {
      const note = parseNote(bytes);
      const { signed, forged } = verifyNote(note, verifiers);
      const checkpoint = parseCheckpoint(note);
      const by = signed[0] ?? null;
      if (by === null || forged.length > 0) {
        const names = note.signatures.map(({ name, keyId }) => `${name}+${keyId.toString('hex')}`);
        bad('checkpoint_signature', 'a valid signature of a trusted key', names.join(', '));
        return;
      }
      const origin = originOf(by.name, log);
      if (checkpoint.origin !== origin || checkpoint.size !== size) {
        const there = `${checkpoint.origin} ${checkpoint.size}`;
        bad('checkpoint_invalid', `${origin} ${size}`, there);
        return;
      }
      if (this.#broken) return;
      if (size !== this.#frontier.size) {
        bad('truncated', `${size} leaves`, `${this.#frontier.size} leaves`);
        return;
      }
      const root = this.#frontier.root();
      if (!checkpoint.root.equals(root)) {
        bad('checkpoint_root', root.toString('base64'), checkpoint.root.toString('base64'));
        return;
      }
      this.#signedSize = size;
      this.#signedBy = by;
      if (size > 0) this.#options.reached?.(keptOf(this.#frontier, this.#previous!));
      await this.#options.signed?.(size, bytes, by, version);
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      bad('checkpoint_invalid', 'a checkpoint', error.message);
    }
  }

  end(): CheckedLog {
    const size = this.#frontier.size;
    const { log } = this.#options;
    const beyond = this.#told[this.#compared];
    if (!this.#broken && beyond !== undefined) {
      // What is told of larger sizes says the same of the same cut.
      const found = `${size}, but ${beyond.by} tells of ${beyond.size}`;
      this.#find('truncated', this.#key('leaf', size), `${beyond.size} leaves`, found, '');
    }
    if (!this.#broken && this.#signedSize < size && this.#lastLeaf !== null) {
      const expected = `a checkpoint of ${size} leaves of ${log}`;
      const found = this.#signedSize === 0 ? 'none' : `one of ${this.#signedSize}`;
      this.#find('checkpoint_missing', this.#key('note', size), expected, found, '');
    }
    return {
      size,
      root: this.#frontier.root(),
      signedSize: this.#signedSize,
      signedBy: this.#signedBy,
    };
  }

  async #bytes(file: KeyVersions): Promise<{ bytes: Buffer; version: SourceVersion } | null> {
    const { source, report } = this.#options;
    const version = onlyVersion(file, report);
    if (version === null) return null;
    const bytes = await source.read(version);
    if (bytes !== null) return { bytes, version };
    this.#find('leaf_missing', file.key, 'its bytes', 'nothing', version.versionId);
    return null;
  }

  #key(kind: 'leaf' | 'note', number: number): string {
    const { prefix, log } = this.#options;
    return evidenceKey(prefix, { log, kind, number });
  }

  #find(code: FindingCode, key: string, expected: string, found: string, versionId: string): void {
    this.#options.report({ code, key, versionId, expected, found });
  }
}

/**
 * The version that was sealed: the only one, or else the oldest, for what came later was not written
 * by lakeseal. Markers and further versions are findings. Null where there is no bytes at all.
 */
export function onlyVersion({ key, versions }: KeyVersions, report: Report): SourceVersion | null {
  for (const { versionId } of versions.filter(({ isDeleteMarker }) => isDeleteMarker)) {
    report({ code: 'delete_marker', key, versionId, expected: 'no marker', found: 'a marker' });
  }
  const objects = versions.filter(({ isDeleteMarker }) => !isDeleteMarker);
  if (objects.length > 1) {
    const found = `${objects.length} versions`;
    report({ code: 'extra_version', key, versionId: '', expected: 'one version', found });
  }
  return objects.at(-1) ?? null;
}

/** An object that nothing speaks of. A key with nothing but a marker is told as that. */
export function planted(file: KeyVersions, report: Report): void {
  const version = onlyVersion(file, report);
  if (version === null) return;
  const { key, versionId } = version;
  const found = `${version.size} bytes`;
  report({ code: 'planted_object', key, versionId, expected: 'no such object', found });
}
