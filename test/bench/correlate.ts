/**
 * Correlation alone, by hand: `node test/bench/correlate.ts [GROUPS]`. Prints JSON: what a million open
 * groups cost in memory (resident and heap after a collection, in a process of their own), and how
 * many matches a second of processor time (all threads, collections too) are folded in: spread over all those groups, into few of them, and through
 * an ordered rule with its watermark. Matches are made before the clock starts, in slices.
 */
import { spawnSync } from 'node:child_process';
import { Correlator } from '../../services/detector/correlate/correlator.ts';
import { DEFAULT_LIMITS } from '../../services/detector/correlate/limits.ts';
import { planOf } from '../../services/detector/correlate/plan.ts';
import type { Match } from '../../services/detector/correlate/types.ts';
import type { StatefulKind } from '../../services/detector/sigma/rule.ts';
import { boundHeapGrowth, START_FLAG } from '../../services/runtime/heap.ts';
import { aggregate, ruleSet, stateful } from '../detector/made.ts';
import { peakResidentBytes } from './resident.ts';

const RULE = '6f1b3c52-8d1e-4f0a-9b7c-2d3e4f5a6b7c';
const LEAF = '0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d';
const START = 1_795_512_600_000;
const HOUR_MS = 3_600_000;
const SLICE = 2_000;
/** What one match of the matches topic carries besides. */
const CONTEXT = JSON.stringify({ actor: 'someone@example.com', text: 'x'.repeat(600) });

interface Scenario {
  kind: StatefulKind;
  timespanMs: number;
  groups: number;
  matches: number;
  /** Between two matches, ms of event time. */
  stepMs: number;
  values: (n: number) => string[];
}

const none = (): string[] => [];
const SCENARIOS: Record<string, (groups: number) => Scenario> = {
  /** Two matches a group: below every threshold, so all must be remembered. */
  open: (groups) => ({
    ...{ kind: aggregate('event_count', { gte: 5 }), timespanMs: HOUR_MS, groups },
    ...{ matches: groups * 2, stepMs: 1, values: none },
  }),
  open_values: (groups) => ({
    ...{ kind: aggregate('value_count', { gte: 5 }, ['workspaceId']), timespanMs: 24 * HOUR_MS },
    ...{ groups, matches: groups * 2, stepMs: 1, values: (n) => [`12345678901234${n % 90}`] },
  }),
  /** Known values; what waits for the watermark is 18,000 matches at any time. */
  open_first_seen: (groups) => ({
    ...{ kind: { kind: 'first_seen', fields: ['country'], learnMs: 7 * 24 * HOUR_MS } },
    ...{ timespanMs: 720 * HOUR_MS, groups, matches: groups * 2, stepMs: 100 },
    values: (n) => [['DE', 'FR', 'GB'][n % 3]!],
  }),
  /** A few thousand users who are busy all the time. */
  busy: () => ({
    ...{ kind: aggregate('event_count', { gte: 50 }), timespanMs: HOUR_MS, groups: 5_000 },
    ...{ matches: 300_000, stepMs: 50, values: none },
  }),
  busy_ordered: () => ({
    ...{ kind: aggregate('value_sum', { gte: 1e6 }, ['rows']), timespanMs: HOUR_MS },
    ...{ groups: 5_000, matches: 200_000, stepMs: 50, values: (n) => [String(n % 1_000)] },
  }),
  /** The same, and every match makes it true: alerts are brought up to date all the time. */
  busy_firing: () => ({
    ...{ kind: aggregate('value_sum', { gte: 0 }, ['rows']), timespanMs: HOUR_MS },
    ...{ groups: 500, matches: 100_000, stepMs: 50, values: (n) => [String(n % 1_000)] },
  }),
};

function matchesOf({ groups, stepMs, values }: Scenario, from: number, to: number): Match[] {
  return Array.from({ length: to - from }, (_, at) => {
    const n = from + at;
    const user = (n * 7_919) % groups;
    return {
      ruleId: RULE,
      leafId: LEAF,
      group: [`user${user}@example.com`],
      values: values(n),
      eventTime: START + n * stepMs,
      eventId: `${n.toString(16).padStart(8, '0')}-4e5f-4a6b-8c7d-${(n * 7).toString(16).padStart(12, '0')}`,
      topic: 'databricks.audit',
      partition: n % 12,
      offset: BigInt(1_000_000 + n),
      context: CONTEXT,
    };
  });
}

function run(scenario: Scenario): Record<string, number> {
  const { kind, timespanMs, matches, stepMs } = scenario;
  const rule = stateful(kind, { id: RULE, rules: [LEAF], timespanMs });
  const plan = planOf(rule, ruleSet([LEAF], [rule]));
  globalThis.gc!();
  const before = process.memoryUsage();
  const limits = { ...DEFAULT_LIMITS, groupsMax: scenario.groups };
  const correlator = new Correlator([plan], limits);
  let foldMs = 0;
  let alerts = 0;
  let stateBytes = 0;
  for (let from = 0; from < matches; from += SLICE) {
    const slice = matchesOf(scenario, from, Math.min(matches, from + SLICE));
    const started = process.cpuUsage();
    for (const match of slice)
      for (const { kind } of correlator.add(match)) if (kind === 'alert') alerts += 1;
    correlator.advance(START + from * stepMs - limits.latenessMs);
    for (const { state } of correlator.takeChanges()) stateBytes += state?.length ?? 0;
    const { user, system } = process.cpuUsage(started);
    foldMs += (user + system) / 1_000;
  }
  globalThis.gc!();
  const after = process.memoryUsage();
  const megabytes = (bytes: number): number => Math.round(bytes / 1e5) / 10;
  const { groups, late, refused } = correlator.stats;
  if (late + refused > 0) throw new Error(`${late} late, ${refused} refused`);
  return {
    groups,
    matches,
    matchesPerCpuSecond: Math.round((matches * 1_000) / foldMs),
    alertUpdates: alerts,
    stateBytesPerMatch: Math.round(stateBytes / matches),
    rssMegabytes: megabytes(after.rss),
    rssPeakMegabytes: megabytes(peakResidentBytes()),
    heapMegabytes: megabytes(after.heapUsed),
    heapReservedMegabytes: megabytes(after.heapTotal),
    buffersMegabytes: megabytes(after.arrayBuffers),
    heapBytesPerGroup: Math.round((after.heapUsed - before.heapUsed) / groups),
  };
}

function inChild(name: string, groups: number): unknown {
  const args = [START_FLAG, '--expose-gc', import.meta.filename, '--child', name, String(groups)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${name}: ${stderr}`);
  return JSON.parse(stdout) as unknown;
}

const [first, name, count] = process.argv.slice(2);
if (first === '--child') {
  // As the service does.
  boundHeapGrowth();
  process.stdout.write(JSON.stringify(run(SCENARIOS[name!]!(Number(count)))));
} else {
  const groups = Number(first ?? 1_000_000);
  if (!Number.isSafeInteger(groups) || groups < 1_000)
    throw new Error('GROUPS is a number from 1000 on');
  const results = Object.fromEntries(
    Object.keys(SCENARIOS).map((scenario) => [scenario, inChild(scenario, groups)]),
  );
  process.stdout.write(
    `${JSON.stringify({ bench: 'correlate', node: process.version, groups, results }, null, 2)}\n`,
  );
}
