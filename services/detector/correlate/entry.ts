/**
 * One event inside the state of a group, and lists of them in order. The order is by event time,
 * then event id, then rule, then value: a function of the events, never of their arrival.
 */
import { compareText } from '../../runtime/order.ts';
import type { Reader, Writer } from './bytes.ts';
import { EVIDENCE_MAX, type EvidenceRef, NO_RANK } from './types.ts';

export interface Entry {
  /** Event time, epoch ms. */
  time: number;
  /** Identity of the event, or of the inner alert whose firing this is. */
  id: string;
  /** Which of the node's rules it is of; 0 where that does not matter. */
  leaf: number;
  /** Counted values as one text; empty where none are counted. */
  key: string;
  /** The computed value; NaN where none is. */
  figure: number;
  topic: string;
  partition: number;
  offset: bigint;
  /** How grave it is by its own rule, or what it stands for; `NO_RANK` where nothing says so. */
  rank: number;
  /** The match's values; null where nothing asks for them any more. */
  values: readonly (string | null)[] | null;
  /** The match's context; empty where it is not kept. */
  context: string;
  /** The events behind the firing of an inner rule; null for an event. */
  refs: readonly EvidenceRef[] | null;
}

/** Longest value list of an entry that is read back. */
const VALUES_MAX = 1_000;
/** No list of levels is longer: bounds what is read back. */
const RANK_MAX = 255;
/** Layout of state from which on everything that counts events has a rank. */
const RANKS_SINCE = 2;
const HALF = EVIDENCE_MAX / 2;

/** Times further from the epoch (in the year 37,000) are no times; sums of those within are exact. */
export const TIME_MS_MAX = 2 ** 50;

export function compareEntries(a: Entry, b: Entry): number {
  return a.time - b.time || compareText(a.id, b.id) || a.leaf - b.leaf || compareText(a.key, b.key);
}

/** Index of the first entry at or after the time. */
export function lowerBound(entries: readonly Entry[], time: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (entries[middle]!.time < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index after the last entry at or before the time. */
export function upperBound(entries: readonly Entry[], time: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (entries[middle]!.time <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where the entry belongs, from the newest end, because most come in order. */
export function placeOf(entries: readonly Entry[], entry: Entry): { at: number; known: boolean } {
  const last = entries.length - 1;
  if (last < 0 || compareEntries(entries[last]!, entry) < 0) {
    return { at: last + 1, known: false };
  }
  let low = 0;
  let high = last;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareEntries(entries[middle]!, entry) < 0) low = middle + 1;
    else high = middle;
  }
  return { at: low, known: compareEntries(entries[low]!, entry) === 0 };
}

/** The highest rank among them. */
export function gravest(entries: readonly Entry[]): number {
  let highest = NO_RANK;
  for (const { rank } of entries) if (rank > highest) highest = rank;
  return highest;
}

export function refOf({ topic, partition, offset, id }: Entry): EvidenceRef {
  return { topic, partition, offset, eventId: id };
}

/** Events behind entries, each once, in order. */
export function refsOf(entries: readonly Entry[]): EvidenceRef[] {
  const seen = new Set<string>();
  const refs: EvidenceRef[] = [];
  for (const entry of entries) {
    for (const ref of entry.refs ?? [refOf(entry)]) {
      if (seen.has(ref.eventId)) continue;
      seen.add(ref.eventId);
      refs.push(ref);
    }
  }
  return refs;
}

/** At most `EVIDENCE_MAX`: the first half and the newest half. */
export function evidenceOf(refs: readonly EvidenceRef[]): readonly EvidenceRef[] {
  return refs.length <= EVIDENCE_MAX ? refs : [...refs.slice(0, HALF), ...refs.slice(-HALF)];
}

export function writeRefs(writer: Writer, refs: readonly EvidenceRef[]): void {
  writer.count(refs.length);
  for (const { topic, partition, offset, eventId } of refs) {
    writer.id(eventId);
    writer.repeated(topic);
    writer.whole(partition);
    writer.offset(offset);
  }
}

export function readRefs(reader: Reader): EvidenceRef[] {
  return Array.from({ length: reader.length() }, () => {
    const eventId = reader.id();
    return {
      topic: reader.repeated(),
      partition: reader.whole(),
      offset: reader.offset(),
      eventId,
    };
  });
}

export function writeRank(writer: Writer, rank: number): void {
  writer.count(rank - NO_RANK);
}

export function readRank(reader: Reader): number {
  return reader.count(RANK_MAX) + NO_RANK;
}

/** A rank in a place where the layout before `RANKS_SINCE` has nothing. */
export function readAddedRank(reader: Reader): number {
  return reader.version < RANKS_SINCE ? NO_RANK : readRank(reader);
}

const HAS_LEAF = 1;
const HAS_KEY = 2;
const HAS_FIGURE = 4;
const HAS_VALUES = 8;
const HAS_CONTEXT = 16;
const HAS_REFS = 32;
const HAS_RANK = 64;
const FLAGS_ALL = 127;

export function writeEntries(writer: Writer, entries: readonly Entry[]): void {
  writer.count(entries.length);
  let time = 0;
  for (const entry of entries) {
    const { leaf, key, figure, rank, values, context, refs } = entry;
    writer.whole(entry.time - time);
    time = entry.time;
    writer.byte(
      (leaf === 0 ? 0 : HAS_LEAF) |
        (key === '' ? 0 : HAS_KEY) |
        (Number.isNaN(figure) ? 0 : HAS_FIGURE) |
        (values === null ? 0 : HAS_VALUES) |
        (context === '' ? 0 : HAS_CONTEXT) |
        (refs === null ? 0 : HAS_REFS) |
        (rank === NO_RANK ? 0 : HAS_RANK),
    );
    writer.id(entry.id);
    writer.repeated(entry.topic);
    writer.whole(entry.partition);
    writer.offset(entry.offset);
    if (leaf !== 0) writer.count(leaf);
    if (key !== '') writer.text(key);
    if (!Number.isNaN(figure)) writer.double(figure);
    if (rank !== NO_RANK) writeRank(writer, rank);
    if (values !== null) {
      writer.count(values.length);
      for (const value of values) writer.optional(value);
    }
    if (context !== '') writer.text(context);
    if (refs !== null) writeRefs(writer, refs);
  }
}

/** In order, and each once: anything else is refused. */
export function readEntries(reader: Reader, leaves: number): Entry[] {
  const length = reader.length();
  const entries: Entry[] = [];
  let time = 0;
  for (let n = 0; n < length && !reader.failed; n += 1) {
    time += reader.whole();
    const entry = readEntry(reader, time);
    const before = entries.at(-1);
    const ordered = before === undefined || compareEntries(before, entry) < 0;
    if (!ordered || entry.leaf >= leaves || Math.abs(time) > TIME_MS_MAX) reader.refuse();
    entries.push(entry);
  }
  return entries;
}

function readEntry(reader: Reader, time: number): Entry {
  const flags = reader.byte();
  if (flags > FLAGS_ALL) reader.refuse();
  const id = reader.id();
  const topic = reader.repeated();
  const partition = reader.whole();
  const offset = reader.offset();
  // Members in the order in which new entries have them: all are then of one shape to the engine.
  return {
    time,
    id,
    leaf: (flags & HAS_LEAF) === 0 ? 0 : reader.count(),
    key: (flags & HAS_KEY) === 0 ? '' : reader.text(),
    figure: (flags & HAS_FIGURE) === 0 ? Number.NaN : reader.double(),
    topic,
    partition,
    offset,
    rank: (flags & HAS_RANK) === 0 ? NO_RANK : readRank(reader),
    values:
      (flags & HAS_VALUES) === 0
        ? null
        : Array.from({ length: reader.count(VALUES_MAX) }, () => reader.optional()),
    context: (flags & HAS_CONTEXT) === 0 ? '' : reader.text(),
    refs: (flags & HAS_REFS) === 0 ? null : readRefs(reader),
  };
}
