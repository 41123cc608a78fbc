/**
 * A rule set made ready: what judges one event, and what it hands on to the rules over many. Made
 * once per rule set and never changed; a reload makes another (`rules-in-force.ts`). Pure.
 */
import { createHash } from 'node:crypto';
import type { AuditEvent } from '../../ingest/event.ts';
import { contextOf } from '../alert/alert.ts';
import { checkPlan, type Limits } from '../correlate/limits.ts';
import { type Address, PlanIndex, type Read } from '../correlate/matches.ts';
import { type Plan, planOf } from '../correlate/plan.ts';
import type { Match } from '../correlate/types.ts';
import { FieldSet } from '../fields/field-set.ts';
import { NO_PLACES, type PlaceSource } from '../fields/place.ts';
import { Matcher } from '../match/match.ts';
import type { Problem } from '../sigma/problem.ts';
import { LEVELS, type Rule, type RuleSet, type StatefulRule } from '../sigma/rule.ts';

export class Engine {
  readonly set: RuleSet;
  readonly matcher: Matcher;
  /** Plans of the stateful rules that alert, by rule id. */
  readonly plans: ReadonlyMap<string, Plan>;
  /** The same text for the same meaning of all stateful rules. */
  readonly plansVersion: string;
  readonly #stateful: ReadonlyMap<string, StatefulRule>;
  readonly #index: PlanIndex;
  readonly #read: Read<AuditEvent>;

  /** @throws Error where the set is not resolved. */
  constructor(set: RuleSet, places: PlaceSource = NO_PLACES) {
    this.set = set;
    this.matcher = new Matcher(set.rules, places);
    this.#stateful = new Map(set.stateful.map((rule) => [rule.id, rule]));
    const roots = set.stateful.filter(({ alerts }) => alerts);
    this.plans = new Map(roots.map((rule) => [rule.id, planOf(rule, set)]));
    this.#index = new PlanIndex([...this.plans.values()]);
    this.#read = fieldReading(places);
    const meanings = [...this.plans].map(([id, { fingerprint }]) => `${id} ${fingerprint}`).sort();
    this.plansVersion = createHash('sha256').update(meanings.join('\n')).digest('base64url');
  }

  /** Rules that alert, of either kind. */
  get alerting(): number {
    return this.set.rules.filter(({ alerts }) => alerts).length + this.plans.size;
  }

  ruleOf(statefulId: string): StatefulRule | null {
    return this.#stateful.get(statefulId) ?? null;
  }

  /**
   * What an event that these rules fired on is to the stateful rules. The context of a match shows
   * the level that the event has by its own rule, where the two are one document.
   */
  matchesOf(hits: readonly Rule[], event: AuditEvent, address: Address): Match[] {
    const wanted = hits.filter(({ id }) => this.#index.wants(id));
    if (wanted.length === 0) return [];
    const ids = wanted.map(({ id }) => id);
    const plain = (): string => contextOf(event);
    const matches = this.#index.matchesFor(ids, event, address, plain, this.#read);
    return matches.map((match) => {
      if (match.ruleId !== match.leafId) return match;
      const rule = wanted.find(({ id }) => id === match.leafId);
      if (rule === undefined || rule.levels.length === 0) return match;
      const level = this.matcher.levelOf(rule, event);
      return { ...match, context: contextOf(event, level), rank: LEVELS.indexOf(level) };
    });
  }

  /** Matches that were not made since the last call, because the event lacks what they need. */
  takeDropped(): { groupMissing: number; valueMissing: number } {
    const { dropped } = this.#index;
    const taken = { ...dropped };
    dropped.groupMissing = 0;
    dropped.valueMissing = 0;
    return taken;
  }
}

/** Fields as stateful rules read them. */
export function fieldReading(places: PlaceSource): Read<AuditEvent> {
  const readers = new Map<string, FieldSet>();
  return (field, event) => {
    let reader = readers.get(field);
    if (reader === undefined) {
      reader = new FieldSet([field], places);
      readers.set(field, reader);
    }
    return reader.read(event)[0] ?? null;
  };
}

/** What the rules ask of correlation that it does not give, as errors of their files. */
export function planProblems(set: RuleSet, limits: Limits): Problem[] {
  return set.stateful
    .filter(({ alerts }) => alerts)
    .flatMap((rule) =>
      checkPlan(planOf(rule, set), limits).map(({ message, hint }) => ({
        severity: 'error' as const,
        file: rule.file,
        line: rule.line,
        column: 1,
        message,
        hint,
      })),
    );
}
