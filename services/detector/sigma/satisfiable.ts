/**
 * Whether any event at all can make an expression true. Sound in one direction: "no" is certain,
 * "yes" means that nothing was found against it.
 *
 * The expression is brought into alternatives of tests that hold together, and in each alternative
 * the tests of one field are held against each other: literals, presence, and ranges of numbers.
 */

import { KNOWN_FIELDS } from '../fields/fields.ts';
import { numberOf } from '../fields/number.ts';
import { compilePattern, literalOf, type Pattern, RUN } from './pattern.ts';
import type { CompareOperator, Expression, TimePart, ValueTest } from './rule.ts';

type Item = Expression & { kind: 'item' };
/** An item or a keyword, wanted or not. */
interface Atom {
  test: Expression;
  wanted: boolean;
}

/** Alternatives that are looked at before the answer is "yes". */
const ALTERNATIVES_MAX = 2_000;
/** Fields that every event has: without them it would not have been decoded. */
const ALWAYS_PRESENT = ['serviceName', 'service_name', 'actionName', 'action_name', 'timestamp'];

/** `selections` are those of the rule that the terms are of. All terms hold together. */
export function satisfiable(
  terms: readonly Expression[],
  selections: ReadonlyMap<string, Expression>,
): boolean {
  const search = new Search(selections);
  return search.any(
    terms.map((term) => ({ test: term, wanted: true })),
    [],
  );
}

class Search {
  readonly #selections: ReadonlyMap<string, Expression>;
  #left = ALTERNATIVES_MAX;

  constructor(selections: ReadonlyMap<string, Expression>) {
    this.#selections = selections;
  }

  /** Whether what is still to be taken apart can be true together with these atoms. */
  any(open: readonly Atom[], atoms: readonly Atom[]): boolean {
    const [first, ...rest] = open;
    if (first === undefined) {
      this.#left -= 1;
      return this.#left < 0 || consistent(atoms);
    }
    if (this.#left < 0) return true;
    const { test, wanted } = first;
    switch (test.kind) {
      case 'not':
        return this.any([{ test: test.term, wanted: !wanted }, ...rest], atoms);
      case 'selection': {
        const selection = this.#selections.get(test.name);
        return selection === undefined || this.any([{ test: selection, wanted }, ...rest], atoms);
      }
      case 'and':
      case 'or': {
        const parts = test.terms.map((term): Atom => ({ test: term, wanted }));
        if ((test.kind === 'and') === wanted) return this.any([...parts, ...rest], atoms);
        return parts.some((part) => this.any([part, ...rest], atoms));
      }
      default:
        return this.any(rest, [...atoms, first]);
    }
  }
}

function consistent(atoms: readonly Atom[]): boolean {
  const keys = new Map<string, boolean>();
  const byField = new Map<string, { wanted: Item[]; unwanted: Item[] }>();
  for (const { test, wanted } of atoms) {
    const key = keyOf(test);
    if ((keys.get(key) ?? wanted) !== wanted) return false;
    keys.set(key, wanted);
    if (test.kind === 'keyword' && !wanted && isRun(test.pattern)) return false;
    if (test.kind !== 'item') continue;
    const field = oneSpelling(test.field);
    const items = byField.get(field) ?? { wanted: [], unwanted: [] };
    (wanted ? items.wanted : items.unwanted).push(test);
    byField.set(field, items);
  }
  return [...byField].every(([field, items]) => fieldConsistent(field, items));
}

function fieldConsistent(
  field: string,
  { wanted, unwanted }: { wanted: readonly Item[]; unwanted: readonly Item[] },
): boolean {
  if (wanted.some(({ values }) => values.every(isImpossible))) return false;
  const present =
    ALWAYS_PRESENT.includes(field) ||
    wanted.some(({ values }) => values.every((value) => !holdsOfAbsent(value))) ||
    unwanted.some(({ values }) => values.some(holdsOfAbsent));
  const absent =
    wanted.some(({ values }) => values.every(isOnlyAbsence)) ||
    unwanted.some(({ values }) => values.some(holdsOfAnyPresent));
  if (present && absent) return false;
  if (!isSingleValued(field)) return true;
  return literalsConsistent(wanted, unwanted) && rangesConsistent(wanted);
}

function holdsOfAbsent(value: ValueTest): boolean {
  return value.kind === 'null' || (value.kind === 'exists' && !value.wanted);
}

/** `null` and `exists: false` hold of absence, and of nothing else. */
const isOnlyAbsence = holdsOfAbsent;

function holdsOfAnyPresent(value: ValueTest): boolean {
  if (value.kind === 'exists') return value.wanted;
  return value.kind === 'pattern' && isRun(value.pattern);
}

function isRun(pattern: Pattern): boolean {
  return pattern.length === 1 && pattern[0] === RUN;
}

/** Fields that are one text, so that what two tests want of them is wanted of the same text. */
function isSingleValued(field: string): boolean {
  return KNOWN_FIELDS.includes(field) || /^(?:requestParams|request_params)\.[^.]+$/.test(field);
}

function oneSpelling(field: string): string {
  if (field === 'service_name') return 'serviceName';
  return field === 'action_name' ? 'actionName' : field;
}

/** What a field could be: a text (lower case), or any way to write a number. */
type Candidate = { text: string } | { number: number };

function literalsConsistent(wanted: readonly Item[], unwanted: readonly Item[]): boolean {
  const source = wanted.find(({ values }) => values.every((value) => candidateOf(value) !== null));
  if (source === undefined) return true;
  return source.values
    .map((value) => candidateOf(value)!)
    .some(
      (candidate) =>
        wanted.every(({ values }) => values.some((value) => mayBe(candidate, value))) &&
        !unwanted.some(({ values }) => values.some((value) => mustBe(candidate, value))),
    );
}

function candidateOf(value: ValueTest): Candidate | null {
  if (value.kind === 'number') return { number: Number(value.text) };
  const literal = value.kind === 'pattern' ? literalOf(value.pattern) : null;
  return literal === null ? null : { text: literal.toLowerCase() };
}

/** False only where no spelling of the candidate can pass the test. */
function mayBe(candidate: Candidate, value: ValueTest): boolean {
  switch (value.kind) {
    case 'null':
      return false;
    case 'exists':
      return value.wanted;
    case 'pattern': {
      if ('text' in candidate) return compilePattern(value.pattern, false)(candidate.text);
      const literal = literalOf(value.pattern);
      return literal === null || closeNumbers(numberOf(literal), candidate.number);
    }
    case 'number': {
      if ('number' in candidate) return closeNumbers(Number(value.text), candidate.number);
      if (candidate.text === value.text.toLowerCase()) return true;
      return closeNumbers(numberOf(candidate.text), Number(value.text));
    }
    case 'compare': {
      const number = 'number' in candidate ? candidate.number : numberOf(candidate.text);
      return !Number.isSafeInteger(number)
        ? !Number.isNaN(number)
        : compares(number, value.operator, value.operand);
    }
    default:
      return true;
  }
}

/** True only where every spelling of the candidate passes the test. */
function mustBe(candidate: Candidate, value: ValueTest): boolean {
  if (value.kind === 'exists') return value.wanted;
  if (value.kind !== 'pattern' || value.cased) return false;
  if ('number' in candidate) return isRun(value.pattern);
  return compilePattern(value.pattern, false)(candidate.text);
}

/** Equal, or too large for doubles to tell apart. */
function closeNumbers(a: number, b: number): boolean {
  if (Number.isNaN(a) || Number.isNaN(b)) return false;
  return a === b || (!Number.isSafeInteger(a) && Math.abs(a - b) <= Math.abs(a) * 1e-9);
}

function compares(left: number, operator: CompareOperator, right: number): boolean {
  if (operator === 'lt') return left < right;
  if (operator === 'lte') return left <= right;
  return operator === 'gt' ? left > right : left >= right;
}

/** Comparisons of one number with each other. */
function rangesConsistent(wanted: readonly Item[]): boolean {
  let low = { at: Number.NEGATIVE_INFINITY, open: false };
  let high = { at: Number.POSITIVE_INFINITY, open: false };
  for (const { values } of wanted) {
    const [only] = values;
    if (values.length !== 1 || only?.kind !== 'compare') continue;
    const { operator, operand } = only;
    const open = operator === 'lt' || operator === 'gt';
    if (operator === 'gt' || operator === 'gte') {
      if (operand > low.at || (operand === low.at && open)) low = { at: operand, open };
    } else if (operand < high.at || (operand === high.at && open)) {
      high = { at: operand, open };
    }
  }
  return low.at < high.at || (low.at === high.at && !low.open && !high.open);
}

const TIME_RANGES: Record<TimePart, readonly [min: number, max: number]> = {
  minute: [0, 59],
  hour: [0, 23],
  day: [1, 31],
  week: [1, 53],
  month: [1, 12],
  year: [-271_821, 275_760],
};

/** A part of a time that no time has. */
function isImpossible(value: ValueTest): boolean {
  if (value.kind !== 'time') return false;
  const [min, max] = TIME_RANGES[value.part];
  const { operator, operand } = value;
  if (operator === 'equals') return !Number.isInteger(operand) || operand < min || operand > max;
  if (operator === 'gt') return operand >= max;
  if (operator === 'gte') return operand > max;
  return operator === 'lt' ? operand <= min : operand < min;
}

/** Equal for equal tests. Wildcards are symbols, which JSON would leave out. */
function keyOf(test: Expression): string {
  return JSON.stringify(test, (_, value: unknown) =>
    typeof value === 'symbol' ? { symbol: value.description } : value,
  );
}
