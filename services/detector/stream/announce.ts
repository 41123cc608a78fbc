/**
 * What a reader of the events topic may say of its partitions (`records.ts`, `Progress`), and when.
 *
 * A partition with unread records has passed its own newest event time less the lateness. One that
 * is read to its end holds back nobody: what will yet be written to it is written after all that was
 * known when its end was looked at, so it has passed the newest event time known by then, of whatever
 * partition, less the lateness. That is also the answer for a partition that never had an event.
 *
 * While nothing comes to it, it moves on with the clock, by the lateness at most: after that time of
 * quiet everything up to the newest event is judged. The end is looked at anew for every such word, so
 * a broker that cannot be asked stops the clock instead of letting it run over unread records.
 *
 * The newest time known must be older than the look at the end, else records between the two would
 * come late without being late. `AnnouncedPartition.endSeen` is for that: it is told what was newest
 * before the question was asked.
 *
 * Where a process knows of no other partition at all, the quiet itself decides: after the lateness
 * it would hold back the others for ever, and says what it knows of its own.
 *
 * Pure: the clock is an argument.
 */
import type { SourceProgress } from './records.ts';

/** An event further ahead than this has a wrong clock; it is judged, but it moves no time. */
export const AHEAD_MS_MAX = 86_400_000;
/** Audit logs of before do not exist; a time below is a wrong one. */
const TIME_MS_MIN = Date.UTC(2013, 0, 1);

/** Whether an event of this time may move event time on. */
export function movesTime(eventTime: number, nowMs: number): boolean {
  return eventTime >= TIME_MS_MIN && eventTime <= nowMs + AHEAD_MS_MAX;
}

export class AnnouncedPartition {
  readonly partition: number;
  readonly #latenessMs: number;
  /** Everything before this offset was judged. */
  #next: bigint;
  #newest: number | null = null;
  /** Since when nothing came, by the clock; null while something unread waits. */
  #quietSinceMs: number | null = null;
  #passed: number | null = null;
  #told: SourceProgress | null = null;

  constructor(partition: number, startOffset: bigint, latenessMs: number) {
    this.partition = partition;
    this.#next = startOffset;
    this.#latenessMs = latenessMs;
  }

  get newest(): number | null {
    return this.#newest;
  }

  get next(): bigint {
    return this.#next;
  }

  /** An event was judged, and moves time. */
  seen(eventTime: number): void {
    if (this.#newest === null || eventTime > this.#newest) this.#newest = eventTime;
  }

  /** Every record before `nextOffset` was judged. */
  read(nextOffset: bigint): void {
    if (nextOffset <= this.#next) return;
    this.#next = nextOffset;
    this.#quietSinceMs = null;
    this.#vouch(this.#newest === null ? null : this.#newest - this.#latenessMs);
  }

  /**
   * The log ends at `endOffset`; the question was asked at `askedMs`, and before that `known` was the
   * newest event time of any partition.
   */
  endSeen(endOffset: bigint, known: number | null, askedMs: number): void {
    if (endOffset > this.#next) {
      this.#quietSinceMs = null;
      return;
    }
    this.#quietSinceMs ??= askedMs;
    const quietMs = Math.min(Math.max(0, askedMs - this.#quietSinceMs), this.#latenessMs);
    const newest = later(known, this.#newest);
    if (newest !== null) this.#vouch(newest - this.#latenessMs + quietMs);
  }

  #vouch(passed: number | null): void {
    this.#passed = later(this.#passed, passed);
  }

  /** As things stand. */
  progress(): SourceProgress {
    const { partition } = this;
    return { partition, nextOffset: this.#next, newest: this.#newest, passed: this.#passed };
  }

  /** Whether there is anything new in it since what was last told. */
  isNews(progress: SourceProgress): boolean {
    const told = this.#told;
    return (
      told === null ||
      told.nextOffset !== progress.nextOffset ||
      told.newest !== progress.newest ||
      told.passed !== progress.passed
    );
  }

  /** It is on the matches topic. */
  announced(progress: SourceProgress): void {
    this.#told = progress;
  }
}

function later(one: number | null, other: number | null): number | null {
  if (one === null) return other;
  return other === null || one > other ? one : other;
}
