/**
 * Rules by what an event must show for them (`witness.ts`). An index reads the fields that its
 * rules' signs are in, and no others, and gives the rules that the event may concern.
 */
import { type CompiledRule, numberOf } from './compile.ts';
import type { Subject } from './subject.ts';
import { TextIndex } from './text-index.ts';
import type { Witness } from './witness.ts';

/** A compiled rule in its place among the others. */
export interface IndexedRule extends CompiledRule {
  readonly order: number;
  /** The search that found it last, so that it is found once in each. */
  search: number;
}

/** Rules that one event may match. One object serves all events. */
export class Candidates {
  readonly rules: IndexedRule[] = [];
  count = 0;
  #search = 0;

  start(): void {
    this.count = 0;
    this.#search += 1;
  }

  add(rule: IndexedRule): void {
    if (rule.search === this.#search) return;
    rule.search = this.#search;
    this.rules[this.count] = rule;
    this.count += 1;
  }

  addAll(rules: readonly IndexedRule[] | undefined): void {
    if (rules === undefined) return;
    for (let index = 0; index < rules.length; index += 1) this.add(rules[index]!);
  }
}

export class WitnessIndex {
  readonly #always: IndexedRule[] = [];
  readonly #fields: FieldIndex[] = [];

  add(rule: IndexedRule, witness: Witness): void {
    if (witness === 'never') return;
    if (witness === 'any') {
      this.#always.push(rule);
      return;
    }
    for (const sign of witness) {
      let field = this.#fields.find(({ slot }) => slot === sign.slot);
      if (field === undefined) {
        field = new FieldIndex(sign.slot);
        this.#fields.push(field);
      }
      field.add(rule, sign);
    }
  }

  get isEmpty(): boolean {
    return this.#always.length === 0 && this.#fields.length === 0;
  }

  collect(subject: Subject, candidates: Candidates): void {
    candidates.addAll(this.#always);
    const fields = this.#fields;
    for (let index = 0; index < fields.length; index += 1) {
      const field = fields[index]!;
      const value = subject.lower(field.slot);
      if (value === undefined) continue;
      candidates.addAll(field.present);
      if (typeof value === 'string') field.collect(value, candidates);
      else for (const one of value) field.collect(one, candidates);
    }
  }
}

/** The signs that are in one field. */
class FieldIndex {
  readonly slot: number;
  readonly present: IndexedRule[] = [];
  #equals: Map<string, IndexedRule[]> | null = null;
  #numbers: Map<number, IndexedRule[]> | null = null;
  #texts: TextIndex<IndexedRule> | null = null;

  constructor(slot: number) {
    this.slot = slot;
  }

  add(rule: IndexedRule, sign: Exclude<Witness, string>[number]): void {
    switch (sign.kind) {
      case 'present':
        this.present.push(rule);
        return;
      case 'equals':
        this.#equals ??= new Map();
        addTo(this.#equals, sign.text, rule);
        return;
      case 'number':
        this.#numbers ??= new Map();
        addTo(this.#numbers, sign.number, rule);
        return;
      case 'inside':
        this.#texts ??= new TextIndex();
        this.#texts.add(sign.text, rule);
    }
  }

  collect(value: string, candidates: Candidates): void {
    if (this.#equals !== null) candidates.addAll(this.#equals.get(value));
    if (this.#numbers !== null) candidates.addAll(this.#numbers.get(numberOf(value)));
    if (this.#texts !== null) candidates.addAll(this.#texts.find(value));
  }
}

function addTo<K>(map: Map<K, IndexedRule[]>, key: K, rule: IndexedRule): void {
  const rules = map.get(key);
  if (rules === undefined) map.set(key, [rule]);
  else rules.push(rule);
}
