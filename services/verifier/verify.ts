/**
 * A whole archive against its evidence (`schemas/evidence.md`): the keys first, then the roots, then
 * every partition with its segments, then the other logs. One pass over the listing, in its order;
 * memory grows with the number of partitions and of roots, not of segments.
 *
 * Nothing is believed but the keys that are given. What cannot be told from a source (versions and
 * retention, of a plain copy) is said not to have been checked.
 */
import type { Unwrap } from '../../schemas/envelope.ts';
import { KEYS_LOG } from '../../schemas/evidence/key-leaf.ts';
import { secondsOf } from '../../schemas/evidence/leaf.ts';
import {
  EVIDENCE,
  logPrefix,
  parseEvidenceKey,
  parsePartitionLog,
  STATEMENT_LOGS,
} from '../../schemas/evidence/log-layout.ts';
import type { Verifier } from '../../schemas/evidence/note.ts';
import { ROOT_LOG } from '../../schemas/evidence/root-leaf.ts';
import { parseSlotKey } from '../../schemas/layout.ts';
import { EvidenceProtection } from './evidence-protection.ts';
import { type Finding, type FindingCode, onlyOnce } from './findings.ts';
import {
  dataFolder,
  evidenceSkip,
  type KeptLog,
  nextState,
  segmentSkip,
  trustOf,
  type VerifierState,
} from './kept-state.ts';
import { KeyTrust } from './key-trust.ts';
import { type CheckedLog, checkLog, onlyVersion, planted, type ToldSize } from './log-check.ts';
import { checkPartition, type PartitionSummary } from './partition-check.ts';
import { checkRoots, type RootCheckOptions, type RootSummary } from './root-check.ts';
import {
  type ArchiveSource,
  byKey,
  type KeyVersions,
  listed,
  Peekable,
  type SourceVersion,
} from './source.ts';
import { ToldSizes } from './told-sizes.ts';

export interface VerifyOptions
  extends Pick<RootCheckOptions, 'judgeStamp' | 'judgeWitness' | 'stampsSince'> {
  source: ArchiveSource;
  prefix: string;
  /** Obtained by another way than the archive. */
  verifiers: readonly Verifier[];
  /** Of an earlier run: only what is new since is read. Null: everything. */
  state: VerifierState | null;
  /** Signed notes that somebody kept elsewhere: what they tell must still hold. */
  kept: readonly Buffer[];
  /** Every record against its manifest. */
  deep: boolean;
  /** What opens encrypted segments; of others only the stored bytes are judged. */
  unwrap: Unwrap;
  /** Findings `root_stale` and `root_behind` are judged at this time, epoch ms. */
  nowMs: number;
  /** Oldest that the newest root may be, ms; null: any. */
  rootAgeMsMax: number | null;
  concurrency: number;
  breathe: () => Promise<void>;
  /** A partition is being read, and how many stored bytes of segments were by now. */
  progress: (log: string, bytes: number) => void;
}

export interface Verification {
  partitions: PartitionSummary[];
  /** In the order in which they were found; each fact once. */
  findings: readonly Finding[];
  /** Sizes of the logs that are of no partition. */
  statements: Array<{ log: string } & CheckedLog>;
  root: RootSummary;
  /** Keys given, and those they handed over to. */
  trusted: readonly Verifier[];
  /** For the next run. */
  state: VerifierState;
  /** False where everything was read: without a state, or with one of other keys. */
  incremental: boolean;
}

/** What lies below `evidence/`, by the first part of its path. */
const WALKED: ReadonlySet<string> = new Set(['partition', ...STATEMENT_LOGS]);

export async function verify(options: VerifyOptions): Promise<Verification> {
  return new Run(options).run();
}

class Run {
  readonly #options: VerifyOptions;
  readonly #report: (finding: Finding) => void;
  readonly #keys: KeyTrust;
  readonly #told = new ToldSizes();
  readonly #protection: EvidenceProtection;
  #bytes = 0;
  readonly #findings: Finding[] = [];
  /** The state of an earlier run, once it is known to be of the same keys. */
  #state: VerifierState | null = null;
  readonly #reached = new Map<string, KeptLog>();

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#report = onlyOnce((finding) => this.#findings.push(finding));
    this.#keys = new KeyTrust(options.verifiers, options.prefix, this.#report);
    this.#protection = new EvidenceProtection(options.source, this.#report);
  }

  async run(): Promise<Verification> {
    const keys = await this.#statement(KEYS_LOG);
    this.#takeState(this.#trust());
    for (const note of this.#options.kept) this.#told.keep(note, this.#keys.trusted);
    const rootOptions = this.#rootOptions();
    const root = await checkRoots(
      this.#keysOf(ROOT_LOG, rootOptions.kept),
      rootOptions,
      (log, told) => this.#told.tell(log, told),
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
    return {
      partitions,
      findings: this.#findings,
      statements,
      root,
      trusted: this.#keys.trusted,
      state: this.#nextState(),
      incremental: this.#state !== null,
    };
  }

  /** With other keys than those of the earlier run, everything is judged anew. */
  #takeState(trust: string): void {
    const { state } = this.#options;
    if (state === null || state.trust !== trust) return;
    this.#state = state;
    for (const [log, kept] of Object.entries(state.logs)) this.#told.resume(log, kept);
    this.#keys.resume(state.limits);
  }

  #trust(): string {
    return trustOf(this.#keys.trusted, this.#keys.rotated);
  }

  #nextState(): VerifierState {
    const { source, prefix } = this.#options;
    return nextState(this.#state, this.#reached, this.#findings, {
      archive: source.name,
      prefix,
      trust: this.#trust(),
      limits: this.#keys.limits,
    });
  }

  /**
   * Where the log was left. Null where it must be read from its start: nothing was kept, or somebody
   * tells now of a size before that, which nobody held against it yet.
   */
  #keptOf(log: string): KeptLog | null {
    const kept = this.#state?.logs[log];
    if (kept === undefined) return null;
    const isNewer = ({ size, known }: ToldSize) => known !== true && size < kept.size;
    return this.#told.of(log).some(isNewer) ? null : kept;
  }

  #rootOptions(): RootCheckOptions {
    const { judgeStamp, judgeWitness, stampsSince } = this.#options;
    return {
      ...this.#common(ROOT_LOG),
      // A stamp may come late: which roots lack one is only seen from the first one on.
      kept: stampsSince === null ? this.#keptOf(ROOT_LOG) : null,
      knownSize: this.#state?.logs[ROOT_LOG]?.size ?? 0,
      reached: (kept) => this.#reached.set(ROOT_LOG, kept),
      judgeStamp,
      judgeWitness,
      stampsSince,
      rotated: this.#keys.rotated,
      met: (sequence, version) => this.#protection.root(sequence, version),
      sizesAt: (time, sizes) => this.#keys.sizesAt(time, sizes),
    };
  }

  #common(log: string) {
    const { source, prefix } = this.#options;
    const told = this.#told.of(log);
    return { source, prefix, log, told, report: this.#report, verifiers: this.#keys.trusted };
  }

  #keysOf(log: string, kept: KeptLog | null = null): Peekable<KeyVersions> {
    const { source, prefix } = this.#options;
    const after = kept === null ? undefined : evidenceSkip(prefix, log, kept).to;
    return new Peekable(byKey(source.versions(logPrefix(prefix, log), after)));
  }

  async #statement(log: string): Promise<CheckedLog> {
    const kept = this.#keptOf(log);
    return checkLog(this.#keysOf(log, kept), {
      ...this.#common(log),
      kept,
      // The keys are read whole each time: all trust comes from them.
      reached: (reached) => {
        if (log !== KEYS_LOG) this.#reached.set(log, reached);
      },
      leaf: async (bytes, { sequence }, { key, versionId }) => {
        if (log === KEYS_LOG) this.#keys.rotation(bytes, sequence, key, versionId);
      },
      signed: async (size, _, by) => {
        if (log === KEYS_LOG) this.#keys.consented(size, by);
        else this.#keys.inForce(log, size, by);
      },
    });
  }

  async #partitions(): Promise<PartitionSummary[]> {
    const { source, prefix, deep, unwrap, concurrency, breathe, progress } = this.#options;
    const known = this.#knownPartitions();
    const skips = [...known].map(([log, kept]) => evidenceSkip(prefix, log, kept));
    const sealed = [...known].flatMap(([log, kept]) => segmentSkip(prefix, log, kept) ?? []);
    const keys = new Peekable(byKey(listed(source, `${prefix}${EVIDENCE}partition/`, skips)));
    const segments = new Peekable(byKey(listed(source, `${prefix}data/`, sealed)));
    const summaries: PartitionSummary[] = [];
    for (let next = await keys.peek(); next !== null; next = await keys.peek()) {
      const log = parseEvidenceKey(prefix, next.key)?.log ?? null;
      const address = log === null ? null : parsePartitionLog(log);
      if (log === null || address === null) {
        planted(next, this.#report);
        await keys.take();
        continue;
      }
      await this.#unsealedBefore(segments, dataFolder(prefix, log));
      const summary = await checkPartition(keys, segments, {
        ...this.#common(log),
        kept: known.get(log) ?? null,
        reached: (kept) => this.#reached.set(log, kept),
        signed: async (size, _, by) => this.#keys.inForce(log, size, by),
        address,
        protection: this.#protection,
        deep,
        unwrap,
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
    for (const [log, largest] of this.#told.largest()) {
      const isThere = log === ROOT_LOG || summaries.some((one) => one.log === log);
      if (isThere || largest.size === 0 || parsePartitionLog(log) === null) continue;
      const found = `nothing, but ${largest.by} tells of them`;
      this.#find('truncated', logPrefix(prefix, log), `${largest.size} leaves`, found);
    }
    return summaries;
  }

  /** By the bytes of their names, as they are listed. */
  #knownPartitions(): Map<string, KeptLog> {
    const known = new Map<string, KeptLog>();
    for (const log of Object.keys(this.#state?.logs ?? {}).sort()) {
      const kept = parsePartitionLog(log) === null ? null : this.#keptOf(log);
      if (kept !== null) known.set(log, kept);
    }
    return known;
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
      const covered = this.#told.of(log).findLast(({ by }) => by.startsWith('root '))?.size ?? 0;
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
