/** The demo's view of the alerts: what a scan of the files expects, and what OpenSearch holds. */
import { setTimeout as sleep } from 'node:timers/promises';
import Table from 'cli-table3';
import { patiently } from '../../services/cli/kafka-patience.ts';
import {
  listAlerts,
  openSearchClient,
  refreshAlerts,
  type StoredAlert,
} from '../../services/detector/alert/opensearch.ts';
import { connectKafka } from '../../services/ingest/kafka.ts';
import { type Config, loadConfig } from '../../services/runtime/config.ts';
import { silentLog } from '../../services/runtime/log.ts';
import type { Day } from './day.ts';
import { type Pipeline, runLakeseal } from './pipeline.ts';
import type { Story } from './story.ts';

const POLL_MS = 500;
const ALERTS_MS_MAX = 180_000;
const ALERTS_MAX = 10_000;
const LEVELS = ['critical', 'high', 'medium', 'low', 'informational'];

/** The alert ids that `lakeseal scan` finds in the delivery files, with no server involved. */
export async function expectedAlertIds(
  day: Day,
  env: Record<string, string>,
): Promise<Set<string>> {
  const ids = new Set<string>();
  const args = ['scan', '--format', 'json', ...day.files];
  const code = await runLakeseal(args, env, (line) => {
    ids.add((JSON.parse(line) as { id: string }).id);
  });
  if (code !== 0) throw new Error(`lakeseal scan ended with exit code ${code}`);
  return ids;
}

/**
 * The alerts in OpenSearch once the detector has committed the whole topic: it commits a record only
 * when every alert that the record raised is acknowledged, so nothing comes after that.
 */
export async function alertsOfAll(
  env: Record<string, string>,
  pipeline: Pipeline,
): Promise<StoredAlert[]> {
  const config = loadConfig(undefined, env);
  await committedToTheEnd(config, pipeline);
  const client = openSearchClient(config.opensearch);
  try {
    await refreshAlerts(client, config.opensearch);
    return await listAlerts(client, config.opensearch, { sinceMs: null, max: ALERTS_MAX });
  } finally {
    await client.close();
  }
}

async function committedToTheEnd(config: Config, pipeline: Pipeline): Promise<void> {
  const topic = config.topics.events;
  const deadline = Date.now() + ALERTS_MS_MAX;
  const admin = connectKafka(config, silentLog).admin();
  await admin.connect();
  try {
    const ends = await patiently(() => admin.fetchTopicOffsets(topic));
    for (;;) {
      pipeline.assertRunning();
      const groups = { groupId: config.detect.group, topics: [topic] };
      const [found] = await patiently(() => admin.fetchOffsets(groups));
      const committed = new Map(found?.partitions.map((one) => [one.partition, one.offset]));
      const behind = ends.filter(
        ({ partition, low, high }) =>
          low !== high && BigInt(committed.get(partition) ?? -1) < BigInt(high),
      );
      if (behind.length === 0) return;
      if (Date.now() > deadline) {
        throw new Error(`${behind.length} partitions not judged after ${ALERTS_MS_MAX} ms`);
      }
      await sleep(POLL_MS);
    }
  } finally {
    await admin.disconnect();
  }
}

/** The worst first, as a detection engineer would look at them. */
export function showAlerts(story: Story, alerts: StoredAlert[], day: Day): void {
  const table = new Table({
    head: ['level', 'first', 'rule', 'actor', 'from', 'n', 'told'],
    style: { head: [], border: [], compact: true },
  });
  for (const { alert, count } of byRuleAndActor(alerts)) {
    const { rule, actor, sourceIp } = alert;
    const time = alert.time.slice(5, 16).replace('T', ' ');
    const told = day.isTold(alert) ? 'yes' : '';
    table.push([rule.level, time, rule.title, actor, sourceIp ?? '', count, told]);
  }
  story.line(table.toString());
  const levels = LEVELS.map((level) => ({
    level,
    n: alerts.filter(({ rule }) => rule.level === level).length,
  })).filter(({ n }) => n > 0);
  const summary = levels.map(({ level, n }) => `${n} ${level}`).join(', ');
  story.line(`  ${alerts.length} alerts read back from OpenSearch: ${summary}`);
}

/** One row for what one actor did against one rule, at the time of the first alert. */
function byRuleAndActor(alerts: StoredAlert[]): Array<{ alert: StoredAlert; count: number }> {
  const rows = new Map<string, { alert: StoredAlert; count: number }>();
  for (const alert of [...alerts].sort((left, right) => left.time.localeCompare(right.time))) {
    const key = JSON.stringify([alert.rule.id, alert.actor]);
    const row = rows.get(key);
    if (row === undefined) rows.set(key, { alert, count: 1 });
    else row.count += 1;
  }
  const rank = ({ alert }: { alert: StoredAlert }): number => LEVELS.indexOf(alert.rule.level);
  return [...rows.values()].sort((left, right) => rank(left) - rank(right));
}
