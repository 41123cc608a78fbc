/**
 * When a segment is closed, and where a record goes: pure decisions.
 *
 * Bytes, records and age bound what one segment is; a schema change closes it because one file has
 * one writer schema, but only once it holds enough records to be worth an object: writers that
 * alternate between two schema ids must not make one object per record. The rest of the reasons
 * come from outside: memory, a gap, a revocation, the shutdown.
 */

export type RollReason =
  | 'bytes'
  | 'records'
  | 'age'
  | 'schema'
  | 'memory'
  | 'gap'
  | 'revoked'
  | 'shutdown';

export interface RollLimits {
  segmentBytesMax: number;
  segmentRecordsMax: number;
  segmentAgeMsMax: number;
  schemaRollRecordsMin: number;
}

/** What the decisions need to know of an open segment. */
export interface OpenState {
  records: number;
  /** Bytes it would have in the store if it were sealed now, as far as is known. */
  storedBytes: number;
  /** When its first record arrived, milliseconds since the epoch; null before that. */
  openedAtMs: number | null;
  /** Writer schema of its spliced datums; null while it has none. */
  schemaId: number | null;
}

/** Why the segment is to be closed now, or null. One without records stays open. */
export function rollReason(
  open: OpenState,
  limits: RollLimits,
  nowMs: number,
): 'bytes' | 'records' | 'age' | null {
  if (open.records === 0) return null;
  if (open.storedBytes >= limits.segmentBytesMax) return 'bytes';
  if (open.records >= limits.segmentRecordsMax) return 'records';
  const aged = open.openedAtMs !== null && nowMs - open.openedAtMs >= limits.segmentAgeMsMax;
  return aged ? 'age' : null;
}

/** What to do with a datum of `schemaId`: splice it here, keep it as bytes, or close first. */
export function placement(
  open: Pick<OpenState, 'records' | 'schemaId'>,
  schemaId: number,
  limits: Pick<RollLimits, 'schemaRollRecordsMin'>,
): 'splice' | 'opaque' | 'roll' {
  if (open.schemaId === null || open.schemaId === schemaId) return 'splice';
  return open.records >= limits.schemaRollRecordsMin ? 'roll' : 'opaque';
}

/** The open segment whose sealing frees most memory; null where none can be sealed now. */
export function memoryVictim<Candidate extends { sealableBytes: number }>(
  candidates: Iterable<Candidate>,
): Candidate | null {
  let largest: Candidate | null = null;
  for (const candidate of candidates) {
    if (candidate.sealableBytes > (largest?.sealableBytes ?? 0)) largest = candidate;
  }
  return largest;
}
