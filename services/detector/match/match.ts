/**
 * One event against all rules. Rules are found by the event's service and action, so the cost of
 * an event hardly grows with the number of rules that concern other services and actions.
 */
import type { AuditEvent } from '../../ingest/event.ts';
import type { Rule } from '../sigma/rule.ts';
import { compileRule, type Test } from './compile.ts';
import { FieldSlots, Subject } from './subject.ts';
import { type Witness, witnesses } from './witness.ts';

/**
 * Most (service, action) pairs whose rules are remembered; then all are forgotten. There are some
 * hundreds of real pairs; the cap keeps made-up ones from filling memory.
 */
const PAIRS_MAX = 4_096;
/** Longest name of a remembered pair, characters. */
const NAME_CHARS_MAX = 256;

interface Compiled {
  rule: Rule;
  test: Test;
  witnesses: Witness[];
}

export class Matcher {
  readonly rules: readonly Rule[];
  readonly #compiled: Compiled[];
  readonly #subject: Subject;
  readonly #pairs = new Map<string, Map<string, readonly Compiled[]>>();
  #pairCount = 0;

  constructor(rules: readonly Rule[]) {
    const slots = new FieldSlots();
    this.rules = rules;
    this.#compiled = rules.map((rule) => ({
      rule,
      test: compileRule(rule, slots),
      witnesses: witnesses(rule),
    }));
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
