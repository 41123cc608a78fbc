/**
 * Answers that depend on a text alone and cost more than finding them again: addresses and user
 * agents come again and again. When it is full, everything is forgotten.
 */

const ENTRIES_MAX = 8_192;
/** Longer texts are not kept. */
const UNITS_MAX = 512;

/** The function with its answers remembered. */
export function remembered<Answer>(answer: (text: string) => Answer): (text: string) => Answer {
  const known = new Map<string, Answer>();
  return (text) => {
    const before = known.get(text);
    if (before !== undefined) return before;
    const found = answer(text);
    if (text.length > UNITS_MAX) return found;
    if (known.size >= ENTRIES_MAX) known.clear();
    known.set(text, found);
    return found;
  };
}
