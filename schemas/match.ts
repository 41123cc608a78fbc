/**
 * The datum of one match (`match.avsc`) as bytes. There is no registry in between: the schema is
 * lakeseal's own on both sides, and the byte before the datum (`services/detector/stream/`) tells
 * its version.
 */
import { readFileSync } from 'node:fs';
import { parseAvroSchema } from './avro.ts';

export interface MatchDatum {
  ruleId: string;
  plan: string;
  leafId: string;
  group: readonly string[];
  values: readonly (string | null)[];
  eventTime: number;
  eventId: string;
  topic: string;
  partition: number;
  offset: bigint;
  context: string;
  /** A place in the levels of rules; -1 for none. */
  rank: number;
}

const FILE = new URL('./match.avsc', import.meta.url);
const type = parseAvroSchema(JSON.parse(readFileSync(FILE, 'utf8')));

/**
 * Writes the datum into `bytes` from `at` on.
 *
 * @returns where it ends, or, where it does not fit, minus the bytes that are missing.
 */
export function writeMatchDatum(datum: MatchDatum, bytes: Buffer, at: number): number {
  return type.encode(datum, bytes, at);
}

/** @throws Error where the bytes are not exactly one datum. */
export function decodeMatchDatum(bytes: Buffer): MatchDatum {
  const datum = type.fromBuffer(bytes) as MatchDatum;
  return { ...datum, offset: BigInt(datum.offset) };
}
