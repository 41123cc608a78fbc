/**
 * A witness index that learns. At first which field of a rule tells most is guessed; from the first
 * events it is known, and the index is made anew. What is found differs only in what is found in
 * vain, never in what matches.
 */
import type { FieldSlots, Subject } from './subject.ts';
import { type Names, type Sign, signKey, witnessOf } from './witness.ts';
import {
  type Candidates,
  type Finds,
  type IndexedRule,
  SignTest,
  WitnessIndex,
} from './witness-index.ts';

/** Events after which the shares of signs are taken for known. */
const LEARN_EVENTS = 256;
/** Signs whose share is learnt: with more, many rules have signs of their own, which are rare. */
const LEARN_SIGNS_MAX = 1_024;

export class LearningIndex {
  readonly #rules: readonly IndexedRule[];
  readonly #slots: FieldSlots;
  /** What is known of all events that are asked about. */
  readonly #names: Names | undefined;
  #index: WitnessIndex;
  #learning: Learning | null = null;

  constructor(rules: readonly IndexedRule[], slots: FieldSlots, names?: Names) {
    this.#rules = rules;
    this.#slots = slots;
    this.#names = names;
    const thought = new Map<string, Sign>();
    this.#index = this.#make({ thought });
    if (thought.size > 1 && thought.size <= LEARN_SIGNS_MAX) this.#learning = new Learning(thought);
  }

  get isEmpty(): boolean {
    return this.#index.isEmpty;
  }

  /** While it learns, what it finds for one event says nothing of another. */
  get isLearning(): boolean {
    return this.#learning !== null;
  }

  get hasOthers(): boolean {
    return this.#index.hasOthers;
  }

  /** Adds the rules that the event can concern. */
  collect(subject: Subject, candidates: Candidates): void {
    if (this.#learning !== null) this.#learn(subject, this.#learning);
    this.#index.collectRecurring(subject, candidates);
    this.#index.collectOthers(subject, candidates);
  }

  /** The part of it that is the same for all events of one `recurringId`. */
  collectRecurring(subject: Subject, finds: Finds): void {
    this.#index.collectRecurring(subject, finds);
  }

  collectOthers(subject: Subject, candidates: Candidates): void {
    this.#index.collectOthers(subject, candidates);
  }

  #learn(subject: Subject, learning: Learning): void {
    learning.see(subject);
    if (learning.events < LEARN_EVENTS) return;
    this.#learning = null;
    this.#index = this.#make({ seen: learning.shares() });
  }

  #make(options: { thought: Map<string, Sign> } | { seen: Map<string, number> }): WitnessIndex {
    const names = this.#names === undefined ? {} : { names: this.#names };
    const fieldOf = (slot: number): string => this.#slots.fieldOf(slot);
    const index = new WitnessIndex(fieldOf);
    for (const rule of this.#rules) {
      index.add(rule, witnessOf(rule.rule, this.#slots, { ...names, ...options }));
    }
    return index;
  }
}

class Learning {
  events = 0;
  readonly #signs: Array<{ key: string; test: SignTest; count: number }>;

  constructor(thought: ReadonlyMap<string, Sign>) {
    this.#signs = [...thought.values()].map((sign) => ({
      key: signKey(sign),
      test: new SignTest(sign),
      count: 0,
    }));
  }

  see(subject: Subject): void {
    this.events += 1;
    for (const sign of this.#signs) if (sign.test.isIn(subject)) sign.count += 1;
  }

  /** A sign that was never seen may still come: it counts as half a time. */
  shares(): Map<string, number> {
    return new Map(this.#signs.map(({ key, count }) => [key, Math.max(count, 0.5) / this.events]));
  }
}
