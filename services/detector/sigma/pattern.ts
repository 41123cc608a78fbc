/**
 * Sigma strings: text with `*` (any run, also empty) and `?` (exactly one character), and the
 * matching of them in time linear in the value for every pattern without `?`, and bounded by
 * value × segment otherwise. No pattern can blow up.
 *
 * Escaping (Sigma 2.1, "Escaping"): a backslash escapes only `*`, `?` and `\`; before anything
 * else, and at the end, it is a plain backslash.
 */

export type PatternPart = string | typeof RUN | typeof ONE;
/** Any run of characters, also none. */
export const RUN: unique symbol = Symbol('*');
/** Exactly one character (Unicode code point). */
export const ONE: unique symbol = Symbol('?');

/** Parts in order; texts are never empty and never neighbours, runs are never neighbours. */
export type Pattern = readonly PatternPart[];

export function parsePattern(source: string): Pattern {
  const parts: PatternPart[] = [];
  let text = '';
  let escaped = false;
  for (const character of source) {
    const special = character === '*' || character === '?' || character === '\\';
    if (escaped) {
      text += special ? character : `\\${character}`;
      escaped = false;
    } else if (character === '\\') {
      escaped = true;
    } else if (special) {
      const wildcard: PatternPart = character === '*' ? RUN : ONE;
      parts.push(text, wildcard);
      text = '';
    } else {
      text += character;
    }
  }
  if (escaped) text += '\\';
  return joined([...parts, text]);
}

/** The pattern with runs added at its ends, where there are none yet. */
export function widened(pattern: Pattern, ends: { start: boolean; end: boolean }): Pattern {
  const run: readonly PatternPart[] = [RUN];
  return joined([...(ends.start ? run : []), ...pattern, ...(ends.end ? run : [])]);
}

/** The text of a pattern without wildcards, else null. */
export function literalOf(pattern: Pattern): string | null {
  if (pattern.length === 0) return '';
  const [only] = pattern;
  return pattern.length === 1 && typeof only === 'string' ? only : null;
}

function joined(parts: readonly PatternPart[]): Pattern {
  const result: PatternPart[] = [];
  for (const part of parts) {
    const last = result.at(-1);
    if (part === '' || (part === RUN && last === RUN)) continue;
    if (typeof part === 'string' && typeof last === 'string') {
      result[result.length - 1] = last + part;
    } else {
      result.push(part);
    }
  }
  return result;
}

export type TextTest = (text: string) => boolean;

/**
 * A test of whole values. When `cased` is false the test expects values that are lower-cased
 * already (`toLowerCase`), so that one event's value is lower-cased once for all rules.
 */
export function compilePattern(pattern: Pattern, cased: boolean): TextTest {
  const parts = cased
    ? pattern
    : joined(pattern.map((part) => (typeof part === 'string' ? part.toLowerCase() : part)));
  const literal = literalOf(parts);
  if (literal !== null) return (text) => text === literal;
  if (parts.length === 1 && parts[0] === RUN) return () => true;
  if (!parts.includes(ONE)) {
    const shape = parts.map((part) => (part === RUN ? '*' : 't')).join('');
    const text = parts.find((part) => typeof part === 'string') as string;
    if (shape === 't*') return (value) => value.startsWith(text);
    if (shape === '*t') return (value) => value.endsWith(text);
    if (shape === '*t*') return (value) => value.includes(text);
  }
  return compileSegments(parts);
}

/** Between two runs: texts and single characters. */
type Segment = readonly (string | typeof ONE)[];

function compileSegments(parts: Pattern): TextTest {
  const segments: (string | typeof ONE)[][] = [[]];
  for (const part of parts) {
    if (part === RUN) segments.push([]);
    else segments.at(-1)!.push(part);
  }
  const first = segments[0]!;
  if (segments.length === 1) return (value) => matchForward(first, value, 0) === value.length;
  const last = segments.at(-1)!;
  const middle = segments.slice(1, -1).filter((segment) => segment.length > 0);
  return (value) => {
    let position = matchForward(first, value, 0);
    if (position < 0) return false;
    const end = matchBackward(last, value);
    if (end < position) return false;
    // The leftmost place of each segment leaves most room for the next: no backtracking.
    for (const segment of middle) {
      position = find(segment, value, position);
      if (position < 0 || position > end) return false;
    }
    return true;
  };
}

/** Where the segment ends when it starts at `position`, or -1. */
function matchForward(segment: Segment, value: string, position: number): number {
  let at = position;
  for (const part of segment) {
    if (part === ONE) {
      if (at >= value.length) return -1;
      at += isPairAt(value, at) ? 2 : 1;
    } else {
      if (!value.startsWith(part, at)) return -1;
      at += part.length;
    }
  }
  return at;
}

/** Where the segment starts when it ends at the end of the value, or -1. */
function matchBackward(segment: Segment, value: string): number {
  let at = value.length;
  for (let index = segment.length - 1; index >= 0; index -= 1) {
    const part = segment[index]!;
    if (part === ONE) {
      if (at === 0) return -1;
      at -= at > 1 && isPairAt(value, at - 2) ? 2 : 1;
    } else {
      if (!value.endsWith(part, at)) return -1;
      at -= part.length;
    }
  }
  return at;
}

/** Where the leftmost match at or after `from` ends, or -1. */
function find(segment: Segment, value: string, from: number): number {
  const head = segment[0]!;
  for (let at = from; at <= value.length; at += 1) {
    if (head !== ONE) {
      at = value.indexOf(head, at);
      if (at < 0) return -1;
    } else if (at > 0 && isPairAt(value, at - 1)) {
      continue;
    }
    const end = matchForward(segment, value, at);
    if (end >= 0) return end;
  }
  return -1;
}

function isPairAt(value: string, at: number): boolean {
  const high = value.charCodeAt(at);
  if (!(high >= 0xd800 && high <= 0xdbff)) return false;
  const low = value.charCodeAt(at + 1);
  return low >= 0xdc00 && low <= 0xdfff;
}
