/**
 * One `field|modifier|…: values` item of a detection, into an expression. Modifiers apply to the
 * values from left to right (Sigma 2.1, appendix "Modifiers"). Nothing is silently ignored: what
 * is unknown or misplaced is a problem.
 */
import { nearest } from '../../runtime/nearest.ts';
import { ItemError, type ItemProblem, type ScalarValue } from './item-problem.ts';
import { COMPARISONS, KINDS, kindTest, REGEX_FLAGS, TIME_PARTS } from './kind-values.ts';
import { expanded, type Lists } from './placeholder.ts';
import type { Expression, ValueTest } from './rule.ts';
import { ENDS, patternTests, TRANSFORMS } from './text-values.ts';

export interface ParsedItem {
  /** null where there is an error. */
  expression: Expression | null;
  problems: ItemProblem[];
}

const FLAGS: readonly string[] = ['all', 'cased', 'neq', 'expand'];
export const KNOWN_MODIFIERS: readonly string[] = [
  ...KINDS,
  ...TRANSFORMS,
  ...REGEX_FLAGS,
  ...FLAGS,
];

export function parseItem(
  key: string,
  values: readonly ScalarValue[],
  isList: boolean,
  lists: Lists,
): ParsedItem {
  const [field = '', ...modifiers] = key.split('|');
  const problems: ItemProblem[] = [];
  try {
    checkModifiers(field, modifiers);
    if (isList && values.length === 0) {
      throw new ItemError('the list of values is empty', 'give at least one value, or null', {
        modifier: 0,
      });
    }
    if (modifiers.includes('all') && values.length === 1) {
      problems.push({
        severity: 'warning',
        message: 'the modifier "all" has no effect on a single value',
        hint: 'remove it, or list the values that must all be there',
        modifier: modifiers.indexOf('all') + 1,
      });
    }
    const each = modifiers.includes('expand') ? expanded(modifiers, values, lists) : null;
    if (each === null) problems.push(...unexpanded(values, lists));
    const variants = each ?? values.map((value) => [value]);
    return { expression: build(field, modifiers, variants, isList), problems };
  } catch (error) {
    if (!(error instanceof ItemError)) throw error;
    return { expression: null, problems: [...problems, error.problem] };
  }
}

function checkModifiers(field: string, modifiers: readonly string[]): void {
  for (const [index, modifier] of modifiers.entries()) {
    const place = { modifier: index + 1 };
    if (!KNOWN_MODIFIERS.includes(modifier)) {
      const near = nearest(modifier, KNOWN_MODIFIERS);
      throw new ItemError(
        `unknown modifier ${JSON.stringify(modifier)}`,
        near === null
          ? `the modifiers are ${KNOWN_MODIFIERS.join(', ')}`
          : `did you mean "${near}"?`,
        place,
      );
    }
    if (modifiers.indexOf(modifier) !== index) {
      throw new ItemError(`the modifier "${modifier}" is given twice`, 'remove one', place);
    }
  }
  checkKinds(field, modifiers);
}

function checkKinds(field: string, modifiers: readonly string[]): void {
  const kinds = modifiers.filter((modifier) => KINDS.includes(modifier));
  const [kind, second] = kinds;
  const at = (modifier: string) => ({ modifier: modifiers.indexOf(modifier) + 1 });
  if (kind === undefined) {
    const flag = modifiers.find((modifier) => REGEX_FLAGS.includes(modifier));
    if (flag !== undefined) {
      throw new ItemError(
        `the modifier "${flag}" belongs after "re"`,
        `write "re|${flag}"`,
        at(flag),
      );
    }
    return;
  }
  if (field === '') {
    throw new ItemError(
      `the modifier "${kind}" needs a field`,
      'name the field before it; keywords take text only',
      at(kind),
    );
  }
  if (second !== undefined) {
    const timed = TIME_PARTS.includes(kind) && COMPARISONS.includes(second) && kinds.length === 2;
    if (!timed) {
      throw new ItemError(
        `the modifiers "${kind}" and "${second}" exclude each other`,
        'split the item into two',
        at(second),
      );
    }
  }
  const allowed: Record<string, readonly string[]> = {
    re: [...REGEX_FLAGS, 'all', 'neq', 'expand'],
    cidr: ['all', 'neq', 'expand'],
    fieldref: [...ENDS, 'all', 'cased', 'neq'],
    exists: [],
  };
  const fit = [...(allowed[kind] ?? ['all', 'neq']), ...kinds];
  const misfit = modifiers.find((modifier) => !fit.includes(modifier));
  if (misfit !== undefined) {
    throw new ItemError(
      `the modifier "${misfit}" does not go with "${kind}"`,
      kind === 're' && ENDS.includes(misfit)
        ? 'a regular expression is found anywhere; anchor it with ^ and $'
        : 'remove one of the two',
      at(misfit),
    );
  }
  const first = modifiers.find((modifier) => modifier !== 'expand');
  if ((kind === 're' || kind === 'cidr') && first !== kind) {
    throw new ItemError(`the modifier "${kind}" must come first`, 'move it to the front', at(kind));
  }
}

/** `each` value as the variants that stand for it, any of which will do. */
function build(
  field: string,
  modifiers: readonly string[],
  each: readonly (readonly ScalarValue[])[],
  isList: boolean,
): Expression {
  const kind = modifiers.find((modifier) => KINDS.includes(modifier)) ?? null;
  const tests = each.map((variants, index) =>
    variants.flatMap((value) => {
      if (value.value === null && (isList || modifiers.length > 0 || field === '')) {
        throw new ItemError(
          'null can only be the single value of a field without modifiers',
          'put it into a selection of its own and join the two with "or"',
          { value: index },
        );
      }
      return kind === null
        ? patternTests(modifiers, value, index)
        : [kindTest(kind, modifiers, value, index)];
    }),
  );
  const alternatives = tests.map((any) => expressionOf(field, any));
  const joined: Expression =
    modifiers.includes('all') && alternatives.length > 1
      ? { kind: 'and', terms: alternatives }
      : expressionOf(field, tests.flat());
  return modifiers.includes('neq') ? { kind: 'not', term: joined } : joined;
}

function expressionOf(field: string, tests: readonly ValueTest[]): Expression {
  if (field !== '') return { kind: 'item', field, values: tests };
  const keywords = tests.map((test): Expression => {
    if (test.kind === 'number') {
      return { kind: 'keyword', pattern: [test.text], cased: false };
    }
    if (test.kind !== 'pattern') throw new ItemError('keywords are text', 'name the field');
    return { kind: 'keyword', pattern: test.pattern, cased: test.cased };
  });
  return keywords.length === 1 ? keywords[0]! : { kind: 'or', terms: keywords };
}

/** A list's name in percent signs is only text where `expand` is not given. */
function unexpanded(values: readonly ScalarValue[], lists: Lists): ItemProblem[] {
  return values.flatMap(({ value }, index): ItemProblem[] => {
    const name = typeof value === 'string' ? /%([^%\s]+)%/.exec(value)?.[1] : undefined;
    if (name === undefined || !lists.has(name)) return [];
    const message = `"%${name}%" stands for nothing here`;
    const hint = 'add the modifier "expand" for the values of the list';
    return [{ severity: 'warning', message, hint, value: index }];
  });
}
