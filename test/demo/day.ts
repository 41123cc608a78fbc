/** The company day of the demo: written as Databricks delivers it, and collected. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { StoredAlert } from '../../services/detector/alert/opensearch.ts';
import { decodeJson } from '../../services/ingest/decode.ts';
import { companyDay, type DayOptions } from '../company/day.ts';
import { type ToldWithRule, writeDelivery } from '../company/write.ts';
import { runLakeseal } from './pipeline.ts';
import type { Story } from './story.ts';

export interface Day {
  files: string[];
  /** Of the same files, as `collect` takes it. */
  glob: string;
  told: ToldWithRule[];
  /** Whether an event of an attack is among what the alert counted. */
  isTold(alert: StoredAlert): boolean;
  /** Titles of the attacks that no alert of their rule tells of. */
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
      `${(bytes / 2 ** 20).toFixed(1)} MiB; ${told.length} attacks are told: ` +
      `${single.length} that one event gives away, ` +
      `${told.length - single.length} that only several do together`,
  );
  const behaviours = behavioursOfEvents(options);
  const toldBy = (alert: StoredAlert, behaviour: string): boolean =>
    alert.evidence.some(({ eventId }) => behaviours.get(eventId) === behaviour);
  return {
    files,
    glob: join(folder, 'workspaceId=*', '**', '*.json.gz'),
    told,
    isTold: ({ evidence }) => evidence.some(({ eventId }) => behaviours.has(eventId)),
    missed: (alerts) =>
      told
        .filter(
          ({ behaviour, ruleId }) =>
            !alerts.some((alert) => alert.rule.id === ruleId && toldBy(alert, behaviour)),
        )
        .map(({ title }) => title),
  };
}

/** Behaviours of the attacks by the ids of their events, as decoding gives them. */
function behavioursOfEvents(options: DayOptions): Map<string, string> {
  const behaviours = new Map<string, string>();
  for (const { line, told } of companyDay(options).lines()) {
    if (told === undefined) continue;
    const decoded = decodeJson(line);
    if (!decoded.ok) throw new Error(`an event of ${told} does not decode: ${decoded.detail}`);
    for (const { eventId } of decoded.events) behaviours.set(eventId, told);
  }
  return behaviours;
}

/** Runs `lakeseal collect` over the delivery files. */
export async function collectDay(
  story: Story,
  day: Day,
  env: Record<string, string>,
): Promise<Collected> {
  let output = '';
  const code = await runLakeseal(['collect', '--json', day.glob], env, (line) => {
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
