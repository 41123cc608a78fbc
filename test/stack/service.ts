/**
 * A lakeseal command as a process of its own, the way an operator runs it: its configuration is the
 * environment, its log goes to a file, and it can be asked for its health, signalled and killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freshFetch } from './fresh-fetch.ts';

export const LAKESEAL_MAIN = join(import.meta.dirname, '..', '..', 'services', 'main.ts');
const POLL_MS = 50;
const START_MS_MAX = 60_000;
const LOG_TAIL_LINES = 15;

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ServiceProcess {
  readonly pid: number;
  readonly logFile: string;
  /** Resolves when the process has ended. */
  readonly exited: Promise<Exit>;
  /** Resolves when it listens to signals, or has ended: before, SIGTERM ends any process. */
  begun(timeoutMs?: number): Promise<void>;
  /** Resolves when /readyz says yes; rejects with the end of the log when the process ends first. */
  ready(timeoutMs?: number): Promise<void>;
  /** The sum of the samples of /metrics that have this name and these labels; 0 if none. */
  metric(name: string, labels?: Record<string, string>): Promise<number>;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, then waits for the end. */
  stop(): Promise<Exit>;
  /** The last lines of its log. */
  logTail(): string;
}

/**
 * Starts `lakeseal COMMAND …` with exactly this environment beside PATH and HOME. It is killed when
 * this process ends before it, unless it is kept.
 */
export function startService(
  command: string[],
  env: Record<string, string>,
  logFile: string,
  options: { keep?: boolean } = {},
): ServiceProcess {
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(process.execPath, [LAKESEAL_MAIN, ...command], {
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...env },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const orphan = (): void => void child.kill('SIGKILL');
  if (!options.keep) process.once('exit', orphan);
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      process.off('exit', orphan);
      resolve({ code, signal });
    });
  });
  exited.catch(() => {});
  return {
    pid: child.pid ?? -1,
    logFile,
    exited,
    begun: (timeoutMs = START_MS_MAX) => waitBegun(child, logFile, timeoutMs),
    ready: (timeoutMs = START_MS_MAX) => waitReady(child, logFile, timeoutMs),
    metric: async (name, labels = {}) =>
      sumMetric(await fetchText(logFile, '/metrics'), name, labels),
    signal: (signal) => void child.kill(signal),
    async stop() {
      child.kill('SIGTERM');
      return exited;
    },
    logTail: () => logTail(logFile),
  };
}

async function waitBegun(child: ChildProcess, logFile: string, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (child.exitCode === null && child.signalCode === null) {
    try {
      portOf(logFile);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await sleep(POLL_MS);
  }
}

async function waitReady(child: ChildProcess, logFile: string, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let last = 'no answer yet';
  while (Date.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`ended before it was ready; its log ends:\n${logTail(logFile)}`);
    }
    try {
      const port = portOf(logFile);
      const response = await freshFetch(`http://127.0.0.1:${port}/readyz`);
      if (response.ok) return;
      last = await response.text();
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    await sleep(POLL_MS);
  }
  throw new Error(`not ready in ${timeoutMs} ms: ${last}\n${logTail(logFile)}`);
}

async function fetchText(logFile: string, path: string): Promise<string> {
  const response = await freshFetch(`http://127.0.0.1:${portOf(logFile)}${path}`);
  return response.text();
}

/** The port of the newest start that wrote to this log. */
function portOf(logFile: string): number {
  const lines = readFileSync(logFile, 'utf8').split('\n');
  for (let index = lines.length - 1; index >= 0; index--) {
    if (!lines[index]!.includes('"serving health and metrics"')) continue;
    return (JSON.parse(lines[index]!) as { port: number }).port;
  }
  throw new Error('the health port is not known yet');
}

function sumMetric(text: string, name: string, labels: Record<string, string>): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  let sum = 0;
  for (const line of text.split('\n')) {
    const rest = line.startsWith(name) ? line.slice(name.length) : '';
    if (rest[0] !== ' ' && rest[0] !== '{') continue;
    if (wanted.every((label) => rest.includes(label))) {
      sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
  }
  return sum;
}

function logTail(logFile: string): string {
  return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
}
