/**
 * Runs seeds in a thread of its own: the test runner watches every promise of its own thread, which
 * would triple the time. Reports the sum, or the first seed that failed.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { NO_TALLY, Simulation, type Tally } from './simulation.ts';

export type Report = { sum: Tally } | { seed: number; failure: string };

const sum: Tally = { ...NO_TALLY };
let report: Report = { sum };
for (const seed of workerData as number[]) {
  const simulation = new Simulation(seed);
  try {
    await simulation.run();
  } catch (error) {
    const failure = error instanceof Error ? (error.stack ?? error.message) : String(error);
    report = { seed, failure };
    break;
  }
  for (const name of Object.keys(sum) as Array<keyof Tally>) sum[name] += simulation.tally[name];
}
parentPort!.postMessage(report);
