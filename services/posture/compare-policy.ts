/** The bucket's policy as recorded and as it is: what it allows more, and what it denies less. Pure. */
import type { Comparison, PostureFinding } from './findings.ts';
import { type PolicyStatement, readPolicy } from './policy-document.ts';
import {
  type ArchiveTarget,
  allowsNoMore,
  deniesNoLess,
  describeGrant,
  type Grant,
  judgePolicy,
  namesNoMore,
  otherActions,
  type PolicyVerdict,
  publicGrants,
} from './policy-judge.ts';

/** Grants told of one finding; what is left out is counted. */
const TOLD_MAX = 4;

/** `null`: no policy. Both are canonical text (`canonicalPolicy`). */
export function comparePolicies(
  before: string | null,
  now: string | null,
  target: ArchiveTarget,
): Comparison {
  if (before === now) return { findings: [], notes: [] };
  const [old, current] = [readPolicy(before), readPolicy(now)];
  if ('problem' in old) return unreadable('recorded', old.problem);
  if ('problem' in current) return unreadable('present', current.problem);
  const more = otherActions([...old.statements, ...current.statements]);
  const judged = (some: readonly PolicyStatement[]): PolicyVerdict =>
    judgePolicy(some, target, more);
  const [was, is] = [judged(old.statements), judged(current.statements)];
  const denials = lost(was, is, target);
  const isDenied = denials.length === 0;
  const findings = [...nowPublic(was, is), ...wider(was, is, target, isDenied), ...denials];
  const text = `changed, and allows no more than recorded: ${statementsOf(current.statements)}`;
  const notes = findings.length === 0 ? [{ item: 'policy' as const, text }] : [];
  return { findings, notes };
}

function unreadable(which: string, problem: string): Comparison {
  const expected = 'a policy that can be judged';
  const found = `the ${which} one: ${problem}`;
  return { findings: [{ code: 'policy_unreadable', item: 'policy', expected, found }], notes: [] };
}

function statementsOf(statements: readonly PolicyStatement[]): string {
  if (statements.length === 0) return 'no statement';
  return `statements ${statements.map(({ name }) => name).join(', ')}`;
}

/** One finding for all that everybody may, where it was not public before. */
function nowPublic(was: PolicyVerdict, is: PolicyVerdict): PostureFinding[] {
  const open = publicGrants(is);
  if (open.length === 0 || publicGrants(was).length > 0) return [];
  const found = `public: ${listed(open)}`;
  return [{ code: 'policy_public', item: 'policy', expected: 'not public', found }];
}

/** @param isDenied whether everything is still denied that was: then names alone can be compared. */
function wider(
  was: PolicyVerdict,
  is: PolicyVerdict,
  target: ArchiveTarget,
  isDenied: boolean,
): PostureFinding[] {
  const covers = (before: Grant, now: Grant): boolean =>
    allowsNoMore(before, now, target) || (isDenied && namesNoMore(before, now, target));
  const more = is.grants.filter((now) => !was.grants.some((before) => covers(before, now)));
  return byPower(more).map(([power, grants]) => {
    const before = was.grants.filter((one) => one.power === power);
    const expected = `who may ${power}: ${before.length === 0 ? 'nobody by the policy' : listed(before)}`;
    return { code: 'policy_grant', item: 'policy', expected, found: listed(grants) };
  });
}

function lost(was: PolicyVerdict, is: PolicyVerdict, target: ArchiveTarget): PostureFinding[] {
  const gone = was.denials.filter(
    (before) => !is.denials.some((now) => deniesNoLess(before, now, target)),
  );
  return byPower(gone).map(([power, denials]) => {
    const left = is.denials.filter((one) => one.power === power);
    const found = `who is denied to ${power}: ${left.length === 0 ? 'nobody' : listed(left)}`;
    return {
      code: 'policy_denial',
      item: 'policy',
      expected: `denied to ${listed(denials)}`,
      found,
    };
  });
}

function byPower(grants: readonly Grant[]): Array<[string, Grant[]]> {
  const groups = new Map<string, Grant[]>();
  for (const grant of grants) {
    const group = groups.get(grant.power);
    if (group === undefined) groups.set(grant.power, [grant]);
    else group.push(grant);
  }
  return [...groups];
}

function listed(grants: readonly Grant[]): string {
  const told = [...new Set(grants.map(describeGrant))];
  const rest = told.length - TOLD_MAX;
  const more = rest > 0 ? ` and ${rest} more` : '';
  return `${told.slice(0, TOLD_MAX).join('; ')}${more}`;
}
