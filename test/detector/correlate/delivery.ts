/**
 * One stream of events through detectors as they are in the wild: events come late within what is
 * allowed, and twice; groups belong to partitions; state is taken now and then; a partition loses its
 * owner and is taken up by another one from a state of before and an offset of before.
 */
import { Correlator } from '../../../services/detector/correlate/correlator.ts';
import type { Limits } from '../../../services/detector/correlate/limits.ts';
import { PlanIndex } from '../../../services/detector/correlate/matches.ts';
import { type Plan, planOf } from '../../../services/detector/correlate/plan.ts';
import type { Effect, Match, StatefulAlert } from '../../../services/detector/correlate/types.ts';
import type { RuleSet } from '../../../services/detector/sigma/rule.ts';
import type { PlainEvent } from './plain-evaluator.ts';
import type { Random } from './random.ts';

/** One record of a partition of the matches topic. */
type LogRecord = { kind: 'match'; match: Match } | { kind: 'watermark'; watermark: number };

export function plansOf(set: RuleSet): Plan[] {
  return set.stateful.filter(({ alerts }) => alerts).map((rule) => planOf(rule, set));
}

export function matchesOf(index: PlanIndex, event: PlainEvent, offset: number): Match[] {
  const head = { eventId: event.id, eventTime: event.time };
  const address = { topic: 'audit', partition: offset % 3, offset: BigInt(offset) };
  const rank = event.rank === undefined ? {} : { rank: event.rank };
  const matches = index.matchesFor(
    event.hits,
    head,
    address,
    () => JSON.stringify({ event: event.id }),
    (field) => event.fields[field] ?? null,
  );
  return matches.map((match) => ({ ...match, ...rank }));
}

export interface Outcome {
  /** Newest revision of each alert. */
  alerts: Map<string, StatefulAlert>;
  late: number;
  refused: number;
}

export interface Delivery {
  latenessMs: number;
  limits: Limits;
  partitions: number;
  duplicates: boolean;
  restarts: boolean;
}

/** Each event some time after it happened, less than the lateness; some of them again, any time. */
function arrivals(random: Random, events: readonly PlainEvent[], delivery: Delivery): PlainEvent[] {
  const { latenessMs, duplicates } = delivery;
  const timed = events.map((event) => ({
    event,
    at: event.time + random.next() * (latenessMs - 0.5),
  }));
  const order = timed.sort((a, b) => a.at - b.at).map(({ event }) => event);
  if (!duplicates) return order;
  for (const event of events.filter(() => random.chance(0.3))) {
    order.splice(random.int(order.indexOf(event), order.length), 0, event);
  }
  return order;
}

/** What each partition's log holds. */
function logsOf(
  random: Random,
  plans: readonly Plan[],
  events: readonly PlainEvent[],
  delivery: Delivery,
): LogRecord[][] {
  const index = new PlanIndex(plans);
  const logs: LogRecord[][] = Array.from({ length: delivery.partitions }, () => []);
  let newest = Number.NEGATIVE_INFINITY;
  let shift = random.int(0, 7);
  for (const [offset, event] of arrivals(random, events, delivery).entries()) {
    for (const match of matchesOf(index, event, offset)) {
      const place = JSON.stringify([match.ruleId, match.group]);
      shift = [...place].reduce((sum, one) => sum * 31 + one.charCodeAt(0), shift % 8) % 1e9;
      const partition = [...place].reduce((sum, one) => (sum * 31 + one.charCodeAt(0)) % 99_991, 7);
      logs[partition % delivery.partitions]!.push({ kind: 'match', match });
    }
    newest = Math.max(newest, event.time);
    if (random.chance(0.5)) {
      for (const log of logs)
        log.push({ kind: 'watermark', watermark: newest - delivery.latenessMs });
    }
  }
  for (const log of logs) log.push({ kind: 'watermark', watermark: newest });
  return logs;
}

export function deliver(
  random: Random,
  set: RuleSet,
  events: readonly PlainEvent[],
  delivery: Delivery,
): Outcome {
  const plans = plansOf(set);
  const outcome: Outcome = { alerts: new Map(), late: 0, refused: 0 };
  for (const log of logsOf(random, plans, events, delivery)) {
    runPartition(random, plans, log, delivery, outcome);
  }
  return outcome;
}

interface Checkpoint {
  at: number;
  watermark: number;
  states: Map<string, Buffer>;
}

function runPartition(
  random: Random,
  plans: readonly Plan[],
  log: readonly LogRecord[],
  { limits, restarts }: Delivery,
  outcome: Outcome,
): void {
  let correlator = new Correlator(plans, limits);
  const states = new Map<string, Buffer>();
  const checkpoints: Checkpoint[] = [
    { at: 0, watermark: Number.NEGATIVE_INFINITY, states: new Map() },
  ];
  let watermark = Number.NEGATIVE_INFINITY;
  let crashes = restarts ? random.int(0, 3) : 0;
  const batch = random.of([1, 1, 3, 10]);
  for (let at = 0; at < log.length; at += 1) {
    const record = log[at]!;
    if (record.kind === 'match') correlator.fold(record.match);
    else {
      watermark = record.watermark;
      collect(outcome, correlator.advance(watermark));
    }
    if (at % batch === 0) collect(outcome, correlator.takeEffects());
    if (random.chance(0.2)) {
      // What was raised is told before the state that holds it is kept.
      collect(outcome, correlator.takeEffects());
      for (const { key, state } of correlator.takeChanges()) {
        if (state === null) states.delete(key);
        else states.set(key, state);
      }
      checkpoints.push({ at: at + 1, watermark, states: new Map(states) });
    }
    if (crashes > 0 && random.chance(0.1)) {
      crashes -= 1;
      const from = random.of(checkpoints);
      correlator = new Correlator(plans, limits);
      states.clear();
      for (const [key, state] of from.states) {
        states.set(key, state);
        if (!correlator.restore(key, state)) throw new Error(`state of ${key} was not taken`);
      }
      // Groups were judged up to there, written since or not.
      watermark = from.watermark;
      collect(outcome, correlator.advance(watermark));
      // What the state holds already is folded again, for some of it.
      at = Math.max(0, from.at - random.int(0, 6)) - 1;
    }
  }
  collect(outcome, correlator.takeEffects());
}

export function collect(outcome: Outcome, effects: readonly Effect[]): void {
  for (const effect of effects) {
    if (effect.kind === 'late') outcome.late += 1;
    else if (effect.kind === 'refused') outcome.refused += 1;
    else {
      const known = outcome.alerts.get(effect.alert.id);
      if (known === undefined || known.revision <= effect.alert.revision) {
        outcome.alerts.set(effect.alert.id, effect.alert);
      }
    }
  }
}
