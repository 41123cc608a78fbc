/**
 * What every long-running command is given. The shell (`cli/`) builds it; a service never reads
 * the environment, installs signal handlers or opens a port by itself.
 */
import type { Registry } from 'prom-client';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { Log } from './log.ts';

export interface Health {
  /** A named check for /readyz: false means "do not count on me yet", with the reason. */
  ready(check: string, ok: boolean, reason?: string): void;
  /** A named check for /livez: false means "restart me". */
  live(check: string, ok: boolean, reason?: string): void;
}

export interface ServiceContext {
  config: Config;
  log: Log;
  clock: Clock;
  /** Uniform in [0, 1): jitter only, never identity. */
  random: () => number;
  /** Aborts once on SIGTERM or SIGINT: finish what is open, then return. */
  signal: AbortSignal;
  /**
   * Calls the listener whenever an operator asks (SIGHUP) that files be looked at again, until what it
   * gives is called.
   */
  onHangup: (listener: () => void) => () => void;
  metrics: Registry;
  health: Health;
}
