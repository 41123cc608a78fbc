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
const REASON_COLUMNS = 48;
const LEVELS = ['critical', 'high', 'medium', 'low', 'informational'];

/** An alert with what it says of itself beside what `listAlerts` gives. */
export interface DemoAlert extends StoredAlert {
  /** What a rule over many events found, in words; empty for the others. */
  reason: string;
}

/** Alerts of `lakeseal scan` on the delivery files, with no server involved: count by id. */
export async function expectedAlerts(
  day: Day,
  env: Record<string, string>,
): Promise<Map<string, number>> {
  const expected = new Map<string, number>();
  const args = ['scan', '--format', 'json', ...day.files];
  const code = await runLakeseal(args, env, (line) => {
    const { id, count } = JSON.parse(line) as { id: string; count: number };
    expected.set(id, count);
  });
  if (code !== 0) throw new Error(`lakeseal scan ended with exit code ${code}`);
  return expected;
}

/**
 * The alerts in OpenSearch once the detector has committed the whole topic, has been started anew
 * and has judged what waited for event time to pass. All that is expected is waited for; what is
 * there beside it is returned too.
 */
export async function alertsOfAll(
  env: Record<string, string>,
  pipeline: Pipeline,
  expected: ReadonlyMap<string, number>,
): Promise<DemoAlert[]> {
  const config = loadConfig(undefined, env);
  await committedToTheEnd(config, pipeline);
  await pipeline.settle();
  const client = openSearchClient(config.opensearch);
  const deadline = Date.now() + ALERTS_MS_MAX;
  try {
    for (;;) {
      pipeline.assertRunning();
      await refreshAlerts(client, config.opensearch);
      const range = { sinceMs: null, max: ALERTS_MAX };
      const alerts = await listAlerts(client, config.opensearch, range);
      const counts = new Map(alerts.map(({ id, count }) => [id, count]));
      const complete = [...expected].every(([id, count]) => counts.get(id) === count);
      // Too late is told by the checks, with what is missing.
      if (complete || Date.now() > deadline) return await withReasons(client, config, alerts);
      await sleep(POLL_MS);
    }
  } finally {
    await client.close();
  }
}

async function withReasons(
  client: ReturnType<typeof openSearchClient>,
  config: Config,
  alerts: readonly StoredAlert[],
): Promise<DemoAlert[]> {
  const { body } = await client.search({
    index: `${config.opensearch.alertIndexPrefix}-*`,
    body: { size: ALERTS_MAX, _source: ['id', 'reason'] },
  });
  const reasons = new Map(
    body.hits.hits.map(({ _source }) => {
      const { id, reason } = _source as unknown as { id: string; reason: string | null };
      return [id, reason ?? ''] as const;
    }),
  );
  return alerts.map((alert) => ({ ...alert, reason: reasons.get(alert.id) ?? '' }));
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

/** The worst first, as a detection engineer would look at them. Informational ones are counted only. */
export function showAlerts(story: Story, alerts: DemoAlert[], day: Day): void {
  const table = new Table({
    head: ['level', 'last', 'rule', 'actor', 'from', 'alerts', 'events', 'reason', 'told'],
    colWidths: [null, null, null, null, null, null, null, REASON_COLUMNS, null],
    style: { head: [], border: [], compact: true },
  });
  for (const { alert, alerts: count, events } of byRuleAndActor(alerts)) {
    const { rule, actor, sourceIp, reason } = alert;
    if (rule.level === 'informational') continue;
    const time = alert.time.slice(5, 16).replace('T', ' ');
    const told = day.isTold(alert) ? 'yes' : '';
    const from = sourceIp ?? '';
    table.push([rule.level, time, rule.title, actor, from, count, events, reason, told]);
  }
  story.line(table.toString());
  const levels = LEVELS.map((level) => ({
    level,
    n: alerts.filter(({ rule }) => rule.level === level).length,
  })).filter(({ n }) => n > 0);
  const summary = levels.map(({ level, n }) => `${n} ${level}`).join(', ');
  const stateful = alerts.filter(({ reason }) => reason !== '').length;
  story.line(`  ${alerts.length} alerts read back from OpenSearch: ${summary}`);
  story.line(`  ${stateful} of them of rules over many events`);
}

interface Row {
  /** The first in order of time. */
  alert: DemoAlert;
  alerts: number;
  events: number;
}

/** One row for what one actor did against one rule, at the time of the first alert. */
function byRuleAndActor(alerts: DemoAlert[]): Row[] {
  const rows = new Map<string, Row>();
  for (const alert of [...alerts].sort((left, right) => left.time.localeCompare(right.time))) {
    const key = JSON.stringify([alert.rule.id, alert.actor]);
    const row = rows.get(key);
    if (row === undefined) {
      rows.set(key, { alert, alerts: 1, events: alert.count });
      continue;
    }
    row.alerts += 1;
    row.events += alert.count;
  }
  const rank = ({ alert }: Row): number => LEVELS.indexOf(alert.rule.level);
  return [...rows.values()].sort((left, right) => rank(left) - rank(right));
}

/** Of the gravest alerts the one that counts the fewest events. */
export function mostTelling(alerts: readonly DemoAlert[]): DemoAlert {
  const [first] = alerts.toSorted(
    (a, b) =>
      LEVELS.indexOf(a.rule.level) - LEVELS.indexOf(b.rule.level) ||
      a.evidence.length - b.evidence.length,
  );
  if (first === undefined) throw new Error('there is no alert to prove');
  return first;
}
