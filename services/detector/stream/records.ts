/**
 * What is on the matches topic: matches, and between them the progress of the readers of the events
 * topic. Both are lakeseal's own on either side, so there is no registry; the first byte says what
 * follows:
 *
 * | byte | then |
 * |---|---|
 * | 1 | a match: one datum of `schemas/match.avsc` |
 * | 2 | progress: JSON of `Progress`, offsets as text |
 * | 3 | several matches, in order: of each the length of its datum (int32, big-endian) and the datum |
 *
 * A byte that is not known is of a newer version, which must never be guessed at. Decoding is total.
 */
import { decodeMatchDatum, writeMatchDatum } from '../../../schemas/match.ts';
import { type Match, NO_RANK } from '../correlate/types.ts';

/** How far one partition of the events topic is. */
export interface SourceProgress {
  partition: number;
  /** The matches of every event before this offset lie before this record. */
  nextOffset: bigint;
  /** Newest event time seen in it, epoch ms; null before the first event. */
  newest: number | null;
  /** No event as old as this is awaited from it any more, epoch ms; null where that is not known. */
  passed: number | null;
}

export interface Progress {
  /** Id of the events topic, so that one made anew under the same name is another. */
  topicId: string;
  /** Partitions of the events topic: as long as one is not heard of, nothing is known of it. */
  partitions: number;
  sources: readonly SourceProgress[];
}

/** A match, and the fingerprint of the rule's meaning that it was made for. */
export interface PlannedMatch {
  plan: string;
  match: Match;
}

export type StreamRecord =
  | { kind: 'matches'; matches: readonly PlannedMatch[] }
  | { kind: 'progress'; progress: Progress }
  | { kind: 'unreadable'; reason: string };

const MATCH = 1;
const PROGRESS = 2;
const MATCHES = 3;
const LENGTH_BYTES = 4;
/** More partitions than any cluster gives one topic; bounds what a broken record can claim. */
const PARTITIONS_MAX = 100_000;

/** Where a match is written first; as large as the largest so far. */
let scratch = Buffer.allocUnsafe(16 * 1024);

/** @param plan fingerprint of the rule's meaning, as the plan has it. */
export function encodeMatch(match: Match, plan: string): Buffer {
  const datum = { rank: NO_RANK, ...match, plan };
  let end = writeMatchDatum(datum, scratch, 1);
  if (end < 0) {
    scratch = Buffer.allocUnsafe(scratch.length - end);
    end = writeMatchDatum(datum, scratch, 1);
  }
  scratch[0] = MATCH;
  return Buffer.from(scratch.subarray(0, end));
}

/**
 * Matches as one record, each as `encodeMatch` gave it: what a broker and its clients do for a
 * record costs more than what is done for a match.
 */
export function packMatches(matches: readonly Buffer[]): Buffer {
  const [only] = matches;
  if (matches.length === 1) return only!;
  const size = matches.reduce((sum, { length }) => sum + LENGTH_BYTES + length - 1, 1);
  const bytes = Buffer.allocUnsafe(size);
  bytes[0] = MATCHES;
  let at = 1;
  for (const match of matches) {
    at = bytes.writeInt32BE(match.length - 1, at);
    at += match.copy(bytes, at, 1);
  }
  return bytes;
}

export function encodeProgress({ topicId, partitions, sources }: Progress): Buffer {
  const body = {
    topicId,
    partitions,
    sources: sources.map((one) => ({ ...one, nextOffset: String(one.nextOffset) })),
  };
  return Buffer.concat([Buffer.from([PROGRESS]), Buffer.from(JSON.stringify(body))]);
}

/** Never throws. */
export function decodeStreamRecord(value: Buffer | null): StreamRecord {
  if (value === null || value.length === 0) return unreadable('it is empty');
  const body = value.subarray(1);
  try {
    if (value[0] === MATCH) return { kind: 'matches', matches: [decodeMatch(body)] };
    if (value[0] === MATCHES) return { kind: 'matches', matches: unpackMatches(body) };
    if (value[0] === PROGRESS) return decodeProgress(body);
  } catch (error) {
    return unreadable((error as Error).message);
  }
  return unreadable(`it begins with ${value[0]}, which this version does not know`);
}

function unreadable(reason: string): StreamRecord {
  return { kind: 'unreadable', reason };
}

function decodeMatch(body: Buffer): PlannedMatch {
  const { plan, rank, ...match } = decodeMatchDatum(body);
  return { plan, match: rank === NO_RANK ? match : { ...match, rank } };
}

function unpackMatches(body: Buffer): PlannedMatch[] {
  const matches: PlannedMatch[] = [];
  if (body.length === 0) throw new Error('it holds no match');
  for (let at = 0; at < body.length; ) {
    const length = body.readInt32BE(at);
    at += LENGTH_BYTES;
    if (length < 0 || at + length > body.length) throw new Error('a match of it is cut');
    matches.push(decodeMatch(body.subarray(at, at + length)));
    at += length;
  }
  return matches;
}

function decodeProgress(body: Buffer): StreamRecord {
  const read = JSON.parse(body.toString('utf8')) as Partial<Record<keyof Progress, unknown>> | null;
  const { topicId, partitions, sources } = read ?? {};
  if (typeof topicId !== 'string' || !isPartition(partitions) || !Array.isArray(sources)) {
    return unreadable('it is not the progress of a topic');
  }
  const progress = { topicId, partitions, sources: sources.map(readSource) };
  return { kind: 'progress', progress };
}

function readSource(value: unknown): SourceProgress {
  const { partition, nextOffset, newest, passed } = value as Record<string, unknown>;
  if (!isPartition(partition) || !/^\d{1,19}$/.test(String(nextOffset))) {
    throw new Error('it is not the progress of a partition');
  }
  return {
    partition,
    nextOffset: BigInt(String(nextOffset)),
    newest: timeOf(newest),
    passed: timeOf(passed),
  };
}

function timeOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function isPartition(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= PARTITIONS_MAX;
}
