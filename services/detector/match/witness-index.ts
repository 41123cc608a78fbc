/**
 * Rules by what an event must show for them (`witness.ts`). An index reads the fields that its
 * rules' signs are in, and no others, and gives the rules that the event may concern.
 */

import type { TextShapes } from '../../ingest/event-view.ts';
import { FEW_PLACES, remembered } from '../fields/memo.ts';
import { numberOf } from '../fields/number.ts';
import type { TextTest } from '../sigma/pattern.ts';
import { type CompiledRule, compileText, isUncased, type OneTextTest } from './compile.ts';
import type { Subject } from './subject.ts';
import { TextIndex } from './text-index.ts';
import { type Sign, signKey, type Witness } from './witness.ts';

/** A compiled rule in its place among the others. */
export interface IndexedRule extends CompiledRule {
  readonly order: number;
  /** The search that found it last, so that it is found once in each. */
  search: number;
}

/** Takes the rules that a search finds, any of them more than once. */
export interface Finds {
  addAll(rules: readonly IndexedRule[]): void;
}

/** The rules of one combination, once each. */
export class Found implements Finds {
  readonly rules = new Set<IndexedRule>();

  addAll(rules: readonly IndexedRule[]): void {
    for (const rule of rules) this.rules.add(rule);
  }
}

/** Rules that one event may match. One object serves all events. */
export class Candidates implements Finds {
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

  addAll(rules: readonly IndexedRule[]): void {
    for (let index = 0; index < rules.length; index += 1) this.add(rules[index]!);
  }
}

/** Fields that a view's `recurringId` stands for. Places are not among them: files may change. */
export const RECURRING_FIELDS: ReadonlySet<string> = new Set([
  'serviceName',
  'service_name',
  'actionName',
  'action_name',
  'userAgent',
  'user_agent',
  'sourceIPAddress',
  'source_ip_address',
  'sourceIp',
  'source_ip',
  'userIdentity.email',
  'user_identity.email',
  'actor.email',
  'response.statusCode',
  'response.status_code',
  'outcome',
  'lakeseal.source.class',
  'lakeseal.agent.class',
  'lakeseal.agent.family',
]);

export class WitnessIndex {
  readonly #always: IndexedRule[] = [];
  readonly #recurring: FieldIndex[] = [];
  readonly #others: FieldIndex[] = [];
  readonly #fieldOf: (slot: number) => string;

  constructor(fieldOf: (slot: number) => string) {
    this.#fieldOf = fieldOf;
  }

  add(rule: IndexedRule, witness: Witness): void {
    if (witness === 'never') return;
    if (witness === 'any') {
      this.#always.push(rule);
      return;
    }
    for (const sign of witness) {
      const recurs = RECURRING_FIELDS.has(this.#fieldOf(sign.slot));
      const fields = recurs ? this.#recurring : this.#others;
      let field = fields.find(({ slot }) => slot === sign.slot);
      if (field === undefined) {
        field = new FieldIndex(sign.slot);
        fields.push(field);
      }
      field.add(rule, sign);
    }
  }

  get isEmpty(): boolean {
    return this.#always.length === 0 && this.#recurring.length === 0 && !this.hasOthers;
  }

  /** Whether there is more to ask of an event than what recurs. */
  get hasOthers(): boolean {
    return this.#others.length > 0;
  }

  /** Adds the rules that the event can concern as far as what recurs tells. */
  collectRecurring(subject: Subject, finds: Finds): void {
    finds.addAll(this.#always);
    for (const field of this.#recurring) field.collect(subject, finds);
  }

  /** Adds those that the rest of the event tells. */
  collectOthers(subject: Subject, finds: Finds): void {
    const fields = this.#others;
    for (let index = 0; index < fields.length; index += 1) fields[index]!.collect(subject, finds);
  }
}

/** A letter that is one character, and two when it is lower-cased: the second is this one. */
const DOT_ABOVE = '\u0307';

/** Rules by a lower-cased text. Most values are told by length and first letter to be none. */
class TextTable {
  readonly #rules = new Map<string, IndexedRule[]>();
  readonly shapes: TextShapes = { lengths: 0, firsts: 0 };

  add(text: string, rule: IndexedRule): void {
    addTo(this.#rules, text, rule);
    this.shapes.lengths |= text.includes(DOT_ABOVE) ? -1 : 1 << (text.length & 31);
    this.shapes.firsts |= text === '' ? -1 : 1 << (text.charCodeAt(0) & 31);
  }

  find(value: string): readonly IndexedRule[] {
    if ((this.shapes.lengths & (1 << (value.length & 31))) === 0) return NONE;
    const first = value.charCodeAt(0);
    // Upper and lower case of an ASCII letter have the same low bits.
    if (first < 0x80 && (this.shapes.firsts & (1 << (first & 31))) === 0) return NONE;
    return this.#rules.get(value) ?? this.#rules.get(value.toLowerCase()) ?? NONE;
  }
}

/** Values looked for in a field before it is worth memory to know them. */
const REMEMBER_AFTER = 128;

/** The signs that are in one field. */
class FieldIndex {
  readonly slot: number;
  readonly #present: IndexedRule[] = [];
  #equals: TextTable | null = null;
  #numbers: Map<number, IndexedRule[]> | null = null;
  #texts: TextIndex<IndexedRule> | null = null;
  readonly #tests = new Map<string, { test: TextTest; rules: IndexedRule[] }>();
  /** Whether there is more to do than to look a value up. */
  #isCostly = false;
  /** The one kind of sign that there is, where its absence shows in the bytes. */
  #only: 'texts' | 'equals' | null = null;
  #find: (value: string) => readonly IndexedRule[] = (value) => this.#search(value);
  #finds = 0;

  constructor(slot: number) {
    this.slot = slot;
  }

  add(rule: IndexedRule, sign: Sign): void {
    this.#file(rule, sign);
    this.#only = this.#onlyKind();
  }

  #file(rule: IndexedRule, sign: Sign): void {
    switch (sign.kind) {
      case 'present':
        this.#present.push(rule);
        return;
      case 'equals':
        this.#equals ??= new TextTable();
        this.#equals.add(sign.text, rule);
        return;
      case 'number':
        this.#numbers ??= new Map();
        addTo(this.#numbers, sign.number, rule);
        return;
      case 'inside':
        this.#isCostly = true;
        this.#texts ??= new TextIndex();
        this.#texts.add(sign.text, rule);
        return;
      case 'passes': {
        this.#isCostly = true;
        const key = signKey(sign);
        const known = this.#tests.get(key);
        if (known !== undefined) known.rules.push(rule);
        else this.#tests.set(key, { test: anyOf(sign.tests), rules: [rule] });
      }
    }
  }

  /** Adds the rules that the event's value of the field can concern. */
  collect(subject: Subject, candidates: Finds): void {
    // Most values can be told in the bytes to be none of those that are looked for.
    if (this.#only === 'texts') {
      const filter = this.#texts!.filter;
      if (filter !== null && !subject.mayHave(this.slot, filter)) return;
    } else if (this.#only === 'equals') {
      if (!subject.mayEqual(this.slot, this.#equals!.shapes)) return;
    }
    const value = subject.text(this.slot);
    if (value === undefined) return;
    candidates.addAll(this.#present);
    if (this.#equals !== null) {
      if (typeof value === 'string') candidates.addAll(this.#equals.find(value));
      else for (const one of value) candidates.addAll(this.#equals.find(one));
    }
    if (this.#isCostly || this.#numbers !== null) {
      if (typeof value === 'string') this.#collectOne(value, candidates);
      else for (const one of value) this.#collectOne(one, candidates);
    }
  }

  #onlyKind(): 'texts' | 'equals' | null {
    if (this.#present.length > 0 || this.#numbers !== null || this.#tests.size > 0) return null;
    if (this.#texts === null) return this.#equals === null ? null : 'equals';
    return this.#equals === null ? 'texts' : null;
  }

  #collectOne(value: string, candidates: Finds): void {
    if (this.#numbers !== null && mayBeNumber(value)) {
      candidates.addAll(this.#numbers.get(numberOf(value)) ?? NONE);
    }
    if (!this.#isCostly) return;
    candidates.addAll(this.#find(value));
    this.#finds += 1;
    if (this.#finds === REMEMBER_AFTER) this.#find = remembered(this.#find, FEW_PLACES);
  }

  #search(value: string): readonly IndexedRule[] {
    const found: IndexedRule[] = [];
    this.#texts?.find(value.toLowerCase(), found);
    for (const { test, rules } of this.#tests.values()) if (test(value)) found.push(...rules);
    return found.length === 0 ? NONE : found;
  }
}

/** Whether a text starts as a number does: a cheap no for most. */
function mayBeNumber(text: string): boolean {
  const first = text.charCodeAt(0);
  return first >= 0x2b && first <= 0x39;
}

function anyOf(tests: readonly OneTextTest[]): TextTest {
  const compiled = tests.map((one): TextTest => {
    const test = compileText(one);
    return isUncased(one) ? (text) => test(text.toLowerCase()) : test;
  });
  return (text) => compiled.some((test) => test(text));
}

/** Whether events have a sign: to learn how telling it is. */
export class SignTest {
  readonly #slot: number;
  readonly #test: TextTest;
  /** Whether the test is of the lower-cased text, which all signs of a field share. */
  readonly #isOfLower: boolean;

  constructor(sign: Sign) {
    this.#slot = sign.slot;
    this.#isOfLower = sign.kind === 'equals' || sign.kind === 'inside';
    this.#test = testOfSign(sign);
  }

  isIn(subject: Subject): boolean {
    const value = this.#isOfLower ? subject.lower(this.#slot) : subject.text(this.#slot);
    if (value === undefined) return false;
    return typeof value === 'string' ? this.#test(value) : value.some(this.#test);
  }
}

function testOfSign(sign: Sign): TextTest {
  switch (sign.kind) {
    case 'present':
      return () => true;
    case 'equals':
      return (text) => text === sign.text;
    case 'number':
      return (text) => numberOf(text) === sign.number;
    case 'inside':
      return (text) => text.includes(sign.text);
    case 'passes':
      return anyOf(sign.tests);
  }
}

const NONE: readonly IndexedRule[] = Object.freeze([]);

function addTo<K>(map: Map<K, IndexedRule[]>, key: K, rule: IndexedRule): void {
  const rules = map.get(key);
  if (rules === undefined) map.set(key, [rule]);
  else rules.push(rule);
}
