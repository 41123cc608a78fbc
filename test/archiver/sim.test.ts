/**
 * A1, A2 and A3 under seeded schedules: the production code of the archiver, several processes that
 * contend, kill -9 and freezing at any await, rebalances learnt late, wrong clocks, Kafka retention
 * running ahead, and planned faults at each kind of store call. Time is virtual.
 *
 * One seed again: LAKESEAL_SIM_SEED=17 node --test test/archiver/sim.test.ts
 * More of them:   LAKESEAL_SIM_SEEDS=20000 node --test test/archiver/sim.test.ts
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Report } from './sim/worker.ts';

const SEEDS = Number(process.env.LAKESEAL_SIM_SEEDS ?? 500);
const ONE_SEED = process.env.LAKESEAL_SIM_SEED;
const WORKERS = 2;

async function runSeeds(seeds: number[]): Promise<Report> {
  const worker = new Worker(new URL('./sim/worker.ts', import.meta.url), { workerData: seeds });
  const [report] = (await once(worker, 'message')) as [Report];
  return report;
}

test('A1, A2, A3 hold under seeded schedules', async (context) => {
  const seeds =
    ONE_SEED === undefined ? Array.from({ length: SEEDS }, (_, seed) => seed) : [Number(ONE_SEED)];
  const shares = Array.from({ length: WORKERS }, (_, at) =>
    seeds.filter((_, index) => index % WORKERS === at),
  );
  const reports = await Promise.all(shares.map(runSeeds));
  for (const report of reports) {
    if ('failure' in report) assert.fail(`LAKESEAL_SIM_SEED=${report.seed}\n${report.failure}`);
    context.diagnostic(JSON.stringify(report.sum));
    if (ONE_SEED !== undefined || seeds.length < 100) continue;
    // Schedules that never contend, kill or lose anything would prove nothing.
    const { seals, gaps, fenced, records, kills } = report.sum;
    assert.ok(Math.min(seals, gaps, fenced, records, kills) > 10, JSON.stringify(report.sum));
  }
});
