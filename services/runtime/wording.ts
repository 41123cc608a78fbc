/** Numbers and other people's text, as a person reads them in one line. Pure. */

/**
 * Names, keys and events are written by others: what could move the cursor, turn the writing
 * direction, hide or break a line becomes `?`.
 */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}|[\u2028\u2029]/gu, '?');
}

/** `1,234,567`. */
export function grouped(count: number): string {
  return count.toLocaleString('en-US');
}

/** `1 line`, `2,000 lines`. The noun takes an s. */
export function counted(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? '' : 's'}`;
}
