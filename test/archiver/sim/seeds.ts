/** Runs seeded schedules in two threads and tells what they amounted to. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Report } from './worker.ts';

const WORKERS = 2;
/** Fewer need not have met everything. */
const TOLD_SEEDS = 100;

async function runSeeds(seeds: number[]): Promise<Report> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: seeds });
  const [report] = (await once(worker, 'message')) as [Report];
  return report;
}

/** LAKESEAL_SIM_SEED runs one seed, LAKESEAL_SIM_SEEDS another number of them. */
export async function holdsUnder(context: TestContext, from: number, count: number): Promise<void> {
  const { LAKESEAL_SIM_SEED: one, LAKESEAL_SIM_SEEDS: many } = process.env;
  const total = Number(many ?? count);
  const seeds =
    one === undefined ? Array.from({ length: total }, (_, at) => from + at) : [Number(one)];
  const shares = Array.from({ length: WORKERS }, (_, at) =>
    seeds.filter((_, index) => index % WORKERS === at),
  );
  const reports = await Promise.all(shares.map(runSeeds));
  for (const report of reports) {
    if ('failure' in report) assert.fail(`LAKESEAL_SIM_SEED=${report.seed}\n${report.failure}`);
    context.diagnostic(JSON.stringify(report.sum));
    if (seeds.length < TOLD_SEEDS) continue;
    // Schedules that never contend, kill or lose anything would prove nothing.
    const { upgrades, ...rest } = report.sum;
    assert.ok(Math.min(...Object.values(rest)) > 10 && upgrades > 0, JSON.stringify(report.sum));
  }
}
