/**
 * Conditions of a policy's statement, which all have to hold. Pure. A condition that is not known
 * here narrows nothing for sure.
 *
 * Operators and their meaning where the key is missing: IAM user guide, "IAM JSON policy elements:
 * Condition operators". Keys that make a policy not public: Amazon S3 user guide, "Blocking public
 * access", "The meaning of public".
 */
import ipaddr from 'ipaddr.js';

/** One operator on one key; any of the values will do, or none of them where the operator negates. */
export interface Condition {
  operator: string;
  /** Lower case: keys know no case. */
  key: string;
  values: readonly string[];
}

const EQUAL = new Set([
  'StringEquals',
  'StringEqualsIgnoreCase',
  'StringLike',
  'ArnEquals',
  'ArnLike',
]);

/** What is left allowed where a Deny with this operator does not hold. */
const OPPOSITE: Readonly<Record<string, string>> = {
  StringNotEquals: 'StringEquals',
  StringNotEqualsIgnoreCase: 'StringEqualsIgnoreCase',
  StringNotLike: 'StringLike',
  ArnNotEquals: 'ArnEquals',
  ArnNotLike: 'ArnLike',
  NotIpAddress: 'IpAddress',
};

/** Fixed values of these are not everybody's. */
const NARROW_KEYS = new Set([
  'aws:principalaccount',
  'aws:principalarn',
  'aws:principalorgid',
  'aws:principalorgpaths',
  'aws:sourceaccount',
  'aws:sourcearn',
  'aws:sourceowner',
  'aws:sourcevpc',
  'aws:sourcevpce',
  'aws:userid',
  's3:dataaccesspointaccount',
  's3:dataaccesspointarn',
]);

/** More addresses than a /8 of IPv4 or a /32 of IPv6 has are everybody. */
const ADDRESS_BITS_MAX = { ipv4: 32 - 8, ipv6: 128 - 32 };
/** The name behind the account may be open. */
const ACCESS_POINT = /^arn:aws[\w-]*:s3:[^:*?]*:\d{12}:accesspoint\//;

/** Whether the condition leaves only callers that are known: who is not asks in vain. */
export function narrows({ operator, key, values }: Condition): boolean {
  // `…IfExists` and `ForAllValues:` hold where the caller has no such key at all.
  const name = operator.replace(/^ForAnyValue:/, '');
  if (values.length === 0) return false;
  if (name === 'IpAddress' && key === 'aws:sourceip') return areFew(values);
  if (!EQUAL.has(name) || !NARROW_KEYS.has(key)) return false;
  return values.every((value) => isFixed(key, value));
}

function isFixed(key: string, value: string): boolean {
  if (value.includes('${')) return false;
  if (key === 's3:dataaccesspointarn' && ACCESS_POINT.test(value)) return true;
  return value !== '' && !/[*?]/.test(value);
}

function areFew(ranges: readonly string[]): boolean {
  const sums = { ipv4: 0, ipv6: 0 };
  for (const range of ranges) {
    const [address, bits] = parseRange(range) ?? [];
    if (address === undefined) return false;
    const kind = address.kind();
    sums[kind] += 2 ** ((kind === 'ipv4' ? 32 : 128) - bits!);
  }
  return sums.ipv4 <= 2 ** ADDRESS_BITS_MAX.ipv4 && sums.ipv6 <= 2 ** ADDRESS_BITS_MAX.ipv6;
}

function parseRange(range: string): [ipaddr.IPv4 | ipaddr.IPv6, number] | null {
  try {
    if (range.includes('/')) return ipaddr.parseCIDR(range);
    const address = ipaddr.parse(range);
    return [address, address.kind() === 'ipv4' ? 32 : 128];
  } catch {
    return null;
  }
}

/**
 * What a Deny to everyone leaves allowed, as a condition: `Deny … NotIpAddress X` leaves X. Null
 * where it cannot be said in one condition.
 */
export function leftBy(conditions: readonly Condition[]): Condition | null {
  const [only, ...others] = conditions;
  if (only === undefined || others.length > 0) return null;
  const operator = OPPOSITE[only.operator.replace(/IfExists$/, '')];
  return operator === undefined ? null : { ...only, operator };
}

/** Whether `wide` surely holds wherever `narrow` does. */
export function holdsWherever(wide: readonly Condition[], narrow: readonly Condition[]): boolean {
  return wide.every((one) => narrow.some((other) => isWider(one, other)));
}

function isWider(wide: Condition, narrow: Condition): boolean {
  if (wide.operator !== narrow.operator || wide.key !== narrow.key) return false;
  const within = (some: Condition, all: Condition): boolean =>
    some.values.every((value) => all.values.includes(value));
  // The more values must not be met, the fewer callers are left.
  if (/Not/.test(wide.operator)) return within(wide, narrow);
  return within(narrow, wide);
}

export function describeConditions(conditions: readonly Condition[]): string {
  return conditions
    .map(({ operator, key, values }) => `${operator} ${key} ${values.join(', ')}`)
    .join(' and ');
}
