/**
 * JSON text to values and back to text, without losing a number and without ever throwing.
 *
 * A `JsonReading` reads one event's text, first the fast way: numbers become doubles. Where a
 * double that was turned to text may differ from what was written (`9007199254740993`, `1.10`,
 * `1e400`), `isLossy` says so, and the caller reads the event again with `exact` set, where such a
 * number keeps its spelling.
 *
 * Work is bounded before it is done: nesting and number of values of a long text are counted by a
 * scan, since the engine's own parser takes whatever it is given.
 */

/** Levels of objects and lists in one text. */
export const JSON_DEPTH_MAX = 128;
/** Values in one text: its commas and opening brackets. */
export const JSON_VALUES_MAX = 250_000;
/** Numbers of one event that need their spelling kept: each costs a microsecond. */
export const JSON_EXACT_NUMBERS_MAX = 50_000;
/** Shorter texts cannot be slow to parse, whatever they hold. */
const SCAN_CHARS_MIN = 65_536;

export type JsonProblem = 'not_json' | 'too_deep' | 'too_many_values';

export type JsonObject = Record<string, unknown>;

/** A number by its spelling. */
interface RawNumber {
  readonly rawJSON: string;
}

type Reviver = (key: string, value: unknown, context: { source: string }) => unknown;

/** The language has these; the compiler's library does not know them yet. */
const exactJson = JSON as unknown as {
  rawJSON(text: string): RawNumber;
  isRawJSON(value: unknown): value is RawNumber;
  parse(text: string, reviver: Reviver): unknown;
};

/** The spelling of a number that was read exactly, or null for any other value. */
export function spelling(value: unknown): string | null {
  return exactJson.isRawJSON(value) ? value.rawJSON : null;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * A number literal that a double may not give back as it was written: 16 digits from 9 up, 17
 * digits, a fraction, an exponent, minus zero. It may take text for a number, never the reverse.
 */
const RISKY_NUMBER =
  /(?:^|[:,[])\s*-?(?:9\d{15}|\d{17,}|\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|(?<=-)0)\s*(?:[,}\]]|$)/;

/** Integers below are exact and are spelled one way only by any ordinary writer. */
const ORDINARY_MAX = 9e15;

function isOrdinary(value: number): boolean {
  return Number.isInteger(value) && Math.abs(value) < ORDINARY_MAX && !Object.is(value, -0);
}

/** With a reviver, the parser runs out of stack on deep nesting: a RangeError. */
function problemOf(error: unknown): JsonProblem {
  if (error instanceof TooManyNumbers) return 'too_many_values';
  return error instanceof RangeError ? 'too_deep' : 'not_json';
}

/** Thrown and caught in this file only: the parser has no other way out. */
class TooManyNumbers extends Error {}

/** A reviver that keeps the spelling of numbers that a double would spell otherwise. */
function spellingKeeper(): Reviver {
  let left = JSON_EXACT_NUMBERS_MAX;
  return (_key, value, context) => {
    if (typeof value !== 'number' || String(value) === context.source) return value;
    if (left-- === 0) throw new TooManyNumbers();
    return exactJson.rawJSON(context.source);
  };
}

export class JsonReading {
  /** Set to read numbers by their spelling. */
  readonly exact: boolean;
  /** Why the last `parse` gave undefined. */
  problem: JsonProblem = 'not_json';
  readonly #reviver: Reviver | null;
  readonly #fieldTexts: string[] = [];
  /** A value was nested too deep to be turned to text. */
  isTooDeep = false;
  /** Fields that no shape knows were left out, for there were too many. */
  isExtraCut = false;
  /** A number was turned to text whose spelling the event's text has to be asked about. */
  #hasNumber = false;
  /** A number was turned to text that a double does not hold. */
  #isUnsafe = false;

  constructor(exact: boolean) {
    this.exact = exact;
    this.#reviver = exact ? spellingKeeper() : null;
  }

  /** The value of a text, or undefined (which no text has as its value) with `problem` set. */
  parse(text: string): unknown {
    if (text.length >= SCAN_CHARS_MIN) {
      const problem = scanSize(text);
      if (problem !== null) {
        this.problem = problem;
        return undefined;
      }
    }
    try {
      return this.#reviver !== null ? exactJson.parse(text, this.#reviver) : JSON.parse(text);
    } catch (error) {
      this.problem = problemOf(error);
      return undefined;
    }
  }

  /** Like `parse`, for JSON text that a field of the event holds. */
  parseField(text: string): unknown {
    this.#fieldTexts.push(text);
    return this.parse(text);
  }

  /** After an event was read fast: whether reading its text exactly may give another event. */
  isLossy(text: string): boolean {
    if (this.exact) return false;
    if (this.#isUnsafe) return true;
    if (!this.#hasNumber) return false;
    // Escapes may hide in the event's text what a field's text shows.
    return RISKY_NUMBER.test(text) || this.#fieldTexts.some((field) => RISKY_NUMBER.test(field));
  }

  /** Any value as text: text as it is, null as null, all else as JSON text. */
  text(value: unknown): string | null {
    if (typeof value === 'string') return value;
    if (value === null || value === undefined) return null;
    if (typeof value === 'number') {
      this.#hasNumber = true;
      return this.#number(value);
    }
    return this.json(value);
  }

  /** An id as text: like `text`, but an ordinary integer is always spelled as one (`7`, not `7.0`). */
  idText(value: unknown): string | null {
    if (typeof value === 'string') return value;
    const spelled = typeof value === 'object' ? spelling(value) : null;
    if (spelled !== null && isOrdinary(Number(spelled))) return String(Number(spelled));
    return typeof value === 'number' ? this.#number(value) : this.text(value);
  }

  /** Any value as JSON text; no text, and `isTooDeep`, where it is nested too deep to write. */
  json(value: unknown): string {
    if (typeof value === 'number' || typeof value === 'object') {
      this.#hasNumber = true;
      if (typeof value === 'number') return this.#number(value);
      if (isDeeperThan(value, JSON_DEPTH_MAX)) {
        this.isTooDeep = true;
        return '';
      }
    }
    return JSON.stringify(value);
  }

  #number(value: number): string {
    if (!isOrdinary(value)) this.#isUnsafe = true;
    return String(value);
  }
}

/** True where objects and lists are nested deeper than `levels`. */
export function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(value)) return value.some((item) => isDeeperThan(item, levels - 1));
  for (const key in value) if (isDeeperThan((value as JsonObject)[key], levels - 1)) return true;
  return false;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** The place behind the string whose first quote is at `from`. The text need not be JSON. */
function stringEnd(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) at++;
    else if (code === QUOTE) return at + 1;
  }
  return text.length;
}

/** What is too much about a text that may not even be JSON, or null. */
export function scanSize(text: string): JsonProblem | null {
  let depth = 0;
  let values = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = stringEnd(text, at) - 1;
        break;
      case OPEN_LIST:
      case OPEN_OBJECT:
        values++;
        if (++depth > JSON_DEPTH_MAX) return 'too_deep';
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        depth--;
        break;
      case COMMA:
        if (++values > JSON_VALUES_MAX) return 'too_many_values';
        break;
    }
  }
  return values > JSON_VALUES_MAX ? 'too_many_values' : null;
}

/** A part of a text: from, inclusive, and to, exclusive. */
export interface Span {
  from: number;
  to: number;
}

/** The first place at or behind `at` that is no white space. */
function skipSpace(text: string, at: number): number {
  let place = at;
  while (place < text.length && text.charCodeAt(place) <= 0x20) place++;
  return place;
}

/** The place behind the value that starts at `from`, in valid JSON. */
function valueEnd(text: string, from: number): number {
  const first = text.charCodeAt(from);
  if (first === QUOTE) return stringEnd(text, from);
  if (first !== OPEN_LIST && first !== OPEN_OBJECT) return scalarEnd(text, from);
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = stringEnd(text, at) - 1;
    else if (code === OPEN_LIST || code === OPEN_OBJECT) depth++;
    else if ((code === CLOSE_LIST || code === CLOSE_OBJECT) && --depth === 0) return at + 1;
  }
  return text.length;
}

/** A number or a word ends before a comma, a closing bracket or white space. */
function scalarEnd(text: string, from: number): number {
  let at = from;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === COMMA || code === CLOSE_LIST || code === CLOSE_OBJECT || code <= 0x20) break;
    at++;
  }
  return at;
}

/** Spans of the items of the list that starts at `from`, in valid JSON. */
export function itemSpans(text: string, from: number): Span[] {
  const spans: Span[] = [];
  let at = skipSpace(text, from + 1);
  while (at < text.length && text.charCodeAt(at) !== CLOSE_LIST) {
    const to = valueEnd(text, at);
    spans.push({ from: at, to });
    at = skipSpace(text, to);
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1);
  }
  return spans;
}

/**
 * Where the value of a key of the outermost object starts, in valid JSON, or -1. Of a key that
 * comes twice it is the last, as for `JSON.parse`.
 */
export function valueStart(text: string, key: string): number {
  let found = -1;
  let at = skipSpace(text, skipSpace(text, 0) + 1);
  while (at < text.length && text.charCodeAt(at) === QUOTE) {
    const keyEnd = stringEnd(text, at);
    const colon = skipSpace(text, keyEnd);
    const start = skipSpace(text, colon + 1);
    if (JSON.parse(text.slice(at, keyEnd)) === key) found = start;
    at = skipSpace(text, valueEnd(text, start));
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1);
  }
  return found;
}
