/** The company day of the demo: written as Databricks delivers it, and collected. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { StoredAlert } from '../../services/detector/alert/opensearch.ts';
import type { ToldAttack } from '../company/day.ts';
import { writeDelivery } from '../company/write.ts';
import { runLakeseal } from './pipeline.ts';
import type { Story } from './story.ts';

export interface Day {
  files: string[];
  told: ToldAttack[];
  isTold(alert: StoredAlert): boolean;
  /** Titles of the attacks that one event gives away and no alert tells of. */
  missed(alerts: StoredAlert[]): string[];
}

export interface Collected {
  events: number;
  sources: number;
}

export async function writeDay(
  story: Story,
  folder: string,
  options: { events: number; seed: number },
): Promise<Day> {
  story.chapter('Writing a company day, as Databricks delivers it');
  const { told, lines, bytes } = writeDelivery({ ...options, out: folder });
  const names = await readdir(folder, { recursive: true });
  const files = names
    .filter((name) => name.endsWith('.json.gz'))
    .sort()
    .map((name) => join(folder, name));
  const single = told.filter(({ kind }) => kind === 'single');
  story.line(
    `  ${lines.toLocaleString('en-US')} lines in ${files.length} gzipped files, ` +
      `${(bytes / 2 ** 20).toFixed(1)} MiB; ${told.length} attacks are told, ` +
      `${single.length} of which one event gives away`,
  );
  const belongs = (attack: ToldAttack, alert: StoredAlert): boolean =>
    attack.serviceName === alert.service &&
    attack.actionName === alert.action &&
    attack.actors.includes(alert.actor) &&
    attack.first <= alert.time &&
    alert.time <= attack.last;
  return {
    files,
    told,
    isTold: (alert) => told.some((attack) => belongs(attack, alert)),
    missed: (alerts) =>
      single
        .filter((attack) => !alerts.some((alert) => belongs(attack, alert)))
        .map(({ title }) => title),
  };
}

/** Runs `lakeseal collect` over the delivery files. */
export async function collectDay(
  story: Story,
  day: Day,
  env: Record<string, string>,
): Promise<Collected> {
  let output = '';
  const code = await runLakeseal(['collect', '--json', ...day.files], env, (line) => {
    output += line;
  });
  if (code !== 0) throw new Error(`lakeseal collect ended with exit code ${code}`);
  const report = JSON.parse(output) as Collected & { elapsedMs: number };
  const seconds = report.elapsedMs / 1000;
  story.line(
    `  ${report.events.toLocaleString('en-US')} events in ${seconds.toFixed(1)} s, ` +
      `${Math.round(report.events / seconds).toLocaleString('en-US')} events/s`,
  );
  return report;
}
