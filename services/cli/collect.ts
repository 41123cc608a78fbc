/**
 * `lakeseal collect`: the collector, with its display on standard error and its report on standard
 * output. It runs as a service does, so that a signal lets it finish what it began.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { CollectOptions, DeliveryOptions } from '../collector/collect-types.ts';
import { describeReport, exitCodeOf } from '../collector/report.ts';
import { collect } from '../collector/run.ts';
import { createQuietUi, createTerminalUi } from '../collector/terminal.ts';
import type { Config } from '../runtime/config.ts';
import { runService } from '../runtime/lifecycle.ts';
import type { LogLevel } from '../runtime/log.ts';
import { type Terminal, toJson } from './terminal.ts';

export interface CollectFlags {
  follow?: true;
  dryRun?: true;
  json?: true;
  quiet?: true;
  endpoint?: string;
  region?: string;
  pathStyle?: true;
}

export async function runCollect(
  config: Config,
  inputs: string[],
  flags: CollectFlags,
  terminal: Terminal,
): Promise<number> {
  const follow = flags.follow === true;
  const quiet = flags.quiet === true || flags.json === true;
  const options: CollectOptions = {
    inputs,
    follow,
    dryRun: flags.dryRun === true,
    stateFolder: stateFolder(terminal.env),
    delivery: deliveryOptions(flags),
  };
  const ui = quiet ? createQuietUi(process.stderr) : createTerminalUi(process.stderr);
  return runService(
    'collect',
    config,
    async (context) => {
      const report = await collect(options, context, ui);
      const text = flags.json ? toJson(report) : describeReport(report, config.topics.events);
      terminal.out(typeof text === 'string' ? text : text.join('\n'));
      return exitCodeOf(report);
    },
    // One that follows is a service with a supervisor; one that ends talks to a person.
    { http: follow, logLevel: follow ? config.log.level : quieter(config.log.level) },
  );
}

function quieter(level: LogLevel): LogLevel {
  return level === 'info' ? 'warn' : level;
}

function stateFolder(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'lakeseal');
}

function deliveryOptions({ endpoint, region, pathStyle }: CollectFlags): DeliveryOptions {
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(pathStyle === undefined ? {} : { pathStyle }),
  };
}
