/**
 * Bucket policies as text and as statements. Pure. Reading is strict: a document that is not wholly
 * understood is a problem with its place, never judged by half.
 *
 * The grammar: IAM user guide, "Grammar of the IAM JSON policy language".
 */
import type { Condition } from './policy-condition.ts';
import { principalId, type Who } from './policy-principal.ts';

/** Actions or resources: those that a pattern matches, or (`not`) those that none does. */
export interface Patterns {
  not: boolean;
  patterns: readonly string[];
}

export interface PolicyStatement {
  /** Its Sid, or its number from 1. */
  name: string;
  effect: 'Allow' | 'Deny';
  who: Who;
  /** Lower case: actions know no case. */
  actions: Patterns;
  resources: Patterns;
  conditions: readonly Condition[];
}

export type ReadPolicy = { statements: PolicyStatement[] } | { problem: string };

class Unreadable extends Error {}

/** `null`: there is no policy, so no statement. */
export function readPolicy(text: string | null): ReadPolicy {
  if (text === null) return { statements: [] };
  try {
    const document = record(JSON.parse(text) as unknown, 'the policy');
    const extra = Object.keys(document).find(
      (key) => !['Version', 'Id', 'Statement'].includes(key),
    );
    if (extra !== undefined) throw new Unreadable(`${extra} is no part of a policy`);
    const statements = [document.Statement ?? []].flat();
    return { statements: statements.map((one, at) => statement(one, at + 1)) };
  } catch (error) {
    if (error instanceof Unreadable) return { problem: error.message };
    return { problem: 'the policy is not JSON' };
  }
}

const FIELDS = new Set([
  ...['Sid', 'Effect', 'Principal', 'NotPrincipal', 'Action', 'NotAction'],
  ...['Resource', 'NotResource', 'Condition'],
]);

function statement(value: unknown, number: number): PolicyStatement {
  const fields = record(value, `statement ${number}`);
  const name = typeof fields.Sid === 'string' && fields.Sid !== '' ? fields.Sid : `${number}`;
  const extra = Object.keys(fields).find((key) => !FIELDS.has(key));
  if (extra !== undefined) throw new Unreadable(`statement ${name}: ${extra} is not known`);
  const { Effect: effect } = fields;
  if (effect !== 'Allow' && effect !== 'Deny') {
    throw new Unreadable(`statement ${name}: Effect is neither Allow nor Deny`);
  }
  const actions = either(fields, 'Action', 'NotAction', name);
  const resources = either(fields, 'Resource', 'NotResource', name);
  return {
    name,
    effect,
    who: who(fields, name),
    actions: { ...actions, patterns: actions.patterns.map((one) => one.toLowerCase()) },
    resources: { ...resources, patterns: resources.patterns.map(plainArn) },
    conditions: conditions(fields.Condition ?? {}, name),
  };
}

/** Clouds of AWS name their buckets by partitions of their own. */
function plainArn(arn: string): string {
  return arn.replace(/^arn:aws[\w-]*:s3:::/, 'arn:aws:s3:::');
}

function either(
  fields: Record<string, unknown>,
  plain: string,
  not: string,
  name: string,
): Patterns {
  const isNot = fields[not] !== undefined;
  if (isNot === (fields[plain] !== undefined)) {
    throw new Unreadable(`statement ${name}: one of ${plain} and ${not} is wanted`);
  }
  const key = isNot ? not : plain;
  return { not: isNot, patterns: texts(fields[key], `statement ${name}: ${key}`) };
}

function who(fields: Record<string, unknown>, name: string): Who {
  const isNot = fields.NotPrincipal !== undefined;
  if (isNot === (fields.Principal !== undefined)) {
    throw new Unreadable(`statement ${name}: one of Principal and NotPrincipal is wanted`);
  }
  const value = isNot ? fields.NotPrincipal : fields.Principal;
  const ids =
    value === '*'
      ? ['*']
      : Object.entries(record(value, `statement ${name}: Principal`)).flatMap(([kind, some]) =>
          texts(some, `statement ${name}: Principal ${kind}`).map((one) => principalId(kind, one)),
        );
  const isEverybody = ids.includes('*');
  // Everybody but everybody is nobody.
  if (isEverybody) return isNot ? { kind: 'only', ids: [] } : { kind: 'except', ids: [] };
  return { kind: isNot ? 'except' : 'only', ids: [...new Set(ids)] };
}

function conditions(value: unknown, name: string): Condition[] {
  const place = `statement ${name}: Condition`;
  return Object.entries(record(value, place)).flatMap(([operator, keys]) =>
    Object.entries(record(keys, `${place} ${operator}`)).map(([key, values]) => ({
      operator,
      key: key.toLowerCase(),
      values: texts(values, `${place} ${operator} ${key}`).toSorted(),
    })),
  );
}

function record(value: unknown, place: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new Unreadable(`${place} is not an object`);
}

function texts(value: unknown, place: string): string[] {
  return [value].flat().map((one) => {
    if (typeof one === 'object' || one === undefined) throw new Unreadable(`${place} is no text`);
    return String(one);
  });
}

// --- one text for each meaning -------------------------------------------------------------------

/**
 * Stores hand a policy back in other words: lists sorted, a single value as a list, `"*"` as
 * `{"AWS":["*"]}`. Two policies that mean the same give the same text here.
 */
export function canonicalStatements(statements: readonly object[]): string {
  const plain = statements.map((one) => {
    const fields = Object.entries(one).map(([name, value]) => {
      if (name === 'Sid' || name === 'Effect') return [name, value];
      return [name, /Principal$/.test(name) ? principals(value) : sorted(value)];
    });
    return Object.fromEntries(fields.sort(byName));
  });
  plain.sort((a, b) => byText(JSON.stringify(a), JSON.stringify(b)));
  return JSON.stringify(plain);
}

/** The same of a whole document as text; what is no policy is left as it is. */
export function canonicalPolicy(text: string): string {
  if ('problem' in readPolicy(text)) return text;
  const { Statement = [], ...rest } = JSON.parse(text) as Record<string, object | object[]>;
  const fields = Object.entries(rest).sort(byName);
  const begin = fields.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)},`);
  return `{${begin.join('')}"Statement":${canonicalStatements([Statement].flat())}}`;
}

function principals(value: unknown): unknown {
  return value === '*' ? sorted({ AWS: '*' }) : sorted(value);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.flatMap(sorted).sort(byText);
  if (typeof value !== 'object' || value === null) return [String(value)];
  const entries = Object.entries(value).map(([name, below]) => [name, sorted(below)]);
  return Object.fromEntries(entries.sort(byName));
}

function byName(a: unknown[], b: unknown[]): number {
  return byText(a[0], b[0]);
}

function byText(a: unknown, b: unknown): number {
  return String(a) < String(b) ? -1 : 1;
}
