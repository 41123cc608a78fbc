/**
 * What an ordered rule keeps, per node of its tree and per group of the node: a machine that is
 * stepped through the instants of event time, never back. At each instant it gets all events of
 * that instant at once, and then what falls due by it.
 */
import type { Reader, Writer } from './bytes.ts';
import type { Entry } from './entry.ts';
import { NO_RANK } from './types.ts';

/** The node's condition holds. */
export interface Firing {
  /** The event that decided; its time chooses the suppression period. */
  deciding: Entry;
  /** The events that it is about, in order. */
  entries: readonly Entry[];
  /** Part of what the alert is about besides the group: JSON; null for most kinds. */
  value: string | null;
  /** How many events it is about, where `entries` are only some. */
  total: number | null;
  /** The highest rank of those that are not among `entries`. */
  rank: number;
  /** One more event for an alert that is open; raises none. */
  isUpdate: boolean;
  reason: string;
}

export type Fire = (firing: Firing) => void;

export interface NodeState {
  /** @param events of the instant `at`, in order; their `leaf` is the child's index. */
  step(at: number, events: readonly Entry[], fire: Fire): void;
  /** Instant at which it must be stepped even without events; Infinity for none. */
  deadline(): number;
  /** After this instant it is as good as new. */
  forgetAfter(): number;
  /** What it holds, in entries, against the group's budget. */
  size(): number;
  write(writer: Writer): void;
}

export interface NodeKind {
  open(): NodeState;
  /** Total: marks the reader failed where the bytes are of no such state. */
  read(reader: Reader): NodeState;
}

/** A firing without anything out of the ordinary. */
export function firing(deciding: Entry, entries: readonly Entry[], reason: string): Firing {
  return { deciding, entries, value: null, total: null, rank: NO_RANK, isUpdate: false, reason };
}

/** The entry as state keeps it: what judging needs again, and no more. */
export function bare(entry: Entry): Entry {
  return { ...entry, values: null, context: '' };
}
