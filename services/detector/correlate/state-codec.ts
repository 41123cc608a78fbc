/**
 * State of a group as bytes, for the state topic and for groups that are not in use:
 *
 * | bytes | what |
 * |---|---|
 * | 1 | version of this layout |
 * | 4 | CRC-32 of all that follows, little-endian |
 * | 12 | first bytes of the plan's fingerprint, so that state of another meaning is not read |
 * | rest | the group (`writeEager`, `writeOrdered`) |
 *
 * Decoding is total: bytes of another version or meaning, cut, mutated or made up, give null.
 */
import { crc32 } from 'node:zlib';
import { Reader, Writer } from './bytes.ts';
import { type EagerGroup, type EagerRule, readEager, writeEager } from './eager.ts';
import type { OrderedGroup, OrderedRule } from './ordered.ts';
import { readOrdered, writeOrdered } from './ordered-codec.ts';
import type { Plan } from './plan.ts';

/** 2: entries may have a rank; ordered alerts, tumbling windows and baselines have one. */
export const STATE_VERSION = 2;
/** The oldest that is read. */
const STATE_VERSION_MIN = 1;
const HEAD_BYTES = 5;
const MARK_BYTES = 12;

export type Rule =
  | { kind: 'eager'; plan: Plan; mark: Buffer; eager: EagerRule }
  | { kind: 'ordered'; plan: Plan; mark: Buffer; ordered: OrderedRule };
export type Group =
  | { kind: 'eager'; eager: EagerGroup }
  | { kind: 'ordered'; ordered: OrderedGroup };

const writer = new Writer();

/** Some doubles and the group: for memory, where nothing can have touched it. */
export function packGroup(group: Group, before: readonly number[]): string {
  writer.reset();
  for (const double of before) writer.double(double);
  writeGroup(writer, group);
  return writer.latin1();
}

/** Of bytes that `packGroup` made for the rule. */
export function unpackGroup(rule: Rule, bytes: Buffer, start: number, end: number): Group {
  const group = readGroup(rule, new Reader(bytes, STATE_VERSION, start, end));
  if (group === null) throw new Error(`packed state of rule ${rule.plan.ruleId} cannot be read`);
  return group;
}

/** From the bytes of `packGroup` to those of the state topic. */
export function sealState(rule: Rule, packed: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + MARK_BYTES + packed.length);
  bytes[0] = STATE_VERSION;
  rule.mark.copy(bytes, HEAD_BYTES);
  packed.copy(bytes, HEAD_BYTES + MARK_BYTES);
  bytes.writeUInt32LE(crc32(bytes.subarray(HEAD_BYTES)), 1);
  return bytes;
}

export function encodeState(rule: Rule, group: Group): Buffer {
  writer.reset();
  writeGroup(writer, group);
  return sealState(rule, writer.written());
}

/** `stranger`: of another version or another meaning; `broken`: not what it says it is. */
export type Decoded = { ok: true; group: Group } | { ok: false; why: 'stranger' | 'broken' };

export function decodeState(rule: Rule, bytes: Buffer): Decoded {
  if (bytes.length < HEAD_BYTES + MARK_BYTES) return { ok: false, why: 'broken' };
  const version = bytes[0]!;
  if (version < STATE_VERSION_MIN || version > STATE_VERSION) return { ok: false, why: 'stranger' };
  if (crc32(bytes.subarray(HEAD_BYTES)) !== bytes.readUInt32LE(1))
    return { ok: false, why: 'broken' };
  const mark = bytes.subarray(HEAD_BYTES, HEAD_BYTES + MARK_BYTES);
  if (!mark.equals(rule.mark)) return { ok: false, why: 'stranger' };
  const group = readGroup(rule, new Reader(bytes, version, HEAD_BYTES + MARK_BYTES));
  return group === null ? { ok: false, why: 'broken' } : { ok: true, group };
}

/** What tells state of one meaning from that of another. */
export function markOf({ fingerprint }: Plan): Buffer {
  return Buffer.from(fingerprint, 'base64url').subarray(0, MARK_BYTES);
}

function writeGroup(to: Writer, group: Group): void {
  if (group.kind === 'eager') writeEager(to, group.eager);
  else writeOrdered(to, group.ordered);
}

function readGroup(rule: Rule, reader: Reader): Group | null {
  const group: Group =
    rule.kind === 'eager'
      ? { kind: 'eager', eager: readEager(reader, rule.eager) }
      : { kind: 'ordered', ordered: readOrdered(reader, rule.ordered) };
  return reader.complete ? group : null;
}
