/**
 * `lakeseal scan`: files of audit events against rules, with no servers. Decoding, matching and
 * correlation are the detector's own, so what scan finds is what the live detector alerts on
 * (promise D1), under the same alert ids.
 *
 * Alerts of single events are printed as they are found. Those of rules over many events are
 * printed at the end, each once, with all that it counted: event time moves on when all is read.
 *
 * Exit codes: 0 done; 2 done, but some lines could not be decoded; 1 could not run.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { DECODE_LIMITS, type Decoded, decodeJson } from '../ingest/decode.ts';
import { decompress } from '../ingest/decompress.ts';
import type { AuditEvent } from '../ingest/event.ts';
import { isBlank, type Line, LineSplitter, type SplitLimits } from '../ingest/lines.ts';
import { RecordViewer } from '../ingest/record-view.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';
import { counted, grouped, printable } from '../runtime/wording.ts';
import { isoTime } from './alert/alert.ts';
import { DEFAULT_LIMITS, type Limits } from './correlate/limits.ts';
import { NO_PLACES, type PlaceSource } from './fields/place.ts';
import { describeProblem } from './sigma/problem.ts';
import { LEVELS, type Level } from './sigma/rule.ts';
import { SHIPPED_LISTS } from './sigma/rules.ts';
import type { Engine } from './stream/engine.ts';
import { loadEngine } from './stream/rules-in-force.ts';
import { type Hit, Judge, type StatefulHit } from './workbench/judge.ts';

export interface ScanOptions {
  /** Files of one JSON text a line, plain, gzip or zstd; `-` is standard input. */
  files: readonly string[];
  /** Rule files and folders, each a layer above the one before. */
  rules: readonly string[];
  /** Folders of list files beside the shipped ones. */
  lists?: readonly string[];
  /** Event time goes so far at the end, epoch ms, or to the newest event where that is later. */
  untilMs?: number;
  /** What is known of addresses; nothing where it is left out. */
  places?: PlaceSource;
  limits?: Limits;
  format: 'table' | 'json';
}

export interface ScanIo {
  stdin: Readable;
  stdout: Writable & { isTTY?: boolean };
  stderr: Writable & { isTTY?: boolean };
  /** Epoch ms: for the rate and the progress line, and for exceptions that expire. */
  now: () => number;
}

/** One line of `--format json`. */
export interface ScanAlert {
  id: string;
  rule: { id: string; title: string; level: Level };
  /** Empty for a rule of single events. */
  group: Record<string, string>;
  /** Of the event that decided. */
  actor: string;
  first: string;
  last: string;
  count: number;
  evidence: Array<{ file: string; line: number; eventId: string }>;
}

export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
export const EXIT_UNDECODABLE = 2;

const PROGRESS_MS = 500;
/** Of a line that is too long nothing is shown, so nothing is kept. */
const LINE_LIMITS: SplitLimits = { lineBytesMax: DECODE_LIMITS.bytesMax, firstPartBytes: 0 };
/** How a reading process that went away looks; nothing is left to be told to it. */
const CLOSED_PIPE = 'EPIPE';

interface Totals {
  lines: number;
  events: number;
  undecodable: number;
  alerts: Map<Level, number>;
}

export async function scan(options: ScanOptions, io: ScanIo): Promise<number> {
  const lists = [SHIPPED_LISTS, ...(options.lists ?? [])];
  const folders = { layers: options.rules, lists, nowMs: io.now(), tests: false };
  const { places = NO_PLACES, limits = DEFAULT_LIMITS } = options;
  const loaded = loadEngine(folders, places, limits);
  const problems = loaded.ok ? loaded.warnings : loaded.problems;
  if (problems.length > 0) await say(io.stderr, problems.map(describeProblem).join('\n'));
  if (!loaded.ok) {
    await say(io.stderr, 'scan: error: no rule was loaded, because of the errors above');
    return EXIT_FAILED;
  }
  const missing = await unreadable(options.files);
  if (missing.length > 0) {
    await say(io.stderr, missing.map((text) => `scan: error: ${text}`).join('\n'));
    return EXIT_FAILED;
  }
  const run = new Scan(loaded.engine, options, io);
  // A failed write is told twice, by its callback (handled below) and by this event.
  const heard = (): void => {};
  io.stdout.on('error', heard);
  try {
    return await run.all(options.files);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === CLOSED_PIPE) return run.exitCode();
    throw error;
  } finally {
    io.stdout.off('error', heard);
  }
}

class Scan {
  readonly #judge: Judge;
  readonly #viewer = new RecordViewer();
  /** Rules that raise alerts. */
  readonly #rules: number;
  readonly #format: 'table' | 'json';
  readonly #untilMs: number | null;
  readonly #io: ScanIo;
  readonly #seen = new Set<string>();
  readonly #started: number;
  readonly #totals: Totals = { lines: 0, events: 0, undecodable: 0, alerts: new Map() };
  #progressAt: number;
  #headed = false;

  constructor(engine: Engine, { format, untilMs, limits }: ScanOptions, io: ScanIo) {
    this.#judge = new Judge(engine, limits);
    this.#rules = engine.alerting;
    this.#format = format;
    this.#untilMs = untilMs ?? null;
    this.#io = io;
    this.#started = io.now();
    this.#progressAt = this.#started;
  }

  async all(files: readonly string[]): Promise<number> {
    for (const file of files) {
      const lines = new LineSplitter(LINE_LIMITS);
      try {
        await this.#file(file, lines);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === CLOSED_PIPE) throw error;
        this.#clearProgress();
        await say(this.#io.stderr, unreadableFrom(file, lines.linesEnded + 1, error));
        return EXIT_FAILED;
      }
    }
    this.#clearProgress();
    await this.#end();
    if (this.#format === 'table') await say(this.#io.stdout, this.#summary());
    return this.exitCode();
  }

  exitCode(): number {
    return this.#totals.undecodable > 0 ? EXIT_UNDECODABLE : EXIT_DONE;
  }

  async #file(file: string, lines: LineSplitter): Promise<void> {
    const stream = file === '-' ? this.#io.stdin : createReadStream(file);
    for await (const chunk of decompress(stream)) await this.#lines(file, lines.push(chunk));
    await this.#lines(file, lines.end());
  }

  async #lines(file: string, lines: Iterable<Line>): Promise<void> {
    const found: string[] = [];
    for (const line of lines) await this.#line(file, line, found);
    if (found.length > 0) {
      this.#clearProgress();
      await say(this.#io.stdout, found.join('\n'));
    }
    this.#progress(file);
  }

  async #line(file: string, line: Line, found: string[]): Promise<void> {
    this.#totals.lines += 1;
    if (line.oversizedBytes === null && isBlank(line.bytes)) return;
    const isWhole = line.oversizedBytes === null;
    const fired = isWhole ? this.#judge.fired(this.#viewer.json(line.bytes)) : null;
    if (fired?.length === 0) {
      this.#totals.events += 1;
      return;
    }
    const decoded: Decoded =
      line.oversizedBytes === null ? decodeJson(line.bytes) : oversized(line.oversizedBytes);
    if (!decoded.ok) {
      this.#totals.undecodable += 1;
      await this.#complain(`${file}:${line.number}: ${decoded.reason}: ${decoded.detail}`);
      return;
    }
    if (decoded.refused.length > 0) this.#totals.undecodable += 1;
    for (const { index, reason, detail } of decoded.refused) {
      await this.#complain(`${file}:${line.number}: event ${index + 1}: ${reason}: ${detail}`);
    }
    for (const event of decoded.events) {
      this.#totals.events += 1;
      const at = { topic: file, partition: 0, offset: BigInt(line.number) };
      for (const hit of this.#judge.event(event, at, fired)) {
        if (this.#seen.has(hit.id)) continue;
        this.#seen.add(hit.id);
        this.#show(scanAlert(hit, event, file, line.number), event.sourceIp ?? '-', found);
      }
    }
  }

  /** All is read: the alerts of rules over many events. */
  async #end(): Promise<void> {
    const { alerts, refused } = this.#judge.end(this.#untilMs);
    const found: string[] = [];
    for (const hit of alerts) this.#show(statefulScanAlert(hit), hit.source ?? '-', found);
    if (found.length > 0) await say(this.#io.stdout, found.join('\n'));
    if (refused.length === 0) return;
    const [{ topic, offset } = { topic: '', offset: 0n }] = refused;
    await this.#complain(
      `scan: warning: ${grouped(refused.length)} matches of rules over many events ` +
        `were beyond the limits and are not counted, the first at ${topic}:${offset}`,
    );
  }

  async #complain(text: string): Promise<void> {
    this.#clearProgress();
    await say(this.#io.stderr, printable(text));
  }

  #show(alert: ScanAlert, source: string, found: string[]): void {
    const { level } = alert.rule;
    this.#totals.alerts.set(level, (this.#totals.alerts.get(level) ?? 0) + 1);
    if (this.#format === 'json') {
      found.push(JSON.stringify(alert));
      return;
    }
    if (!this.#headed) {
      this.#headed = true;
      found.push(row('TIME', 'LEVEL', 'RULE', 'ACTOR', 'SOURCE', 'EVENT'));
    }
    const [evidence] = alert.evidence;
    const more = alert.count > 1 ? ` and ${grouped(alert.count - 1)} more` : '';
    const place = `${evidence!.file}:${evidence!.line}${more}`;
    found.push(row(alert.first, level, alert.rule.title, alert.actor, source, place));
  }

  #summary(): string {
    const { lines, events, undecodable, alerts } = this.#totals;
    const seconds = Math.max(0.001, (this.#io.now() - this.#started) / 1000);
    const levels = LEVELS.toReversed()
      .filter((level) => alerts.has(level))
      .map((level) => `${alerts.get(level)} ${level}`);
    const total = [...alerts.values()].reduce((sum, count) => sum + count, 0);
    return [
      ...(this.#headed ? [''] : []),
      `${counted(lines, 'line')}, ${counted(events, 'event')}, ` +
        `${counted(total, 'alert')}${levels.length > 0 ? ` (${levels.join(', ')})` : ''}, ` +
        `${grouped(undecodable)} undecodable, ${counted(this.#rules, 'rule')}, ` +
        `${seconds.toFixed(1)} s${seconds < 1 ? '' : ` (${grouped(Math.round(events / seconds))} events/s)`}`,
    ].join('\n');
  }

  #progress(file: string): void {
    const { stderr, now } = this.#io;
    const time = now();
    if (stderr.isTTY !== true || time - this.#progressAt < PROGRESS_MS) return;
    this.#progressAt = time;
    const { events, alerts } = this.#totals;
    const total = [...alerts.values()].reduce((sum, count) => sum + count, 0);
    const rate = Math.round(events / ((time - this.#started) / 1000));
    stderr.write(
      `\r\x1b[K${file}: ${counted(events, 'event')}, ${counted(total, 'alert')}, ${grouped(rate)}/s`,
    );
  }

  #clearProgress(): void {
    if (this.#io.stderr.isTTY === true && this.#progressAt !== this.#started) {
      this.#io.stderr.write('\r\x1b[K');
    }
  }
}

function unreadableFrom(file: string, line: number, error: unknown): string {
  const text = `scan: error: ${file}:${line}: cannot be read from here on: ${reasonOf(error)}`;
  const hint = error instanceof Failure ? error.hint : undefined;
  return hint === undefined ? text : `${text}\nhint: ${hint}`;
}

function oversized(bytes: number): Decoded {
  const detail = `${bytes} bytes, the limit is ${DECODE_LIMITS.bytesMax}`;
  return { ok: false, reason: 'oversized', detail };
}

function scanAlert(
  { id, rule, level }: Hit,
  event: AuditEvent,
  file: string,
  line: number,
): ScanAlert {
  const time = isoTime(event.eventTime);
  return {
    id,
    rule: { id: rule.id, title: rule.title, level },
    group: {},
    actor: event.actor.name,
    first: time,
    last: time,
    count: 1,
    evidence: [{ file, line, eventId: event.eventId }],
  };
}

function statefulScanAlert({ id, rule, level, actor, alert }: StatefulHit): ScanAlert {
  return {
    id,
    rule: { id: rule.id, title: rule.title, level },
    group: Object.fromEntries(alert.group),
    actor,
    first: isoTime(alert.first),
    last: isoTime(alert.last),
    count: alert.count,
    evidence: alert.evidence.map(({ topic, offset, eventId }) => {
      return { file: topic, line: Number(offset), eventId };
    }),
  };
}

async function unreadable(files: readonly string[]): Promise<string[]> {
  if (files.length === 0) return ['no file was named; name files, or - for standard input'];
  const found: string[] = [];
  for (const file of files) {
    if (file === '-') continue;
    try {
      if ((await stat(file)).isDirectory()) found.push(`${file} is a folder; name its files`);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      found.push(code === 'ENOENT' ? `${file}: no such file` : `${file} cannot be read (${code})`);
    }
  }
  return found;
}

/** Resolves when the stream has taken the text; rejects when it cannot. */
function say(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(`${text}\n`, (error) => (error ? reject(error) : resolve()));
  });
}

const WIDTHS = [24, 13, 46, 32, 15];

/** Columns for a terminal. */
function row(...cells: string[]): string {
  return cells
    .map((cell, index) => {
      const width = WIDTHS[index];
      const plain = printable(cell);
      if (width === undefined) return plain;
      return (plain.length > width ? `${plain.slice(0, width - 1)}…` : plain).padEnd(width);
    })
    .join('  ');
}
