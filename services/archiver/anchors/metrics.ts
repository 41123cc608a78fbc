/** Metrics of what anchors roots. Labels are the settings' names, never an address. */
import { Counter, Gauge, type Registry } from 'prom-client';

export interface AnchorMetrics {
  failed(anchor: string): void;
  /** `timeMs`: the hour of the newest root that is anchored so; null where this call knows of none. */
  state(anchor: string, failing: boolean, timeMs: number | null): void;
}

export function anchorMetrics(registry: Registry): AnchorMetrics {
  const common = { labelNames: ['anchor'], registers: [registry] };
  const failures = new Counter({
    name: 'lakeseal_archiver_anchor_failures_total',
    help: 'Failed attempts to stamp, cosign or copy a root.',
    ...common,
  });
  const failing = new Gauge({
    name: 'lakeseal_archiver_anchor_failing',
    help: 'Anchors of roots whose last attempt failed.',
    ...common,
  });
  const time = new Gauge({
    name: 'lakeseal_archiver_anchor_root_time_seconds',
    help: 'Hour of the newest root that is anchored, since the epoch.',
    ...common,
  });
  return {
    failed: (anchor) => failures.inc({ anchor }),
    state(anchor, fails, timeMs) {
      failing.set({ anchor }, fails ? 1 : 0);
      if (timeMs !== null) time.set({ anchor }, timeMs / 1000);
    },
  };
}
