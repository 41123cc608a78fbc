/**
 * What is to become of a match of a rule, or of a meaning of one, that is not in force here. While
 * rules are rolled out two detectors differ for some seconds, and nothing may be judged by what it was
 * not made for:
 *
 * - one that was in force before is **outdated**: its maker has not changed yet, or it has waited on the
 *   topic. It is left out and counted; for whoever has changed back, too, until all have. Whether it was
 *   this process has seen itself, or the partition tells (`rule-history.ts`): a detector that was
 *   started anew with other rules has seen nothing of the kind;
 * - any other is probably of rules that are on their way. The partition is **held** before it, while
 *   the rules are looked at again: so it is judged in its place, as if they had always been there;
 * - where they do not come within `detect.rolloutMs`, it is set **apart**, as a dead letter with all it says,
 *   and what comes of the same rule, too, until the rules change. For as long again nothing else is
 *   waited for, so that a partition stands still for half of the time at most.
 *
 * Pure; the clock is an argument. One for all partitions of a process.
 */
import {
  around,
  markOfSet,
  planMark,
  type RuleHistory,
  type RuleSetMark,
  sameSet,
} from './rule-history.ts';

export type Unknown = 'outdated' | 'hold' | 'apart';

/** Nobody has asked for so long: what was waited for is not waited for any more. */
const SILENT_MS = 5_000;
/** Meanings that are remembered; a match that has waited behind so many changes is set apart. */
const FORMER_MAX = 100_000;

export class PlanHold {
  /** Every meaning that was ever in force here, the oldest first. */
  readonly #former = new Set<string>();
  /** In force before ours where others were, and after ours: as partitions tell. */
  readonly #before = new Set<string>();
  readonly #after = new Set<string>();
  #set: RuleSetMark = [];
  readonly #apart = new Set<string>();
  #sinceMs: number | null = null;
  #askedMs = Number.NEGATIVE_INFINITY;
  #restUntilMs = Number.NEGATIVE_INFINITY;
  readonly #holdMs: number;

  /** `holdMs`: rules reach all detectors within this. */
  constructor(holdMs: number) {
    this.#holdMs = holdMs;
  }

  /** These are in force from now on. */
  inForce(plans: Iterable<string>): void {
    const set = markOfSet(plans);
    if (!sameSet(set, this.#set)) {
      this.#before.clear();
      this.#after.clear();
    }
    this.#set = set;
    for (const plan of set) {
      this.#former.delete(plan);
      this.#former.add(plan);
    }
    for (const plan of this.#former) {
      if (this.#former.size <= FORMER_MAX) break;
      this.#former.delete(plan);
    }
    this.#apart.clear();
    this.#sinceMs = null;
    this.#restUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** A partition that is taken over tells which sets have judged it. */
  told(history: RuleHistory): void {
    const { before, after } = around(history, this.#set);
    for (const plan of before.flat()) this.#before.add(plan);
    for (const plan of after.flat()) this.#after.add(plan);
  }

  /** @param plan fingerprint of a meaning that is not in force */
  of(plan: string, nowMs: number): Unknown {
    const mark = planMark(plan);
    if (this.#isOutdated(mark)) return 'outdated';
    if (this.#apart.has(mark) || nowMs < this.#restUntilMs) return 'apart';
    if (nowMs - this.#askedMs > SILENT_MS) this.#sinceMs = null;
    this.#askedMs = nowMs;
    this.#sinceMs ??= nowMs;
    if (nowMs - this.#sinceMs < this.#holdMs) return 'hold';
    this.#apart.add(mark);
    this.#sinceMs = null;
    this.#restUntilMs = nowMs + this.#holdMs;
    return 'apart';
  }

  /** A doubt is for waiting: that costs some seconds, and leaving out a match that counts. */
  #isOutdated(mark: string): boolean {
    return this.#former.has(mark) || (this.#before.has(mark) && !this.#after.has(mark));
  }
}
