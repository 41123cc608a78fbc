/** Guesses what a mistyped word was meant to be. Pure. */

/** Words further apart than this many single-character edits are no guess worth printing. */
const EDITS_MAX = 3;

/** `, did you mean "x"?` for the closest of `known`, or an empty string where none is close. */
export function nearest(word: string, known: Iterable<string>): string {
  let best: string | undefined;
  let bestEdits = EDITS_MAX + 1;
  for (const candidate of known) {
    const edits = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (edits < bestEdits && edits < Math.max(word.length, candidate.length) / 2) {
      best = candidate;
      bestEdits = edits;
    }
  }
  return best === undefined ? '' : `, did you mean "${best}"?`;
}

/** Levenshtein distance: insertions, deletions and substitutions each cost one. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substituted = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
