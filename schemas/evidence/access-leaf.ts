/**
 * Leaves of the log `access` (`schemas/evidence.md`): for a day what audit events changed about who
 * may do what, and a hash of all that is known to hold at its end. Pure.
 */
import { z } from 'zod';
import { hexText, type Leaf, leafSchema, longText, parseLeaf } from './leaf.ts';
import { isLog } from './log-layout.ts';

export const ACCESS_LOG = 'access';
export const DAY_MS = 86_400_000;

/** Families of facts. `unknown` is a change that this version cannot read: it is listed too. */
export const KINDS = [
  'acl',
  'admin',
  'app',
  'binding',
  'grant',
  'group',
  'identity',
  'network',
  'owner',
  'recipient',
  'role',
  'secret',
  'setting',
  'share',
  'storage',
  'token',
  'unknown',
] as const;
export type Kind = (typeof KINDS)[number];

/**
 * `give`: the fact holds from here on. `take`: it does not. `clear`: no fact of the kind on this
 * object (and of this subject, where one is named) holds. `drop`: the object or the subject is
 * gone, and with it every fact about it. `touch`: something changed that is no fact. `name`: the
 * subject is a name of the principal whose id the object tells; no fact either.
 */
export const OPS = ['give', 'take', 'clear', 'drop', 'touch', 'name'] as const;
export type Op = (typeof OPS)[number];

/** What the event by itself says. `changed`: it cannot be told from the event. */
export const DIRECTIONS = ['widened', 'narrowed', 'changed'] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** What a fact does while it holds: lets somebody in, keeps somebody out, or either of them. */
export const SENSES = ['permits', 'restricts', 'either'] as const;
export type Sense = (typeof SENSES)[number];

/** Which other facts of its kind and object a given one replaces: none, its subject's, or all. */
export const REPLACES = ['none', 'subject', 'object'] as const;
export type Replaces = (typeof REPLACES)[number];

const dayText = z.string().refine((text) => dayStart(text) !== null, 'not a day like 2026-11-28');

const effect = z.tuple([
  z.enum(OPS),
  z.enum(DIRECTIONS),
  z.enum(KINDS),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.enum(SENSES),
  z.enum(REPLACES),
]);

/** `[op, direction, kind, subject, privilege, object, scope, sense, replaces]` */
export type EffectRow = z.infer<typeof effect>;

const change = z.strictObject({
  time: longText,
  event: z.string(),
  action: z.string(),
  by: z.string(),
  topic: z.string(),
  partition: z.int().nonnegative(),
  offset: longText,
  effects: z.array(effect).min(1),
});

/** One event as a leaf lists it. */
export type ChangeRow = z.infer<typeof change>;

const schema = leafSchema({
  day: dayText,
  read: z
    .array(z.tuple([z.string().refine(isLog, 'not a log'), z.int().nonnegative()]))
    .refine((read) => read.every(([log], at) => at === 0 || read[at - 1]![0] < log), 'not sorted'),
  events: z.int().nonnegative(),
  undecodable: z.int().nonnegative(),
  changed: z.int().nonnegative(),
  changesHash: hexText,
  omitted: z.int().nonnegative(),
  changes: z.array(change),
  facts: z.int().nonnegative(),
  factsHash: hexText,
});

/** How many manifests of a log were read. */
export type ReadState = [log: string, size: number];

/** A snapshot as it is written, without the common keys. */
export interface AccessBody {
  /** The day that it closes, UTC. */
  day: string;
  /** Ascending by log. */
  read: ReadState[];
  /** Events of that day, duplicates too. */
  events: number;
  /** Records that are no audit event, in the manifests that no leaf before read. */
  undecodable: number;
  /** Events that changed access and are in no leaf before, or there with a copy that counts later. */
  changed: number;
  changesHash: string;
  /** How many of them are not listed. */
  omitted: number;
  changes: ChangeRow[];
  /** Facts known to hold at the end of the day. */
  facts: number;
  factsHash: string;
}

/** @throws LeafError where the bytes are no snapshot. */
export function parseAccessLeaf(bytes: Buffer): Leaf<AccessBody> {
  return parseLeaf<AccessBody>(bytes, schema);
}

/** Epoch ms at which a day begins, or null where the text is no day. */
export function dayStart(day: string): number | null {
  const ms = /^\d{4}-\d\d-\d\d$/.test(day) ? Date.parse(day) : Number.NaN;
  return Number.isNaN(ms) || dayOf(ms) !== day ? null : ms;
}

/** `2026-11-28`, of epoch ms. */
export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
