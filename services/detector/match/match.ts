/**
 * One event against all rules. The rules that an event can concern are found by what it must show
 * for them, so its cost hardly grows with the number of rules: first by service and action, whose
 * tests are answered once for every pair of names, then by the most telling field of each rule
 * that is left.
 */
import { strict as assert } from 'node:assert';
import type { AuditEvent } from '../../ingest/event.ts';
import type { EventView } from '../../ingest/event-view.ts';
import { NO_PLACES, type PlaceSource } from '../fields/place.ts';
import type { Level, Rule } from '../sigma/rule.ts';
import { compileRule } from './compile.ts';
import { LearningIndex } from './learning-index.ts';
import { Residual } from './residual.ts';
import { FieldSlots, Subject } from './subject.ts';
import { ACTION_FIELDS, asksNames, isNameField, Names, witnessOf } from './witness.ts';
import { Candidates, Found, type IndexedRule, RECURRING_FIELDS } from './witness-index.ts';

/**
 * Most (service, action) pairs whose rules are remembered; then all are forgotten. There are some
 * hundreds of real pairs; the cap keeps made-up ones from filling memory.
 */
const PAIRS_MAX = 4_096;
/** Longest name of a remembered pair, characters. */
const NAME_CHARS_MAX = 256;

/** Combinations of what recurs whose rules are remembered; then all are forgotten. */
const RECURRENCES_MAX = 32_768;

/**
 * Pairs of more rules than this are not taken apart for each recurrence: that costs as much as
 * judging so many events, and an index of so many rules is good at finding the few.
 */
const OPEN_RULES_MAX = 64;
/** Sets of open rules that have an index; then all are forgotten. */
const OPEN_INDEXES_MAX = 4_096;

/** What is known of all events of one `recurringId`. */
interface Recurrence {
  /** Rules that fire on all of them, in order. */
  hits: readonly IndexedRule[];
  /** Rules that the rest of an event decides, found by what recurs. */
  rules: readonly IndexedRule[];
  /** Finds rules by the rest of an event; null where there are none. */
  others: LearningIndex | null;
  /** While the index learns, what recurs is asked of it each time too. */
  isLearning: boolean;
  /** Nothing else of an event is asked. */
  isDecided: boolean;
}

/** The rules that ask for names, and can fire on events of one service and action. */
interface Pair {
  index: LearningIndex;
  rules: readonly IndexedRule[];
  names: Names;
}

/** What many pairs share that no rule names. */
const NO_RULES: Pair = {
  index: new LearningIndex([], new FieldSlots()),
  rules: [],
  names: new Names('', ''),
};

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
  readonly #pairs = new Map<string, Map<string, Pair>>();
  #pairCount = 0;
  /** null: met once. */
  readonly #recurrences = new Map<number, Recurrence | null>();
  readonly #openIndexes = new Map<string, LearningIndex>();
  readonly #residual: Residual;
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
    this.#residual = new Residual(this.#slots, RECURRING_FIELDS);
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
      const ofPair = this.#ofPair(event.serviceName, event.actionName).index;
      if (ofPair.isEmpty && this.#byContent.isEmpty) return [];
      subject.reset(event);
      candidates.start();
      ofPair.collect(subject, candidates);
      this.#byContent.collect(subject, candidates);
      return candidates.count === 0 ? [] : rulesOf(this.#evaluate(subject, candidates, NONE));
    }
    const { hits } = recurring;
    if (recurring.isDecided) return hits.length === 0 ? [] : rulesOf(hits);
    subject.reset(event);
    candidates.start();
    candidates.addAll(recurring.rules);
    if (recurring.isLearning) recurring.others!.collect(subject, candidates);
    else recurring.others?.collectOthers(subject, candidates);
    this.#byContent.collectOthers(subject, candidates);
    if (candidates.count === 0) return hits.length === 0 ? [] : rulesOf(hits);
    return rulesOf(this.#evaluate(subject, candidates, hits));
  }

  /** What is known of events that share with this one what recurs; null where nothing is yet. */
  #recall(event: EventView): Recurrence | null {
    const id = event.recurringId;
    if (id < 0 || this.#byContent.isLearning) return null;
    const known = this.#recurrences.get(id);
    if (known === undefined) {
      // Most combinations come once: only of those that come again is it worth to know more.
      if (this.#recurrences.size >= RECURRENCES_MAX) this.#recurrences.clear();
      this.#recurrences.set(id, null);
      return null;
    }
    if (known !== null && !(known.isLearning && !known.others!.isLearning)) return known;
    const recurrence = this.#recur(event);
    this.#recurrences.set(id, recurrence);
    return recurrence;
  }

  #recur(event: EventView): Recurrence | null {
    const { index, rules, names } = this.#ofPair(event.serviceName, event.actionName);
    const subject = this.#subject;
    subject.reset(event);
    const hits: IndexedRule[] = [];
    const found = new Found();
    this.#byContent.collectRecurring(subject, found);
    const open: IndexedRule[] = [];
    let others: LearningIndex | null;
    if (rules.length > OPEN_RULES_MAX) {
      // What an index finds changes when it has learnt.
      if (index.isLearning) return null;
      index.collectRecurring(subject, found);
      others = index.hasOthers ? index : null;
    } else {
      for (const rule of rules) {
        const decision = this.#residual.decide(rule.rule, subject);
        if (decision === true) hits.push(rule);
        else if (decision === null) open.push(rule);
      }
      others = open.length === 0 ? null : this.#indexOf(open, names);
      if (others?.isLearning === false) {
        others.collectRecurring(subject, found);
        if (!others.hasOthers) others = null;
      }
    }
    const undecided = [...found.rules].filter((rule) => {
      const decision = this.#residual.decide(rule.rule, subject);
      if (decision === true) hits.push(rule);
      return decision === null;
    });
    // Something that recurs would be doubtful: nothing is known then.
    if (event.isDoubtful) return null;
    return {
      hits: [...new Set(hits)].sort(byOrder),
      rules: undecided,
      others,
      isLearning: others?.isLearning === true,
      isDecided: undecided.length === 0 && others === null && !this.#byContent.hasOthers,
    };
  }

  /** The index of some rules of a pair: one for each set of rules, so that it can learn. */
  #indexOf(open: readonly IndexedRule[], names: Names): LearningIndex {
    const key = `${names.service}\n${names.action}\n${open.map(({ order }) => order).join()}`;
    let index = this.#openIndexes.get(key);
    if (index === undefined) {
      if (this.#openIndexes.size >= OPEN_INDEXES_MAX) this.#openIndexes.clear();
      index = new LearningIndex(open, this.#slots, names);
      this.#openIndexes.set(key, index);
    }
    return index;
  }

  /** The rules that fire, in order: those that do anyway, and of the candidates those that do. */
  #evaluate(
    subject: Subject,
    candidates: Candidates,
    anyway: readonly IndexedRule[],
  ): readonly IndexedRule[] {
    let hits: IndexedRule[] | null = null;
    for (let index = 0; index < candidates.count; index += 1) {
      const rule = candidates.rules[index]!;
      if (!rule.test(subject)) continue;
      hits ??= [...anyway];
      hits.push(rule);
    }
    if (hits === null) return anyway;
    return hits.length > 1 ? hits.sort(byOrder) : hits;
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
  #ofPair(service: string, action: string): Pair {
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

  #find(service: string, action: string): Pair {
    const found = new Set([
      ...(this.#byAction.get(action.toLowerCase()) ?? []),
      ...(this.#byService.get(service.toLowerCase()) ?? []),
      ...this.#byBoth,
    ]);
    if (found.size === 0) return NO_RULES;
    const rules = [...found];
    const names = new Names(service, action);
    return { index: new LearningIndex(rules, this.#slots, names), rules, names };
  }
}

const NONE: readonly IndexedRule[] = Object.freeze([]);

function byOrder(one: IndexedRule, other: IndexedRule): number {
  return one.order - other.order;
}

function rulesOf(hits: readonly IndexedRule[]): Rule[] {
  return hits.map(({ rule }) => rule);
}
