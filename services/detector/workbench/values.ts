/**
 * Wanted and actual values as a person reads them in one line. What an event carries may hold
 * secrets: the same parameters are left out here as in an alert. Pure.
 */
import { printable } from '../../runtime/wording.ts';
import { REDACTED_PARAMETERS } from '../alert/alert.ts';
import type { FieldValue } from '../fields/fields.ts';
import { ONE, type Pattern, RUN } from '../sigma/pattern.ts';
import type { CompareOperator, ValueTest } from '../sigma/rule.ts';

/** Longest piece of a value that is shown, characters. */
const SHOWN_CHARS_MAX = 100;
/** Most elements of a list value that are shown. */
const SHOWN_ELEMENTS_MAX = 5;

const OPERATORS: Record<CompareOperator | 'equals', string> = {
  lt: '<',
  lte: '≤',
  gt: '>',
  gte: '≥',
  equals: '=',
};

/** What a rule asks of a value: `"admin*"`, `≥ 7`, `in 192.0.2.0/24`. */
export function wantedText(test: ValueTest): string {
  switch (test.kind) {
    case 'pattern':
      return `${quoted(patternText(test.pattern))}${test.cased ? ' in this case' : ''}`;
    case 'number':
      return test.text;
    case 'null':
      return 'absent or null';
    case 'exists':
      return test.wanted ? 'present' : 'absent';
    case 'regex': {
      const flags = `${test.ignoreCase ? 'i' : ''}${test.multiline ? 'm' : ''}${test.dotAll ? 's' : ''}`;
      return `/${cut(test.source)}/${flags}`;
    }
    case 'compare':
      return `${OPERATORS[test.operator]} ${test.operand}`;
    case 'cidr':
      return `in ${test.network}`;
    case 'reference': {
      const how = test.mode === 'equals' ? 'equal to' : `${test.mode}`;
      return `${how} the field ${test.field}${test.cased ? ' in the same case' : ''}`;
    }
    case 'time':
      return `${test.part} ${OPERATORS[test.operator]} ${test.operand}`;
  }
}

/** A pattern as a rule would spell it. */
export function patternText(pattern: Pattern): string {
  return pattern
    .map((part, index) => {
      if (part === RUN) return '*';
      if (part === ONE) return '?';
      const text = part.replaceAll(/[*?]|\\(?=[*?\\])/g, '\\$&');
      // At the end of all a backslash stands for itself, before a wildcard it would not.
      return text.endsWith('\\') && index < pattern.length - 1 ? `${text}\\` : text;
    })
    .join('');
}

/** What the event has: quoted and cut, `absent`, or how long it is where it may hold a secret. */
export function actualText(field: string, value: FieldValue): string {
  if (value === undefined) return 'absent';
  if (typeof value === 'string') return oneActual(field, value);
  const shown = value.slice(0, SHOWN_ELEMENTS_MAX).map((one) => oneActual(field, one));
  const more = value.length - shown.length;
  return `[${shown.join(', ')}${more > 0 ? `, … ${more} more` : ''}]`;
}

function oneActual(field: string, value: string): string {
  if (mayHoldSecret(field, value)) return `[left out: ${value.length} characters]`;
  return quoted(value);
}

const JSON_KEY = /"([^"\\]{1,128})"\s*:/g;

/** By a name on the field's path, or by a key inside where the value is JSON itself. */
export function mayHoldSecret(field: string, value: string): boolean {
  const path = field.replace(/^(?:requestParams|request_params|response\.result)\./, '');
  if (path !== field && namesOn(path).some(isRedacted)) return true;
  if (!/^\s*[[{]/.test(value)) return false;
  for (const [, key] of value.matchAll(JSON_KEY)) if (isRedacted(key!)) return true;
  return false;
}

/** A parameter's whole name, which may have dots, and each step of it. */
function namesOn(path: string): string[] {
  return [path, ...path.split('.')];
}

function isRedacted(name: string): boolean {
  return REDACTED_PARAMETERS.has(name.toLowerCase().replace(/[_.-]/g, ''));
}

function quoted(text: string): string {
  return `"${printable(cut(text))}"`;
}

function cut(text: string): string {
  if (text.length <= SHOWN_CHARS_MAX) return text;
  return `${text.slice(0, SHOWN_CHARS_MAX)}… (${text.length} characters)`;
}
