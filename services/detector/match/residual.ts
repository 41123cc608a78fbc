/**
 * What is left of a rule once some fields of an event are known. Events that share what recurs
 * (`EventView.recurringId`) share the answers to all tests of it: for most rules those decide, so
 * that nothing else of such events is ever read.
 *
 * Three answers, as in Kleene's logic: the rule fires whatever the rest is, it cannot fire, or the
 * rest has to be asked.
 */
import type { Expression, Rule } from '../sigma/rule.ts';
import { compileItem, type Test } from './compile.ts';
import type { FieldSlots, Subject } from './subject.ts';

/** null: it depends on more than the known fields. */
export type Decision = boolean | null;

export class Residual {
  readonly #slots: FieldSlots;
  readonly #known: ReadonlySet<string>;
  readonly #tests = new Map<Expression, Test | null>();

  /** `known`: names of the fields that the subject gives and that will be the same. */
  constructor(slots: FieldSlots, known: ReadonlySet<string>) {
    this.#slots = slots;
    this.#known = known;
  }

  /** Whether the rule fires on every event, or on none, that has these known fields. */
  decide(rule: Rule, subject: Subject): Decision {
    if (rule.service !== null) {
      const service = subject.text(this.#slots.slotOf('serviceName'));
      if (typeof service !== 'string') return null;
      if (service.toLowerCase() !== rule.service.toLowerCase()) return false;
    }
    return this.#ask(rule.condition, rule, subject);
  }

  #ask(expression: Expression, rule: Rule, subject: Subject): Decision {
    switch (expression.kind) {
      case 'and':
        return this.#askAll(expression.terms, rule, subject, false);
      case 'or':
        return this.#askAll(expression.terms, rule, subject, true);
      case 'not': {
        const term = this.#ask(expression.term, rule, subject);
        return term === null ? null : !term;
      }
      case 'selection':
        return this.#ask(rule.selections.get(expression.name)!, rule, subject);
      case 'item': {
        const test = this.#testOf(expression);
        return test === null ? null : test(subject);
      }
      case 'keyword':
        return null;
    }
  }

  /** `deciding` is the answer of one term that decides for all. */
  #askAll(terms: readonly Expression[], rule: Rule, subject: Subject, deciding: boolean): Decision {
    let answer: Decision = !deciding;
    for (const term of terms) {
      const one = this.#ask(term, rule, subject);
      if (one === deciding) return deciding;
      if (one === null) answer = null;
    }
    return answer;
  }

  #testOf(item: Expression & { kind: 'item' }): Test | null {
    let test = this.#tests.get(item);
    if (test === undefined) {
      const isKnown =
        this.#known.has(item.field) &&
        item.values.every((value) => value.kind !== 'reference' || this.#known.has(value.field));
      test = isKnown ? compileItem(item, this.#slots) : null;
      this.#tests.set(item, test);
    }
    return test;
  }
}
