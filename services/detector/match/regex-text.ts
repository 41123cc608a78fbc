/**
 * Text that every match of a regular expression holds, for the index. Only what is plain is
 * understood: of the rest nothing is claimed.
 */

/** Shortest text that is looked for inside values. */
export const TEXT_UNITS_MIN = 3;

/** Characters that stand for themselves outside of classes. */
const PLAIN = /[A-Za-z0-9 _\-/:;,@#%&=~"'<>!]/;
/** Escaped, these stand for themselves. */
const ESCAPED = /[.\-/\\+*?()[\]{}^$|]/;
/** Other characters equal these where case is ignored: U+017F and U+212A. */
const FOLDS_FURTHER = /[sk]/i;

/** The longest run of characters that a match must contain, lower-cased, or null. */
export function requiredText(source: string, ignoreCase: boolean): string | null {
  const runs = runsOf(source);
  if (runs === null) return null;
  const usable = ignoreCase ? runs.flatMap((run) => run.split(FOLDS_FURTHER)) : runs;
  const longest = usable.reduce((best, run) => (run.length > best.length ? run : best), '');
  return longest.length >= TEXT_UNITS_MIN ? longest.toLowerCase() : null;
}

/** Runs of characters outside of groups and classes that no quantifier can take away. */
function runsOf(source: string): string[] | null {
  const runs: string[] = [];
  let run = '';
  const end = (): void => {
    if (run !== '') runs.push(run);
    run = '';
  };
  for (let at = 0; at < source.length; at += 1) {
    const character = source[at]!;
    if (character === '|') return null;
    if (character === '(' || character === '[') {
      const close = character === '(' ? groupEnd(source, at) : classEnd(source, at);
      if (close < 0) return null;
      // An option inside a group (`(?i)`) may concern what comes behind it.
      if (source.startsWith('(?', at) && !source.startsWith('(?:', at)) return null;
      end();
      at = close;
    } else if (character === '\\') {
      const escaped = source[at + 1] ?? '';
      if (/[QEpPxC0-9]/.test(escaped)) return null;
      if (ESCAPED.test(escaped)) run += escaped;
      else end();
      at += 1;
    } else if (character === '*' || character === '?' || character === '{') {
      run = run.slice(0, -1);
      end();
      if (character === '{') {
        const close = source.indexOf('}', at);
        if (close < 0) return null;
        at = close;
      }
    } else if (PLAIN.test(character)) {
      run += character;
    } else {
      end();
    }
  }
  end();
  return runs;
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
