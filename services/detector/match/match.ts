/**
 * One event against all rules. The rules that an event can concern are found by what it must show
 * for them, so its cost hardly grows with the number of rules: first by service and action, whose
 * tests are answered once for every pair of names, then by the most telling field of each rule
 * that is left.
 */
import { strict as assert } from 'node:assert';
import type { AuditEvent } from '../../ingest/event.ts';
import type { EventView } from '../../ingest/event-view.ts';
import type { Level, Rule } from '../sigma/rule.ts';
import { compileRule } from './compile.ts';
import { NO_PLACES, type PlaceSource } from './derived.ts';
import { LearningIndex } from './learning-index.ts';
import { FieldSlots, Subject } from './subject.ts';
import { ACTION_FIELDS, asksNames, isNameField, Names, witnessOf } from './witness.ts';
import { Candidates, Found, type IndexedRule } from './witness-index.ts';

/**
 * Most (service, action) pairs whose rules are remembered; then all are forgotten. There are some
 * hundreds of real pairs; the cap keeps made-up ones from filling memory.
 */
const PAIRS_MAX = 4_096;
/** Longest name of a remembered pair, characters. */
const NAME_CHARS_MAX = 256;

/** Combinations of what recurs whose rules are remembered; then all are forgotten. */
const RECURRENCES_MAX = 8_192;

/** The rules that events of one `recurringId` can concern, as far as that tells. */
interface Recurrence {
  ofPair: LearningIndex;
  rules: readonly IndexedRule[];
  /** No rule, whatever else an event has. */
  isNone: boolean;
}

/** What many pairs share that no rule names. */
const NO_RULES = new LearningIndex([], new FieldSlots());

export class Matcher {
  readonly rules: readonly Rule[];
  readonly #byRule = new Map<Rule, IndexedRule>();
  readonly #slots: FieldSlots;
  /** Rules that can match only where the action, or the service, has this name (lower-cased). */
  readonly #byAction = new Map<string, IndexedRule[]>();
  readonly #byService = new Map<string, IndexedRule[]>();
  /** Rules that ask for names in another way than by one of a few. */
  readonly #byBoth: IndexedRule[] = [];
  /** Rules that ask for no name. */
  readonly #byContent: LearningIndex;
  readonly #pairs = new Map<string, Map<string, LearningIndex>>();
  #pairCount = 0;
  readonly #recurrences = new Map<number, Recurrence>();
  readonly #subject: Subject;
  readonly #candidates = new Candidates();

  constructor(rules: readonly Rule[], places: PlaceSource = NO_PLACES) {
    this.rules = rules;
    this.#slots = new FieldSlots(places);
    const byContent: IndexedRule[] = [];
    rules.forEach((rule, order) => {
      const indexed = { ...compileRule(rule, this.#slots), order, search: 0 };
      this.#byRule.set(rule, indexed);
      if (asksNames(rule)) this.#file(indexed);
      else byContent.push(indexed);
    });
    this.#byContent = new LearningIndex(byContent, this.#slots);
    this.#subject = new Subject(this.#slots);
  }

  /**
   * The rules that fire on the event, in the order they were given. Of a view, the answer counts
   * only where `isDoubtful` is false afterwards.
   */
  match(event: AuditEvent | EventView): Rule[] {
    const subject = this.#subject;
    const candidates = this.#candidates;
    const recurring = 'recurringId' in event ? this.#recall(event) : null;
    if (recurring === null) {
      const ofPair = this.#ofPair(event.serviceName, event.actionName);
      if (ofPair.isEmpty && this.#byContent.isEmpty) return [];
      subject.reset(event);
      candidates.start();
      ofPair.collect(subject, candidates);
      this.#byContent.collect(subject, candidates);
    } else {
      if (recurring.isNone) return [];
      subject.reset(event);
      candidates.start();
      candidates.addAll(recurring.rules);
      recurring.ofPair.collectOthers(subject, candidates);
      this.#byContent.collectOthers(subject, candidates);
    }
    if (candidates.count === 0) return [];
    return this.#evaluate(subject, candidates);
  }

  /** What is known of events that share with this one what recurs; null where nothing is yet. */
  #recall(event: EventView): Recurrence | null {
    const id = event.recurringId;
    if (id < 0 || this.#byContent.isLearning) return null;
    const known = this.#recurrences.get(id);
    if (known !== undefined) return known;
    const ofPair = this.#ofPair(event.serviceName, event.actionName);
    // What an index finds changes when it has learnt.
    if (ofPair.isLearning) return null;
    this.#subject.reset(event);
    const found = new Found();
    ofPair.collectRecurring(this.#subject, found);
    this.#byContent.collectRecurring(this.#subject, found);
    const rules = [...found.rules];
    const isNone = rules.length === 0 && !ofPair.hasOthers && !this.#byContent.hasOthers;
    const recurrence = { ofPair, rules, isNone };
    if (this.#recurrences.size >= RECURRENCES_MAX) this.#recurrences.clear();
    this.#recurrences.set(id, recurrence);
    return recurrence;
  }

  #evaluate(subject: Subject, candidates: Candidates): Rule[] {
    const hits: IndexedRule[] = [];
    for (let index = 0; index < candidates.count; index += 1) {
      const rule = candidates.rules[index]!;
      if (rule.test(subject)) hits.push(rule);
    }
    if (hits.length > 1) hits.sort((one, other) => one.order - other.order);
    return hits.map(({ rule }) => rule);
  }

  /** The level of an alert of a rule of this set on an event that it fires on. */
  levelOf(rule: Rule, event: AuditEvent): Level {
    const compiled = this.#byRule.get(rule);
    assert(compiled !== undefined, 'the rule is one of the set');
    if (compiled.levels.length === 0) return rule.level;
    const subject = this.#subject;
    subject.reset(event);
    return compiled.levels.find(({ when }) => when(subject))?.level ?? rule.level;
  }

  #file(rule: IndexedRule): void {
    const slots = this.#slots;
    const witness = witnessOf(rule.rule, slots);
    if (witness === 'never') return;
    if (witness === 'any' || !witness.every(({ slot }) => isNameField(slots.fieldOf(slot)))) {
      this.#byBoth.push(rule);
      return;
    }
    for (const sign of witness) {
      if (sign.kind !== 'equals') {
        this.#byBoth.push(rule);
        return;
      }
    }
    for (const sign of witness) {
      const isAction = ACTION_FIELDS.has(slots.fieldOf(sign.slot));
      const map = isAction ? this.#byAction : this.#byService;
      const name = (sign as { text: string }).text;
      const known = map.get(name);
      if (known === undefined) map.set(name, [rule]);
      else known.push(rule);
    }
  }

  /** Rules that ask for names, for events of one service and action. */
  #ofPair(service: string, action: string): LearningIndex {
    let byAction = this.#pairs.get(service);
    const known = byAction?.get(action);
    if (known !== undefined) return known;
    const found = this.#find(service, action);
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

  #find(service: string, action: string): LearningIndex {
    const rules = new Set([
      ...(this.#byAction.get(action.toLowerCase()) ?? []),
      ...(this.#byService.get(service.toLowerCase()) ?? []),
      ...this.#byBoth,
    ]);
    return rules.size === 0
      ? NO_RULES
      : new LearningIndex([...rules], this.#slots, new Names(service, action));
  }
}
