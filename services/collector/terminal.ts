/**
 * The display of a collection on standard error: a bar on a terminal, a line every few seconds
 * elsewhere. Problems are written above the bar. Nothing here touches standard output.
 */
import type { WriteStream } from 'node:tty';
import { type Options, SingleBar } from 'cli-progress';
import { grouped, printable } from '../runtime/wording.ts';
import type { CollectProgress, CollectUi } from './collect-types.ts';
import { bytesText } from './report.ts';

/** Without a terminal: a line so often. */
const LINE_EVERY_MS = 5_000;
const DRAWS_PER_SECOND = 8;
const BAR_COLUMNS = 28;
const SOURCE_COLUMNS_MAX = 40;

export type TerminalStream = NodeJS.WritableStream &
  Partial<Pick<WriteStream, 'isTTY' | 'columns'>>;

export function createTerminalUi(stream: TerminalStream): CollectUi {
  return stream.isTTY === true ? barUi(stream) : lineUi(stream);
}

/** For `--json`, `--quiet` and tests: problems only. */
export function createQuietUi(stream: NodeJS.WritableStream): CollectUi {
  return {
    problem: (text) => void stream.write(`${text}\n`),
    progress: () => {},
    done: () => {},
  };
}

function lineUi(stream: NodeJS.WritableStream): CollectUi {
  let shownMs = 0;
  return {
    ...createQuietUi(stream),
    progress(now) {
      if (now.elapsedMs - shownMs < LINE_EVERY_MS) return;
      shownMs = now.elapsedMs;
      stream.write(`collect: ${progressText(now)}\n`);
    },
  };
}

function barUi(stream: TerminalStream): CollectUi {
  let bar: SingleBar | null = null;
  const options: Options = {
    stream,
    fps: DRAWS_PER_SECOND,
    barsize: BAR_COLUMNS,
    hideCursor: true,
    clearOnComplete: true,
    format: '{bar} {percentage}% {text}',
  };
  const stop = (): void => {
    bar?.stop();
    bar = null;
  };
  return {
    problem(text) {
      stop();
      stream.write(`${text}\n`);
    },
    progress(now) {
      const total = now.bytesTotal ?? 0;
      const text = progressText(now);
      if (bar === null) {
        bar = new SingleBar(options);
        bar.start(total, Math.min(now.bytesRead, total), { text });
      } else {
        bar.setTotal(total);
        bar.update(Math.min(now.bytesRead, total), { text });
      }
    },
    done: stop,
  };
}

/** `1.2 MB of 8.0 MB, 41,003 events, 38,020/s, 12 s left, auditlogs_7.json.gz`. Pure. */
export function progressText(now: CollectProgress): string {
  const seconds = now.elapsedMs / 1_000;
  const parts = [
    now.bytesTotal === null
      ? bytesText(now.bytesRead)
      : `${bytesText(now.bytesRead)} of ${bytesText(now.bytesTotal)}`,
    `${grouped(now.events)} events`,
  ];
  if (seconds >= 1) parts.push(`${grouped(Math.round(now.events / seconds))}/s`);
  const left = secondsLeft(now);
  if (left !== null) parts.push(`${timeText(left)} left`);
  if (now.deadLetters > 0) parts.push(`${grouped(now.deadLetters)} dead-lettered`);
  if (now.source !== '') parts.push(shortName(now.source));
  return parts.join(', ');
}

function secondsLeft(now: CollectProgress): number | null {
  if (now.bytesTotal === null || now.bytesRead === 0 || now.elapsedMs < 1_000) return null;
  const left = Math.max(0, now.bytesTotal - now.bytesRead);
  return Math.ceil(((now.elapsedMs / now.bytesRead) * left) / 1_000);
}

function timeText(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${seconds % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function shortName(source: string): string {
  const name = printable(source.slice(source.lastIndexOf('/') + 1));
  return name.length <= SOURCE_COLUMNS_MAX ? name : `…${name.slice(1 - SOURCE_COLUMNS_MAX)}`;
}
