/**
 * Values under modifiers that change text: parts, encodings and dashes. Modifiers apply from left
 * to right.
 */
import { ItemError, type ScalarValue } from './item-problem.ts';
import { type Pattern, type PatternPart, parsePattern, widened } from './pattern.ts';
import type { ValueTest } from './rule.ts';

export const ENDS: readonly string[] = ['contains', 'startswith', 'endswith'];
const ENCODINGS: readonly string[] = ['wide', 'utf16le', 'utf16be', 'utf16'];
export const TRANSFORMS: readonly string[] = [
  ...ENDS,
  ...ENCODINGS,
  'base64',
  'base64offset',
  'windash',
];

const WINDASHES = ['-', '/', '–', '—', '―'];
/** 5 to the 4th: values that one windash value may become. */
const WINDASH_VALUES_MAX = 625;

/** A value under string modifiers: one test, or several that stand for "any of". */
export function patternTests(
  modifiers: readonly string[],
  scalar: ScalarValue,
  index: number,
): ValueTest[] {
  if (scalar.value === null) return [{ kind: 'null' }];
  const steps = modifiers.filter((modifier) => TRANSFORMS.includes(modifier));
  if (typeof scalar.value === 'number' && steps.length === 0) {
    return [{ kind: 'number', text: scalar.text }];
  }
  const source = typeof scalar.value === 'string' ? scalar.value : scalar.text;
  let drafts: Draft[] = [{ pattern: parsePattern(source) }];
  for (const step of steps) {
    const place = { modifier: modifiers.indexOf(step) + 1, value: index };
    drafts = drafts.flatMap((draft) => transformed(draft, step, place));
  }
  const cased = modifiers.includes('cased');
  if (steps.includes('base64offset') && !steps.includes('contains')) {
    throw new ItemError(
      '"base64offset" finds a part of an encoded text, so it needs "contains"',
      'write "base64offset|contains"',
      { modifier: modifiers.indexOf('base64offset') + 1 },
    );
  }
  return drafts.map((draft) => {
    if ('bytes' in draft) {
      const encoding = steps.find((step) => ENCODINGS.includes(step))!;
      throw new ItemError(
        `"${encoding}" only makes sense before "base64" or "base64offset"`,
        `write "${encoding}|base64offset|contains"`,
        { modifier: modifiers.indexOf(encoding) + 1 },
      );
    }
    return { kind: 'pattern', pattern: draft.pattern, cased };
  });
}

type Draft = { pattern: Pattern } | { bytes: Buffer };
type Place = { modifier: number; value: number };

function transformed(draft: Draft, step: string, place: Place): Draft[] {
  switch (step) {
    case 'contains':
    case 'startswith':
    case 'endswith': {
      const ends = { start: step !== 'startswith', end: step !== 'endswith' };
      return [{ pattern: widened(patternOf(draft, step, place), ends) }];
    }
    case 'windash':
      return windashed(patternOf(draft, step, place), place);
    case 'base64':
      return [{ pattern: [bytesOf(draft, step, place).toString('base64')] }];
    case 'base64offset':
      return offsets(bytesOf(draft, step, place)).map((text) => ({ pattern: [text] }));
    default:
      return [{ bytes: utf16(bytesOf(draft, step, place).toString('utf8'), step) }];
  }
}

function patternOf(draft: Draft, step: string, place: Place): Pattern {
  if ('pattern' in draft) return draft.pattern;
  throw new ItemError(
    `"${step}" cannot follow a UTF-16 encoding`,
    'put "base64" or "base64offset" between them',
    place,
  );
}

function bytesOf(draft: Draft, step: string, place: Place): Buffer {
  if ('bytes' in draft) return draft.bytes;
  const texts = draft.pattern.filter((part) => typeof part === 'string');
  if (texts.length < draft.pattern.length) {
    throw new ItemError(
      `a wildcard cannot be encoded by "${step}"`,
      'escape it with a backslash, or put "contains" after the encoding',
      place,
    );
  }
  return Buffer.from(texts.join(''), 'utf8');
}

function utf16(text: string, encoding: string): Buffer {
  const bytes = Buffer.from(text, 'utf16le');
  if (encoding === 'utf16be') return bytes.swap16();
  if (encoding === 'utf16') return Buffer.concat([Buffer.from([0xff, 0xfe]), bytes]);
  return bytes;
}

/**
 * What is certain of the base64 of a text that contains these bytes, for each of the three ways
 * they can lie against its groups of three: the characters that neighbours share are left out.
 */
function offsets(bytes: Buffer): string[] {
  const starts = [0, 2, 3];
  const ends = [undefined, -3, -2];
  return [0, 1, 2].map((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64');
    return encoded.slice(starts[shift], ends[(bytes.length + shift) % 3]);
  });
}

function windashed(pattern: Pattern, place: Place): Draft[] {
  let results: PatternPart[][] = [[]];
  for (const part of pattern) {
    const variants: PatternPart[] = typeof part === 'string' ? dashVariants(part) : [part];
    results = results.flatMap((before) =>
      variants.map((variant): PatternPart[] => [...before, variant]),
    );
    if (results.length > WINDASH_VALUES_MAX) {
      throw new ItemError(
        'too many dashes for "windash"',
        'split the value at its spaces and use "all"',
        place,
      );
    }
  }
  return results.map((parts) => ({ pattern: parts }));
}

function dashVariants(text: string): string[] {
  const pieces = text.split(/\B[-/]\b/);
  if (WINDASHES.length ** (pieces.length - 1) > WINDASH_VALUES_MAX) {
    return new Array<string>(WINDASH_VALUES_MAX + 1).fill(text);
  }
  return pieces
    .slice(1)
    .reduce<string[]>(
      (heads, piece) => heads.flatMap((head) => WINDASHES.map((dash) => head + dash + piece)),
      [pieces[0]!],
    );
}
