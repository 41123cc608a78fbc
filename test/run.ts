/**
 * `npm test` and `npm run test:unit`: types, lint, the tests without servers, then (unless --unit)
 * those that take minutes (`*.full.test.ts`), and the real servers once for all tests that need
 * them (`*.stack.test.ts`). Words after the options choose test files
 * whose path holds one of them, and leave types and lint out.
 *
 * Goes on after a failure, so that one run shows them all, and always ends: what has not begun after
 * `RUN_MS_MAX` is told and counts as failed. The last line is `N passed, N failed, N skipped`; type
 * check and lint count as one each. The exit code is not zero when anything failed, and when nothing
 * was run.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import type { Transform } from 'node:stream';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { describeFailure } from '../services/runtime/errors.ts';
import { attachStack, type Stack, startStack } from './stack/stack.ts';

const ROOT = join(import.meta.dirname, '..');
const BIN = join(ROOT, 'node_modules', '.bin');
/** A file that runs longer hangs: Node by itself waits for ever for a promise that never settles. */
const FILE_MS_MAX = 5 * 60_000;
/** Full runs judge millions of events. */
const LONG_FILE_MS_MAX = 30 * 60_000;
/** The fault tests on servers kill and restart many times: five to ten minutes on two cores. */
const SERVERS_FILE_MS_MAX = 15 * 60_000;
/** Since this process began. No test file on servers begins later, so that there is a result in time. */
const RUN_MS_MAX = 70 * 60_000;
/** Of the test files on servers, as many are told with how long they took. */
const TOLD_FILES = 8;
/** kafkajs as it is, which some tests use beside the mended one, sets negative timers. */
const NODE_OPTIONS = ['--disable-warning=TimeoutNegativeWarning'];

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const skipped: string[] = [];
const unstarted: string[] = [];
const took: Array<{ file: string; seconds: number }> = [];

function heading(text: string): void {
  process.stdout.write(`\n== ${text}\n`);
}

function check(name: string, command: string, args: string[]): void {
  heading(name);
  const { status, error } = spawnSync(join(BIN, command), args, { cwd: ROOT, stdio: 'inherit' });
  if (error !== undefined) console.error(error.message);
  if (status === 0) total.passed++;
  else total.failed++;
}

/** One report for all that `work` runs, without the summaries of its parts. */
async function reporting(work: (reporter: Transform) => Promise<void>): Promise<void> {
  const reporter = new spec();
  reporter.pipe(process.stdout, { end: false });
  await work(reporter);
  const done = new Promise((resolve) => reporter.once('end', resolve));
  reporter.end();
  await done;
}

/** Side by side. */
function runTests(files: string[], timeout: number): Promise<void> {
  return reporting((reporter) => runFiles(files, availableParallelism(), timeout, reporter));
}

/** One after another: each may stop and kill servers. */
function runInTurn(files: string[], stack: Stack): Promise<void> {
  return reporting(async (reporter) => {
    for (const file of files) {
      if (performance.now() > RUN_MS_MAX) {
        unstarted.push(file);
        total.failed++;
        continue;
      }
      await heal(stack);
      const startedAt = performance.now();
      await runFiles([file], 1, SERVERS_FILE_MS_MAX, reporter);
      took.push({ file, seconds: (performance.now() - startedAt) / 1000 });
    }
  });
}

async function runFiles(
  files: string[],
  concurrency: number,
  timeout: number,
  reporter: Transform,
): Promise<void> {
  const events = run({ files, concurrency, cwd: ROOT, timeout, execArgv: NODE_OPTIONS });
  for await (const event of events) {
    if (event.type === 'test:summary') {
      if (event.data.file === undefined) add(event.data.counts);
      continue;
    }
    if (event.type === 'test:diagnostic' && event.data.nesting === 0) continue;
    if (event.type === 'test:pass' && event.data.skip !== undefined) skipped.push(event.data.name);
    reporter.write(event);
  }
}

function add(counts: { passed: number; failed: number; cancelled: number; skipped: number }): void {
  total.passed += counts.passed;
  total.failed += counts.failed + counts.cancelled;
  total.skipped += counts.skipped;
}

async function runStackTests(files: string[]): Promise<void> {
  heading('tests on real servers');
  let stack: Stack | undefined;
  const given = process.env.LAKESEAL_STACK;
  try {
    stack = given ? attachStack(given) : await startStack();
    process.env.LAKESEAL_STACK = stack.stateFile;
    await runInTurn(files, stack);
  } catch (error) {
    console.error(describeFailure('stack', error));
    total.failed++;
  } finally {
    if (!given) await stack?.stop();
  }
}

/** A file that failed with a server down must not fail those after it. */
async function heal(stack: Stack): Promise<void> {
  for (const server of await stack.heal()) {
    console.error(`the test file before left ${server} down: restarted`);
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { unit: { type: 'boolean', default: false } },
  });
  // Whatever is started from here finds the Node of the checkout first.
  process.env.PATH = [BIN, dirname(process.execPath), process.env.PATH].join(delimiter);
  const chosen = globSync('test/**/*.test.ts', { cwd: ROOT })
    .filter((file) => positionals.length === 0 || positionals.some((word) => file.includes(word)))
    .sort();
  const onServers = chosen.filter((file) => file.endsWith('.stack.test.ts'));
  const long = chosen.filter((file) => file.endsWith('.full.test.ts'));
  const alone = chosen.filter((file) => !onServers.includes(file) && !long.includes(file));

  if (positionals.length === 0) {
    check('types', 'tsc', ['--noEmit']);
    check('lint', 'biome', ['check']);
  }
  if (alone.length > 0) {
    heading('tests without servers');
    await runTests(alone, FILE_MS_MAX);
  }
  if (long.length > 0 && !values.unit) {
    heading('tests that take minutes');
    await runTests(long, LONG_FILE_MS_MAX);
  }
  if (onServers.length > 0 && !values.unit) await runStackTests(onServers);
  conclude();
}

function conclude(): void {
  heading('result');
  if (!process.env.LAKESEAL_SAMPLES) {
    console.log('NOT TESTED: LAKESEAL_SAMPLES is not set, so no real audit events were read.');
  }
  for (const { file, seconds } of took.sort((a, b) => b.seconds - a.seconds).slice(0, TOLD_FILES)) {
    console.log(`${Math.round(seconds)} s: ${file}`);
  }
  for (const name of skipped) console.log(`skipped: ${name}`);
  for (const file of unstarted) {
    console.error(`NOT RUN: ${file}, after ${RUN_MS_MAX / 60_000} minutes`);
  }
  const { passed, failed } = total;
  if (passed + failed === 0) console.error('no test was run');
  console.log(`${passed} passed, ${failed} failed, ${total.skipped} skipped`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}

await main();
