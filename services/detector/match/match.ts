/**
 * One event against all rules. Rules are found by the event's service and action, so the cost of
 * an event hardly grows with the number of rules that concern other services and actions.
 */
import { strict as assert } from 'node:assert';
import type { AuditEvent } from '../../ingest/event.ts';
import type { Level, Rule } from '../sigma/rule.ts';
import { type CompiledRule, compileRule } from './compile.ts';
import { NO_PLACES, type PlaceSource } from './derived.ts';
import { FieldSlots, Subject } from './subject.ts';
import { type Witness, witnesses } from './witness.ts';

/**
 * Most (service, action) pairs whose rules are remembered; then all are forgotten. There are some
 * hundreds of real pairs; the cap keeps made-up ones from filling memory.
 */
const PAIRS_MAX = 4_096;
/** Longest name of a remembered pair, characters. */
const NAME_CHARS_MAX = 256;

interface Compiled extends CompiledRule {
  witnesses: Witness[];
}

export class Matcher {
  readonly rules: readonly Rule[];
  readonly #compiled: Compiled[];
  readonly #byRule: ReadonlyMap<Rule, CompiledRule>;
  readonly #subject: Subject;
  readonly #pairs = new Map<string, Map<string, readonly Compiled[]>>();
  #pairCount = 0;

  constructor(rules: readonly Rule[], places: PlaceSource = NO_PLACES) {
    const slots = new FieldSlots(places);
    this.rules = rules;
    this.#compiled = rules.map((rule) => ({
      ...compileRule(rule, slots),
      witnesses: witnesses(rule),
    }));
    this.#byRule = new Map(this.#compiled.map((compiled) => [compiled.rule, compiled]));
    this.#subject = new Subject(slots);
  }

  /** The rules that fire on the event, in the order they were given. */
  match(event: AuditEvent): Rule[] {
    const candidates = this.#candidates(event.serviceName, event.actionName);
    if (candidates.length === 0) return [];
    const subject = this.#subject;
    subject.reset(event);
    const hits: Rule[] = [];
    for (const { rule, test } of candidates) if (test(subject)) hits.push(rule);
    return hits;
  }

  /** The level of an alert of a rule of this set on an event that it fires on. */
  levelOf(rule: Rule, event: AuditEvent): Level {
    if ((rule.levels ?? []).length === 0) return rule.level;
    const compiled = this.#byRule.get(rule);
    assert(compiled !== undefined, 'the rule is one of the set');
    const subject = this.#subject;
    subject.reset(event);
    return compiled.levels.find(({ when }) => when(subject))?.level ?? rule.level;
  }

  #candidates(service: string, action: string): readonly Compiled[] {
    let byAction = this.#pairs.get(service);
    const known = byAction?.get(action);
    if (known !== undefined) return known;
    const found = this.#find(service.toLowerCase(), action.toLowerCase());
    if (service.length > NAME_CHARS_MAX || action.length > NAME_CHARS_MAX) return found;
    if (this.#pairCount >= PAIRS_MAX) {
      this.#pairs.clear();
      this.#pairCount = 0;
      byAction = undefined;
    }
    if (byAction === undefined) {
      byAction = new Map();
      this.#pairs.set(service, byAction);
    }
    byAction.set(action, found);
    this.#pairCount += 1;
    return found;
  }

  #find(service: string, action: string): Compiled[] {
    return this.#compiled.filter((compiled) =>
      compiled.witnesses.some(
        (witness) =>
          (witness.service === null || witness.service === service) &&
          (witness.action === null || witness.action === action),
      ),
    );
  }
}
