/**
 * One `field|modifier|…: values` item of a detection, into an expression. Modifiers apply to the
 * values from left to right (Sigma 2.1, appendix "Modifiers"). Nothing is silently ignored: what
 * is unknown, misplaced or not supported yet is a problem.
 */
import { RE2JS } from 're2js';
import { nearest } from '../../runtime/nearest.ts';
import { regexFlags } from '../match/compile.ts';
import { addressBytes } from '../match/subject.ts';
import { type Pattern, type PatternPart, parsePattern, RUN, widened } from './pattern.ts';
import type { CompareOperator, Expression, ReferenceMode, TimePart, ValueTest } from './rule.ts';

/** A YAML scalar; `text` is it as written, so that long numbers keep all digits. */
export interface ScalarValue {
  value: string | number | boolean | null;
  text: string;
}

/**
 * Where in the item a problem is: in modifier number `modifier` (0 is the field name), or in value
 * number `value`.
 */
export interface ItemProblem {
  severity: 'error' | 'warning';
  message: string;
  hint: string;
  modifier?: number;
  value?: number;
}

export interface ParsedItem {
  /** null where there is an error. */
  expression: Expression | null;
  problems: ItemProblem[];
}

const TIME_PARTS: readonly string[] = ['minute', 'hour', 'day', 'week', 'month', 'year'];
const COMPARISONS: readonly string[] = ['lt', 'lte', 'gt', 'gte'];
const ENDS: readonly string[] = ['contains', 'startswith', 'endswith'];
const ENCODINGS: readonly string[] = ['wide', 'utf16le', 'utf16be', 'utf16'];
const TRANSFORMS: readonly string[] = [...ENDS, ...ENCODINGS, 'base64', 'base64offset', 'windash'];
const REGEX_FLAGS: readonly string[] = ['i', 'ignorecase', 'm', 'multiline', 's', 'dotall'];
const FLAGS: readonly string[] = ['all', 'cased', 'neq'];
const KINDS: readonly string[] = [
  're',
  'cidr',
  'exists',
  'fieldref',
  ...COMPARISONS,
  ...TIME_PARTS,
];
const LATER: readonly string[] = ['expand'];
const KNOWN: readonly string[] = [...KINDS, ...TRANSFORMS, ...REGEX_FLAGS, ...FLAGS, ...LATER];

const WINDASHES = ['-', '/', '–', '—', '―'];
/** 5 to the 4th: values that one windash value may become. */
const WINDASH_VALUES_MAX = 625;
const REGEX_CHARS_MAX = 2_000;

class ItemError extends Error {
  readonly problem: ItemProblem;

  constructor(message: string, hint: string, place: { modifier?: number; value?: number } = {}) {
    super(message);
    this.problem = { severity: 'error', message, hint, ...place };
  }
}

/** Values of placeholders, by name. */
export type Lists = ReadonlyMap<string, readonly string[]>;

export function parseItem(
  key: string,
  values: readonly ScalarValue[],
  isList: boolean,
  _lists: Lists,
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
    return { expression: build(field, modifiers, values, isList), problems };
  } catch (error) {
    if (!(error instanceof ItemError)) throw error;
    return { expression: null, problems: [...problems, error.problem] };
  }
}

function checkModifiers(field: string, modifiers: readonly string[]): void {
  for (const [index, modifier] of modifiers.entries()) {
    const place = { modifier: index + 1 };
    if (LATER.includes(modifier)) {
      throw new ItemError(
        `not supported yet: the modifier "${modifier}"`,
        'write the values into the rule for now',
        place,
      );
    }
    if (!KNOWN.includes(modifier)) {
      const near = nearest(modifier, KNOWN);
      throw new ItemError(
        `unknown modifier ${JSON.stringify(modifier)}`,
        near === null ? `the modifiers are ${KNOWN.join(', ')}` : `did you mean "${near}"?`,
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
    re: [...REGEX_FLAGS, 'all', 'neq'],
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
  if ((kind === 're' || kind === 'cidr') && modifiers[0] !== kind) {
    throw new ItemError(`the modifier "${kind}" must come first`, 'move it to the front', at(kind));
  }
}

function build(
  field: string,
  modifiers: readonly string[],
  values: readonly ScalarValue[],
  isList: boolean,
): Expression {
  const kind = modifiers.find((modifier) => KINDS.includes(modifier)) ?? null;
  const tests = values.map((value, index) => {
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
  });
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

/** A value under string modifiers: one test, or several that stand for "any of". */
function patternTests(
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

function kindTest(
  kind: string,
  modifiers: readonly string[],
  scalar: ScalarValue,
  index: number,
): ValueTest {
  const place = { value: index };
  if (kind === 're') return regexTest(modifiers, scalar, place);
  if (kind === 'cidr') return networkTest(scalar, place);
  if (kind === 'fieldref') return referenceTest(modifiers, scalar, place);
  if (kind === 'exists') {
    if (typeof scalar.value === 'boolean') return { kind: 'exists', wanted: scalar.value };
    throw new ItemError('"exists" takes true or false', 'write true or false, unquoted', place);
  }
  if (typeof scalar.value !== 'number' || !Number.isFinite(scalar.value)) {
    throw new ItemError(
      `"${kind}" takes a number, not ${JSON.stringify(scalar.value)}`,
      'write a plain number without quotes',
      place,
    );
  }
  const comparison = modifiers.find((modifier) => COMPARISONS.includes(modifier));
  if (TIME_PARTS.includes(kind)) {
    return {
      kind: 'time',
      part: kind as TimePart,
      operator: (comparison as CompareOperator | undefined) ?? 'equals',
      operand: scalar.value,
    };
  }
  return { kind: 'compare', operator: kind as CompareOperator, operand: scalar.value };
}

function regexTest(
  modifiers: readonly string[],
  scalar: ScalarValue,
  place: { value: number },
): ValueTest {
  const has = (...names: string[]) => names.some((name) => modifiers.includes(name));
  const test = {
    kind: 'regex' as const,
    source: typeof scalar.value === 'string' ? scalar.value : scalar.text,
    ignoreCase: has('i', 'ignorecase'),
    multiline: has('m', 'multiline'),
    dotAll: has('s', 'dotall'),
  };
  if (test.source.length > REGEX_CHARS_MAX) {
    throw new ItemError(
      `a regular expression of ${test.source.length} characters`,
      `keep it under ${REGEX_CHARS_MAX}, or split it`,
      place,
    );
  }
  try {
    RE2JS.compile(test.source, regexFlags(test));
  } catch (error) {
    const reason = (error as Error).message.replace(/^error parsing regexp: /, '');
    throw new ItemError(
      `RE2 refuses this regular expression: ${reason}`,
      'use RE2 syntax, which has no lookaround and no backreferences, so that it cannot blow up',
      place,
    );
  }
  return test;
}

function networkTest(scalar: ScalarValue, place: { value: number }): ValueTest {
  const network = scalar.text;
  const match = /^([0-9A-Fa-f:.]+?)(?:\/(\d{1,3}))?$/.exec(network);
  const bytes = match === null ? null : addressBytes(match[1]!);
  if (typeof scalar.value !== 'string' || match === null || bytes === null) {
    throw new ItemError(
      `${JSON.stringify(network)} is not a network`,
      'write ADDRESS/BITS, as 192.0.2.0/24 or 2001:db8::/32',
      place,
    );
  }
  const mapped = bytes.length === 4 && match[1]!.includes(':');
  const bits = match[2] === undefined ? bytes.length * 8 : Number(match[2]);
  if (mapped || bits > bytes.length * 8) {
    throw new ItemError(
      mapped ? 'an IPv4 network in IPv6 spelling' : `${bits} bits is more than the address has`,
      mapped
        ? 'write it as IPv4; IPv4-mapped addresses are compared as IPv4'
        : `use at most ${bytes.length * 8}`,
      place,
    );
  }
  const start = bytes.map((byte, at) => byte & networkMask(bits, at));
  if (start.some((byte, at) => byte !== bytes[at])) {
    throw new ItemError(
      `${network} has address bits behind its ${bits} network bits`,
      bytes.length === 4
        ? `write ${start.join('.')}/${bits}, or the address alone`
        : 'set the bits behind the prefix to zero',
      place,
    );
  }
  return { kind: 'cidr', network };
}

function networkMask(bits: number, byte: number): number {
  const kept = Math.min(8, Math.max(0, bits - byte * 8));
  return (0xff << (8 - kept)) & 0xff;
}

function referenceTest(
  modifiers: readonly string[],
  scalar: ScalarValue,
  place: { value: number },
): ValueTest {
  if (typeof scalar.value !== 'string' || scalar.value === '' || /[*?|]/.test(scalar.value)) {
    throw new ItemError(
      '"fieldref" takes the name of another field',
      'write a field name without wildcards, as userIdentity.email',
      place,
    );
  }
  const modes = modifiers.filter((modifier) => ENDS.includes(modifier));
  if (modes.length > 1) {
    throw new ItemError(`"${modes[0]}" and "${modes[1]}" exclude each other`, 'keep one', place);
  }
  return {
    kind: 'reference',
    field: scalar.value,
    mode: (modes[0] as ReferenceMode | undefined) ?? 'equals',
    cased: modifiers.includes('cased'),
  };
}

/** True of a pattern that every present value matches. */
export function matchesEverything(pattern: Pattern): boolean {
  return pattern.length === 1 && pattern[0] === RUN;
}
