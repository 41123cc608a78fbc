/**
 * Rules into closures. A closure reads its fields through the subject and answers true or false;
 * it never throws and never allocates for plain string tests.
 *
 * Where the specification leaves a choice, the answers here are: numbers and booleans are compared
 * as text; an absent field makes every test false but `exists: false` and `null`; `neq` is the
 * negation of the whole item, so it is true of an absent field; a list value (JSON arrays) matches
 * when any element does; keywords are found anywhere inside any value of the event.
 */
import { strict as assert } from 'node:assert';
import { addressBytes } from '../fields/address.ts';
import type { FieldValue } from '../fields/fields.ts';
import { remembered } from '../fields/memo.ts';
import { numberOf } from '../fields/number.ts';
import { compilePattern, literalOf, type TextTest, widened } from '../sigma/pattern.ts';
import { compileRegex } from '../sigma/regex.ts';
import type { Expression, Level, Rule, TimePart, ValueTest } from '../sigma/rule.ts';
import type { FieldSlots, Subject } from './subject.ts';

export type Test = (subject: Subject) => boolean;

/** From how many plain values on a set is asked instead of each value in turn. */
const SET_VALUES_MIN = 4;

/** A rule as tests of one event. */
export interface CompiledRule {
  rule: Rule;
  /** Whether it fires, its log source included. */
  test: Test;
  /** In order: the first that holds decides the level. */
  levels: ReadonlyArray<{ level: Level; when: Test }>;
}

export function compileRule(rule: Rule, slots: FieldSlots): CompiledRule {
  const compile = expressionCompiler(rule, slots);
  const condition = compile(rule.condition);
  const levels = rule.levels.map(({ level, when }) => ({ level, when: compile(when) }));
  if (rule.service === null) return { rule, test: condition, levels };
  const slot = slots.slotOf('serviceName');
  const service = rule.service.toLowerCase();
  const confined = onLower(slot, (text) => text === service);
  return { rule, test: (subject) => confined(subject) && condition(subject), levels };
}

/** Selections that are named more than once are compiled once. */
function expressionCompiler(rule: Rule, slots: FieldSlots): (expression: Expression) => Test {
  const selections = new Map<string, Test>();
  const compile = (expression: Expression): Test => {
    switch (expression.kind) {
      case 'and':
        return every(expression.terms.map(compile));
      case 'or':
        return some(expression.terms.map(compile));
      case 'not': {
        const term = compile(expression.term);
        return (subject) => !term(subject);
      }
      case 'selection': {
        let test = selections.get(expression.name);
        if (test === undefined) {
          const selection = rule.selections.get(expression.name);
          assert(selection !== undefined, 'a condition names only selections of its rule');
          test = compile(selection);
          selections.set(expression.name, test);
        }
        return test;
      }
      case 'item':
        return compileItem(expression, slots);
      case 'keyword':
        return compileKeyword(expression);
    }
  };
  return compile;
}

function every(tests: readonly Test[]): Test {
  const [first, second] = tests;
  assert(first !== undefined, 'an AND has operands');
  if (second === undefined) return first;
  if (tests.length === 2) return (subject) => first(subject) && second(subject);
  return (subject) => {
    for (const test of tests) if (!test(subject)) return false;
    return true;
  };
}

function some(tests: readonly Test[]): Test {
  const [first, second] = tests;
  assert(first !== undefined, 'an OR has operands');
  if (second === undefined) return first;
  if (tests.length === 2) return (subject) => first(subject) || second(subject);
  return (subject) => {
    for (const test of tests) if (test(subject)) return true;
    return false;
  };
}

export function compileItem(item: Expression & { kind: 'item' }, slots: FieldSlots): Test {
  const slot = slots.slotOf(item.field);
  const networks = item.values.filter((value) => value.kind === 'cidr');
  if (networks.length > 0) {
    const values = item.values.filter((value) => value.kind !== 'cidr');
    const inNetworks = compileNetworks(
      slot,
      networks.map(({ network }) => network),
    );
    if (values.length === 0) return inNetworks;
    return some([inNetworks, compileItem({ ...item, values }, slots)]);
  }
  const literals = item.values.map(uncasedLiteral);
  const plain = literals.filter((literal) => literal !== null);
  if (plain.length < SET_VALUES_MIN) {
    return some(item.values.map((value) => compileValue(slot, value, slots)));
  }
  const wanted = new Set(plain);
  const rest = item.values.filter((_, index) => literals[index] === null);
  const inSet = onLower(slot, (text) => wanted.has(text));
  if (rest.length === 0) return inSet;
  return some([inSet, ...rest.map((value) => compileValue(slot, value, slots))]);
}

function compileNetworks(slot: number, networks: readonly string[]): Test {
  return onText(slot, inNetworks(networks));
}

/** Any of some networks: an address is taken apart once for all of them, and then known. */
function inNetworks(networks: readonly string[]): TextTest {
  const tests = networks.map(compileNetwork);
  return remembered((text: string): boolean => {
    const bytes = addressBytes(text);
    return bytes !== null && tests.some((test) => test(bytes));
  });
}

/** Lower-cased text that the value must equal, or null where it is more than that. */
export function uncasedLiteral(value: ValueTest): string | null {
  if (value.kind !== 'pattern' || value.cased) return null;
  return literalOf(value.pattern)?.toLowerCase() ?? null;
}

function compileKeyword(keyword: Expression & { kind: 'keyword' }): Test {
  const inside = widened(keyword.pattern, { start: true, end: true });
  const test = compilePattern(inside, keyword.cased);
  return keyword.cased
    ? (subject) => subject.everything().some(test)
    : (subject) => subject.everythingLower().some(test);
}

function compileValue(slot: number, value: ValueTest, slots: FieldSlots): Test {
  switch (value.kind) {
    case 'null':
      return (subject) => subject.text(slot) === undefined;
    case 'exists': {
      const { wanted } = value;
      return (subject) => (subject.text(slot) !== undefined) === wanted;
    }
    case 'reference':
      return compileReference(slot, value, slots);
    case 'cidr':
      return compileNetworks(slot, [value.network]);
    default: {
      const test = compileText(value);
      return isUncased(value) ? onLower(slot, test) : onText(slot, test);
    }
  }
}

/** A value test that needs to know nothing but one text. */
export type OneTextTest = Exclude<ValueTest, { kind: 'null' | 'exists' | 'reference' }>;

/** Whether the test of a value is to be asked of the lower-cased text. */
export function isUncased(value: ValueTest): boolean {
  return value.kind === 'pattern' && !value.cased;
}

/** The test of one text, lower-cased before where `isUncased` says so. */
export function compileText(value: OneTextTest): TextTest {
  switch (value.kind) {
    case 'pattern':
      return compilePattern(value.pattern, value.cased);
    case 'number':
      return numberEquals(value.text);
    case 'regex':
      return compileRegexTest(value);
    case 'compare':
      return compileCompare(value);
    case 'cidr':
      return inNetworks([value.network]);
    case 'time':
      return compileTime(value);
  }
}

function onText(slot: number, test: TextTest): Test {
  return (subject) => holds(subject.text(slot), test);
}

function onLower(slot: number, test: TextTest): Test {
  return (subject) => holds(subject.lower(slot), test);
}

function holds(value: FieldValue, test: TextTest): boolean {
  if (typeof value === 'string') return test(value);
  return value?.some(test) ?? false;
}

/**
 * The number that decides whether a value equals a wanted one, or null where only the text does:
 * beyond 2^53 two different numbers share one double.
 */
export function numberKey(wanted: string): number | null {
  const value = numberOf(wanted);
  return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value : null;
}

function numberEquals(wanted: string): TextTest {
  const value = numberKey(wanted);
  return (text) => text === wanted || (value !== null && numberOf(text) === value);
}

function compileRegexTest(value: ValueTest & { kind: 'regex' }): TextTest {
  const expression = compileRegex(value);
  return (text) => expression.test(text);
}

type Operator = (ValueTest & { kind: 'time' })['operator'];

function compare(left: number, operator: Operator, right: number): boolean {
  switch (operator) {
    case 'lt':
      return left < right;
    case 'lte':
      return left <= right;
    case 'gt':
      return left > right;
    case 'gte':
      return left >= right;
    case 'equals':
      return left === right;
  }
}

function compileCompare(value: ValueTest & { kind: 'compare' }): TextTest {
  const { operator, operand } = value;
  return (text) => compare(numberOf(text), operator, operand);
}

/** `network` is checked at load: ADDRESS or ADDRESS/BITS. */
function compileNetwork(network: string): (bytes: readonly number[]) => boolean {
  const [address, bits] = network.split('/');
  const wanted = addressBytes(address!);
  assert(wanted !== null, 'a network is checked when its rule is loaded');
  const length = bits === undefined ? wanted.length * 8 : Number(bits);
  const whole = length >> 3;
  const mask = (0xff << (8 - (length & 7))) & 0xff;
  return (bytes) => {
    if (bytes.length !== wanted.length) return false;
    for (let index = 0; index < whole; index += 1) {
      if (bytes[index] !== wanted[index]) return false;
    }
    return mask === 0 || (bytes[whole]! & mask) === (wanted[whole]! & mask);
  };
}

function compileReference(
  slot: number,
  value: ValueTest & { kind: 'reference' },
  slots: FieldSlots,
): Test {
  const other = slots.slotOf(value.field);
  const read = (subject: Subject, which: number): FieldValue =>
    value.cased ? subject.text(which) : subject.lower(which);
  const relation = {
    equals: (left: string, right: string) => left === right,
    contains: (left: string, right: string) => left.includes(right),
    startswith: (left: string, right: string) => left.startsWith(right),
    endswith: (left: string, right: string) => left.endsWith(right),
  }[value.mode];
  return (subject) => {
    const right = read(subject, other);
    if (right === undefined) return false;
    return holds(read(subject, slot), (left) => holds(right, (one) => relation(left, one)));
  };
}

function compileTime(value: ValueTest & { kind: 'time' }): TextTest {
  const { part, operator, operand } = value;
  return (text) => {
    const number = numberOf(text);
    const date = new Date(Number.isNaN(number) ? text : number);
    return !Number.isNaN(date.getTime()) && compare(timePart(date, part), operator, operand);
  };
}

function timePart(date: Date, part: TimePart): number {
  switch (part) {
    case 'minute':
      return date.getUTCMinutes();
    case 'hour':
      return date.getUTCHours();
    case 'day':
      return date.getUTCDate();
    case 'week':
      return isoWeek(date);
    case 'month':
      return date.getUTCMonth() + 1;
    case 'year':
      return date.getUTCFullYear();
  }
}

/** ISO 8601: the week that holds the year's first Thursday is week 1. */
function isoWeek(date: Date): number {
  const dayMs = 86_400_000;
  const thursday = new Date(date.getTime());
  thursday.setUTCDate(date.getUTCDate() + 4 - (date.getUTCDay() || 7));
  const yearStart = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  return Math.floor((thursday.getTime() - yearStart) / dayMs / 7) + 1;
}
