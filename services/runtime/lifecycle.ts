/**
 * Runs one service in this process from start to exit code. It builds what the service is given,
 * turns SIGTERM or SIGINT into one abort, and bounds the stop: a second signal, or a stop that
 * takes longer than `STOP_MS_MAX`, ends the process at once with code 1. That loses nothing that
 * was promised, because what is durable does not depend on a clean end. SIGHUP is handed on to a
 * service that asks for it.
 *
 * An error that nothing handles is logged and ends the process: a service that half works is worse
 * than one that its supervisor restarts.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { systemClock } from './clock.ts';
import type { Config } from './config.ts';
import { describeFailure } from './errors.ts';
import { HealthState } from './health.ts';
import { type HttpServer, startHttp } from './http.ts';
import { createLog, type Log, type LogLevel } from './log.ts';
import { createMetrics } from './metrics.ts';
import type { ServiceContext } from './service.ts';

/** Under the 30 s that Kubernetes and Docker Compose files commonly grant. */
export const STOP_MS_MAX = 25_000;

/** The event loop is not alive when its timers were this late, on average, window after window. */
const LAG_WINDOW_MS = 10_000;
const LAG_MEAN_MS_MAX = 2_000;
const LAG_WINDOWS_MAX = 3;

export interface RunOptions {
  /** Serve /livez, /readyz and /metrics; a command that ends by itself needs none. */
  http: boolean;
  /** Instead of `STOP_MS_MAX`. */
  stopMsMax?: number;
  /** Instead of `log.level`, for a command that talks to a person. */
  logLevel?: LogLevel;
  /** Where a failure is told; standard error by default. */
  complain?: (text: string) => void;
}

/** Exit code: what the service returned (0 for nothing), or 1 when it rejected. */
export async function runService(
  name: string,
  config: Config,
  run: (context: ServiceContext) => Promise<number | undefined>,
  options: RunOptions,
): Promise<number> {
  const log = createLog(name, options.logLevel ?? config.log.level);
  const health = new HealthState();
  const metrics = createMetrics(name);
  const stop = new AbortController();
  const complain = options.complain ?? ((text) => process.stderr.write(`${text}\n`));
  const release = [listenForSignals(log, health, stop, options), listenForCrashes(log)];
  if (options.http) release.push(watchEventLoop(health));
  let http: HttpServer | undefined;
  try {
    if (options.http) {
      http = await startHttp({ ...config.http, metrics, health });
      log.info({ host: config.http.host, port: http.port }, 'serving health and metrics');
    }
    const { signal } = stop;
    const clock = systemClock;
    const random = Math.random;
    const code = await run({ config, log, clock, random, signal, onHangup, metrics, health });
    log.debug({}, 'stopped');
    return code ?? 0;
  } catch (error) {
    complain(describeFailure(`lakeseal ${name}`, error));
    return 1;
  } finally {
    for (const undo of release) undo();
    await http?.close();
  }
}

function listenForSignals(
  log: Log,
  health: HealthState,
  stop: AbortController,
  { stopMsMax = STOP_MS_MAX }: RunOptions,
): () => void {
  let deadline: NodeJS.Timeout | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stop.signal.aborted) {
      log.warn({ signal }, 'second signal, ending at once');
      process.exit(1);
    }
    log.info({ signal, stopMsMax }, 'stopping');
    deadline = setTimeout(() => {
      log.error({ stopMsMax }, 'did not stop in time, ending at once');
      process.exit(1);
    }, stopMsMax);
    health.stopping();
    stop.abort();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return () => {
    clearTimeout(deadline);
    process.off('SIGTERM', onSignal);
    process.off('SIGINT', onSignal);
  };
}

/** SIGHUP ends a process that does not listen, as everywhere; so only while a service does. */
export function onHangup(listener: () => void): () => void {
  process.on('SIGHUP', listener);
  return () => process.off('SIGHUP', listener);
}

function listenForCrashes(log: Log): () => void {
  const onCrash = (err: unknown, origin: string): void => {
    log.error({ err, origin }, 'unhandled error, ending');
    process.exit(1);
  };
  // An unhandled rejection arrives here too: Node raises it as an uncaught exception.
  process.on('uncaughtException', onCrash);
  return () => process.off('uncaughtException', onCrash);
}

/**
 * Windows in a row, after this one, in which timers were too late. One stall (a paused virtual
 * machine, a stopped process) is forgiven; a loop that stays late cannot heartbeat.
 */
export function lateWindows(before: number, meanMs: number): number {
  return meanMs > LAG_MEAN_MS_MAX ? before + 1 : 0;
}

function watchEventLoop(health: HealthState): () => void {
  const delay = monitorEventLoopDelay({ resolution: 50 });
  delay.enable();
  let late = 0;
  const timer = setInterval(() => {
    const meanMs = delay.mean / 1e6;
    delay.reset();
    late = lateWindows(late, meanMs);
    const reason = `timers ran ${Math.round(meanMs)} ms late, ${late} windows in a row`;
    health.live('event-loop', late < LAG_WINDOWS_MAX, reason);
  }, LAG_WINDOW_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    delay.disable();
  };
}
