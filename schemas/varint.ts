/**
 * Avro's variable-length zigzag integers, read from and written to a buffer without allocation.
 * Source: Avro specification, "Binary encoding". Nothing here reads past `end`.
 */

/** A window on bytes and the place of the next read. */
export interface Cursor {
  bytes: Uint8Array;
  at: number;
  /** Exclusive. */
  end: number;
}

/** Longest varint of a 64-bit integer, bytes. */
export const VARINT_BYTES_MAX = 10;

/** Integers within ± this are exact as numbers, here and in the fast paths of others. */
export const EXACT = 2 ** 51;

/**
 * The next long as a number: exact within ± 2^53, rounded beyond. NaN when the bytes end first or
 * hold more than 64 bits; the cursor is then nowhere useful.
 */
export function readLong(cursor: Cursor): number {
  const at = cursor.at;
  if (at >= cursor.end) return Number.NaN;
  const byte = cursor.bytes[at]!;
  if (byte >= 0x80) return readLonger(cursor);
  cursor.at = at + 1;
  return (byte & 1) === 0 ? byte >> 1 : -(byte >> 1) - 1;
}

function readLonger(cursor: Cursor): number {
  const { bytes, end } = cursor;
  let at = cursor.at;
  let byte = bytes[at++]!;
  const negative = (byte & 1) === 1;
  let value = byte & 0x7f;
  let scale = 128;
  while (byte >= 0x80) {
    if (at >= end || at - cursor.at >= VARINT_BYTES_MAX) return Number.NaN;
    byte = bytes[at++]!;
    if (at - cursor.at === VARINT_BYTES_MAX && byte > 1) return Number.NaN;
    value += (byte & 0x7f) * scale;
    scale *= 128;
  }
  cursor.at = at;
  return negative ? -(value + 1) / 2 : value / 2;
}

/** The next long, exact. Null where `readLong` gives NaN. */
export function readLongExact(cursor: Cursor): bigint | null {
  const value = readInteger(cursor);
  return typeof value === 'number' ? BigInt(value) : value;
}

/** The same, as a number within ± 2^51: without the memory of a `bigint` for each. */
export function readInteger(cursor: Cursor): number | bigint | null {
  const start = cursor.at;
  const rounded = readLong(cursor);
  if (rounded > -EXACT && rounded < EXACT) return rounded;
  if (Number.isNaN(rounded)) return null;
  let value = 0n;
  for (let at = cursor.at - 1; at >= start; at--) {
    value = (value << 7n) | BigInt(cursor.bytes[at]! & 0x7f);
  }
  return (value & 1n) === 1n ? -((value + 1n) >> 1n) : value >> 1n;
}

/** Writes an integer within ± 2^51 and returns the place behind it. */
export function writeInteger(bytes: Uint8Array, at: number, value: number): number {
  let rest = value >= 0 ? value * 2 : -value * 2 - 1;
  let place = at;
  while (rest >= 0x80) {
    bytes[place++] = (rest % 128) | 0x80;
    rest = rest < 0x80000000 ? rest >>> 7 : Math.floor(rest / 128);
  }
  bytes[place++] = rest;
  return place;
}

/** Writes any 64-bit integer and returns the place behind it. */
export function writeLong(bytes: Uint8Array, at: number, value: bigint): number {
  const approximate = Number(value);
  if (approximate > -EXACT && approximate < EXACT) return writeInteger(bytes, at, approximate);
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  let place = at;
  while (rest >= 0x80n) {
    bytes[place++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  bytes[place++] = Number(rest);
  return place;
}

/** The varint of a 64-bit integer as its own bytes. */
export function longBytes(value: bigint): Buffer {
  const bytes = Buffer.alloc(VARINT_BYTES_MAX);
  return bytes.subarray(0, writeLong(bytes, 0, value));
}
