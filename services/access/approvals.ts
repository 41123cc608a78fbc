/**
 * Approvals: a YAML file of what may be widened, by whom and when. What was widened, or cannot be
 * told not to have been, and matches none, is a finding. Pure.
 *
 * Total: whatever the text, reading answers approvals or every problem with its place.
 */
import { LineCounter, type ParsedNode, parseDocument } from 'yaml';
import { z } from 'zod';
import { dayStart, KINDS } from '../../schemas/evidence/access-leaf.ts';
import { didYouMean } from '../runtime/nearest.ts';
import { offsetOf } from '../runtime/yaml-place.ts';
import { type AccessEvent, compareEvents, type Effect } from './change.ts';
import type { Diff } from './diff.ts';

export interface Approval {
  id: string;
  owner: string;
  reason: string;
  /** Epoch ms from which it approves nothing any more; null where it stands for good. */
  expiresMs: number | null;
  /** Event times that it is about. */
  fromMs: number | null;
  toMs: number | null;
  match: Matcher;
}

/** Wildcards; each list is of alternatives, and what is left out matches everything. */
export type Matcher = Partial<Record<MatchKey, readonly string[]>>;

const MATCH_KEYS = ['kind', 'subject', 'privilege', 'object', 'scope', 'by', 'action'] as const;
type MatchKey = (typeof MATCH_KEYS)[number];

export interface ApprovalProblem {
  /** `approvals.yaml:3:5` */
  place: string;
  what: string;
  hint: string;
}

export type ReadApprovals =
  | { ok: true; approvals: Approval[] }
  | { ok: false; problems: ApprovalProblem[] };

export const APPROVALS_BYTES_MAX = 4 * 1024 * 1024;
/** Aliases beyond this are an attack on memory, not approvals. */
const ALIASES_MAX = 100;

// --- the file ------------------------------------------------------------------------------------

/** YAML has no dates here: `2026-11-30` is text, and is read as the start of that day. */
const time = z.string().refine((text) => timeMs(text) !== null, {
  message: 'not a day or a time in UTC; write 2026-11-30 or 2026-11-30T12:00:00Z',
});

const words = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1)], {
    message: 'not a text or a list of texts; write "*.sales.*", in quotes',
  })
  .transform((value) => (typeof value === 'string' ? [value] : value));

const kinds = words.refine(
  (names) =>
    names.every((name) => name.includes('*') || (KINDS as readonly string[]).includes(name)),
  { message: `not a kind; kinds are ${KINDS.join(', ')}` },
);

const match = z
  .strictObject({
    kind: kinds.optional(),
    subject: words.optional(),
    privilege: words.optional(),
    object: words.optional(),
    scope: words.optional(),
    by: words.optional(),
    action: words.optional(),
  })
  .refine((value) => Object.keys(value).length > 0, {
    message: 'names nothing, so it would approve everything; write at least "kind"',
  });

const text = z.string({ message: 'is missing or not text' }).trim().min(1, 'is empty');

const approval = z.strictObject(
  {
    id: text,
    owner: text,
    reason: text,
    expires: time.optional(),
    from: time.optional(),
    to: time.optional(),
    match,
  },
  { error: notAMap },
);

const file = z.strictObject(
  {
    approvals: z.array(approval, { message: 'is missing or not a list; write "approvals:"' }),
  },
  { error: notAMap },
);

function notAMap({ code }: { code: string }): string | undefined {
  return code === 'invalid_type'
    ? 'not keys with values; see the example in the README'
    : undefined;
}

/** @param name as places name the file */
export function readApprovals(name: string, source: string): ReadApprovals {
  const lines = new LineCounter();
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const fail = (at: number, what: string, hint: string): ReadApprovals => {
    return { ok: false, problems: [{ place: place(at), what, hint }] };
  };
  if (Buffer.byteLength(source) > APPROVALS_BYTES_MAX) {
    return fail(0, `larger than ${APPROVALS_BYTES_MAX} bytes`, 'split it');
  }
  let root: ParsedNode | null;
  let value: unknown;
  try {
    const document = parseDocument(source, { lineCounter: lines, prettyErrors: false });
    const [error] = document.errors;
    if (error !== undefined) return fail(error.pos[0], error.message, 'mend the YAML');
    root = document.contents;
    value = document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch (error) {
    return fail(0, `not YAML that can be read: ${(error as Error).message}`, 'write it flatter');
  }
  const parsed = file.safeParse(value);
  if (parsed.success) return unique(parsed.data.approvals, root, place);
  const problems = parsed.error.issues.flatMap((issue) => problemsOf(issue, root, place));
  return { ok: false, problems };
}

function problemsOf(
  issue: z.core.$ZodIssue,
  root: ParsedNode | null,
  place: (offset: number) => string,
): ApprovalProblem[] {
  const path = issue.path.map(String);
  const where = path.length === 0 ? 'the file' : `"${path.at(-1)}"`;
  if (issue.code !== 'unrecognized_keys') {
    const [what, hint = 'see the example in the README'] = issue.message.split('; ');
    return [{ place: place(offsetOf(root, path, false)), what: `${where}: ${what}`, hint }];
  }
  const known: readonly string[] =
    path.length === 0
      ? Object.keys(file.shape)
      : path.at(-1) === 'match'
        ? MATCH_KEYS
        : Object.keys(approval.shape);
  return issue.keys.map((key) => ({
    place: place(offsetOf(root, [...path, key], true)),
    what: `unknown key "${key}"`,
    hint: didYouMean(key, known).replace(/^[;,]?\s*/, '') || `known are ${known.join(', ')}`,
  }));
}

function unique(
  given: ReadonlyArray<z.infer<typeof approval>>,
  root: ParsedNode | null,
  place: (offset: number) => string,
): ReadApprovals {
  const problems: ApprovalProblem[] = [];
  const seen = new Set<string>();
  for (const [at, { id }] of given.entries()) {
    if (seen.has(id)) {
      const offset = offsetOf(root, ['approvals', String(at), 'id'], false);
      const hint = 'give each approval an id of its own';
      problems.push({ place: place(offset), what: `a second approval "${id}"`, hint });
    }
    seen.add(id);
  }
  if (problems.length > 0) return { ok: false, problems };
  const approvals = given.map(({ id, owner, reason, expires, from, to, match }) => ({
    id,
    owner,
    reason,
    expiresMs: expires === undefined ? null : timeMs(expires),
    fromMs: from === undefined ? null : timeMs(from),
    toMs: to === undefined ? null : timeMs(to),
    match: match as Matcher,
  }));
  return { ok: true, approvals };
}

function timeMs(text: string): number | null {
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?Z)?$/.test(text)) return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) || dayStart(text.slice(0, 10)) === null ? null : ms;
}

// --- what it approves ----------------------------------------------------------------------------

/** Something that was widened, or may have been, and that nobody approved. */
export interface Unapproved {
  event: AccessEvent;
  effect: Effect;
  /** Ids of approvals that would match, had they not expired. */
  expired: string[];
}

export interface Judged {
  unapproved: Unapproved[];
  /** How many effects each approval covered, by its id. */
  uses: Map<string, number>;
  /** Approvals that have run out. */
  expired: Approval[];
}

export function judge(diff: Diff, approvals: readonly Approval[], nowMs: number): Judged {
  const isExpired = ({ expiresMs }: Approval): boolean => expiresMs !== null && expiresMs <= nowMs;
  const uses = new Map(approvals.map(({ id }) => [id, 0]));
  const unapproved: Unapproved[] = [];
  for (const { event, effect } of expansions(diff)) {
    const matching = approvals.filter((one) => approves(one, event, effect));
    const good = matching.find((one) => !isExpired(one));
    if (good === undefined) {
      unapproved.push({ event, effect, expired: matching.map(({ id }) => id) });
    } else uses.set(good.id, uses.get(good.id)! + 1);
  }
  return { unapproved, uses, expired: approvals.filter(isExpired) };
}

/**
 * Everything that was not surely narrowed, in order, each effect once: also what was taken back
 * before the end, because it was open in between; not what only said again what was so.
 */
function expansions(diff: Diff): Array<{ event: AccessEvent; effect: Effect }> {
  const found = new Map<Effect, AccessEvent>();
  for (const { steps } of diff.values()) {
    for (const { event, effect, direction, isNews } of steps) {
      if (isNews && direction !== 'narrowed') found.set(effect, event);
    }
  }
  return [...found]
    .map(([effect, event]) => ({ event, effect }))
    .sort((one, other) => compareEvents(one.event, other.event));
}

function approves({ fromMs, toMs, match }: Approval, event: AccessEvent, effect: Effect): boolean {
  if (fromMs !== null && event.timeMs < fromMs) return false;
  if (toMs !== null && event.timeMs >= toMs) return false;
  const { kind, privilege, scope } = effect;
  const { by, action } = event;
  const one = { kind, privilege, scope, by, action };
  // By the names of its time: whoever may rename a group could else make it one that is approved.
  const { subject, object } = effect.toldAs ?? {
    subject: [effect.subject],
    object: [effect.object],
  };
  return MATCH_KEYS.every((key) => {
    const values = key === 'subject' ? subject : key === 'object' ? object : [one[key]];
    const patterns = match[key];
    return patterns?.some((pattern) => values.some((value) => fits(pattern, value))) ?? true;
  });
}

/** `*` is any text, `?` any one character; case does not matter. Never worse than both lengths multiplied. */
export function fits(pattern: string, text: string): boolean {
  const wild = [...pattern.toLowerCase()];
  const plain = [...text.toLowerCase()];
  let inWild = 0;
  let inPlain = 0;
  // The last star, and how far it has reached.
  let star = -1;
  let reached = 0;
  while (inPlain < plain.length) {
    if (wild[inWild] === '*') {
      star = inWild++;
      reached = inPlain;
    } else if (wild[inWild] === '?' || wild[inWild] === plain[inPlain]) {
      inWild++;
      inPlain++;
    } else if (star >= 0) {
      inWild = star + 1;
      inPlain = ++reached;
    } else return false;
  }
  while (wild[inWild] === '*') inWild++;
  return inWild === wild.length;
}
