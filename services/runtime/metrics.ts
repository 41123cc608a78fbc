/**
 * The Prometheus registry of a process: Node's own metrics, what is running, and how busy the
 * event loop is. A service adds its own metrics to the registry it is given.
 */
import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { version } from './version.ts';

export function createMetrics(service: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'lakeseal_build_info',
    help: 'Always 1; the labels say what is running.',
    labelNames: ['version', 'node'],
    registers: [registry],
  }).set({ version, node: process.versions.node }, 1);
  let last: EventLoopUtilization = performance.eventLoopUtilization();
  new Gauge({
    name: 'lakeseal_event_loop_utilization_ratio',
    help: 'Share of time the event loop was busy since the last scrape.',
    registers: [registry],
    collect() {
      const now = performance.eventLoopUtilization();
      this.set(performance.eventLoopUtilization(now, last).utilization);
      last = now;
    },
  });
  return registry;
}
