/** The order of texts by their units: the same everywhere, whatever the language of the machine. */
export function compareText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
