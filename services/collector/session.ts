/**
 * One run of the collector: its counters, its pipeline, and how a source is read through it.
 * Shell: time, metrics and the display are touched here, and nowhere deeper.
 */

import type { Registry } from 'prom-client';
import { Counter } from 'prom-client';
import { decompress } from '../ingest/decompress.ts';
import { FIRST_PART_BYTES, LINE_BYTES_MAX, type Line, LineSplitter } from '../ingest/lines.ts';
import { Failure } from '../runtime/errors.ts';
import type { ServiceContext } from '../runtime/service.ts';
import { printable } from '../runtime/wording.ts';
import { type BuildContext, buildLine, type Letter } from './build.ts';
import type { CollectOptions, CollectReport, CollectUi } from './collect-types.ts';
import type { FileSource } from './files.ts';
import { PIPELINE_LIMITS, Pipeline, type PipelineLimits } from './pipeline.ts';
import { type Done, DoneTracker, NOTHING_DONE } from './resume.ts';
import type { Target } from './target.ts';

/** Bad lines shown one by one; the report counts the others. */
export const PROBLEMS_SHOWN_MAX = 20;
/** Record keys counted apart. */
const KEYS_MAX = 1_000;
/** So many sources broken one after the other are not theirs to mend: the run stops. */
const BROKEN_IN_A_ROW_MAX = 10;

/** How reading a source ended. `changed`: what was collected of it before is not there now. */
export type ReadOutcome = { end: 'read'; done: Done } | { end: 'broken' | 'stopped' | 'changed' };

export interface SourceInput {
  name: string;
  chunks: AsyncIterable<Buffer>;
  before: Done;
}

export class Session {
  readonly options: CollectOptions;
  readonly context: ServiceContext;
  readonly target: Target;
  readonly #ui: CollectUi;
  readonly #pipeline: Pipeline;
  readonly #build: BuildContext;
  readonly #counters: Counters;
  readonly #startMs: number;
  readonly #report: CollectReport;
  #source = '';
  #sourcesTotal = 0;
  #bytesTotal: number | null = 0;
  #problems = 0;
  #brokenInARow = 0;

  constructor(
    options: CollectOptions,
    context: ServiceContext,
    ui: CollectUi,
    target: Target,
    limits: PipelineLimits = PIPELINE_LIMITS,
  ) {
    this.options = options;
    this.context = context;
    this.target = target;
    this.#ui = ui;
    this.#pipeline = new Pipeline(target, limits, context.clock, (letter) =>
      this.#countLetter(letter),
    );
    this.#build = {
      schemaId: target.schemaId,
      lineBytesMax: options.lineBytesMax ?? LINE_BYTES_MAX,
      recordBytesMax: context.config.topics.recordBytesMax,
    };
    this.#counters = createCounters(context.metrics);
    this.#startMs = context.clock.now();
    this.#report = emptyReport(options);
  }

  /** Announces a source, for the display. */
  expect(bytes: number | null): void {
    this.#sourcesTotal += 1;
    this.#bytesTotal =
      bytes === null || this.#bytesTotal === null ? null : this.#bytesTotal + bytes;
    this.#show();
  }

  async readFile(file: FileSource): Promise<void> {
    const stream = file.open();
    try {
      await this.read({ name: file.name, chunks: stream, before: NOTHING_DONE });
    } finally {
      // A silent pipe or terminal would keep the process alive.
      stream.destroy();
    }
  }

  /** Reads a source to its end, its damage or the signal. Throws where Kafka cannot go on. */
  async read(input: SourceInput): Promise<ReadOutcome> {
    this.#source = input.name;
    const chunks = decompress(untilAborted(this.#counted(input.chunks), this.context.signal));
    const tracker = new DoneTracker(input.before);
    const limits = {
      lineBytesMax: this.#build.lineBytesMax,
      firstPartBytes: FIRST_PART_BYTES,
    };
    const splitter = new LineSplitter(limits, input.before.doneLines);
    try {
      for (;;) {
        const step = await nextOrError(chunks);
        if (this.context.signal.aborted) return this.#stopped(splitter);
        if ('error' in step) return this.#broken(input, splitter, step.error);
        if (step.chunk === null) break;
        const fresh = tracker.take(step.chunk);
        if (fresh === 'changed') return { end: 'changed' };
        await this.#takeLines(splitter.push(fresh), input.name);
      }
      if (!tracker.reachedBefore()) return { end: 'changed' };
      await this.#takeLines(splitter.end(), input.name);
    } finally {
      void chunks.return(undefined);
    }
    this.#brokenInARow = 0;
    this.#report.sources += 1;
    this.#report.linesKnown += input.before.doneLines;
    return { end: 'read', done: tracker.done };
  }

  /** The signal came before this source was begun. */
  stopBefore(name: string): void {
    this.#report.stoppedAt ??= `${name}:1`;
  }

  /** `reached` is called once everything read so far is durable. */
  mark(reached: () => void): void {
    this.#pipeline.mark(reached);
  }

  /** Waits until everything read so far is durable. */
  async drain(): Promise<void> {
    await this.#pipeline.drain();
    this.#show();
  }

  /** An object that needs no reading. */
  skip(why: 'known' | 'ignored'): void {
    if (why === 'known') this.#report.objectsKnown += 1;
    else this.#report.objectsIgnored += 1;
  }

  /** A source that could not even be opened. */
  unreadable(name: string, error: unknown): void {
    this.#noteBroken(name, 0, error);
  }

  async finish(): Promise<void> {
    await this.drain();
    this.#source = '';
    this.#show();
  }

  /** Ends the display and says in the log what was done, whether or not the run succeeded. */
  async close(): Promise<void> {
    this.#ui.done();
    const { lines, events, records, sources } = this.report();
    this.context.log.info({ sources, lines, events, records }, 'collection ended');
  }

  report(): CollectReport {
    return {
      ...this.#report,
      records: this.#pipeline.recordsDurable,
      elapsedMs: this.context.clock.now() - this.#startMs,
    };
  }

  async #takeLines(lines: Iterable<Line>, source: string): Promise<void> {
    for (const line of lines) if (this.#takeLine(line, source)) await this.#pipeline.settle();
    this.#show();
  }

  /** True when the pipeline is full. */
  #takeLine(line: Line, source: string): boolean {
    this.#report.lines += 1;
    this.#counters.lines.inc();
    const { records, letters } = buildLine(line, source, this.#build);
    if (records.length === 0 && letters.length === 0) return false;
    for (const letter of letters) this.#countLetter(letter);
    for (const { key } of records) this.#countKey(key === null ? '(none)' : key.toString());
    this.#report.events += records.length;
    this.#counters.events.inc(records.length);
    return this.#pipeline.put(records, letters);
  }

  #countLetter({ source, line, reason, detail }: Letter): void {
    this.#report.deadLetters[reason] = (this.#report.deadLetters[reason] ?? 0) + 1;
    this.#counters.deadLetters.inc({ reason });
    this.#problem(`${source}:${line}: ${reason}: ${detail}`);
  }

  #countKey(key: string): void {
    const { keys } = this.#report;
    const seen = keys[key];
    if (seen !== undefined) keys[key] = seen + 1;
    else if (Object.keys(keys).length < KEYS_MAX) keys[key] = 1;
  }

  #problem(text: string): void {
    this.#problems += 1;
    if (this.#problems <= PROBLEMS_SHOWN_MAX) this.#ui.problem(printable(text));
    if (this.#problems === PROBLEMS_SHOWN_MAX + 1) {
      this.#ui.problem('more problems are counted but not shown');
    }
  }

  #stopped(splitter: LineSplitter): ReadOutcome {
    this.#report.stoppedAt ??= `${this.#source}:${splitter.linesEnded + 1}`;
    return { end: 'stopped' };
  }

  #broken(input: SourceInput, splitter: LineSplitter, error: unknown): ReadOutcome {
    this.#noteBroken(input.name, splitter.linesEnded, error);
    return { end: 'broken' };
  }

  #noteBroken(name: string, lines: number, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#report.broken.push({ name, lines, reason });
    this.#problem(`${name}: not read to its end: ${reason}`);
    this.#brokenInARow += 1;
    if (this.#brokenInARow < BROKEN_IN_A_ROW_MAX) return;
    throw new Failure(`${BROKEN_IN_A_ROW_MAX} files in a row could not be read`, {
      code: 'COLLECT_UNREADABLE',
      hint: 'the last reason is below; what was read before is sent',
      cause: error,
    });
  }

  async *#counted(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      this.#report.bytes += chunk.length;
      this.#counters.bytes.inc(chunk.length);
      yield chunk;
    }
  }

  #show(): void {
    const { sources, broken, bytes, lines, events, deadLetters } = this.#report;
    this.#ui.progress({
      source: this.#source,
      sourcesDone: sources + broken.length,
      sourcesTotal: this.#sourcesTotal,
      bytesRead: bytes,
      bytesTotal: this.#bytesTotal,
      lines,
      events,
      deadLetters: Object.values(deadLetters).reduce((sum, n) => sum + n, 0),
      elapsedMs: this.context.clock.now() - this.#startMs,
    });
  }
}

async function nextOrError(
  chunks: AsyncIterator<Buffer>,
): Promise<{ chunk: Buffer | null } | { error: unknown }> {
  try {
    const step = await chunks.next();
    return { chunk: step.done === true ? null : step.value };
  } catch (error) {
    return { error };
  }
}

/** Ends with the signal, even while the input is silent (a terminal, a slow pipe). */
async function* untilAborted(
  chunks: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const input = chunks[Symbol.asyncIterator]();
  const aborted = new Promise<null>((resolve) => {
    if (signal.aborted) resolve(null);
    signal.addEventListener('abort', () => resolve(null), { once: true });
  });
  try {
    while (!signal.aborted) {
      const step = await Promise.race([input.next(), aborted]);
      if (step === null || step.done === true) return;
      yield step.value;
    }
  } finally {
    // Not awaited: a generator that waits for its source answers only when the source does.
    void input.return?.();
  }
}

interface Counters {
  lines: Counter;
  events: Counter;
  bytes: Counter;
  deadLetters: Counter<'reason'>;
}

function createCounters(metrics: Registry): Counters {
  const registers = [metrics];
  return {
    lines: new Counter({
      name: 'lakeseal_collect_lines_total',
      help: 'Lines read, blank and broken ones included.',
      registers,
    }),
    events: new Counter({
      name: 'lakeseal_collect_events_total',
      help: 'Events decoded.',
      registers,
    }),
    bytes: new Counter({
      name: 'lakeseal_collect_bytes_total',
      help: 'Bytes of input as stored (compressed).',
      registers,
    }),
    deadLetters: new Counter({
      name: 'lakeseal_collect_dead_letters_total',
      help: 'Lines that could not be collected, by reason.',
      labelNames: ['reason'],
      registers,
    }),
  };
}

function emptyReport({ dryRun, follow }: CollectOptions): CollectReport {
  return {
    dryRun,
    follow,
    sources: 0,
    broken: [],
    objectsKnown: 0,
    objectsIgnored: 0,
    linesKnown: 0,
    bytes: 0,
    lines: 0,
    events: 0,
    records: 0,
    deadLetters: {},
    keys: Object.create(null) as Record<string, number>,
    elapsedMs: 0,
    stoppedAt: null,
  };
}
