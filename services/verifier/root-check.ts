/**
 * The log `root`: hours in order, sizes that never fall, stamps and witnesses; and what it tells of
 * every other log, for those to be held against. Read before the others.
 */
import { LeafError, secondsOf } from '../../schemas/evidence/leaf.ts';
import { parseRootLeaf, ROOT_LOG, type RootBody } from '../../schemas/evidence/root-leaf.ts';
import type { FindingCode } from './findings.ts';
import { type CheckedLog, checkLog, type LogCheckOptions, type ToldSize } from './log-check.ts';
import type { KeyVersions, Peekable } from './source.ts';

/** What judging a time stamp comes to; `time` in seconds since the epoch. */
export type StampVerdict = { ok: true; time: number } | { ok: false; detail: string };

export interface RootCheckOptions
  extends Pick<LogCheckOptions, 'source' | 'prefix' | 'report' | 'verifiers' | 'told'> {
  /** Judges the answer over the note; null where no authority is trusted: stamps are then counted. */
  judgeStamp: ((note: Buffer, stamp: Buffer) => Promise<StampVerdict>) | null;
  /** Whether the lines are signatures of witnesses; null where none are trusted. */
  judgeWitness: ((note: Buffer, lines: Buffer) => string | null) | null;
  /** A root without stamp is a finding. */
  expectStamps: boolean;
  /** Times at which keys were rotated away, seconds since the epoch, by vkey. */
  rotated: ReadonlyMap<string, number>;
  /** Called for each root in order: its hour, seconds since the epoch, and the size of each log. */
  sizesAt: (time: number, sizes: ReadonlyMap<string, number>) => void;
}

export interface RootSummary extends CheckedLog {
  /** The newest hour; null without a root. */
  time: string | null;
  stamps: number;
}

const HOUR_S = 3_600;
const DAY_S = 86_400;

export async function checkRoots(
  keys: Peekable<KeyVersions>,
  options: RootCheckOptions,
  tell: (log: string, told: ToldSize) => void,
): Promise<RootSummary> {
  const check = new RootCheck(options, tell);
  const checked = await checkLog(keys, {
    ...options,
    log: ROOT_LOG,
    leaf: async (bytes, head, { key, versionId }) => {
      try {
        check.leaf(parseRootLeaf(bytes).body, head.sequence, key);
      } catch (error) {
        if (!(error instanceof LeafError)) throw error;
        const expected = 'a root leaf';
        const found = error.message;
        options.report({ code: 'leaf_invalid', key, versionId, expected, found });
      }
    },
    signed: async (size, note, by) => check.signed(size, note, by.vkey),
    beside: async (size, suffix, bytes, key) =>
      suffix === 'tsr' ? await check.stamp(size, bytes, key) : check.witness(size, bytes, key),
  });
  check.end();
  return { ...checked, time: check.time, stamps: check.stamps };
}

class RootCheck {
  readonly #options: RootCheckOptions;
  readonly #tell: (log: string, told: ToldSize) => void;
  time: string | null = null;
  stamps = 0;
  #sizes = new Map<string, number>();
  /** The checkpoint that was read last, and whether a stamp of it was. */
  #note: { size: number; bytes: Buffer; stamped: boolean } | null = null;

  constructor(options: RootCheckOptions, tell: (log: string, told: ToldSize) => void) {
    this.#options = options;
    this.#tell = tell;
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
      this.#tell(log, { size, root: Buffer.from(root, 'base64'), by });
    }
    for (const [log, size] of this.#sizes) {
      if (!sizes.has(log)) this.#find('root_order', key, `${log} of ${size} at least`, 'not told');
    }
    this.#sizes = sizes;
    this.#options.sizesAt(secondsOf(time)!, sizes);
  }

  signed(size: number, bytes: Buffer, vkey: string): void {
    this.#unstamped();
    this.#note = { size, bytes, stamped: false };
    const rotated = this.#options.rotated.get(vkey);
    const time = this.time === null ? null : secondsOf(this.time);
    if (rotated === undefined || time === null || time <= rotated + HOUR_S) return;
    const expected = 'its successor’s signature';
    this.#find('signed_after_rotation', this.#noteKey(size), expected, vkey);
  }

  async stamp(size: number, bytes: Buffer, key: string): Promise<void> {
    const note = this.#note;
    if (note === null || note.size !== size) return;
    note.stamped = true;
    this.stamps += 1;
    const { judgeStamp } = this.#options;
    if (judgeStamp === null) return;
    const verdict = await judgeStamp(note.bytes, bytes);
    if (!verdict.ok) {
      this.#find('stamp_invalid', key, 'a stamp of this checkpoint', verdict.detail);
      return;
    }
    const time = this.time === null ? null : secondsOf(this.time);
    if (time === null || (verdict.time >= time && verdict.time <= time + DAY_S)) return;
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
    this.#unstamped();
  }

  #unstamped(): void {
    if (this.#note === null || this.#note.stamped || !this.#options.expectStamps) return;
    this.#find('stamp_missing', this.#noteKey(this.#note.size), 'a time stamp', 'none');
  }

  #noteKey(size: number): string {
    return `${this.#options.prefix}evidence/${ROOT_LOG}/${String(size).padStart(20, '0')}.note`;
  }

  #find(code: FindingCode, key: string, expected: string, found: string): void {
    this.#options.report({ code, key, versionId: '', expected, found });
  }
}
