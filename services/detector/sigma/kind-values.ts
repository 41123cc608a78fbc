/** Values under modifiers that ask for something else than text: numbers, times, networks, … */

import { addressBytes } from '../fields/address.ts';
import { ItemError, type ScalarValue } from './item-problem.ts';
import { compileRegex } from './regex.ts';
import type { CompareOperator, ReferenceMode, TimePart, ValueTest } from './rule.ts';
import { ENDS } from './text-values.ts';

export const TIME_PARTS: readonly string[] = ['minute', 'hour', 'day', 'week', 'month', 'year'];
export const COMPARISONS: readonly string[] = ['lt', 'lte', 'gt', 'gte'];
export const REGEX_FLAGS: readonly string[] = ['i', 'ignorecase', 'm', 'multiline', 's', 'dotall'];
/** At most one of these, save a comparison behind a part of a time. */
export const KINDS: readonly string[] = [
  're',
  'cidr',
  'exists',
  'fieldref',
  ...COMPARISONS,
  ...TIME_PARTS,
];

const REGEX_CHARS_MAX = 2_000;

export function kindTest(
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
    compileRegex(test);
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
