/**
 * The log `root`: hours in order, sizes that never fall, stamps and witnesses; and what it tells of
 * every other log, for those to be held against. Read before the others.
 */
import { LeafError, secondsOf } from '../../schemas/evidence/leaf.ts';
import { parseRootLeaf, ROOT_LOG, type RootBody } from '../../schemas/evidence/root-leaf.ts';
import { isTimely, type StampVerdict } from '../../schemas/evidence/time-stamp.ts';
import type { FindingCode } from './findings.ts';
import type { KeptLog } from './kept-state.ts';
import { type CheckedLog, checkLog, type LogCheckOptions, type ToldSize } from './log-check.ts';
import type { KeyVersions, Peekable, SourceVersion } from './source.ts';

/**
 * From which root on a stamp is expected: seconds since the epoch (0: every root), or from the first
 * that has a good one, which whoever takes the first stamps away moves. Null: of none.
 */
export type StampsSince = number | 'first' | null;

export interface RootCheckOptions
  extends Pick<LogCheckOptions, 'source' | 'prefix' | 'report' | 'verifiers' | 'told'> {
  /** Where a run before ended. */
  kept: KeptLog | null;
  /** Roots that a run before held against the other logs, though they may be read again. */
  knownSize: number;
  reached: (kept: KeptLog) => void;
  /** Judges the answer over the note; null where no authority is trusted: stamps are then counted. */
  judgeStamp: ((note: Buffer, stamp: Buffer) => StampVerdict) | null;
  /** Whether the lines are signatures of witnesses; null where none are trusted. */
  judgeWitness: ((note: Buffer, lines: Buffer) => string | null) | null;
  /** A root from there on that no stamp shows to have been there within a day is a finding; needs `judgeStamp`. */
  stampsSince: StampsSince;
  /** Times at which keys were rotated away, seconds since the epoch, by vkey. */
  rotated: ReadonlyMap<string, number>;
  /** Called for each root in order: its hour, seconds since the epoch, and the size of each log. */
  sizesAt: (time: number, sizes: ReadonlyMap<string, number>) => void;
  /** Called for each leaf, and for each checkpoint that is good, with the root it is about. */
  met: (sequence: number, version: SourceVersion) => void;
}

export interface RootSummary extends CheckedLog {
  /** The newest hour; null without a root. */
  time: string | null;
  stamps: number;
  /** Hour of the first root of which a stamp was expected; null where of none. */
  stampsFrom: string | null;
}

const HOUR_S = 3_600;

export async function checkRoots(
  keys: Peekable<KeyVersions>,
  options: RootCheckOptions,
  tell: (log: string, told: ToldSize) => void,
): Promise<RootSummary> {
  const check = new RootCheck(options, tell);
  const checked = await checkLog(keys, {
    ...options,
    log: ROOT_LOG,
    resumed: (bytes, { sequence }, { key }) => check.leaf(parseRootLeaf(bytes).body, sequence, key),
    reached: (kept) => options.reached({ ...kept, stamps: check.stamps }),
    leaf: async (bytes, head, version) => {
      const { key, versionId } = version;
      options.met(head.sequence, version);
      try {
        check.leaf(parseRootLeaf(bytes).body, head.sequence, key);
      } catch (error) {
        if (!(error instanceof LeafError)) throw error;
        const expected = 'a root leaf';
        const found = error.message;
        options.report({ code: 'leaf_invalid', key, versionId, expected, found });
      }
    },
    signed: async (size, note, by, version) => {
      options.met(size - 1, version);
      check.signed(size, note, by.vkey);
    },
    beside: async (size, suffix, bytes, key) =>
      suffix === 'tsr' ? check.stamp(size, bytes, key) : check.witness(size, bytes, key),
  });
  check.end();
  const { time, stamps, stampsFrom } = check;
  return { ...checked, time, stamps, stampsFrom };
}

class RootCheck {
  readonly #options: RootCheckOptions;
  readonly #tell: (log: string, told: ToldSize) => void;
  time: string | null = null;
  stamps: number;
  stampsFrom: string | null = null;
  #sizes = new Map<string, number>();
  /** The checkpoint that was read last. */
  #note: { size: number; bytes: Buffer } | null = null;
  /** Checkpoints, and hours of their roots, of which no stamp was met yet. */
  #unstamped: Array<{ size: number; time: number }> = [];
  /** A good stamp was met. */
  #begun = false;

  constructor(options: RootCheckOptions, tell: (log: string, told: ToldSize) => void) {
    this.#options = options;
    this.#tell = tell;
    this.stamps = options.kept?.stamps ?? 0;
  }

  leaf({ time, logs }: RootBody, sequence: number, key: string): void {
    if (this.time !== null && time <= this.time) {
      this.#find('root_order', key, `a time after ${this.time}`, time);
    }
    this.time = time;
    const sizes = new Map<string, number>();
    for (const [log, size, root] of logs) {
      const before = this.#sizes.get(log) ?? 0;
      if (size < before)
        this.#find('root_order', key, `${log} of ${before} at least`, String(size));
      sizes.set(log, size);
      const by = `root ${sequence} of ${time}`;
      const told = { size, root: Buffer.from(root, 'base64'), by, rootSequence: sequence };
      const known = sequence < this.#options.knownSize;
      this.#tell(log, known ? { ...told, known } : told);
    }
    for (const [log, size] of this.#sizes) {
      if (!sizes.has(log)) this.#find('root_order', key, `${log} of ${size} at least`, 'not told');
    }
    this.#sizes = sizes;
    this.#options.sizesAt(secondsOf(time)!, sizes);
  }

  signed(size: number, bytes: Buffer, vkey: string): void {
    this.#note = { size, bytes };
    const rotated = this.#options.rotated.get(vkey);
    const time = this.time === null ? null : secondsOf(this.time);
    if (time !== null) this.#expect(size, time);
    if (rotated === undefined || time === null || time <= rotated + HOUR_S) return;
    const expected = 'its successor’s signature';
    this.#find('signed_after_rotation', this.#noteKey(size), expected, vkey);
  }

  stamp(size: number, bytes: Buffer, key: string): void {
    const note = this.#note;
    if (note === null || note.size !== size) return;
    this.stamps += 1;
    const { judgeStamp } = this.#options;
    if (judgeStamp === null) return;
    const verdict = judgeStamp(note.bytes, bytes);
    if (!verdict.ok) {
      this.#find('stamp_invalid', key, 'a stamp of this checkpoint', verdict.detail);
      return;
    }
    const time = this.time === null ? null : secondsOf(this.time);
    if (time === null || isTimely(verdict.time, time)) {
      this.#stamped(verdict.time);
      return;
    }
    const found = new Date(verdict.time * 1000).toISOString();
    this.#find('stamp_time', key, `within a day after ${this.time}`, found);
  }

  witness(size: number, bytes: Buffer, key: string): void {
    const { judgeWitness } = this.#options;
    if (judgeWitness === null || this.#note === null || this.#note.size !== size) return;
    const problem = judgeWitness(this.#note.bytes, bytes);
    if (problem !== null) this.#find('witness_invalid', key, 'signatures of witnesses', problem);
  }

  end(): void {
    for (const { size } of this.#unstamped) this.#missing(size);
  }

  #expect(size: number, time: number): void {
    const since = this.#options.stampsSince;
    if (since === null || (since !== 'first' && time < since)) return;
    this.stampsFrom ??= this.time;
    this.#unstamped.push({ size, time });
  }

  /** A stamp shows that everything before it was there, too. */
  #stamped(stamp: number): void {
    if (this.#options.stampsSince === 'first' && !this.#begun) {
      this.#begun = true;
      this.stampsFrom = this.time;
      this.#unstamped = [];
    }
    for (const { size, time } of this.#unstamped) if (!isTimely(stamp, time)) this.#missing(size);
    this.#unstamped = [];
  }

  #missing(size: number): void {
    const expected = 'a time stamp within a day, over it or a later root';
    this.#find('stamp_missing', this.#noteKey(size), expected, 'none');
  }

  #noteKey(size: number): string {
    return `${this.#options.prefix}evidence/${ROOT_LOG}/${String(size).padStart(20, '0')}.note`;
  }

  #find(code: FindingCode, key: string, expected: string, found: string): void {
    this.#options.report({ code, key, versionId: '', expected, found });
  }
}
