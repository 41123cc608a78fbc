/**
 * The daily snapshot: what its leaf says, computed from what was read of the archive up to stated
 * sizes, so that anybody with the archive gets the same. Pure.
 */
import { createHash } from 'node:crypto';
import {
  type AccessBody,
  type ChangeRow,
  DAY_MS,
  dayStart,
  type EffectRow,
  type ReadState,
} from '../../schemas/evidence/access-leaf.ts';
import { compareText } from '../runtime/order.ts';
import type { AccessEvent, Effect, Fact } from './change.ts';
import { compareCopies, factsAfter, inOrder } from './state.ts';

/** Room for changes in one leaf, bytes of JSON: far more than a day has, and within a leaf's limit. */
export const LISTED_BYTES_MAX = 32 * 1024 * 1024;

export interface DayCount {
  events: number;
  /** In the manifests that no snapshot before read. */
  undecodable: number;
}

/** What was read of the archive. */
export interface SnapshotInput {
  day: string;
  read: readonly ReadState[];
  count: DayCount;
  /** Changes that leaves before this one list. */
  known: readonly AccessEvent[];
  /** Changes that were read now, of any time, known ones too. */
  found: Iterable<AccessEvent>;
  /** For tests. */
  listedBytesMax?: number;
}

/** The snapshot, and all changes that are known with it. */
export function snapshotOf(input: SnapshotInput): { body: AccessBody; known: AccessEvent[] } {
  const { day, read, count, known, found } = input;
  const endMs = dayStart(day)! + DAY_MS;
  const copies = new Map(inOrder(known).map((one) => [one.eventId, one]));
  // Of a known event only a copy that counts before it says something new.
  const isNews = (one: AccessEvent): boolean => {
    const copy = copies.get(one.eventId);
    return one.timeMs < endMs && (copy === undefined || compareCopies(one, copy) < 0);
  };
  const news = inOrder([...found].filter(isNews));
  const rows = news.map(rowOf);
  const listed = listedRows(rows, input.listedBytesMax ?? LISTED_BYTES_MAX);
  const all = inOrder([...known, ...news]);
  const facts = factsAfter(all);
  const body: AccessBody = {
    day,
    read: [...read].sort(([one], [other]) => compareText(one, other)),
    events: count.events,
    undecodable: count.undecodable,
    changed: rows.length,
    changesHash: hashOfLines(rows.map((row) => JSON.stringify(row))),
    omitted: rows.length - listed.length,
    changes: listed,
    facts: facts.length,
    factsHash: hashOfLines(facts.map(factLine).sort(compareBytes)),
  };
  return { body, known: all };
}

function listedRows(rows: readonly ChangeRow[], bytesMax: number): ChangeRow[] {
  let bytes = 0;
  const listed: ChangeRow[] = [];
  for (const row of rows) {
    bytes += Buffer.byteLength(JSON.stringify(row));
    if (bytes > bytesMax) break;
    listed.push(row);
  }
  return listed;
}

function hashOfLines(lines: readonly string[]): string {
  const hash = createHash('sha256');
  for (const line of lines) hash.update(`${line}\n`);
  return hash.digest('hex');
}

function compareBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

/** As `factsHash` is over: one JSON list a line. */
export function factLine({ kind, subject, privilege, object, scope, sense }: Fact): string {
  return JSON.stringify([kind, subject, privilege, object, scope, sense]);
}

export function rowOf(event: AccessEvent): ChangeRow {
  const { timeMs, eventId, action, by, at, effects } = event;
  return {
    time: String(timeMs),
    event: eventId,
    action,
    by,
    topic: at.topic,
    partition: at.partition,
    offset: String(at.offset),
    effects: effects.map(effectRow),
  };
}

function effectRow(effect: Effect): EffectRow {
  const { op, direction, kind, subject, privilege, object, scope, sense, replaces } = effect;
  return [op, direction, kind, subject, privilege, object, scope, sense, replaces];
}

export function eventOfRow(row: ChangeRow): AccessEvent {
  const { time, event, action, by, topic, partition, offset, effects } = row;
  return {
    timeMs: Number(time),
    eventId: event,
    action,
    by,
    at: { topic, partition, offset: BigInt(offset) },
    effects: effects.map(
      ([op, direction, kind, subject, privilege, object, scope, sense, replaces]) => {
        return { op, direction, kind, subject, privilege, object, scope, sense, replaces };
      },
    ),
  };
}
