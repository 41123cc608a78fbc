/**
 * Loaded before a lakeseal process (`node --import`), so that a test need not wait for hours: what the
 * process takes for now is moved by the milliseconds that the file LAKESEAL_TEST_CLOCK holds, and no
 * sleep is longer than a second. What others tell the time by (requests to the store) stays.
 */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { systemClock } from '../../services/runtime/clock.ts';

const SLEEP_MS_MAX = 1_000;
const file = process.env.LAKESEAL_TEST_CLOCK;

if (file !== undefined) {
  const { sleep } = systemClock;
  systemClock.now = () => Date.now() + Number(readFileSync(file, 'utf8'));
  systemClock.sleep = (ms, signal) => sleep(Math.min(ms, SLEEP_MS_MAX), signal);
}

/** What makes a process go by the clock in this file. */
export function clockEnv(path: string): Record<string, string> {
  return {
    LAKESEAL_TEST_CLOCK: path,
    NODE_OPTIONS: `--import=${pathToFileURL(import.meta.filename).href}`,
  };
}
