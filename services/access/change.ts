/**
 * What one audit event changed about who may do what. Pure values, so that states, snapshots and
 * approvals all speak of the same thing.
 *
 * A change is about a *fact*: a subject has a privilege on an object within a scope (a workspace, a
 * metastore, an account). Facts are named as the event names them: nothing is looked up.
 */
import type { Direction, Kind, Op, Replaces, Sense } from '../../schemas/evidence/access-leaf.ts';
import { compareText } from '../runtime/order.ts';

export interface Fact {
  kind: Kind;
  /** Who: e-mail address (lower case), group, id, recipient. Empty where nobody is named. */
  subject: string;
  privilege: string;
  /** On what: `TABLE main.sales.orders`, `job 17`. */
  object: string;
  /** `metastore ID`, `workspace ID`, `account ID`, or empty where the event names none. */
  scope: string;
  sense: Sense;
}

/** One thing that an event did. */
export interface Effect extends Fact {
  op: Op;
  replaces: Replaces;
  direction: Direction;
  /** Where names were resolved: what the event and others of its time called them. */
  toldAs?: { subject: readonly string[]; object: readonly string[] };
}

/** Where the event lies: a record of a topic, or a line of a file. */
export interface Place {
  topic: string;
  partition: number;
  /** Offset, or the number of a line. */
  offset: bigint;
}

/** One event with what it did, in the order in which it did it. Never empty. */
export interface AccessEvent {
  eventId: string;
  /** Epoch ms. */
  timeMs: number;
  by: string;
  /** `SERVICE.ACTION` */
  action: string;
  at: Place;
  effects: readonly Effect[];
}

/** Longest text of a field of a fact; what is longer is cut, and its hash told instead. */
export const TEXT_CHARS_MAX = 512;

const SEP = '\n';

/** Two facts are the same where this is the same. */
export function factKey({ kind, scope, object, subject, privilege }: Fact): string {
  return [kind, scope, object, subject, privilege].join(SEP);
}

export function directionOf(op: Op, sense: Sense): Direction {
  if (op === 'touch' || sense === 'either') return 'changed';
  return (op === 'give') === (sense === 'permits') ? 'widened' : 'narrowed';
}

/** The order in which events count: by event time, then by id. */
export function compareEvents(one: AccessEvent, other: AccessEvent): number {
  return one.timeMs - other.timeMs || compareText(one.eventId, other.eventId);
}
