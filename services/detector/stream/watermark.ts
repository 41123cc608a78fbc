/**
 * Event time as one partition of the matches topic knows it: up to where every event has been seen.
 *
 * The watermark is the least of what the partitions of the events topic have passed, and nothing as
 * long as one of them was not heard of or has passed nothing: a detector that reads one partition
 * days ahead of another must not close windows that the other still fills. It never goes back.
 *
 * Everything here comes from records of the matches topic, in their order, and is kept in the state
 * topic. So it is a function of the log, and reading a part of the log again changes nothing.
 *
 * Which partitions there are is told by those who read them, so one that never had an event counts
 * too; what it has passed is for its reader to say (`announce.ts`), who sees that it is empty. A topic
 * that was deleted and made anew has another id: what was known of the old one is let go, and its id
 * remembered, so that a late word of a reader of the old one does not bring it back.
 *
 * Pure.
 */
import type { Progress, SourceProgress } from './records.ts';

interface Source {
  nextOffset: bigint;
  newest: number | null;
  passed: number | null;
}

/** What is kept in the state topic: JSON, offsets as text. */
export interface WatermarkState {
  topicId: string | null;
  partitions: number;
  sources: ReadonlyArray<
    [partition: number, next: string, newest: number | null, passed: number | null]
  >;
  watermark: number | null;
  newest: number | null;
  retired: readonly string[];
}

/** Topics are made anew by hand, some times in the life of an installation. */
const RETIRED_MAX = 16;

export class Watermark {
  #topicId: string | null = null;
  #partitions = 0;
  #sources = new Map<number, Source>();
  #watermark: number | null = null;
  #newest: number | null = null;
  #retired: string[] = [];

  /** Epoch ms; null as long as nothing is known to be whole. */
  get value(): number | null {
    return this.#watermark;
  }

  /** Newest event time that any source has told. */
  get newest(): number | null {
    return this.#newest;
  }

  /** Partitions of the events topic that nothing was heard of, or that hold the watermark at nothing. */
  get silent(): number {
    let heard = 0;
    for (const { passed } of this.#sources.values()) if (passed !== null) heard += 1;
    return Math.max(0, this.#partitions - heard);
  }

  /** Takes a record in. True where the watermark moved. */
  note({ topicId, partitions, sources }: Progress): boolean {
    if (!this.#isCurrent(topicId)) return false;
    this.#partitions = Math.max(this.#partitions, partitions);
    for (const source of sources) this.#take(source);
    return this.#advance();
  }

  /**
   * Whether the matches of the event at this address were all before this record already: then one
   * that comes now is a repetition, because a reader died between its matches and its commit.
   */
  isRepeated(partition: number, offset: bigint): boolean {
    return offset < (this.#sources.get(partition)?.nextOffset ?? 0n);
  }

  #isCurrent(topicId: string): boolean {
    if (topicId === this.#topicId) return true;
    if (this.#retired.includes(topicId)) return false;
    if (this.#topicId !== null) {
      this.#retired = [...this.#retired, this.#topicId].slice(-RETIRED_MAX);
      this.#sources.clear();
      this.#partitions = 0;
    }
    this.#topicId = topicId;
    return true;
  }

  /** Two readers may tell of one partition, the earlier one last: only what is further counts. */
  #take({ partition, nextOffset, newest, passed }: SourceProgress): void {
    const known = this.#sources.get(partition);
    this.#sources.set(partition, {
      nextOffset:
        known !== undefined && known.nextOffset > nextOffset ? known.nextOffset : nextOffset,
      newest: later(known?.newest ?? null, newest),
      passed: later(known?.passed ?? null, passed),
    });
    this.#newest = later(this.#newest, newest);
  }

  #advance(): boolean {
    if (this.silent > 0 || this.#sources.size === 0) return false;
    let least = Number.POSITIVE_INFINITY;
    for (const { passed } of this.#sources.values()) least = Math.min(least, passed!);
    if (this.#watermark !== null && least <= this.#watermark) return false;
    this.#watermark = least;
    return true;
  }

  state(): WatermarkState {
    return {
      topicId: this.#topicId,
      partitions: this.#partitions,
      sources: [...this.#sources].map(([partition, { nextOffset, newest, passed }]) => [
        partition,
        String(nextOffset),
        newest,
        passed,
      ]),
      watermark: this.#watermark,
      newest: this.#newest,
      retired: this.#retired,
    };
  }

  static of(state: WatermarkState): Watermark {
    const made = new Watermark();
    made.#topicId = state.topicId;
    made.#partitions = state.partitions;
    made.#sources = new Map(
      state.sources.map(([partition, next, newest, passed]) => [
        partition,
        { nextOffset: BigInt(next), newest, passed },
      ]),
    );
    made.#watermark = state.watermark;
    made.#newest = state.newest;
    made.#retired = [...state.retired];
    return made;
  }
}

function later(one: number | null, other: number | null): number | null {
  if (one === null) return other;
  return other === null || one > other ? one : other;
}
