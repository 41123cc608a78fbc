/**
 * Who may do what, as far as events tell: the fold of all changes in the order of event time. The
 * order of arrival and duplicates do not matter. Pure.
 *
 * What held before the first event is not known. Of a fact that an event gives it is taken that it
 * did not hold before, of one that an event takes away that it did.
 */
import type { Direction } from '../../schemas/evidence/access-leaf.ts';
import { compareText } from '../runtime/order.ts';
import {
  type AccessEvent,
  compareEvents,
  directionOf,
  type Effect,
  type Fact,
  factKey,
} from './change.ts';

/** What an event did to one fact. */
export interface Step {
  event: AccessEvent;
  effect: Effect;
  /** Of this fact; not always that of the effect, which may have replaced another. */
  direction: Direction;
  /** False where the fact was so before. */
  isNews: boolean;
}

export interface FactState {
  fact: Fact;
  holds: boolean;
}

/** Stands for all privileges that no event told of before they were taken away. */
export const EVERYTHING = '*';

/**
 * Each event once, in the order in which they count. Of events with one id the first by time
 * counts; of copies with one time the one in the first place, so that the order of arrival is nothing.
 */
export function inOrder(events: Iterable<AccessEvent>): AccessEvent[] {
  const sorted = [...events].sort(compareCopies);
  const seen = new Set<string>();
  return sorted.filter(({ eventId }) => !seen.has(eventId) && seen.add(eventId));
}

/** Also of copies of one event: which of them counts. */
export function compareCopies(one: AccessEvent, other: AccessEvent): number {
  return compareEvents(one, other) || comparePlaces(one, other);
}

function comparePlaces({ at: one }: AccessEvent, { at: other }: AccessEvent): number {
  const byTopic = compareText(one.topic, other.topic) || one.partition - other.partition;
  return byTopic || (one.offset < other.offset ? -1 : one.offset > other.offset ? 1 : 0);
}

type Told = (key: string, state: FactState, step: Step) => void;

export class AccessState {
  readonly #facts = new Map<string, FactState>();
  readonly #byKindAndObject = new Map<string, Set<string>>();
  readonly #byObject = new Map<string, Set<string>>();
  readonly #bySubject = new Map<string, Set<string>>();

  /** @param told is called for every fact that the event speaks of. */
  apply(event: AccessEvent, told: Told = () => {}): void {
    const given = new Set(
      event.effects.filter(({ op }) => op === 'give').map((effect) => factKey(effect)),
    );
    for (const effect of event.effects) this.#effect(event, effect, given, told);
  }

  /** By fact, also those that no longer hold. */
  get facts(): ReadonlyMap<string, FactState> {
    return this.#facts;
  }

  #effect(event: AccessEvent, effect: Effect, given: ReadonlySet<string>, told: Told): void {
    const { op } = effect;
    if (op === 'give') {
      for (const key of this.#replaced(effect)) {
        if (!given.has(key)) this.#set(key, false, event, effect, told);
      }
      this.#setFact(effect, true, event, effect, told);
    } else if (op === 'take') {
      this.#setFact(effect, false, event, effect, told);
    } else if (op === 'name') {
      return;
    } else if (op === 'touch') {
      const state = { fact: effect, holds: false };
      const step = { event, effect, direction: effect.direction, isNews: true };
      told(`touch\n${factKey(effect)}`, state, step);
    } else {
      const keys = op === 'clear' ? this.#cleared(effect) : this.#dropped(effect);
      for (const key of keys) this.#set(key, false, event, effect, told);
      if (keys.length > 0) return;
      this.#setFact({ ...effect, privilege: EVERYTHING }, false, event, effect, told);
    }
  }

  #setFact(fact: Fact, holds: boolean, event: AccessEvent, effect: Effect, told: Told): void {
    const key = factKey(fact);
    if (!this.#facts.has(key)) {
      const { kind, subject, privilege, object, scope, sense } = fact;
      const plain = { kind, subject, privilege, object, scope, sense };
      this.#facts.set(key, { fact: plain, holds: !holds });
      addTo(this.#byKindAndObject, `${kind}\n${scope}\n${object}`, key);
      addTo(this.#byObject, `${scope}\n${object}`, key);
      addTo(this.#bySubject, subject, key);
    }
    this.#set(key, holds, event, effect, told);
  }

  #set(key: string, holds: boolean, event: AccessEvent, effect: Effect, told: Told): void {
    const state = this.#facts.get(key)!;
    const isNews = state.holds !== holds;
    state.holds = holds;
    const isOwn = effect.op !== 'give' || holds;
    const direction =
      isOwn || effect.direction === 'changed'
        ? effect.direction
        : directionOf('take', state.fact.sense);
    told(key, state, { event, effect, direction, isNews });
  }

  #replaced(effect: Effect): string[] {
    if (effect.replaces === 'none') return [];
    const { kind, scope, object, subject } = effect;
    const keys = [...(this.#byKindAndObject.get(`${kind}\n${scope}\n${object}`) ?? [])];
    const held = keys.filter((key) => this.#facts.get(key)!.holds);
    if (effect.replaces === 'object') return held;
    return held.filter((key) => this.#facts.get(key)!.fact.subject === subject);
  }

  #cleared(effect: Effect): string[] {
    const replaces = effect.subject === '' ? 'object' : 'subject';
    return this.#replaced({ ...effect, replaces });
  }

  #dropped({ subject, object, scope }: Effect): string[] {
    if (object !== '') {
      const keys = [...(this.#byObject.get(`${scope}\n${object}`) ?? [])];
      return keys.filter((key) => this.#facts.get(key)!.holds);
    }
    // Who is gone from the account is gone everywhere.
    const isEverywhere = scope === '' || scope.startsWith('account ');
    return [...(this.#bySubject.get(subject) ?? [])].filter((key) => {
      const { fact, holds } = this.#facts.get(key)!;
      return holds && (isEverywhere || fact.scope === scope);
    });
  }
}

function addTo(index: Map<string, Set<string>>, at: string, key: string): void {
  const keys = index.get(at);
  if (keys === undefined) index.set(at, new Set([key]));
  else keys.add(key);
}

/** The facts that hold after these events, by their keys. @param events in order */
export function factsAfter(events: Iterable<AccessEvent>): Fact[] {
  const state = new AccessState();
  for (const event of events) state.apply(event);
  return [...state.facts]
    .filter(([, { holds }]) => holds)
    .sort(([one], [other]) => compareText(one, other))
    .map(([, { fact }]) => fact);
}
