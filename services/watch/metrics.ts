/** Metrics of the verifier's service. Labels are kinds, outcomes and classes, never a key. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { FACT_CLASSES, type OpenFact } from './facts.ts';
import type { RunKind } from './schedule.ts';

export type RunOutcome = 'clean' | 'findings' | 'failed';

export interface WatchMetrics {
  ran(kind: RunKind, outcome: RunOutcome, endMs: number, tookMs: number): void;
  open(facts: readonly OpenFact[]): void;
  unsent(count: number): void;
  unopened(segments: number): void;
}

export function watchMetrics(registry: Registry): WatchMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: `lakeseal_verifier_${name}`, help, labelNames, registers });
  const open = gauge('open_findings', 'Findings that are open.', ['class']);
  const unsent = gauge('unsent_findings', 'Findings that OpenSearch has not been told of yet.');
  const unopened = gauge(
    'unopened_segments',
    'Encrypted segments whose records were not looked at, for want of a key.',
  );
  const last = gauge('last_run_timestamp_seconds', 'End of the last run.', ['kind', 'outcome']);
  const took = gauge('last_run_seconds', 'How long the last run took.', ['kind']);
  const runs = new Counter({
    name: 'lakeseal_verifier_runs_total',
    help: 'Runs, by how they ended.',
    labelNames: ['kind', 'outcome'],
    registers,
  });
  return {
    ran(kind, outcome, endMs, tookMs) {
      runs.inc({ kind, outcome });
      last.set({ kind, outcome }, endMs / 1000);
      took.set({ kind }, tookMs / 1000);
    },
    open(facts) {
      for (const name of FACT_CLASSES) {
        open.set({ class: name }, facts.filter((one) => one.class === name).length);
      }
    },
    unsent: (count) => unsent.set(count),
    unopened: (segments) => unopened.set(segments),
  };
}
