/**
 * Who may do what to an archive, by the policy of its bucket. Pure: a document in, grants and
 * denials out. Judged is the document, never what the store says of it: MinIO answers that a policy
 * is not public while everybody may read.
 *
 * What cannot be decided counts as allowed, and as not denied: a condition narrows an Allow only as
 * far as it is known, and a Deny with a condition takes nothing away. Rights that the store gives by
 * other ways (policies of its users and roles) are not in the document.
 *
 * Evaluation: IAM user guide, "Policy evaluation logic". Actions and what they are about: Service
 * authorization reference, "Actions, resources, and condition keys for Amazon S3".
 */
import {
  type Condition,
  describeConditions,
  holdsWherever,
  leftBy,
  narrows,
} from './policy-condition.ts';
import type { Patterns, PolicyStatement } from './policy-document.ts';
import { covers, matches, overlap } from './policy-pattern.ts';
import {
  allowsAll,
  deniesAll,
  deniesAllOf,
  describeWho,
  EVERYONE,
  isNobody,
  isOpen,
  type Who,
  without,
} from './policy-principal.ts';

export interface ArchiveTarget {
  bucket: string;
  /** Of the archive's keys. */
  prefix: string;
}

/** What somebody may do, in words, and the actions that do it; `on` says what they are about. */
interface Power {
  power: string;
  on: 'bucket' | 'objects' | 'either';
  actions: readonly string[];
}

/** Worst first. */
const POWERS: readonly Power[] = [
  { power: 'delete objects', on: 'objects', actions: ['s3:DeleteObject'] },
  { power: 'delete versions', on: 'objects', actions: ['s3:DeleteObjectVersion'] },
  { power: 'copy deletions here', on: 'objects', actions: ['s3:ReplicateDelete'] },
  { power: 'delete the bucket', on: 'bucket', actions: ['s3:DeleteBucket'] },
  {
    power: 'bypass governance retention',
    on: 'objects',
    actions: ['s3:BypassGovernanceRetention'],
  },
  { power: 'change retentions', on: 'objects', actions: ['s3:PutObjectRetention'] },
  { power: 'change legal holds', on: 'objects', actions: ['s3:PutObjectLegalHold'] },
  {
    power: 'change Object Lock and the default retention',
    on: 'bucket',
    actions: ['s3:PutBucketObjectLockConfiguration'],
  },
  { power: 'change the versioning', on: 'bucket', actions: ['s3:PutBucketVersioning'] },
  {
    power: 'change the policy',
    on: 'bucket',
    actions: ['s3:PutBucketPolicy', 's3:DeleteBucketPolicy'],
  },
  { power: 'change the lifecycle', on: 'bucket', actions: ['s3:PutLifecycleConfiguration'] },
  { power: 'change the encryption', on: 'bucket', actions: ['s3:PutEncryptionConfiguration'] },
  { power: 'change the replication', on: 'bucket', actions: ['s3:PutReplicationConfiguration'] },
  {
    power: 'change who has access',
    on: 'bucket',
    actions: ['s3:PutBucketAcl', 's3:PutBucketOwnershipControls', 's3:PutBucketPublicAccessBlock'],
  },
  {
    power: 'change access to objects',
    on: 'objects',
    actions: ['s3:PutObjectAcl', 's3:PutObjectVersionAcl', 's3:ObjectOwnerOverrideToBucketOwner'],
  },
  {
    power: 'change logging and notification',
    on: 'bucket',
    actions: ['s3:PutBucketLogging', 's3:PutBucketNotification'],
  },
  {
    power: 'put objects',
    on: 'objects',
    actions: ['s3:PutObject', 's3:ReplicateObject', 's3:RestoreObject'],
  },
  {
    power: 'read objects',
    on: 'objects',
    actions: ['s3:GetObject', 's3:GetObjectVersion', 's3:GetObjectVersionForReplication'],
  },
  { power: 'list objects', on: 'bucket', actions: ['s3:ListBucket', 's3:ListBucketVersions'] },
];

const KNOWN = POWERS.flatMap(({ actions }) => actions.map((one) => one.toLowerCase()));

export interface Grant {
  power: string;
  action: string;
  who: Who;
  /** Whom the statement names: without those to whom another denies it. */
  named: Who;
  resources: Patterns;
  /** All of them have to hold; empty: always. */
  conditions: readonly Condition[];
  /** Of the statement. */
  statement: string;
}

export interface PolicyVerdict {
  /** What the policy allows, with what it denies taken away. */
  grants: Grant[];
  /** What it denies, whoever else allows it. */
  denials: Grant[];
}

/** @param more patterns of actions to judge too, see `otherActions`. */
export function judgePolicy(
  statements: readonly PolicyStatement[],
  target: ArchiveTarget,
  more: readonly string[] = [],
): PolicyVerdict {
  const grants: Grant[] = [];
  const denials: Grant[] = [];
  for (const { power, on, actions } of [...POWERS, otherPower(more)]) {
    const arns = arnsOf(target, on);
    for (const action of actions) {
      const about = statements.filter((one) => speaksOf(one, action.toLowerCase()));
      const denied = about
        .filter(({ effect }) => effect === 'Deny')
        .flatMap((one) => grantsOf(one, power, action, arns));
      denials.push(...denied);
      for (const one of about.filter(({ effect }) => effect === 'Allow')) {
        for (const grant of grantsOf(one, power, action, arns)) {
          grants.push(...afterDenials(grant, denied, arns));
        }
      }
    }
  }
  return { grants, denials };
}

/** Patterns of allowed actions that mean none of the known ones: tags, inventories and the like. */
export function otherActions(statements: readonly PolicyStatement[]): string[] {
  const patterns = statements
    .filter(({ effect, actions }) => effect === 'Allow' && !actions.not)
    .flatMap(({ actions }) => actions.patterns);
  const other = patterns.filter((pattern) => !KNOWN.some((action) => matches(pattern, action)));
  return [...new Set(other)].sort();
}

/**
 * What makes the policy public: open to everybody, or to names with wildcards, without a condition
 * that is known to leave few.
 */
export function publicGrants({ grants }: Pick<PolicyVerdict, 'grants'>): Grant[] {
  return grants.filter(({ who, conditions }) => isOpen(who) && !conditions.some(narrows));
}

function arnsOf({ bucket, prefix }: ArchiveTarget, on: Power['on']): string[] {
  const arn = `arn:aws:s3:::${bucket}`;
  const objects = `${arn}/${prefix}*`;
  if (on === 'bucket') return [arn];
  return on === 'objects' ? [objects] : [arn, objects];
}

/** An action that is a pattern itself is only spoken of where all of it surely is. */
function speaksOf({ actions, effect }: PolicyStatement, action: string): boolean {
  const { not, patterns } = actions;
  if (!not) return patterns.some((pattern) => covers(pattern, action));
  const isOut = effect === 'Deny' ? overlap : covers;
  return !patterns.some((pattern) => isOut(pattern, action));
}

/** One for each principal and pattern, as far as they are about the archive. */
function grantsOf(
  { name, effect, who, resources, conditions }: PolicyStatement,
  power: string,
  action: string,
  arns: readonly string[],
): Grant[] {
  const whos: Who[] =
    who.kind === 'except' ? [who] : who.ids.map((id) => ({ kind: 'only', ids: [id] }));
  const split: Patterns[] = resources.not
    ? [resources]
    : resources.patterns.map((pattern) => ({ not: false, patterns: [pattern] }));
  const about = split.filter((one) => arns.some((arn) => touches(one, arn, effect)));
  return about.flatMap((one) =>
    whos.map((single) => ({
      power,
      action,
      who: single,
      named: single,
      resources: one,
      conditions,
      statement: name,
    })),
  );
}

/** A variable of a policy (`${aws:username}`) may be any text where something is allowed. */
const VARIABLE = /\$\{[^}]*\}/g;

function touches({ not, patterns }: Patterns, arn: string, effect: 'Allow' | 'Deny'): boolean {
  if (not) return !patterns.some((pattern) => covers(pattern, arn));
  const open = (pattern: string): string =>
    effect === 'Allow' ? pattern.replaceAll(VARIABLE, '*') : pattern;
  return patterns.some((pattern) => overlap(open(pattern), arn));
}

/** What is left of a grant; nothing where everybody in it is denied. */
function afterDenials(grant: Grant, denied: readonly Grant[], arns: readonly string[]): Grant[] {
  let { who, conditions } = grant;
  const about = denied.filter(({ resources }) => reachesAll(resources, grant.resources, arns));
  // Those who are denied anyway first, and of these whoever leaves but a few: less is left then of
  // what cannot be told exactly, and in whatever order the statements stand.
  for (const denial of about.toSorted((one, other) => rankOf(one) - rankOf(other))) {
    if (denial.conditions.length === 0) who = without(who, denial.who);
    else if (deniesAllOf(denial.who, who)) {
      const left = leftBy(denial.conditions);
      if (left !== null) conditions = [...conditions, left];
    }
  }
  return isNobody(who) ? [] : [{ ...grant, who, conditions }];
}

function rankOf({ who, conditions }: Grant): number {
  if (conditions.length > 0) return 2;
  return who.kind === 'except' ? 0 : 1;
}

/** Whether `wide` is surely about everything that `narrow` is, as far as it is about the archive. */
function reachesAll(wide: Patterns, narrow: Patterns, arns: readonly string[]): boolean {
  if (arns.every((arn) => coversArn(wide, arn))) return true;
  if (wide.not && narrow.not) {
    return wide.patterns.every((one) => narrow.patterns.some((other) => covers(other, one)));
  }
  return !narrow.not && narrow.patterns.every((one) => coversArn(wide, one));
}

function coversArn({ not, patterns }: Patterns, arn: string): boolean {
  return not
    ? !patterns.some((pattern) => overlap(pattern.replaceAll(VARIABLE, '*'), arn))
    : patterns.some((pattern) => covers(pattern, arn));
}

/** Whether `before` allowed all that `now` allows. */
export function allowsNoMore(before: Grant, now: Grant, target: ArchiveTarget): boolean {
  return allowsAll(before.who, now.who) && reachesNoMore(before, now, target);
}

/** Whether the statement of `before` named all that the one of `now` names, denials aside. */
export function namesNoMore(before: Grant, now: Grant, target: ArchiveTarget): boolean {
  return allowsAll(before.named, now.named) && reachesNoMore(before, now, target);
}

function reachesNoMore(before: Grant, now: Grant, target: ArchiveTarget): boolean {
  return (
    before.action === now.action &&
    reachesAll(before.resources, now.resources, arnsOfAction(before, target)) &&
    holdsWherever(before.conditions, now.conditions)
  );
}

/** Whether `now` denies all that `before` denied. */
export function deniesNoLess(before: Grant, now: Grant, target: ArchiveTarget): boolean {
  return (
    before.action === now.action &&
    deniesAll(now.who, before.who) &&
    reachesAll(now.resources, before.resources, arnsOfAction(before, target)) &&
    holdsWherever(now.conditions, before.conditions)
  );
}

function arnsOfAction({ power }: Grant, target: ArchiveTarget): string[] {
  return arnsOf(target, POWERS.find((one) => one.power === power)?.on ?? 'either');
}

export function describeGrant({ action, who, resources, conditions, statement }: Grant): string {
  const where = `${resources.not ? 'all but ' : ''}${resources.patterns.join(', ')}`;
  const when = conditions.length === 0 ? '' : ` if ${describeConditions(conditions)}`;
  return `${describeWho(who)}: ${action} on ${where}${when} (statement ${statement})`;
}

/** What the policy says of one power, in words. */
export interface ToldPower {
  power: string;
  /** True where each action of it is denied to everyone, on the whole archive, always. */
  deniedToAll: boolean;
  allowed: string[];
  denied: string[];
}

/** Who may do what by the policy, worst first; what it does not speak of is left out. */
export function toldPowers(
  statements: readonly PolicyStatement[],
  target: ArchiveTarget,
): ToldPower[] {
  const more = otherActions(statements);
  const { grants, denials } = judgePolicy(statements, target, more);
  const all = [...POWERS, otherPower(more)].map(({ power, on, actions }) => {
    const arns = arnsOf(target, on);
    const [can, cannot] = [grants, denials].map((some) =>
      some.filter((one) => one.power === power),
    );
    const isDenied = (action: string): boolean =>
      cannot!.some(
        (one) =>
          one.action === action &&
          deniesAll(one.who, EVERYONE) &&
          one.conditions.length === 0 &&
          arns.every((arn) => coversArn(one.resources, arn)),
      );
    const deniedToAll = actions.every(isDenied);
    const [allowed, denied] = [can!.map(describeGrant), cannot!.map(describeGrant)];
    return { power, deniedToAll, allowed, denied };
  });
  return all.filter(({ allowed, denied }) => allowed.length + denied.length > 0);
}

function otherPower(actions: readonly string[]): Power {
  return { power: 'do something else', on: 'either', actions };
}
