/**
 * Patterns of policies: `*` is any text, `?` is one character. Pure. Where a question cannot be
 * decided exactly, the answer is the one that makes an access look wider, never narrower.
 */

/** Stands for text that nobody knows; no policy holds it. */
const ANY = '\u0000';

/** Whether the pattern matches this text. */
export function matches(pattern: string, text: string): boolean {
  // The usual two-pointer walk: back to the last star, one character further.
  let at = 0;
  let star = -1;
  let mark = 0;
  for (let i = 0; i < text.length; ) {
    const wanted = pattern[at];
    if (wanted === '*') {
      star = at++;
      mark = i;
    } else if (wanted === text[i] || (wanted === '?' && text[i] !== ANY)) {
      at += 1;
      i += 1;
    } else if (star >= 0) {
      at = star + 1;
      mark += 1;
      i = mark;
    } else return false;
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}

/**
 * True only where `pattern` matches everything that `other` matches: what `other` leaves open, only
 * a star of `pattern` may take.
 */
export function covers(pattern: string, other: string): boolean {
  return pattern === other || matches(pattern, other.replaceAll(/[*?]/g, ANY));
}

/** Whether some text is matched by both. */
export function overlap(one: string, other: string): boolean {
  // reach[j]: whether the beginnings one[0, i) and other[0, j) can be the same text.
  let reach = new Array<boolean>(other.length + 1).fill(false);
  reach[0] = true;
  for (let j = 0; j < other.length && other[j] === '*'; j++) reach[j + 1] = true;
  for (let i = 0; i < one.length; i++) {
    const next = new Array<boolean>(other.length + 1).fill(false);
    next[0] = one[i] === '*' && reach[0]!;
    for (let j = 0; j < other.length; j++) {
      const isStar = one[i] === '*' || other[j] === '*';
      // A star takes nothing, or what stands opposite.
      if (isStar) next[j + 1] = reach[j + 1]! || next[j]!;
      else next[j + 1] = reach[j]! && same(one[i]!, other[j]!);
    }
    reach = next;
  }
  return reach[other.length]!;
}

function same(one: string, other: string): boolean {
  return one === other || one === '?' || other === '?';
}
