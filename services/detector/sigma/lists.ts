/** List files: the values that a placeholder stands for, one a line. */

/** Blank lines and lines that start with `#` are left out, and so are blanks around a value. */
export function parseList(text: string): string[] {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  const values = lines.map((line) => line.trim());
  return [...new Set(values.filter((value) => value !== '' && !value.startsWith('#')))];
}
