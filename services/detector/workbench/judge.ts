/**
 * A rule set judges a finite run of events, in one process and in memory: what `scan`, `rules test`
 * and tests use, and what the live detector must agree with (promise D1). It is made of the
 * detector's own parts, so alert ids are the same.
 *
 *   const judge = new Judge(new Engine(set, places));            the engine serves any number of runs
 *   for (…) for (const hit of judge.event(event, address)) …     single-event rules, at once
 *   const { alerts } = judge.end(untilMs);                       stateful rules, when all is in
 *
 * Events may come in any order, and twice. Event time moves on only at the end, so nothing is late.
 * Memory is that of the open groups, of the alerts raised, and of the matches of rules that are
 * judged in order, which wait for the end in compressed blocks.
 */
import { strict as assert } from 'node:assert';
import type { AuditEvent } from '../../ingest/event.ts';
import type { EventView } from '../../ingest/event-view.ts';
import { alertId, statefulAlertOf } from '../alert/alert.ts';
import { Correlator } from '../correlate/correlator.ts';
import { DEFAULT_LIMITS, type Limits } from '../correlate/limits.ts';
import type { Address } from '../correlate/matches.ts';
import type { Effect, Match, StatefulAlert } from '../correlate/types.ts';
import type { Level, Rule, StatefulRule } from '../sigma/rule.ts';
import { movesTime } from '../stream/announce.ts';
import { Engine } from '../stream/engine.ts';
import { WaitingMatches } from './waiting.ts';

export type { Address } from '../correlate/matches.ts';
/** A rule set made ready to judge: the costly part, made once for any number of runs. */
export { Engine as JudgedRules };

/** An alert of a single-event rule. */
export interface Hit {
  id: string;
  rule: Rule;
  level: Level;
}

/** An alert of a stateful rule, as it stood at the end. */
export interface StatefulHit {
  id: string;
  rule: StatefulRule;
  /** The rule's, or what the event that decided makes of it. */
  level: Level;
  /** Actor and source address of the event that decided. */
  actor: string;
  source: string | null;
  alert: StatefulAlert;
}

/** What the stateful rules came to. */
export interface Verdict {
  /** Each once; in order of first event, then of id. */
  alerts: StatefulHit[];
  /** Matches that a limit kept from being counted. */
  refused: Match[];
}

/** Between two moves of event time at the end, so that no group holds all that waits. */
const MATCHES_A_MOVE = 256;
/**
 * A run has no clock of its own: an event may be of any time that a computer of today can have. One
 * beyond that is judged, but it does not take event time with it.
 */
const CLOCK_MS_MAX = Date.UTC(2050, 0, 1);
const FOLDS_A_TAKE = 1_000;

/** One run. */
export class Judge {
  readonly #engine: Engine;
  readonly #correlator: Correlator;
  readonly #eager: ReadonlySet<string>;
  /** Matches of rules that are judged in order: it is known when all is in. */
  readonly #waiting = new WaitingMatches();
  readonly #alerts = new Map<string, StatefulAlert>();
  readonly #refused: Match[] = [];
  #newestMs: number | null = null;
  #folded = 0;

  constructor(engine: Engine, limits: Limits = DEFAULT_LIMITS) {
    this.#engine = engine;
    const plans = [...engine.plans.values()];
    this.#correlator = new Correlator(plans, limits);
    const eager = plans.filter(({ mode }) => mode === 'eager');
    this.#eager = new Set(eager.map(({ ruleId }) => ruleId));
  }

  /**
   * The rules that fire on an event, judged in its bytes; null where only decoding tells. Where there
   * are none the event needs nothing more; else it is to be decoded and given to `event` with them.
   */
  fired(view: EventView | null): readonly Rule[] | null {
    if (view === null) return null;
    const fired = this.#engine.matcher.match(view);
    if (view.isDoubtful) return null;
    this.#see(view.eventTime);
    return fired;
  }

  #see(eventTime: number): void {
    if (movesTime(eventTime, CLOCK_MS_MAX) && eventTime > (this.#newestMs ?? 0)) {
      this.#newestMs = eventTime;
    }
  }

  /**
   * Alerts of single-event rules. One event given twice gives the same ids twice.
   *
   * @param known what `fired` gave of the same event
   */
  event(event: AuditEvent, address: Address, known: readonly Rule[] | null = null): Hit[] {
    const { matcher } = this.#engine;
    this.#see(event.eventTime);
    const fired = known ?? matcher.match(event);
    if (fired.length === 0) return [];
    for (const match of this.#engine.matchesOf(fired, event, address)) {
      if (this.#eager.has(match.ruleId)) this.#fold(match);
      else this.#waiting.add(match);
    }
    return fired
      .filter(({ alerts }) => alerts)
      .map((rule) => ({
        id: alertId(rule.id, event.eventId),
        rule,
        level: matcher.levelOf(rule, event),
      }));
  }

  /** All is in: event time goes to the newest event, or to `untilMs` where that is later. */
  end(untilMs: number | null = null): Verdict {
    const times = [this.#newestMs, untilMs].filter((time) => time !== null);
    if (times.length > 0) {
      this.#judgeWaiting();
      this.#take(this.#correlator.advance(Math.max(...times)));
    }
    const alerts = [...this.#alerts.values()]
      .sort((a, b) => a.first - b.first || (a.id < b.id ? -1 : 1))
      .map((alert) => this.#told(alert));
    return { alerts, refused: this.#refused };
  }

  #judgeWaiting(): void {
    let since = 0;
    let beforeMs = Number.NEGATIVE_INFINITY;
    for (const match of this.#waiting.inOrder()) {
      if (since >= MATCHES_A_MOVE && match.eventTime > beforeMs) {
        this.#take(this.#correlator.advance(match.eventTime - 1));
        since = 0;
      }
      this.#fold(match);
      since += 1;
      beforeMs = match.eventTime;
    }
  }

  /** Several changes of one alert are one, so effects are taken now and then. */
  #fold(match: Match): void {
    this.#correlator.fold(match);
    this.#folded += 1;
    if (this.#folded % FOLDS_A_TAKE === 0) this.#take(this.#correlator.takeEffects());
  }

  #told(alert: StatefulAlert): StatefulHit {
    const rule = this.#engine.ruleOf(alert.ruleId);
    assert(rule !== null, 'an alert is of a rule of the set');
    const shown = statefulAlertOf(rule, alert);
    const { level } = shown.rule;
    return { id: alert.id, rule, level, actor: shown.actor.name, source: shown.source.ip, alert };
  }

  #take(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'alert') {
        const { alert } = effect;
        const before = this.#alerts.get(alert.id);
        if (before === undefined || before.revision <= alert.revision) {
          this.#alerts.set(alert.id, alert);
        }
      } else if (effect.kind === 'refused') this.#refused.push(effect.match);
      else assert.fail('nothing is late before event time has moved on');
    }
  }
}
