/**
 * The detector as a process: wires two consumer groups (events to alerts and matches, matches to
 * alerts), the registry, the rules, OpenSearch and the topics in between, and ends them in order.
 * All decisions are elsewhere.
 */
import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { createConsumer } from '../ingest/consume.ts';
import type { RecordConsumer } from '../ingest/consume-types.ts';
import { DeadLetterSink } from '../ingest/dead-letter.ts';
import { DECODE_LIMITS } from '../ingest/decode.ts';
import { connectKafka } from '../ingest/kafka.ts';
import { topicPartitions } from '../ingest/produce.ts';
import { Failure } from '../runtime/errors.ts';
import { watchHeap } from '../runtime/heap.ts';
import type { ServiceContext } from '../runtime/service.ts';
import { PreparedIndex, watchAlertIndex } from './alert/alert-index.ts';
import { alertTemplate, openSearchClient } from './alert/opensearch.ts';
import { AlertSender } from './alert/send.ts';
import type { Limits } from './correlate/limits.ts';
import { Detector, rejectedLetter } from './detector.ts';
import { type Enrichment, openEnrichment } from './enrich/enrichment.ts';
import { needsOf, unmetNeeds } from './enrich/needs.ts';
import { type DetectorMetrics, detectorMetrics } from './metrics.ts';
import { openSchemaSource } from './schema-source.ts';
import { describeProblem } from './sigma/problem.ts';
import { type LoadedRules, type RuleFolders, RuleLoader } from './sigma/rules.ts';
import { Announcing } from './stream/announcing.ts';
import { Bell } from './stream/bell.ts';
import { Correlation } from './stream/correlation.ts';
import type { Engine } from './stream/engine.ts';
import type { Judges } from './stream/judge.ts';
import { judgesOf, streamLimits } from './stream/judges.ts';
import { correlationMetrics } from './stream/metrics.ts';
import { Outbox } from './stream/outbox.ts';
import { correlationGroup } from './stream/place.ts';
import { stampFiles } from './stream/rule-watch.ts';
import { loadEngine, RulesInForce, ruleFolders } from './stream/rules-in-force.ts';
import { type CorrelationTopics, openCorrelationTopics } from './stream/wiring.ts';

const COMMIT_MS = 1_000;
/** How often what correlation holds is made durable, and event time is told. */
const FLUSH_MS = 1_000;
const ANNOUNCE_MS = 1_000;
const PARTITIONS_MS = 60_000;
/** Longest a stop waits for OpenSearch and Kafka to take what is unsent; the rest is read again. */
const DRAIN_MS = 8_000;
const LOOPS_END_MS = 2_000;

/**
 * Judges until the signal aborts, then sends what waits, commits and leaves the groups. Rejects with
 * `Failure` where the rules do not load, or where a consumer fails beyond retry.
 */
export async function detect(context: ServiceContext): Promise<void> {
  const { config, log, health } = context;
  // Said before anything else is: rules alone, which are loaded first, make nobody ready.
  for (const check of ['kafka', 'correlation']) health.ready(check, false, 'starting');
  watchHeap();
  const metrics = detectorMetrics(context.metrics);
  const enrichment = openEnrichment(config.enrich);
  const rules = await rulesInForce(context, metrics, enrichment);
  tellEnrichment(context, enrichment, rules.engine);
  const ending = new AbortController();
  const topics = await openCorrelationTopics(context, ending.signal);
  const { clock, random } = context;
  const deadLetters = new DeadLetterSink({ config, log, clock, random, signal: ending.signal });
  const client = openSearchClient(config.opensearch);
  const alertIndex = new PreparedIndex(client, alertTemplate(config.opensearch), log);
  const schemas = openSchemaSource(config.registry, log, clock);
  const sender = new AlertSender({
    bulk: alertIndex.bulk,
    reject: (alert, item) => deadLetters.send([rejectedLetter(alert, item)]),
    clock,
    random,
    log,
    bytesMax: config.opensearch.bulkBytesMax,
    ageMsMax: config.opensearch.bulkAgeMsMax,
    unsentMax: config.detect.unsentAlertsMax,
    counted: (outcome, count) => {
      metrics.alerts(outcome, count);
      metrics.unsent(sender.unsent);
    },
    reachable: (ok, reason) => health.ready('opensearch', ok, reason),
  });
  const outbox = new Outbox({
    produce: (records) => topics.matches.produceBatch(records),
    clock,
    random,
    log,
    waitingMax: MATCHES_WAITING_MAX,
    reachable: (ok, reason) => health.ready('matches', ok, reason),
  });
  const detector = new Detector({
    engine: () => rules.engine,
    sender,
    outbox,
    matchesPartitions: topics.partitions,
    latenessMs: config.detect.latenessMs,
    startAt: config.detect.startAt,
    schemas,
    deadLetter: (letters) => deadLetters.send(letters),
    limits: { ...DECODE_LIMITS, bytesMax: config.detect.eventBytesMax },
    alertIndexPrefix: config.opensearch.alertIndexPrefix,
    metrics,
    clock,
    breathe: () => setImmediate(),
    ready: (check, ok, reason) => health.ready(check, ok, reason),
  });
  const consumers = openConsumers(context);
  const limits = streamLimits(config.detect, topics.partitions);
  const looks = new Bell();
  const correlation = new Correlation({
    judges: judgesInForce(rules, limits),
    sender,
    deadLetter: (letters) => deadLetters.send(letters),
    state: topics.state,
    matches: topics.matchesLog,
    isMember: ({ offsets, generation }) => consumers.matches.commit(offsets, generation),
    alertIndexPrefix: config.opensearch.alertIndexPrefix,
    metrics: correlationMetrics(context.metrics),
    clock,
    lookAtRules: () => looks.ring(),
    rolloutMs: config.detect.rolloutMs,
    log,
    breathe: () => setImmediate(),
    ready: (ok, reason) => health.ready('correlation', ok, reason),
    writer: randomBytes(8).readBigUInt64BE(),
  });
  void watchAlertIndex(alertIndex, context, ending.signal);
  log.info({ rules: rules.engine.alerting, topic: config.topics.events }, 'detector starts');
  const running = { context, consumers, detector, correlation, sender, outbox, topics, ending };
  try {
    await runUntil({ ...running, rules, enrichment, looks });
  } finally {
    ending.abort();
    await sender.stop();
    await outbox.stop();
    schemas.close();
    await Promise.all([deadLetters.close(), topics.close(), client.close()]);
  }
}

/** Made once for each engine: correlation asks for every record. */
function judgesInForce(rules: RulesInForce, limits: Limits): () => Judges {
  let engine: Engine | null = null;
  let judges: Judges | null = null;
  return () => {
    if (judges === null || engine !== rules.engine) {
      engine = rules.engine;
      judges = judgesOf(engine, limits);
    }
    return judges;
  };
}

/** Matches that may wait for Kafka before reading pauses. */
const MATCHES_WAITING_MAX = 20_000;

interface Consumers {
  events: RecordConsumer;
  matches: RecordConsumer;
}

function openConsumers({ config, log, metrics }: ServiceContext): Consumers {
  const { detect, topics } = config;
  return {
    events: createConsumer({
      config,
      groupId: detect.group,
      topics: [topics.events],
      startAt: detect.startAt,
      log,
      metrics,
    }),
    // The first match counts, whenever this group is made.
    matches: createConsumer({
      config,
      groupId: correlationGroup(detect.group),
      topics: [topics.matches],
      startAt: 'earliest',
      log,
      metrics,
    }),
  };
}

interface Running {
  context: ServiceContext;
  consumers: Consumers;
  detector: Detector;
  correlation: Correlation;
  sender: AlertSender;
  outbox: Outbox;
  topics: CorrelationTopics;
  rules: RulesInForce;
  enrichment: Enrichment;
  /** Rung where the rule files are to be looked at without waiting for their time. */
  looks: Bell;
  ending: AbortController;
}

/** Consumes and commits until the signal, then drains; the first failure of any ends all. */
async function runUntil(running: Running): Promise<void> {
  const { context, consumers, detector, correlation, sender, outbox, ending } = running;
  const { signal, clock, log } = context;
  const end = new AbortController();
  const commit = async (): Promise<void> => {
    const ready = detector.committable();
    if (ready.offsets.length === 0) return;
    if (await consumers.events.commit(ready.offsets, ready.generation)) detector.committed(ready);
  };
  const flush = async (): Promise<void> => {
    const ready = await correlation.flush();
    if (ready.offsets.length === 0) return;
    if (await consumers.matches.commit(ready.offsets, ready.generation)) {
      correlation.committed(ready);
    }
  };
  const every = async (ms: number, work: () => Promise<unknown>): Promise<void> => {
    while (!end.signal.aborted) {
      await work();
      await clock.sleep(ms, end.signal);
    }
  };
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const consuming = Promise.all([
    consumers.events.run(detector),
    consumers.matches.run(correlation),
  ]);
  const working = [
    consuming,
    every(COMMIT_MS, commit),
    every(FLUSH_MS, flush),
    announcing(running, every),
    watchRules(running, end.signal),
  ];
  for (const work of working) work.catch(() => {});
  try {
    await Promise.race([...working, aborted]);
    end.abort();
    detector.stop();
    correlation.stop();
    const drained = new AbortController();
    const late = clock.sleep(DRAIN_MS, drained.signal);
    // Matches first: correlation is another process's soon, and it wants to go on.
    await Promise.race([Promise.all([outbox.flushed(), sender.drain()]), late]);
    if (sender.unsent + outbox.waiting > 0) {
      const fields = { alerts: sender.unsent, matches: outbox.waiting };
      log.warn(fields, 'alerts or matches are unsent at the end; they will be found again');
    }
    await Promise.race([Promise.all([commit(), flush()]), late]);
    drained.abort();
  } finally {
    end.abort();
    detector.stop();
    correlation.stop();
    ending.abort();
    // Nobody waits for room any more, so handlers return.
    const outboxStopped = outbox.stop();
    await sender.stop();
    await Promise.all([consumers.events.stop(), consumers.matches.stop()]);
    await Promise.race([outboxStopped, clock.sleep(LOOPS_END_MS)]);
    // What is under way must not open again what is closed next; what waits for OpenSearch never ends.
    await Promise.race([Promise.allSettled(working), clock.sleep(LOOPS_END_MS)]);
  }
  await consuming;
}

/** Event time for correlation, once a second. */
function announcing(
  { context, detector, correlation, outbox, topics, ending: { signal } }: Running,
  every: (ms: number, work: () => Promise<unknown>) => Promise<void>,
): Promise<void> {
  const { config, clock, log } = context;
  const kafka = connectKafka(config, log);
  let partitions = 0;
  let countedAtMs = Number.NEGATIVE_INFINITY;
  const count = async (): Promise<void> => {
    if (clock.now() - countedAtMs < PARTITIONS_MS) return;
    partitions = await topicPartitions(kafka, config.topics.events);
    countedAtMs = clock.now();
  };
  const announcing = new Announcing({
    sources: () => detector.sources(),
    newest: () => correlation.newest(),
    ends: (list) => topics.reader.ends(list),
    partitions: () => partitions,
    flushed: () => outbox.flushed(),
    produce: (value) => topics.tellAll(value),
    clock,
    log,
  });
  return every(ANNOUNCE_MS, async () => {
    try {
      await count();
      await announcing.once();
    } catch (err) {
      if (signal.aborted) return;
      // Event time stands still meanwhile, which delays judgement and loses nothing.
      log.warn({ err }, 'event time cannot be told');
    }
  });
}

/** Looks at rule, list and enrichment files now and then, at once on SIGHUP, and where it is rung for. */
async function watchRules(
  { context, rules, enrichment, looks }: Running,
  signal: AbortSignal,
): Promise<void> {
  const { config, clock } = context;
  let asked = false;
  const wake = (): void => looks.ring();
  const release = context.onHangup(() => {
    asked = true;
    wake();
  });
  signal.addEventListener('abort', wake, { once: true });
  try {
    while (!signal.aborted) {
      await looks.pause(clock, config.detect.reloadMs);
      if (signal.aborted) return;
      const now = asked;
      asked = false;
      const places = enrichment.refresh();
      if ((await rules.look(now, signal)) || places) {
        tellEnrichment(context, enrichment, rules.engine);
      }
    }
  } finally {
    release();
    signal.removeEventListener('abort', wake);
  }
}

function tellEnrichment({ log }: ServiceContext, enrichment: Enrichment, engine: Engine): void {
  const states = enrichment.enrichmentStatus();
  for (const { what, file, ok, detail } of states) {
    if (ok) log.info({ what, file, detail }, 'enrichment file is in use');
    else log.warn({ what, file, detail }, 'enrichment file cannot be used');
  }
  const unmet = unmetNeeds(needsOf(engine.set), states);
  if (unmet.length === 0) return;
  const titles = unmet.map(({ title }) => title);
  log.warn({ rules: titles }, 'rules say nothing without places: set enrich.city or enrich.asn');
}

async function rulesInForce(
  { config, log, clock, health }: ServiceContext,
  metrics: DetectorMetrics,
  enrichment: Enrichment,
): Promise<RulesInForce> {
  const limits = streamLimits(config.detect, 1);
  const { layers, lists } = ruleFolders(config.detect, 0);
  const loader = new RuleLoader();
  const load = (folders: RuleFolders): LoadedRules => loader.load(folders);
  const opened = await RulesInForce.open({
    stamp: () => stampFiles([...layers, ...lists]),
    load: (nowMs) => loadEngine(ruleFolders(config.detect, nowMs), enrichment, limits, load),
    clock,
    log,
    rulesLoaded: metrics.rulesLoaded,
    rulesCurrent: metrics.rulesCurrent,
    ready: (ok, reason) => health.ready('rules', ok, reason),
  });
  if (opened.ok) return opened.rules;
  throw new Failure(
    ['no rule was loaded:', ...opened.problems.map((one) => `  ${describeProblem(one)}`)].join(
      '\n',
    ),
    { code: 'RULES_INVALID', hint: 'mend these and start again' },
  );
}
