/**
 * A bucket as it was recorded and as it is. Pure. Whatever protects less is a finding, whatever
 * protects as well or better is a note, and what could be read once and cannot now is incomplete.
 */
import {
  POSTURE_ITEMS,
  type Posture,
  type PostureItem,
  type RightState,
  type Told,
  type TriedRights,
} from '../../schemas/evidence/baseline-leaf.ts';
import { comparePolicies } from './compare-policy.ts';
import type { Comparison, PostureCode, PostureSubject } from './findings.ts';
import type { ArchiveTarget } from './policy-judge.ts';

type ValueOf<Item extends PostureItem> = Extract<Posture[Item], { state: 'set' }>['value'];

/**
 * What is worse now, as pairs of expected and found; empty where nothing is. Null is `absent`. Only
 * asked where the two differ.
 */
type Worse<Value> = (before: Value | null, now: Value | null) => Array<[string, string]>;

interface Rule<Item extends PostureItem> {
  code: PostureCode;
  worse: Worse<ValueOf<Item>>;
  describe: (value: ValueOf<Item>) => string;
}

const NONE = 'none';

const RULES: { [Item in Exclude<PostureItem, 'policy'>]: Rule<Item> } = {
  objectLock: {
    code: 'object_lock',
    describe: (value) => value,
    worse: (before, now) => (before === null ? [] : [[before, now ?? NONE]]),
  },
  defaultRetention: {
    code: 'default_retention',
    describe: describeRetention,
    worse(before, now) {
      if (before === null) return [];
      const isLess =
        now === null ||
        now.days < before.days ||
        (before.mode === 'COMPLIANCE' && now.mode !== 'COMPLIANCE');
      return isLess
        ? [[describeRetention(before), now === null ? NONE : describeRetention(now)]]
        : [];
    },
  },
  versioning: {
    code: 'versioning',
    describe: describeVersioning,
    worse(before, now) {
      if (before === null) return [];
      const isLess =
        (before.status === 'Enabled' && now?.status !== 'Enabled') ||
        (before.mfaDelete === 'Enabled' && now?.mfaDelete !== 'Enabled');
      const found = now === null ? 'off' : describeVersioning(now);
      return isLess ? [[describeVersioning(before), found]] : [];
    },
  },
  acl: { code: 'acl', describe: describeAcl, worse: worseAcl },
  publicAccessBlock: {
    code: 'public_access_block',
    describe: (value) => blocked(value).join(', ') || NONE,
    worse(before, now) {
      const still = blocked(now);
      const lost = blocked(before).some((name) => !still.includes(name));
      return lost ? [[blocked(before).join(', '), still.join(', ') || NONE]] : [];
    },
  },
  ownership: {
    code: 'ownership',
    describe: (value) => value,
    worse: (before, now) =>
      OWNERSHIP.indexOf(now ?? '') < OWNERSHIP.indexOf(before ?? '')
        ? [[before ?? NONE, now ?? NONE]]
        : [],
  },
  lifecycle: {
    code: 'lifecycle',
    describe: (rules) => rules.join('; '),
    worse: (before, now) =>
      added(before, now)
        .filter(isHarmful)
        .map((rule) => ['no such rule', rule]),
  },
  replication: {
    code: 'replication',
    describe: (rules) => rules.join('; '),
    worse: (before, now) => [
      ...added(now, before).map((rule): [string, string] => [rule, 'no such rule']),
      ...added(before, now).map((rule): [string, string] => ['no such rule', rule]),
    ],
  },
  encryption: { code: 'encryption', describe: describeEncryption, worse: worseEncryption },
  logging: {
    code: 'logging',
    describe: describeLogging,
    worse: (before, now) =>
      before === null
        ? []
        : [[describeLogging(before), now === null ? NONE : describeLogging(now)]],
  },
  notification: {
    code: 'notification',
    describe: (rules) => rules.join('; '),
    worse: (before, now) => added(now, before).map((rule) => [rule, 'no such notification']),
  },
};

export function comparePosture(before: Posture, now: Posture, target: ArchiveTarget): Comparison {
  const parts = POSTURE_ITEMS.map((item) => {
    const unknown = compareUnknown(item, before[item], now[item]);
    if (unknown !== null) return unknown;
    if (item === 'policy') {
      return comparePolicies(known(before.policy), known(now.policy), target);
    }
    return compareItem(item, before, now);
  });
  return joined(parts);
}

function joined(parts: readonly Comparison[]): Comparison {
  return {
    findings: parts.flatMap(({ findings }) => findings),
    notes: parts.flatMap(({ notes }) => notes),
  };
}

function known<Value>(told: Told<Value>): Value | null {
  return told.state === 'set' ? told.value : null;
}

/** Null where both are known. What a store does not have at all is told, and was recorded so. */
function compareUnknown(
  item: PostureItem,
  before: Told<unknown>,
  now: Told<unknown>,
): Comparison | null {
  if (now.state === 'unknown') {
    const found = `cannot be checked here: ${now.detail}`;
    if (before.state === 'unknown' && before.why === 'not_offered' && now.why === 'not_offered') {
      return { findings: [], notes: [{ item, text: `${found}, as recorded` }] };
    }
    const expected = before.state === 'unknown' ? 'not recorded either' : 'as recorded';
    return { findings: [{ code: 'unreadable', item, expected, found }], notes: [] };
  }
  if (before.state !== 'unknown') return null;
  const expected = `nothing recorded: ${before.detail}`;
  const found = now.state === 'absent' ? NONE : JSON.stringify(now.value);
  return { findings: [{ code: 'unrecorded', item, expected, found }], notes: [] };
}

function compareItem<Item extends Exclude<PostureItem, 'policy'>>(
  item: Item,
  { [item]: was }: Posture,
  { [item]: is }: Posture,
): Comparison {
  const rule = RULES[item] as Rule<Item>;
  const before = known(was as Told<ValueOf<Item>>);
  const now = known(is as Told<ValueOf<Item>>);
  if (JSON.stringify(before) === JSON.stringify(now)) return { findings: [], notes: [] };
  const findings = rule
    .worse(before, now)
    .map(([expected, found]) => ({ code: rule.code, item, expected, found }));
  const told = (value: ValueOf<Item> | null): string =>
    value === null ? NONE : rule.describe(value);
  const text = `changed and protects no less: ${told(before)} → ${told(now)}`;
  return { findings, notes: findings.length === 0 ? [{ item, text }] : [] };
}

/** Whatever is not tried now is told as that; `null`: nothing was. */
export function compareRights(before: TriedRights, now: TriedRights | null): Comparison {
  const item: PostureSubject = 'rights';
  if (now === null) return { findings: [], notes: [{ item, text: 'not tried' }] };
  const recorded = new Map(before);
  const tried = new Set(now.map(([right]) => right));
  const left = before.filter(([right]) => !tried.has(right)).map(([right]) => right);
  const text = `${left.join(', ')}: tried by preflight alone, where it cannot do harm`;
  const notes = left.length === 0 ? [] : [{ item, text }];
  const all = now.map(([right, state]) => compareRight(right, recorded.get(right), state));
  return joined([...all, { findings: [], notes }]);
}

function compareRight(right: string, was: RightState | undefined, is: RightState): Comparison {
  const item: PostureSubject = 'rights';
  if (is === 'unknown') {
    const finding = {
      code: 'unreadable',
      item,
      expected: `${right}: an answer`,
      found: 'none',
    } as const;
    return { findings: [finding], notes: [] };
  }
  if (was === is) return { findings: [], notes: [] };
  if (is === 'denied') {
    const note = { item, text: `${right} is denied now, recorded was: ${was ?? 'nothing'}` };
    return { findings: [], notes: [note] };
  }
  const expected = `${right} ${was ?? 'not recorded'}`;
  return { findings: [{ code: 'right', item, expected, found: `${right} held` }], notes: [] };
}

// --- the items -----------------------------------------------------------------------------------

export function describeRetention({ mode, days }: { mode: string; days: number }): string {
  return `${mode}, ${days} ${days === 1 ? 'day' : 'days'}`;
}

function describeVersioning({ status, mfaDelete }: ValueOf<'versioning'>): string {
  return mfaDelete === 'Enabled' ? `${status}, deleting needs MFA` : status;
}

function blocked(value: ValueOf<'publicAccessBlock'> | null): string[] {
  return Object.entries(value ?? {}).flatMap(([name, isBlocked]) => (isBlocked ? [name] : []));
}

/** From the loosest on: what is not among them, or absent, is that of old. */
const OWNERSHIP = ['ObjectWriter', 'BucketOwnerPreferred', 'BucketOwnerEnforced'];

function describeAcl({ owner, grants }: ValueOf<'acl'>): string {
  const given = grants.map(([who, what]) => `${who} ${what}`).join(', ');
  return `owner ${owner}; ${given === '' ? 'no grants' : given}`;
}

function worseAcl(
  before: ValueOf<'acl'> | null,
  now: ValueOf<'acl'> | null,
): Array<[string, string]> {
  const worse: Array<[string, string]> = [];
  if (now !== null && before !== null && now.owner !== before.owner) {
    worse.push([`owner ${before.owner}`, `owner ${now.owner}`]);
  }
  for (const [who, what] of now?.grants ?? []) {
    const had = (before?.grants ?? []).filter(([other]) => other === who).map(([, one]) => one);
    if (had.includes(what) || had.includes('FULL_CONTROL')) continue;
    worse.push([`${who}: ${had.join(', ') || NONE}`, `${who}: ${what}`]);
  }
  return worse;
}

function added(before: readonly string[] | null, now: readonly string[] | null): string[] {
  return (now ?? []).filter((rule) => !(before ?? []).includes(rule));
}

/** What a rule may do besides clearing away unfinished uploads, which are no objects yet. */
const HARMLESS = new Set(['ID', 'Status', 'Filter', 'Prefix', 'AbortIncompleteMultipartUpload']);

function isHarmful(rule: string): boolean {
  const fields = JSON.parse(rule) as Record<string, unknown>;
  return fields.Status !== 'Disabled' && Object.keys(fields).some((name) => !HARMLESS.has(name));
}

function describeEncryption({ algorithm, key }: ValueOf<'encryption'>): string {
  return key === null ? algorithm : `${algorithm} with key ${key}`;
}

function worseEncryption(
  before: ValueOf<'encryption'> | null,
  now: ValueOf<'encryption'> | null,
): Array<[string, string]> {
  if (before === null) return [];
  const isKms = (value: ValueOf<'encryption'> | null): boolean =>
    value?.algorithm.startsWith('aws:kms') === true;
  const isLess =
    now === null || (isKms(before) && !isKms(now)) || (isKms(before) && now.key !== before.key);
  return isLess
    ? [[describeEncryption(before), now === null ? NONE : describeEncryption(now)]]
    : [];
}

function describeLogging({ bucket, prefix }: ValueOf<'logging'>): string {
  return `to ${bucket}/${prefix}`;
}
