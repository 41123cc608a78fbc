/**
 * The detector as a process: wires the consumer group, the registry, the rules, OpenSearch and the
 * dead-letter topic, and ends them in order. All decisions are elsewhere.
 */
import { setImmediate } from 'node:timers/promises';
import type { Client } from '@opensearch-project/opensearch';
import { createConsumer } from '../ingest/consume.ts';
import type { RecordConsumer } from '../ingest/consume-types.ts';
import { DeadLetterSink } from '../ingest/dead-letter.ts';
import { DECODE_LIMITS } from '../ingest/decode.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import type { ServiceContext } from '../runtime/service.ts';
import type { BulkAnswer } from './alert/bulk.ts';
import { alertTemplateState, openSearchClient, sendBulk } from './alert/opensearch.ts';
import { AlertSender } from './alert/send.ts';
import { Detector, rejectedLetter } from './detector.ts';
import { Matcher } from './match/match.ts';
import { detectorMetrics } from './metrics.ts';
import { openSchemaSource } from './schema-source.ts';
import { describeProblem } from './sigma/problem.ts';
import type { Rule } from './sigma/rule.ts';
import { loadRules, SHIPPED_RULES } from './sigma/rules.ts';

const COMMIT_MS = 1_000;
const ALERT_INDEX_RETRY_MS = 5_000;
/** Longest a stop waits for OpenSearch to take what is unsent; the rest is read again. */
const DRAIN_MS = 10_000;

/**
 * Judges until the signal aborts, then sends what waits, commits and leaves the group. Rejects with
 * `Failure` where the rules do not load, or where the consumer fails beyond retry.
 */
export async function detect(context: ServiceContext): Promise<void> {
  const { config, log, clock, random, health } = context;
  const rules = rulesInForce(config, context);
  const metrics = detectorMetrics(context.metrics);
  metrics.rulesLoaded(rules.length);
  const ending = new AbortController();
  const deadLetters = new DeadLetterSink({ config, log, clock, random, signal: ending.signal });
  const client = openSearchClient(config.opensearch);
  const alertIndex = new AlertIndex(client, context);
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
  const detector = new Detector({
    matcher: new Matcher(rules),
    sender,
    schemas,
    deadLetter: (letters) => deadLetters.send(letters),
    limits: { ...DECODE_LIMITS, bytesMax: config.detect.eventBytesMax },
    alertIndexPrefix: config.opensearch.alertIndexPrefix,
    metrics,
    clock,
    breathe: () => setImmediate(),
    ready: (check, ok, reason) => health.ready(check, ok, reason),
  });
  const consumer = createConsumer({
    config,
    groupId: config.detect.group,
    topics: [config.topics.events],
    startAt: config.detect.startAt,
    log,
    metrics: context.metrics,
  });
  void watchAlertIndex(alertIndex, context, ending.signal);
  log.info({ rules: rules.length, topic: config.topics.events }, 'detector starts');
  try {
    await consumeUntil(context, consumer, detector, sender, ending);
  } finally {
    ending.abort();
    await sender.stop();
    schemas.close();
    await deadLetters.close();
    await client.close();
  }
}

/** Consumes and commits until the signal, then drains; the first failure of either ends both. */
async function consumeUntil(
  { signal, clock, log }: ServiceContext,
  consumer: RecordConsumer,
  detector: Detector,
  sender: AlertSender,
  ending: AbortController,
): Promise<void> {
  const end = new AbortController();
  const commit = async (): Promise<void> => {
    const ready = detector.committable();
    if (ready.offsets.length === 0) return;
    if (await consumer.commit(ready.offsets, ready.generation)) detector.committed(ready);
  };
  const committing = async (): Promise<void> => {
    while (!end.signal.aborted) {
      await commit();
      await clock.sleep(COMMIT_MS, end.signal);
    }
  };
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const consuming = consumer.run(detector);
  try {
    await Promise.race([consuming, committing(), aborted]);
    end.abort();
    detector.stop();
    const drained = new AbortController();
    await Promise.race([sender.drain(), clock.sleep(DRAIN_MS, drained.signal)]);
    drained.abort();
    if (sender.unsent > 0) {
      log.warn({ unsent: sender.unsent }, 'alerts are unsent at the end; they will be found again');
    }
    await commit();
  } finally {
    end.abort();
    detector.stop();
    ending.abort();
    await sender.stop();
    await consumer.stop();
  }
  await consuming;
}

/** Readiness tells of an OpenSearch that is away or not set up, before there is any alert. */
async function watchAlertIndex(
  index: AlertIndex,
  { health, log, clock }: ServiceContext,
  signal: AbortSignal,
): Promise<void> {
  let told = false;
  while (!signal.aborted) {
    const obstacle = await index.obstacle();
    if (signal.aborted) return;
    health.ready('opensearch', obstacle === null, obstacle ?? '');
    if (obstacle === null) return;
    if (!told) log.warn({ reason: obstacle }, 'OpenSearch takes no alerts yet');
    told = true;
    await clock.sleep(ALERT_INDEX_RETRY_MS, signal);
  }
}

function rulesInForce(config: Config, { log }: ServiceContext): Rule[] {
  const paths = config.detect.shippedRules
    ? [SHIPPED_RULES, ...config.detect.rules]
    : config.detect.rules;
  const loaded = loadRules(paths);
  if (!loaded.ok) {
    throw new Failure(
      ['no rule was loaded:', ...loaded.problems.map((one) => `  ${describeProblem(one)}`)].join(
        '\n',
      ),
      { code: 'RULES_INVALID', hint: 'mend these and start again' },
    );
  }
  for (const warning of loaded.warnings) {
    log.warn({ problem: describeProblem(warning) }, 'a rule is doubtful');
  }
  return loaded.rules;
}

/**
 * Bulk requests, but none before the index template is there: without it the first alert would
 * make an index whose mapping OpenSearch guesses, and that cannot be undone.
 */
class AlertIndex {
  readonly #client: Client;
  readonly #context: ServiceContext;
  #checked = false;

  constructor(client: Client, context: ServiceContext) {
    this.#client = client;
    this.#context = context;
  }

  /** The reason why nothing may be sent yet, or null. */
  async obstacle(): Promise<string | null> {
    if (this.#checked) return null;
    const { config, log } = this.#context;
    try {
      const state = await alertTemplateState(this.#client, config.opensearch);
      if (state === 'missing') return 'the index template is missing: run lakeseal setup';
      if (state === 'different') {
        log.warn({}, 'the index template is not of this version of lakeseal: run lakeseal setup');
      }
    } catch (error) {
      if (error instanceof Failure) return error.message;
      throw error;
    }
    this.#checked = true;
    return null;
  }

  readonly bulk = async (lines: string[]): Promise<BulkAnswer> => {
    const reason = await this.obstacle();
    if (reason !== null) return { kind: 'failed', status: null, reason };
    return sendBulk(this.#client, lines);
  };
}
