/**
 * Answers that depend on a text alone and cost more than finding them again: addresses, user
 * agents and names come again and again. A text has one place; a newer one takes it over.
 */

const PLACES = 2_048;
/** Where there are many small memos. */
export const FEW_PLACES = 256;
/** Longer texts are not kept. */
const UNITS_MAX = 256;

/** The function with its answers remembered; `places` is a power of two. */
export function remembered<Answer>(
  answer: (text: string) => Answer,
  places = PLACES,
): (text: string) => Answer {
  const texts = new Array<string | undefined>(places).fill(undefined);
  const answers = new Array<Answer | undefined>(places).fill(undefined);
  return (text) => {
    const { length } = text;
    if (length > UNITS_MAX) return answer(text);
    // A few characters: most of what comes differs in its ends or its middle.
    const hash =
      Math.imul(text.charCodeAt(0) + length, 0x9e3779b1) ^
      Math.imul(text.charCodeAt(length - 1), 0x85ebca6b) ^
      Math.imul(text.charCodeAt(length - 2), 0xc2b2ae35) ^
      Math.imul(text.charCodeAt(length >> 1), 0x27d4eb2f);
    const place = (hash ^ (hash >>> 16)) & (places - 1);
    if (texts[place] === text) return answers[place] as Answer;
    const found = answer(text);
    texts[place] = text;
    answers[place] = found;
    return found;
  };
}
