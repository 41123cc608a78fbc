/**
 * Tells every partition of the matches topic how far the readers of the events topic are, so that
 * each can keep its watermark by what lies in it. A word goes out only after the matches of all the
 * events it speaks of are acknowledged: whoever reads it has read them.
 *
 * All edges are arguments.
 */
import type { TopicPartition } from '../../ingest/consume-types.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Source } from '../detector.ts';
import { encodeProgress } from './records.ts';

export interface AnnouncingParts {
  /** Partitions of the events topic that are owned now. */
  sources: () => readonly Source[];
  /** Newest event time that any reader of any process has told; null before the first. */
  newest: () => number | null;
  /** Where the logs end now; rejects where that cannot be asked. */
  ends: (partitions: TopicPartition[]) => Promise<bigint[]>;
  /** Partitions of the events topic, as last known. */
  partitions: () => number;
  /** True when all matches that were made by now are acknowledged. */
  flushed: () => Promise<boolean>;
  /** Onto every partition of the matches topic; durable when it resolves. */
  produce: (value: Buffer) => Promise<void>;
  clock: Clock;
  log: Log;
}

/** So often everything is told anew, should a partition have lost what it was told. */
const WHOLE_MS = 60_000;

export class Announcing {
  readonly #parts: AnnouncingParts;
  #wholeAtMs = Number.NEGATIVE_INFINITY;
  #blind = false;

  constructor(parts: AnnouncingParts) {
    this.#parts = parts;
  }

  /** Tells what is new. What could not be told is told the next time. */
  async once(): Promise<void> {
    const { clock, flushed, produce } = this.#parts;
    const sources = this.#parts.sources();
    if (sources.length === 0) return;
    await this.#lookAtEnds(sources);
    const whole = clock.now() - this.#wholeAtMs >= WHOLE_MS;
    const progress = sources.map(({ announced }) => announced.progress());
    const news = sources
      .map((source, index) => ({ source, told: progress[index]! }))
      .filter(({ source, told }) => whole || source.announced.isNews(told));
    if (news.length === 0) return;
    // Judged before this turn, so their matches are among those that are waited for here.
    if (!(await flushed())) return;
    const highest = Math.max(...sources.map(({ partition }) => partition));
    await produce(
      encodeProgress({
        topicId: sources[0]!.topicId,
        partitions: Math.max(this.#parts.partitions(), highest + 1),
        sources: news.map(({ told }) => told),
      }),
    );
    for (const { source, told } of news) source.announced.announced(told);
    if (whole) this.#wholeAtMs = clock.now();
  }

  /** The order matters: what is known first, then the question, so that no word is ahead of it. */
  async #lookAtEnds(sources: readonly Source[]): Promise<void> {
    const { clock, log, ends } = this.#parts;
    let known = this.#parts.newest();
    for (const { announced } of sources) {
      const { newest } = announced;
      if (newest !== null && (known === null || newest > known)) known = newest;
    }
    const askedMs = clock.now();
    try {
      const found = await ends(sources.map(({ topic, partition }) => ({ topic, partition })));
      for (const [index, { announced }] of sources.entries()) {
        announced.endSeen(found[index]!, known, askedMs);
      }
      this.#blind = false;
    } catch (err) {
      if (!this.#blind) log.warn({ err }, 'ends of partitions cannot be asked; event time waits');
      this.#blind = true;
    }
  }
}
