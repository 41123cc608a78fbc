/**
 * Placeholders (the modifier `expand`): `%name%` in a value stands for each value of a list, and
 * several in one text for every combination. `\%` is a percent sign.
 *
 * Values of a list are taken as they are, so `*` and `?` in them are no wildcards; only under `re`
 * they are regular expressions, because the text around them is one.
 */
import { nearest } from '../../runtime/nearest.ts';
import { ItemError, type ScalarValue } from './item-problem.ts';

/** Values of placeholders, by name. */
export type Lists = Pick<ReadonlyMap<string, readonly string[]>, 'get' | 'has' | 'keys'>;

/** The same lists; the name of each whose values are asked for is put into `used`. */
export function noted(lists: Lists, used: Set<string>): Lists {
  return {
    get(name) {
      used.add(name);
      return lists.get(name);
    },
    has: (name) => lists.has(name),
    keys: () => lists.keys(),
  };
}

/** Most texts that one value may become. */
export const EXPANDED_VALUES_MAX = 100_000;

type Part = { text: string } | { placeholder: string };

/** For each value the variants that any may be; values without a placeholder are one variant. */
export function expanded(
  modifiers: readonly string[],
  values: readonly ScalarValue[],
  lists: Lists,
): ScalarValue[][] {
  const isPattern = !modifiers.includes('re') && !modifiers.includes('cidr');
  let placeholders = 0;
  const result = values.map((value, index) => {
    if (typeof value.value !== 'string') return [value];
    const parts = partsOf(value.value);
    placeholders += parts.filter((part) => 'placeholder' in part).length;
    return variantsOf(parts, lists, isPattern, index).map((text) => ({ value: text, text }));
  });
  if (placeholders > 0) return result;
  throw new ItemError(
    '"expand" has no placeholder to expand',
    'write one as "%name%", or remove it',
    {
      modifier: modifiers.indexOf('expand') + 1,
    },
  );
}

function partsOf(source: string): Part[] {
  const parts: Part[] = [];
  const token = /\\%|\\[\\*?]|%([^%\s]+)%|./gsu;
  for (const match of source.matchAll(token)) {
    const name = match[1];
    const text = match[0] === '\\%' ? '%' : match[0];
    const last = parts.at(-1);
    if (name !== undefined) parts.push({ placeholder: name });
    else if (last !== undefined && 'text' in last) last.text += text;
    else parts.push({ text });
  }
  return parts;
}

function variantsOf(
  parts: readonly Part[],
  lists: Lists,
  isPattern: boolean,
  index: number,
): string[] {
  let variants = [''];
  for (const part of parts) {
    const choices =
      'text' in part ? [part.text] : listOf(part.placeholder, lists, isPattern, index);
    if (variants.length * choices.length > EXPANDED_VALUES_MAX) {
      throw new ItemError(
        `the placeholders make more than ${EXPANDED_VALUES_MAX} values`,
        'use fewer in one text, or shorter lists',
        { value: index },
      );
    }
    variants = variants.flatMap((before) => choices.map((choice) => before + choice));
  }
  return variants;
}

function listOf(name: string, lists: Lists, isPattern: boolean, index: number): readonly string[] {
  const values = lists.get(name);
  if (values !== undefined && values.length > 0) {
    return isPattern ? values.map((value) => value.replace(/[\\*?]/g, '\\$&')) : values;
  }
  const near = values === undefined ? nearest(name, lists.keys()) : null;
  throw new ItemError(
    values === undefined ? `there is no list "${name}"` : `the list "${name}" is empty`,
    near === null
      ? `write its values into ${name}.txt in a list folder`
      : `did you mean "${near}"?`,
    { value: index },
  );
}
