/**
 * Who a statement of a policy speaks of, and what is left of one set of principals without another.
 * Pure. A principal is what the policy names: an ARN, or `Service:` and the like before a name.
 */

/** `except` nobody is everybody, those without an account too. */
export interface Who {
  kind: 'only' | 'except';
  ids: readonly string[];
}

export const EVERYONE: Who = { kind: 'except', ids: [] };

const ACCOUNT = /^arn:aws:(?:iam|sts)::(\d{12}):/;

/** `123456789012` is short for the account's root; in whatever cloud of AWS, a user is one user. */
export function principalId(kind: string, name: string): string {
  if (kind !== 'AWS') return `${kind}:${name}`;
  if (/^\d{12}$/.test(name)) return `arn:aws:iam::${name}:root`;
  return name.replace(/^arn:aws[\w-]*:/, 'arn:aws:');
}

/** Of the account that the principal belongs to, which stands for everybody in it. */
function rootOf(id: string): string | null {
  const account = ACCOUNT.exec(id)?.[1];
  return account === undefined ? null : `arn:aws:iam::${account}:root`;
}

/** A name with a wildcard may be anybody's. */
export function isOpen({ kind, ids }: Who): boolean {
  return kind === 'except' || ids.some((id) => /[*?]/.test(id));
}

export function isNobody({ kind, ids }: Who): boolean {
  return kind === 'only' && ids.length === 0;
}

/** Whether these names stand for the principal when something is denied to them: accounts do. */
function names(ids: readonly string[], id: string): boolean {
  return ids.includes(id) || ids.includes(rootOf(id) ?? '');
}

/** Whether a name among these exceptions may mean the principal. */
function mayExempt(ids: readonly string[], id: string): boolean {
  return names(ids, id) || ids.some((one) => /[*?]/.test(one));
}

/** An account, which stands for everybody in it. */
function isAccount(id: string): boolean {
  return rootOf(id) === id;
}

/** Who is left of `allowed` when `denied` are denied; rather too many than too few. */
export function without(allowed: Who, denied: Who): Who {
  if (allowed.kind === 'only') {
    const stays = (id: string): boolean =>
      denied.kind === 'only' ? !names(denied.ids, id) : mayExempt(denied.ids, id);
    return { kind: 'only', ids: allowed.ids.filter(stays) };
  }
  if (denied.kind === 'only') {
    return { kind: 'except', ids: [...new Set([...allowed.ids, ...denied.ids])] };
  }
  // An account that is spared may spare its users, and they are allowed where only it is not.
  const stays = (id: string): boolean => !allowed.ids.includes(id) || isAccount(id);
  return { kind: 'only', ids: denied.ids.filter(stays) };
}

/** Whether everybody in `other` is surely in `who`, as far as allowing goes: an account is no user. */
export function allowsAll(who: Who, other: Who): boolean {
  if (who.kind === 'only') {
    return other.kind === 'only' && other.ids.every((id) => who.ids.includes(id));
  }
  return other.kind === 'only'
    ? other.ids.every((id) => !mayExempt(who.ids, id))
    : who.ids.every((id) => other.ids.includes(id));
}

/** The same, as far as denying goes: what is denied to an account is denied to its users. */
export function deniesAll(who: Who, other: Who): boolean {
  if (other.kind === 'except') return allowsAll(who, other);
  if (who.kind === 'only') return other.ids.every((id) => names(who.ids, id));
  const isSpared = (id: string): boolean =>
    mayExempt(who.ids, id) || who.ids.some((one) => rootOf(one) === id);
  return !other.ids.some(isSpared);
}

/**
 * Whether everybody who is left of `allowed` is surely denied by `denied`. An account that a denial
 * spares may spare its users, whom an Allow for all but the account allows.
 */
export function deniesAllOf(denied: Who, allowed: Who): boolean {
  const mayLeave = allowed.kind === 'except' && denied.ids.some(isAccount);
  return deniesAll(denied, allowed) && !(denied.kind === 'except' && mayLeave);
}

export function describeWho({ kind, ids }: Who): string {
  if (kind === 'only') return ids.join(', ');
  return ids.length === 0 ? 'everyone' : `everyone but ${ids.join(', ')}`;
}
