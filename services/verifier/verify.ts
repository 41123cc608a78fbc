/**
 * A whole archive against its evidence (`schemas/evidence.md`): the keys first, then the roots, then
 * every partition with its segments, then the other logs. One pass over the listing, in its order;
 * memory grows with the number of partitions and of roots, not of segments.
 *
 * Nothing is believed but the keys that are given. What cannot be told from a source (versions and
 * retention, of a plain copy) is said not to have been checked.
 */
import { openCheckpoint } from '../../schemas/evidence/checkpoint.ts';
import { KEYS_LOG, parseRotation } from '../../schemas/evidence/key-leaf.ts';
import { LeafError, secondsOf } from '../../schemas/evidence/leaf.ts';
import {
  EVIDENCE,
  evidenceKey,
  logPrefix,
  parseEvidenceKey,
  parsePartitionLog,
  STATEMENT_LOGS,
} from '../../schemas/evidence/log-layout.ts';
import { NoteError, type Verifier } from '../../schemas/evidence/note.ts';
import { ROOT_LOG } from '../../schemas/evidence/root-leaf.ts';
import { parseSlotKey } from '../../schemas/layout.ts';
import { Failure } from '../runtime/errors.ts';
import { EvidenceProtection } from './evidence-protection.ts';
import { type Finding, type FindingCode, onlyOnce } from './findings.ts';
import { type CheckedLog, checkLog, onlyVersion, planted, type ToldSize } from './log-check.ts';
import { checkPartition, type PartitionSummary } from './partition-check.ts';
import { checkRoots, type RootCheckOptions, type RootSummary } from './root-check.ts';
import {
  type ArchiveSource,
  byKey,
  type KeyVersions,
  Peekable,
  type SourceVersion,
} from './source.ts';

export interface VerifyOptions
  extends Pick<RootCheckOptions, 'judgeStamp' | 'judgeWitness' | 'expectStamps'> {
  source: ArchiveSource;
  prefix: string;
  /** Obtained by another way than the archive. */
  verifiers: readonly Verifier[];
  /** Signed notes that somebody kept elsewhere: what they tell must still hold. */
  kept: readonly Buffer[];
  /** Every record against its manifest. */
  deep: boolean;
  /** Findings `root_stale` and `root_behind` are judged at this time, epoch ms. */
  nowMs: number;
  /** Oldest that the newest root may be, ms; null: any. */
  rootAgeMsMax: number | null;
  concurrency: number;
  breathe: () => Promise<void>;
  /** A partition is being read, and how many stored bytes of segments were by now. */
  progress: (log: string, bytes: number) => void;
  found: (finding: Finding) => void;
}

export interface Verification {
  partitions: PartitionSummary[];
  /** Sizes of the logs that are of no partition. */
  statements: Array<{ log: string } & CheckedLog>;
  root: RootSummary;
  /** Keys given, and those they handed over to. */
  trusted: readonly Verifier[];
}

const DAY_S = 86_400;
/** What lies below `evidence/`, by the first part of its path. */
const WALKED: ReadonlySet<string> = new Set(['partition', ...STATEMENT_LOGS]);

export async function verify(options: VerifyOptions): Promise<Verification> {
  return new Run(options).run();
}

class Run {
  readonly #options: VerifyOptions;
  readonly #report: (finding: Finding) => void;
  readonly #trusted: Verifier[];
  readonly #rotated = new Map<string, number>();
  readonly #told = new Map<string, ToldSize[]>();
  /** A rotation whose consent was not met yet. */
  #pending: { size: number; time: number; from: Verifier; to: Verifier } | null = null;
  /** Of keys that were rotated away: what they may have signed of each log, by the roots. */
  readonly #limits = new Map<string, ReadonlyMap<string, number>>();
  readonly #protection: EvidenceProtection;
  #bytes = 0;

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#report = onlyOnce(options.found);
    this.#protection = new EvidenceProtection(options.source, this.#report);
    this.#trusted = [...options.verifiers];
  }

  async run(): Promise<Verification> {
    const keys = await this.#statement(KEYS_LOG);
    for (const note of this.#options.kept) this.#keep(note);
    const root = await checkRoots(this.#keysOf(ROOT_LOG), this.#rootOptions(), (log, told) =>
      this.#tell(log, told),
    );
    // What the roots and the notes that were kept tell of the keys: they were read before both.
    await checkLog(this.#keysOf(KEYS_LOG), this.#common(KEYS_LOG));
    const partitions = await this.#partitions();
    await this.#protection.roots();
    const statements = [{ log: KEYS_LOG, ...keys }];
    for (const log of STATEMENT_LOGS) {
      if (log === KEYS_LOG || log === ROOT_LOG) continue;
      statements.push({ log, ...(await this.#statement(log)) });
    }
    await this.#strangers();
    this.#judgeAge(root, [...partitions, ...statements]);
    return { partitions, statements, root, trusted: this.#trusted };
  }

  /** @throws Failure `KEPT_NOTE` where it is no checkpoint that a trusted key signed. */
  #keep(bytes: Buffer): void {
    try {
      const { log, size, root } = openCheckpoint(bytes, this.#trusted);
      this.#tell(log, { size, root, by: 'a checkpoint that was kept' });
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      throw new Failure(`a checkpoint that was given cannot be used: ${error.message}`, {
        code: 'KEPT_NOTE',
        hint: 'Is it the .note file itself, and is --key the key that signed it?',
      });
    }
  }

  #tell(log: string, told: ToldSize): void {
    const known = this.#told.get(log);
    if (known === undefined) this.#told.set(log, [told]);
    else if (known.at(-1)?.size !== told.size || !known.at(-1)!.root.equals(told.root)) {
      known.push(told);
    }
  }

  #rootOptions(): RootCheckOptions {
    const { judgeStamp, judgeWitness, expectStamps } = this.#options;
    return {
      ...this.#common(ROOT_LOG),
      judgeStamp,
      judgeWitness,
      expectStamps,
      rotated: this.#rotated,
      met: (sequence, version) => this.#protection.root(sequence, version),
      sizesAt: (time, sizes) => {
        for (const [vkey, rotated] of this.#rotated) {
          // What was signed before the rotation may be in no root before it.
          if (time <= rotated) continue;
          if (time <= rotated + DAY_S || !this.#limits.has(vkey)) this.#limits.set(vkey, sizes);
        }
      },
    };
  }

  #common(log: string) {
    const { source, prefix } = this.#options;
    const told = this.#told.get(log) ?? [];
    return { source, prefix, log, told, report: this.#report, verifiers: this.#trusted };
  }

  #keysOf(log: string): Peekable<KeyVersions> {
    const { source, prefix } = this.#options;
    return new Peekable(byKey(source.versions(logPrefix(prefix, log))));
  }

  async #statement(log: string): Promise<CheckedLog> {
    return checkLog(this.#keysOf(log), {
      ...this.#common(log),
      leaf: async (bytes, { sequence }, { key, versionId }) => {
        if (log === KEYS_LOG) this.#rotation(bytes, sequence, key, versionId);
      },
      signed: async (size, _, by) => {
        if (log === KEYS_LOG) this.#consented(size, by);
        else this.#inForce(log, size, by);
      },
    });
  }

  /** A key that was rotated away signs nothing that a day later no root told of yet. */
  #inForce(log: string, size: number, by: Verifier): void {
    const limit = this.#limits.get(by.vkey);
    if (limit === undefined || size <= (limit.get(log) ?? 0)) return;
    const key = evidenceKey(this.#options.prefix, { log, kind: 'note', number: size });
    const expected = `${limit.get(log) ?? 0} leaves at most, by this key`;
    this.#find('signed_after_rotation', key, expected, `${size} leaves, by ${by.vkey}`);
  }

  /** The new key is trusted once the old one has signed the checkpoint right behind the rotation. */
  #consented(size: number, by: Verifier): void {
    const pending = this.#pending;
    if (pending === null || pending.size !== size || by.vkey !== pending.from.vkey) return;
    this.#pending = null;
    this.#rotated.set(pending.from.vkey, pending.time);
    if (!this.#trusted.some(({ vkey }) => vkey === pending.to.vkey)) this.#trusted.push(pending.to);
  }

  #rotation(bytes: Buffer, sequence: number, key: string, versionId: string): void {
    const find = (expected: string, found: string): void =>
      this.#report({ code: 'key_rotation', key, versionId, expected, found });
    if (this.#pending !== null) find('the consent of the key before', 'no checkpoint of it');
    this.#pending = null;
    try {
      const { time, from, to } = parseRotation(bytes).body;
      const inForce = this.#trusted.find(({ vkey }) => vkey === from.vkey);
      if (inForce === undefined || this.#rotated.has(from.vkey)) {
        find('the key in force', from.vkey);
        return;
      }
      this.#pending = { size: sequence + 1, time: secondsOf(time)!, from, to };
    } catch (error) {
      if (!(error instanceof LeafError)) throw error;
      find('a rotation', error.message);
    }
  }

  async #partitions(): Promise<PartitionSummary[]> {
    const { source, prefix, deep, concurrency, breathe, progress } = this.#options;
    const keys = new Peekable(byKey(source.versions(`${prefix}${EVIDENCE}partition/`)));
    const segments = new Peekable(byKey(source.versions(`${prefix}data/`)));
    const summaries: PartitionSummary[] = [];
    for (let next = await keys.peek(); next !== null; next = await keys.peek()) {
      const log = parseEvidenceKey(prefix, next.key)?.log ?? null;
      const address = log === null ? null : parsePartitionLog(log);
      if (log === null || address === null) {
        planted(next, this.#report);
        await keys.take();
        continue;
      }
      await this.#unsealedBefore(segments, `${prefix}data/${log.slice('partition/'.length)}/`);
      const summary = await checkPartition(keys, segments, {
        ...this.#common(log),
        signed: async (size, _, by) => this.#inForce(log, size, by),
        address,
        protection: this.#protection,
        deep,
        concurrency,
        breathe,
        progress: (bytes) => {
          this.#bytes += bytes;
          progress(log, this.#bytes);
        },
      });
      summaries.push(summary);
    }
    await this.#unsealedBefore(segments, null);
    for (const [log, told] of this.#told) {
      const isThere = log === ROOT_LOG || summaries.some((one) => one.log === log);
      const largest = told.reduce((one, other) => (other.size > one.size ? other : one));
      if (isThere || largest.size === 0 || parsePartitionLog(log) === null) continue;
      const found = `nothing, but ${largest.by} tells of them`;
      this.#find('truncated', logPrefix(prefix, log), `${largest.size} leaves`, found);
    }
    return summaries;
  }

  /** Segments of partitions that have no log at all. */
  async #unsealedBefore(segments: Peekable<KeyVersions>, folder: string | null): Promise<void> {
    const { prefix } = this.#options;
    const unsealed = new Map<string, { first: string; count: number }>();
    for (let next = await segments.peek(); next !== null; next = await segments.peek()) {
      if (folder !== null && (next.key.startsWith(folder) || next.key > folder)) break;
      await segments.take();
      if (parseSlotKey(prefix, next.key) === null) {
        planted(next, this.#report);
        continue;
      }
      onlyVersion(next, this.#report);
      const partition = next.key.slice(0, next.key.lastIndexOf('/'));
      const known = unsealed.get(partition);
      if (known === undefined) unsealed.set(partition, { first: next.key, count: 1 });
      else known.count += 1;
    }
    for (const { first, count } of unsealed.values()) {
      this.#find('segment_unsealed', first, 'a manifest of each', `${count} segments without`);
    }
  }

  /** What lies below `evidence/` and is of no log. Logs have been walked, and are stepped over. */
  async #strangers(): Promise<void> {
    const { source, prefix } = this.#options;
    const folder = `${prefix}${EVIDENCE}`;
    for (let after: string | undefined; ; ) {
      const walked = await this.#strangersTo(source.versions(folder, after), folder);
      if (walked === null) return;
      // `0` follows `/`.
      after = `${walked}0`;
    }
  }

  /** Up to the next folder that was walked, which is given without its slash; null at the end. */
  async #strangersTo(
    versions: AsyncIterable<SourceVersion>,
    folder: string,
  ): Promise<string | null> {
    for await (const file of byKey(versions)) {
      const [name] = file.key.slice(folder.length).split('/');
      if (WALKED.has(name!) && file.key.startsWith(`${folder}${name}/`)) return `${folder}${name}`;
      planted(file, this.#report);
    }
    return null;
  }

  #judgeAge(root: RootSummary, logs: ReadonlyArray<{ log: string; size: number }>): void {
    const { nowMs, rootAgeMsMax, prefix } = this.#options;
    const key = logPrefix(prefix, ROOT_LOG);
    if (logs.every(({ size }) => size === 0) && root.size === 0) {
      this.#find('nothing', `${prefix}${EVIDENCE}`, 'evidence', 'no leaf of any log');
      return;
    }
    if (rootAgeMsMax === null) return;
    const time = root.time === null ? null : secondsOf(root.time)! * 1000;
    if (time === null || nowMs - time > rootAgeMsMax) {
      const expected = `a root of the last ${Math.round(rootAgeMsMax / 1000)} s`;
      this.#find('root_stale', key, expected, root.time ?? 'no root');
    }
    for (const { log, size } of logs) {
      const covered = this.#told.get(log)?.findLast(({ by }) => by.startsWith('root '))?.size ?? 0;
      if (covered < size) {
        this.#find(
          'root_behind',
          logPrefix(prefix, log),
          `${size} leaves in the newest root`,
          `${covered}`,
        );
      }
    }
  }

  #find(code: FindingCode, key: string, expected: string, found: string): void {
    this.#report({ code, key, versionId: '', expected, found });
  }
}
