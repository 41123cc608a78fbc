/**
 * The tests inside rule files: each brings events, and says what must come of them. A rule is
 * judged alone with the rules it refers to, by the detector's own code, compiled once for all of
 * its tests. A test that fails says why, event by event.
 */
import { strict as assert } from 'node:assert';
import { decodeJson } from '../../ingest/decode.ts';
import type { AuditEvent } from '../../ingest/event.ts';
import { counted, printable } from '../../runtime/wording.ts';
import type { Match } from '../correlate/types.ts';
import type { Place, PlaceSource } from '../fields/place.ts';
import type { Level, RuleHeader, RuleSet, RuleTest, StatefulRule } from '../sigma/rule.ts';
import { Engine } from '../stream/engine.ts';
import { Explainer } from './explain.ts';
import { explanationLines, indented, obstacles } from './explain-text.ts';
import { type Address, Judge } from './judge.ts';
import { kindOf } from './list.ts';
import { reachLines } from './reach.ts';
import { type Selected, selectedOf } from './selected.ts';

export interface TestResult {
  test: RuleTest;
  ok: boolean;
  /** Distinct alerts that were raised. */
  alerts: number;
  /** Why it is not ok, line by line; empty where it is. */
  why: string[];
}

export interface RuleTestResults {
  rule: RuleHeader;
  kind: string;
  /** False where it only serves other rules, whose tests are its own. */
  alerts: boolean;
  results: TestResult[];
  /** Milliseconds for all of them. */
  ms: number;
}

/** Events that are told of in full when a test fails. */
const EVENTS_TOLD_MAX = 8;

/** Runs the tests of rules of one set. `now` is a clock in milliseconds, for `ms` only. */
export class TestBench {
  readonly #set: RuleSet;
  readonly #now: () => number;

  constructor(set: RuleSet, now: () => number) {
    this.#set = set;
    this.#now = now;
  }

  /** Every rule once, a detection and the stateful kind of its own together. */
  headers(): RuleHeader[] {
    const { rules, stateful } = this.#set;
    const kinds = new Set(stateful.map(({ id }) => id));
    return [...rules.filter(({ id }) => !kinds.has(id)), ...stateful];
  }

  run(id: string): RuleTestResults {
    const start = this.#now();
    const { rules, stateful } = this.#set;
    const rule = stateful.find((one) => one.id === id) ?? rules.find((one) => one.id === id);
    assert(rule !== undefined, `a rule of the set has the id ${id}`);
    const kind = 'stateful' in rule ? kindOf(rule) : 'event';
    const trial = rule.tests.length === 0 ? null : new Trial(selectedOf(this.#set, id)!);
    const results = rule.tests.map((test) => trial!.run(test));
    return { rule, kind, alerts: rule.alerts, results, ms: this.#now() - start };
  }
}

interface Raised {
  id: string;
  level: Level;
  /** Index of the event, for a rule of single events. */
  event: number | null;
  /** What a stateful rule found, and when. */
  finding: string | null;
}

/** One rule with what it refers to, compiled, for one test after the other. */
class Trial {
  readonly #set: RuleSet;
  readonly #stateful: StatefulRule | null;
  readonly #places = new TestPlaces();
  readonly #engine: Engine;

  constructor({ set, stateful }: Selected) {
    this.#set = set;
    this.#stateful = stateful;
    this.#engine = new Engine(set, this.#places);
  }

  run(test: RuleTest): TestResult {
    this.#places.now = test.places;
    const judge = new Judge(this.#engine);
    const raised: Raised[] = [];
    for (const [index, { event }] of test.events.entries()) {
      const decoded = decodeJson(JSON.stringify(event));
      if (!decoded.ok) {
        const why = `event ${index + 1} cannot be decoded: ${decoded.reason}: ${decoded.detail}`;
        return { test, ok: false, alerts: 0, why: [why] };
      }
      for (const one of decoded.events) {
        for (const { id, level } of judge.event(one, addressOf(index))) {
          raised.push({ id, level, event: index, finding: null });
        }
      }
    }
    for (const { id, level, alert } of judge.end(test.untilMs).alerts) {
      const finding = `${new Date(alert.last).toISOString()}: ${alert.reason}`;
      raised.push({ id, level, event: null, finding });
    }
    const alerts = new Set(raised.map(({ id }) => id)).size;
    const fault = faultOf(test, alerts, raised);
    if (fault === null) return { test, ok: true, alerts, why: [] };
    return { test, ok: false, alerts, why: [fault, ...indented(this.#why(test, raised))] };
  }

  #why(test: RuleTest, raised: readonly Raised[]): string[] {
    const events = eventsOf(test);
    if (this.#stateful === null) return this.#whySingle(test, events, raised);
    return this.#whyStateful(events, raised);
  }

  /** For a miss that fires: the whole tree. For a hit that does not: what was in the way. */
  #whySingle(test: RuleTest, events: readonly AuditEvent[], raised: readonly Raised[]): string[] {
    const explainer = new Explainer(this.#set.rules[0]!, this.#places);
    const fired = new Set(raised.map(({ event }) => event));
    return events.slice(0, EVENTS_TOLD_MAX).flatMap((event, index) => {
      const explained = explainer.explain(event);
      const name = nameOf(event, index);
      if (fired.has(index)) {
        if (test.hit && test.alerts === null && test.level === null) return [];
        return [
          `${name} fires, level ${explained.level}:`,
          ...indented(explanationLines(explained)),
        ];
      }
      return [`${name} does not fire:`, ...indented(obstacles(explained))];
    });
  }

  #whyStateful(events: readonly AuditEvent[], raised: readonly Raised[]): string[] {
    const { rules } = this.#set;
    const explainers = rules.map((rule) => new Explainer(rule, this.#places));
    const lines: string[] = [];
    const matches: Match[] = [];
    let matched = 0;
    for (const [index, event] of events.entries()) {
      const explained = explainers.map((explainer) => explainer.explain(event));
      const fired = this.#engine.matcher.match(event);
      const found = this.#engine.matchesOf(fired, event, addressOf(index));
      matches.push(...found);
      if (found.length > 0) matched += 1;
      else if (lines.length < EVENTS_TOLD_MAX)
        lines.push(...this.#unmatched(event, index, explained));
    }
    const titles = new Map(rules.map(({ id, title }) => [id, title]));
    return [
      ...raised.map(({ finding }) => `alert at ${finding}`),
      `${matched} of ${events.length} events count`,
      ...reachLines(matches, {
        rule: this.#stateful!,
        fields: this.#engine.plans.get(this.#stateful!.id)!.fields,
        titles,
      }),
      ...lines,
    ];
  }

  #unmatched(
    event: AuditEvent,
    index: number,
    explained: ReadonlyArray<ReturnType<Explainer['explain']>>,
  ): string[] {
    const name = nameOf(event, index);
    const held = explained.filter(({ holds }) => holds);
    if (held.length > 0) {
      const { groupNames, fields } = this.#engine.plans.get(this.#stateful!.id)!;
      const needed = [...new Set([...groupNames, ...fields])].join(', ');
      return [`${name} matches, but lacks a field that it is grouped or counted by (${needed})`];
    }
    return explained.flatMap((one) => [
      `${name} does not match ${one.rule.title}:`,
      ...indented(obstacles(one)),
    ]);
  }
}

/** They were decoded before: not kept, because hardly a test fails. */
function eventsOf({ events }: RuleTest): AuditEvent[] {
  return events.flatMap(({ event }) => {
    const decoded = decodeJson(JSON.stringify(event));
    return decoded.ok ? decoded.events : [];
  });
}

/** What differs from what the test asks, or null. */
function faultOf(test: RuleTest, alerts: number, raised: readonly Raised[]): string | null {
  if (test.alerts !== null && alerts !== test.alerts) {
    return `${counted(test.alerts, 'alert')} should be raised, and ${alerts} are`;
  }
  if (test.hit && alerts === 0) return 'the rule should fire and does not';
  if (!test.hit && alerts > 0) return 'the rule fires and should not';
  if (test.level === null) return null;
  const other = raised.find(({ level }) => level !== test.level);
  return other === undefined ? null : `the level should be ${test.level} and is ${other.level}`;
}

function nameOf(event: AuditEvent, index: number): string {
  const time = new Date(event.eventTime).toISOString();
  return `event ${index + 1} (${time} ${printable(`${event.serviceName}/${event.actionName}`)})`;
}

/** A test is run at a place that nobody sees. */
function addressOf(index: number): Address {
  return { topic: 'test', partition: 0, offset: BigInt(index) };
}

/** The places of the test that runs. */
class TestPlaces implements PlaceSource {
  now: ReadonlyMap<string, Place> = new Map();

  place(ip: string): Place | null {
    return this.now.get(ip) ?? null;
  }
}
