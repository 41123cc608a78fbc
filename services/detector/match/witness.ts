/**
 * What an event must show for a rule to match it: the witness by which the index finds the few
 * rules that an event can concern. Sound, not complete: an event without a rule's witness cannot
 * match the rule; one that has it is still evaluated whole.
 *
 * Of the terms of an AND the most telling one is enough. Service and action come first: the index
 * asks for them once per pair of names, with every test on them answered (`Names`). Then come
 * equality with a value of a field of many values, numbers, text inside a value, and last that a
 * field is there at all.
 */
import type { Expression, Rule, ValueTest } from '../sigma/rule.ts';
import { compileItem, numberKey, type OneTextTest, type Test, uncasedLiteral } from './compile.ts';
import { requiredTexts, TEXT_UNITS_MIN } from './regex-text.ts';
import { FieldSlots, Subject } from './subject.ts';

/** One thing of which a rule needs at least one. Texts are lower-cased. */
export type Sign =
  | { kind: 'equals'; slot: number; text: string }
  | { kind: 'number'; slot: number; number: number }
  /** Text of `TEXT_UNITS_MIN` characters at least, anywhere inside the value. */
  | { kind: 'inside'; slot: number; text: string }
  /** A value that passes any of these tests. */
  | { kind: 'passes'; slot: number; tests: readonly OneTextTest[] }
  | { kind: 'present'; slot: number };

export type Witness =
  /** No event can match. */
  | 'never'
  /** Nothing is needed that an index could ask for. */
  | 'any'
  | readonly Sign[];

/** Beyond this many signs the presence of their fields is asked instead. */
const SIGNS_MAX = 1_024;

export const SERVICE_FIELDS: ReadonlySet<string> = new Set(['serviceName', 'service_name']);
export const ACTION_FIELDS: ReadonlySet<string> = new Set(['actionName', 'action_name']);

export function isNameField(field: string): boolean {
  return SERVICE_FIELDS.has(field) || ACTION_FIELDS.has(field);
}

/** Fields of few values, each of which many events share. */
const COMMON_FIELDS =
  /^(?:audit_?level|version|category|outcome|shape|actor\.type|(?:account|workspace|org)_?id|shard_?name|response\.status_?code|requestParamsTruncated|lakeseal\.(?:source|agent)\..*)$/i;

/** Shares of events that had a sign, 0 to 1, by `signKey`; of the others there is only a guess. */
export type SeenShares = ReadonlyMap<string, number>;

/** Equal for equal signs. */
export function signKey(sign: Sign): string {
  return JSON.stringify(sign, (_, value: unknown) =>
    typeof value === 'symbol' ? { wildcard: value.description } : value,
  );
}

/** A guess at the share of events that have a sign, 0 to 1. */
function guessedShare(sign: Sign, field: string): number {
  // In any case, service and action are asked first.
  if (ACTION_FIELDS.has(field)) return sign.kind === 'equals' ? 1e-6 : 1;
  if (SERVICE_FIELDS.has(field)) return sign.kind === 'equals' ? 1e-5 : 1;
  const common = COMMON_FIELDS.test(field);
  switch (sign.kind) {
    case 'equals':
      return common ? 0.3 : 0.001;
    case 'number':
      return common ? 0.3 : 0.002;
    case 'inside':
      return common ? 0.3 : sign.text.length >= 6 ? 0.004 : 0.02;
    case 'passes':
      return common ? 0.3 : 0.5;
    case 'present':
      return /^(?:requestParams|request_params|response\.)/.test(field) ? 0.2 : 0.9;
  }
}

/** What is known of an event before anything else of it is read. */
export class Names {
  readonly #slots = new FieldSlots();
  readonly #tests = new Map<Expression, Test>();
  #subject: Subject | undefined;
  readonly #event: { serviceName: string; actionName: string };

  constructor(serviceName: string, actionName: string) {
    this.#event = { serviceName, actionName };
  }

  get service(): string {
    return this.#event.serviceName;
  }

  get action(): string {
    return this.#event.actionName;
  }

  /** Whether an item on one of the two names holds. */
  holds(item: Expression & { kind: 'item' }): boolean {
    let test = this.#tests.get(item);
    if (test === undefined) {
      test = compileItem(item, this.#slots);
      this.#tests.set(item, test);
      this.#subject = undefined;
    }
    if (this.#subject === undefined) {
      this.#subject = new Subject(this.#slots);
      this.#subject.reset(this.#event as Parameters<Subject['reset']>[0]);
    }
    return test(this.#subject);
  }
}

function isOfNames(item: Expression & { kind: 'item' }): boolean {
  return isNameField(item.field) && item.values.every(({ kind }) => kind !== 'reference');
}

/** Whether the answer to a rule can depend on service or action alone. */
export function asksNames(rule: Rule): boolean {
  if (rule.service !== null) return true;
  const asks = (expression: Expression): boolean => {
    switch (expression.kind) {
      case 'and':
      case 'or':
        return expression.terms.some(asks);
      case 'not':
        return asks(expression.term);
      case 'selection':
        return asks(rule.selections.get(expression.name)!);
      case 'item':
        return isNameField(expression.field);
      case 'keyword':
        return false;
    }
  };
  return asks(rule.condition);
}

interface Scope {
  rule: Rule;
  slots: FieldSlots;
  names: Names | null;
  seen: SeenShares | null;
  /** Gets every sign that was thought of. */
  thought: Map<string, Sign> | null;
}

export interface WitnessOptions {
  names?: Names;
  seen?: SeenShares;
  thought?: Map<string, Sign>;
}

/**
 * The witness of a rule; with `names`, of the rule for events of that service and action. Slots
 * are those of the subjects that the index will ask.
 */
export function witnessOf(rule: Rule, slots: FieldSlots, options: WitnessOptions = {}): Witness {
  const { names = null, seen = null, thought = null } = options;
  const scope: Scope = { rule, slots, names, seen, thought };
  const condition = of(rule.condition, scope);
  if (rule.service === null) return condition;
  const service = rule.service.toLowerCase();
  if (names !== null) return names.service.toLowerCase() === service ? condition : 'never';
  const confined: Sign = { kind: 'equals', slot: slots.slotOf('serviceName'), text: service };
  return more([[confined], condition], scope);
}

function of(expression: Expression, scope: Scope): Witness {
  switch (expression.kind) {
    case 'and':
      return more(
        expression.terms.map((term) => of(term, scope)),
        scope,
      );
    case 'or':
      return either(expression.terms.map((term) => of(term, scope)));
    case 'selection':
      return of(scope.rule.selections.get(expression.name)!, scope);
    case 'not':
      return answer(expression.term, scope) === 'yes' ? 'never' : 'any';
    case 'keyword':
      return 'any';
    case 'item': {
      const known = answer(expression, scope);
      if (known !== 'unknown') return known === 'yes' ? 'any' : 'never';
      return ofItem(expression, scope);
    }
  }
}

function ofItem(item: Expression & { kind: 'item' }, scope: Scope): Witness {
  const slot = scope.slots.slotOf(item.field);
  const witnesses: Witness[] = [];
  const tests: OneTextTest[] = [];
  for (const value of item.values) {
    const witness = ofValue(slot, value);
    if (witness !== null) witnesses.push(witness);
    else tests.push(value as OneTextTest);
  }
  if (tests.length > 0) witnesses.push([{ kind: 'passes', slot, tests }]);
  return either(witnesses);
}

/** What service and action alone say. */
function answer(expression: Expression, scope: Scope): 'yes' | 'no' | 'unknown' {
  if (scope.names === null) return 'unknown';
  switch (expression.kind) {
    case 'and': {
      const terms = expression.terms.map((term) => answer(term, scope));
      if (terms.includes('no')) return 'no';
      return terms.includes('unknown') ? 'unknown' : 'yes';
    }
    case 'or': {
      const terms = expression.terms.map((term) => answer(term, scope));
      if (terms.includes('yes')) return 'yes';
      return terms.includes('unknown') ? 'unknown' : 'no';
    }
    case 'not': {
      const term = answer(expression.term, scope);
      return term === 'unknown' ? term : term === 'yes' ? 'no' : 'yes';
    }
    case 'selection':
      return answer(scope.rule.selections.get(expression.name)!, scope);
    case 'item':
      if (!isOfNames(expression)) return 'unknown';
      return scope.names.holds(expression) ? 'yes' : 'no';
    case 'keyword':
      return 'unknown';
  }
}

/** What an index can ask for instead of the whole test, or null where there is nothing. */
function ofValue(slot: number, value: ValueTest): Witness | null {
  switch (value.kind) {
    case 'null':
      return 'any';
    case 'exists':
      return value.wanted ? [{ kind: 'present', slot }] : 'any';
    case 'reference':
      return [{ kind: 'present', slot }];
    case 'number': {
      const number = numberKey(value.text);
      if (number !== null) return [{ kind: 'number', slot, number }];
      return [{ kind: 'equals', slot, text: value.text.toLowerCase() }];
    }
    case 'regex': {
      const texts = requiredTexts(value.source, value.ignoreCase);
      return texts?.map((text) => ({ kind: 'inside', slot, text })) ?? null;
    }
    case 'pattern': {
      const literal = uncasedLiteral({ ...value, cased: false });
      if (literal !== null) return [{ kind: 'equals', slot, text: literal }];
      const text = longestText(value);
      return text === null ? null : [{ kind: 'inside', slot, text }];
    }
    default:
      return null;
  }
}

const ASCII = /^[\0-\x7f]*$/;

/** The longest text that the pattern's values hold, lower-cased, or null where it tells nothing. */
function longestText({ pattern, cased }: ValueTest & { kind: 'pattern' }): string | null {
  let longest = '';
  for (const part of pattern) {
    if (typeof part !== 'string') continue;
    // Of other scripts lower case depends on what stands beside it: no part of the value's then.
    if (cased && !ASCII.test(part)) continue;
    const text = part.toLowerCase();
    if (text.length > longest.length) longest = text;
  }
  return longest.length >= TEXT_UNITS_MIN ? longest : null;
}

function shareOf(sign: Sign, { slots, seen, thought }: Scope): number {
  const field = slots.fieldOf(sign.slot);
  if (seen === null && thought === null) return guessedShare(sign, field);
  const key = signKey(sign);
  thought?.set(key, sign);
  return seen?.get(key) ?? guessedShare(sign, field);
}

function shareOfAll(signs: readonly Sign[], scope: Scope): number {
  return signs.reduce((sum, sign) => sum + shareOf(sign, scope), 0);
}

/** The most telling of the witnesses, all of which are needed. */
function more(witnesses: readonly Witness[], scope: Scope): Witness {
  let best: Witness = 'any';
  let bestShare = Number.POSITIVE_INFINITY;
  for (const witness of witnesses) {
    if (witness === 'never') return 'never';
    if (witness === 'any') continue;
    const share = shareOfAll(witness, scope);
    if (share >= bestShare) continue;
    best = witness;
    bestShare = share;
  }
  return best;
}

/** Any of the witnesses will do. */
function either(witnesses: readonly Witness[]): Witness {
  const distinct = new Map<string, Sign>();
  for (const witness of witnesses) {
    if (witness === 'any') return 'any';
    if (witness === 'never') continue;
    for (const sign of witness) distinct.set(signKey(sign), sign);
  }
  if (distinct.size === 0) return 'never';
  const signs = [...distinct.values()];
  return signs.length > SIGNS_MAX ? present(signs) : signs;
}

function present(signs: readonly Sign[]): Witness {
  return [...new Set(signs.map(({ slot }) => slot))].map((slot) => ({ kind: 'present', slot }));
}
