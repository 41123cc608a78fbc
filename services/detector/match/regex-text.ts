/**
 * Texts of which every match of a regular expression holds one, for the index. Only what is plain
 * is understood: of the rest nothing is claimed.
 */

/** Shortest text that is looked for inside values. */
export const TEXT_UNITS_MIN = 3;

/** Characters that stand for themselves outside of classes. */
const PLAIN = /[A-Za-z0-9 _\-/:;,@#%&=~"'<>!]/;
/** Escaped, these stand for themselves. */
const ESCAPED = /[.\-/\\+*?()[\]{}^$|]/;
/** Other characters equal these where case is ignored: U+017F and U+212A. */
const FOLDS_FURTHER = /[sk]/i;

/** With more texts than this, looking for them tells little. */
const TEXTS_MAX = 16;

/**
 * Texts, lower-cased, of which every match holds at least one: the longest run of plain characters,
 * or one for each alternative. Null where there are none of `TEXT_UNITS_MIN` characters.
 */
export function requiredTexts(source: string, ignoreCase: boolean): string[] | null {
  const texts = textsOf(source, ignoreCase);
  return texts === null ? null : [...new Set(texts.map((text) => text.toLowerCase()))];
}

/** The texts of an expression: those of each of its alternatives. */
function textsOf(source: string, ignoreCase: boolean): string[] | null {
  const alternatives = split(source);
  if (alternatives === null) return null;
  const texts: string[] = [];
  for (const alternative of alternatives) {
    const best = bestOf(alternative, ignoreCase);
    if (best === null) return null;
    texts.push(...best);
  }
  return texts.length > TEXTS_MAX ? null : texts;
}

/** One alternative without its quantified parts. */
interface Sequence {
  /** Runs of plain characters. */
  runs: string[];
  /** What stands inside its groups. */
  groups: string[];
}

/** Of all that an alternative must hold, what is longest where it is shortest. */
function bestOf({ runs, groups }: Sequence, ignoreCase: boolean): string[] | null {
  const usable = ignoreCase ? runs.flatMap((run) => run.split(FOLDS_FURTHER)) : runs;
  let best: string[] | null = null;
  let length = TEXT_UNITS_MIN - 1;
  const consider = (texts: string[] | null): void => {
    if (texts === null) return;
    const shortest = Math.min(...texts.map((text) => text.length));
    if (shortest <= length) return;
    best = texts;
    length = shortest;
  };
  for (const run of usable) consider([run]);
  for (const group of groups) consider(textsOf(group, ignoreCase));
  return best;
}

/** The alternatives of an expression, without what a quantifier can take away. */
function split(source: string): Sequence[] | null {
  let sequence: Sequence = { runs: [], groups: [] };
  const alternatives = [sequence];
  let run = '';
  /** Whether the last thing that was met is a group that counts. */
  let isGroup = false;
  const end = (): void => {
    if (run !== '') sequence.runs.push(run);
    run = '';
    isGroup = false;
  };
  for (let at = 0; at < source.length; at += 1) {
    const character = source[at]!;
    if (character === '|') {
      end();
      sequence = { runs: [], groups: [] };
      alternatives.push(sequence);
    } else if (character === '(') {
      const close = groupEnd(source, at);
      const isPlain = source.startsWith('(?:', at);
      // An option inside a group (`(?i)`) may concern what comes behind it.
      if (close < 0 || (source.startsWith('(?', at) && !isPlain)) return null;
      end();
      sequence.groups.push(source.slice(at + (isPlain ? 3 : 1), close));
      isGroup = true;
      at = close;
    } else if (character === '[') {
      at = classEnd(source, at);
      if (at < 0) return null;
      end();
    } else if (character === '\\') {
      const escaped = source[at + 1] ?? '';
      if (/[QEpPxC0-9]/.test(escaped)) return null;
      if (ESCAPED.test(escaped)) {
        isGroup = false;
        run += escaped;
      } else end();
      at += 1;
    } else if (character === '*' || character === '?' || character === '{') {
      if (isGroup) sequence.groups.pop();
      run = run.slice(0, -1);
      end();
      if (character === '{') {
        const close = source.indexOf('}', at);
        if (close < 0) return null;
        at = close;
      }
    } else if (PLAIN.test(character)) {
      isGroup = false;
      run += character;
    } else {
      end();
    }
  }
  end();
  return alternatives;
}

/** Where the group that opens at `from` closes, or -1 where that is not plain to see. */
function groupEnd(source: string, from: number): number {
  let depth = 0;
  for (let at = from; at < source.length; at += 1) {
    const character = source[at];
    if (character === '\\') at += 1;
    else if (character === '[') {
      at = classEnd(source, at);
      if (at < 0) return -1;
    } else if (character === '(') depth += 1;
    else if (character === ')') {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return -1;
}

function classEnd(source: string, from: number): number {
  let at = from + 1;
  if (source[at] === '^') at += 1;
  // A bracket right at the start is one of the class.
  if (source[at] === ']') at += 1;
  for (; at < source.length; at += 1) {
    if (source[at] === '\\') at += 1;
    else if (source[at] === '[') return -1;
    else if (source[at] === ']') return at;
  }
  return -1;
}
