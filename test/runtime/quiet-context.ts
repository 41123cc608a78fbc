/** What a service is run with in a test's own process: nothing is logged, and nobody asks how it is. */
import { Registry } from 'prom-client';
import { systemClock } from '../../services/runtime/clock.ts';
import type { Config } from '../../services/runtime/config.ts';
import { silentLog } from '../../services/runtime/log.ts';
import type { ServiceContext } from '../../services/runtime/service.ts';

export function quietContext(config: Config, signal: AbortSignal): ServiceContext {
  return {
    config,
    log: silentLog,
    clock: systemClock,
    random: Math.random,
    signal,
    onHangup: () => () => {},
    metrics: new Registry(),
    health: { ready: () => {}, live: () => {} },
  };
}
