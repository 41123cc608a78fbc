/**
 * Which rule sets have judged a partition, in the order in which they came: what a detector that starts
 * anew has to know of the matches that wait on the topic. Of two sets neither says by itself which of
 * them is the newer, so each that is not known yet goes to the end of the list, and one that is known
 * keeps its place. A set is the fingerprints of its stateful rules' meanings, shortened. JSON; pure.
 */

/** Meanings in force together, sorted. */
export type RuleSetMark = readonly string[];

/** The oldest first. */
export type RuleHistory = readonly RuleSetMark[];

/** As many characters of a fingerprint as the state of a group has of it (12 bytes). */
const MARK_CHARS = 16;
/** Whatever waits on the topic is of one of the last sets. */
const SETS_MAX = 16;
/** Meanings of all sets together: some 20 bytes each, in one record. */
const MARKS_MAX = 20_000;

export function planMark(fingerprint: string): string {
  return fingerprint.slice(0, MARK_CHARS);
}

export function markOfSet(fingerprints: Iterable<string>): RuleSetMark {
  return [...new Set([...fingerprints].map(planMark))].sort();
}

export function sameSet(one: RuleSetMark, other: RuleSetMark): boolean {
  return one.length === other.length && one.every((mark, n) => mark === other[n]);
}

/** With the set at its end, whether it is known or not: the same list where it is there already. */
export function withNewest(history: RuleHistory, set: RuleSetMark): RuleHistory {
  const last = history.at(-1);
  if (last !== undefined && sameSet(last, set)) return history;
  const sets = [...history.filter((one) => !sameSet(one, set)), set].slice(-SETS_MAX);
  let marks = sets.reduce((sum, { length }) => sum + length, 0);
  while (sets.length > 1 && marks > MARKS_MAX) marks -= sets.shift()!.length;
  return sets;
}

/** What came before the set, and what came after it: all is before one that is not known. */
export function around(
  history: RuleHistory,
  set: RuleSetMark,
): { before: RuleHistory; after: RuleHistory } {
  const at = history.findLastIndex((one) => sameSet(one, set));
  if (at < 0) return { before: history, after: [] };
  return { before: history.slice(0, at), after: history.slice(at + 1) };
}

/**
 * What the list is to become where the set judges from now on; null where it stays. A set that is known
 * and not the last is older than what others have by now, unless this process `hasChanged` to it.
 */
export function untold(
  history: RuleHistory,
  set: RuleSetMark,
  hasChanged: boolean,
): RuleHistory | null {
  if (!hasChanged && around(history, set).after.length > 0) return null;
  const told = withNewest(history, set);
  return told === history ? null : told;
}

export function encodeHistory(history: RuleHistory): Buffer {
  return Buffer.from(JSON.stringify({ sets: history }));
}

/** Empty where it is none: then nothing is known, which costs a wait at most. */
export function decodeHistory(bytes: Buffer | null): RuleHistory {
  if (bytes === null) return [];
  try {
    const { sets } = JSON.parse(bytes.toString('utf8')) as { sets?: unknown };
    if (!Array.isArray(sets)) return [];
    return sets.filter(
      (set): set is string[] =>
        Array.isArray(set) && set.every((mark) => typeof mark === 'string' && mark.length > 0),
    );
  } catch {
    return [];
  }
}
