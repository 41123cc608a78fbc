/**
 * How long it takes from the acknowledged record of an event until its alert is found by a search:
 * one detector, all shipped rules, a steady stream. Of single-event rules, and of a rule over three
 * events of one group, which goes through the matches topic.
 *
 *   node test/bench/latency.ts [--rate 5000] [--seconds 30]
 *
 * The searches themselves, ten a second, are part of what is measured.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ask, installTemplate } from '../chaos/alerts.ts';
import { connectedProducer, makeTopic } from '../chaos/kafka.ts';
import { configEnv } from '../stack/environment.ts';
import { startService } from '../stack/service.ts';
import { attachStack, type Stack, startStack } from '../stack/stack.ts';

const PARTITIONS = 4;
const TICK_MS = 50;
/** One event in so many raises an alert by itself, and as many belong to a group of three. */
const ALERT_EVERY = 500;
const POLL_MS = 100;
const LATE_MS_MAX = 60_000;
/** Told apart from what the detector does when it has just started. */
const WARM_UP_SECONDS = 5;

const RULES = `title: Latency of one
id: 1a7e0000-0000-4000-8000-000000000001
level: low
logsource: { product: databricks }
detection:
  sel: { serviceName: latency, actionName: one }
  condition: sel
---
title: Latency of three, leaf
id: 1a7e0000-0000-4000-8000-000000000002
name: latency_three
level: low
logsource: { product: databricks }
detection:
  sel: { serviceName: latency, actionName: three }
  condition: sel
---
title: Latency of three
id: 1a7e0000-0000-4000-8000-000000000003
level: low
correlation:
  type: event_count
  rules: [latency_three]
  group-by: [actor.name]
  timespan: 10m
  condition: { gte: 3 }
`;

interface Wanted {
  kind: 'one' | 'three';
  /** When the record that completes it was acknowledged; 0 before. */
  producedMs: number;
}

function event(action: string, actor: string, id: string): string {
  return JSON.stringify({
    version: '2.0',
    auditLevel: 'WORKSPACE_LEVEL',
    timestamp: Date.now(),
    workspaceId: '1234567890123456',
    sourceIPAddress: '203.0.113.10',
    userAgent: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)',
    userIdentity: { email: actor },
    serviceName: action === 'none' ? 'unityCatalog' : 'latency',
    actionName: action === 'none' ? 'getTable' : action,
    requestId: `ServiceMain-${id}`,
    requestParams: { full_name_arg: 'main.sales.orders', padding: 'x'.repeat(300) },
    response: { statusCode: 200 },
  });
}

async function produce(
  stack: Stack,
  topic: string,
  { rate, seconds, scope }: { rate: number; seconds: number; scope: string },
  wanted: Map<string, Wanted>,
): Promise<number> {
  const producer = await connectedProducer(stack.brokers);
  const started = performance.now();
  let number = 0;
  try {
    for (let tick = 1; (tick * TICK_MS) / 1000 <= seconds; tick += 1) {
      const due = Math.round((rate * tick * TICK_MS) / 1000);
      const messages: Array<{ value: string; partition: number }> = [];
      const completed: string[] = [];
      for (; number < due; number += 1) {
        const place = number % ALERT_EVERY;
        const actor = `${scope}${Math.floor(number / ALERT_EVERY)}@example.com`;
        const action = place === 0 ? 'one' : place <= 3 ? 'three' : 'none';
        messages.push({
          value: event(action, actor, `${scope}-${number}`),
          partition: number % PARTITIONS,
        });
        if (place === 0 || place === 3) completed.push(`${action} ${actor}`);
      }
      for (const name of completed) {
        wanted.set(name, { kind: name.startsWith('one') ? 'one' : 'three', producedMs: 0 });
      }
      await producer.send({ topic, messages, acks: -1 });
      const now = performance.now();
      for (const name of completed) wanted.get(name)!.producedMs = now;
      await sleep(Math.max(0, started + tick * TICK_MS - performance.now()));
    }
  } finally {
    await producer.disconnect();
  }
  return number / ((performance.now() - started) / 1000);
}

interface Hit {
  _source: { rule: { id: string }; actor: { name: string } };
  sort: unknown[];
}

/** Sees each alert once, when a search first finds it. */
async function watch(
  stack: Stack,
  prefix: string,
  wanted: Map<string, Wanted>,
  over: () => boolean,
): Promise<Map<string, number>> {
  const seen = new Map<string, number>();
  while (!over() || seen.size < wanted.size) {
    let after: unknown[] | undefined;
    do {
      const { body } = await ask(stack.opensearchUrl, 'POST', `${prefix}-*/_search`, {
        size: 2_000,
        _source: ['rule.id', 'actor.name'],
        query: {
          terms: { 'rule.id': [1, 3].map((n) => `1a7e0000-0000-4000-8000-00000000000${n}`) },
        },
        sort: [{ id: { order: 'asc', unmapped_type: 'keyword' } }],
        ...(after === undefined ? {} : { search_after: after }),
      });
      const hits = ((body.hits as { hits: Hit[] } | undefined)?.hits ?? []) as Hit[];
      const now = performance.now();
      for (const { _source } of hits) {
        const kind = _source.rule.id.endsWith('1') ? 'one' : 'three';
        const name = `${kind} ${_source.actor.name}`;
        if (wanted.has(name) && !seen.has(name)) seen.set(name, now);
      }
      after = hits.length < 2_000 ? undefined : hits.at(-1)?.sort;
    } while (after !== undefined);
    if (
      over() &&
      [...wanted.values()].every(({ producedMs }) => performance.now() - producedMs > LATE_MS_MAX)
    )
      break;
    await sleep(POLL_MS);
  }
  return seen;
}

function figures(latencies: number[]): object {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    Math.round(
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN,
    );
  return { alerts: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}

async function measure(stack: Stack, rate: number, seconds: number, folder: string) {
  const topic = stack.unique('latency');
  const prefix = stack.unique('latency-alerts').toLowerCase();
  const names = { matches: `${topic}-matches`, state: `${topic}-state`, dead: `${topic}-dead` };
  await makeTopic(stack.brokers, topic, PARTITIONS, {});
  await makeTopic(stack.brokers, names.matches, PARTITIONS, {});
  await makeTopic(stack.brokers, names.state, PARTITIONS, { 'cleanup.policy': 'compact' });
  await makeTopic(stack.brokers, names.dead, 1, {});
  const rules = join(folder, 'rules');
  await mkdir(rules);
  await writeFile(join(rules, 'latency.yml'), RULES);
  const env = configEnv(stack.state, {
    'topics.events': topic,
    'topics.deadLetter': names.dead,
    'topics.matches': names.matches,
    'topics.state': names.state,
    'detect.group': `${topic}-detector`,
    'detect.rules': rules,
    'opensearch.alertIndexPrefix': prefix,
  });
  await installTemplate(env);
  const detector = startService(['detect'], env, join(folder, 'detect.log'));
  await detector.ready(180_000);
  await produce(stack, topic, { rate, seconds: WARM_UP_SECONDS, scope: 'warm' }, new Map());
  const wanted = new Map<string, Wanted>();
  let over = false;
  const watching = watch(stack, prefix, wanted, () => over);
  const achieved = await produce(stack, topic, { rate, seconds, scope: 'actor' }, wanted);
  over = true;
  const seen = await watching;
  await detector.stop();
  const of = (kind: Wanted['kind']): number[] =>
    [...wanted].flatMap(([name, { kind: found, producedMs }]) => {
      const at = seen.get(name);
      return found !== kind || at === undefined ? [] : [at - producedMs];
    });
  const missing = [...wanted.keys()].filter((name) => !seen.has(name)).length;
  return { achieved, one: of('one'), three: of('three'), missing };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rate: { type: 'string', default: '5000' },
      seconds: { type: 'string', default: '30' },
    },
  });
  const [rate, seconds] = [Number(values.rate), Number(values.seconds)];
  const stateFile = process.env.LAKESEAL_STACK;
  const stack = stateFile ? attachStack(stateFile) : await startStack();
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-latency-'));
  try {
    const { achieved, one, three, missing } = await measure(stack, rate, seconds, folder);
    const result = {
      bench: 'latency',
      machine: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.versions.node}`,
      wantedPerSecond: rate,
      producedPerSecond: Math.round(achieved),
      seconds,
      singleEventRules: figures(one),
      statefulRules: figures(three),
      missing,
    };
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    process.exitCode = missing === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
    if (!stateFile) await stack.stop();
  }
}

await main();
