/**
 * One line of input becomes Kafka records or one dead letter. Pure.
 *
 * The record: value = Confluent frame of the Avro event, key = workspace or account, time = when it
 * happened. The dedupe key of everything downstream is the event id, which is in the datum; it is
 * not repeated as a header, because reading headers halves the rate at which kafkajs decodes
 * batches.
 */
import { isUtf8 } from 'node:buffer';
import { encodeAuditEvent, frame } from '../../schemas/audit-event.ts';
import { type DecodeReason, decodeJson } from '../ingest/decode.ts';
import type { AuditEvent } from '../ingest/event.ts';
import type { Line } from './split.ts';

export interface EventRecord {
  key: Buffer | null;
  value: Buffer;
  /** When the event happened, milliseconds since the epoch. */
  timestampMs: number;
}

/** Why a line was not collected: what `decode` found, or what only the collector can see. */
export type LineReason = DecodeReason | 'line_too_long' | 'record_too_large' | 'not_utf8';

/** A line for the dead-letter topic. */
export interface Letter {
  /** File, `stdin` or `s3://bucket/key`. */
  source: string;
  line: number;
  /** As read, without the line end; the first part of a line that is too long. */
  bytes: Buffer;
  reason: LineReason;
  detail: string;
}

export interface BuildContext {
  schemaId: number;
  /** Largest record that the topic takes, key and value together. */
  recordBytesMax: number;
}

export type BuiltLine =
  | { kind: 'records'; records: EventRecord[] }
  | { kind: 'letter'; letter: Letter }
  | { kind: 'blank' };

/** Of a record: attributes, lengths, timestamp and offset deltas (Kafka record batch v2). */
const RECORD_OVERHEAD_BYTES = 128;
const TAB = 0x09;
const SPACE = 0x20;

export function buildLine(line: Line, source: string, context: BuildContext): BuiltLine {
  if (line.oversizedBytes !== null) {
    return letter(line, source, 'line_too_long', `${line.oversizedBytes} bytes`);
  }
  if (isBlank(line.bytes)) return { kind: 'blank' };
  // Its text could not be kept byte for byte in the event.
  if (!isUtf8(line.bytes)) return letter(line, source, 'not_utf8', 'not valid UTF-8');
  const decoded = decodeJson(line.bytes);
  if (!decoded.ok) return letter(line, source, decoded.reason, decoded.detail);
  const records = decoded.events.map((event) => buildRecord(event, context.schemaId));
  const largest = Math.max(0, ...records.map(recordBytes));
  if (largest > context.recordBytesMax) {
    const detail = `${largest} bytes as a record, ${context.recordBytesMax} allowed`;
    return letter(line, source, 'record_too_large', detail);
  }
  return { kind: 'records', records };
}

export function recordBytes(record: EventRecord): number {
  return record.value.length + (record.key?.length ?? 0) + RECORD_OVERHEAD_BYTES;
}

function buildRecord(event: AuditEvent, schemaId: number): EventRecord {
  const key = recordKey(event);
  return {
    key: key === null ? null : Buffer.from(key),
    value: frame(schemaId, encodeAuditEvent(event)),
    timestampMs: event.eventTime,
  };
}

/**
 * Events of one workspace keep their order on one partition. Account-level events (no workspace, or
 * `0`) go by account; what has neither (Azure) goes by the resource; the rest goes anywhere.
 */
export function recordKey(
  event: Pick<AuditEvent, 'workspaceId' | 'accountId' | 'resourceId'>,
): string | null {
  const { workspaceId, accountId, resourceId } = event;
  if (workspaceId !== null && workspaceId !== '' && workspaceId !== '0') return workspaceId;
  return accountId || resourceId || null;
}

function letter(line: Line, source: string, reason: LineReason, detail: string): BuiltLine {
  const bytes = Buffer.from(line.bytes);
  return { kind: 'letter', letter: { source, line: line.number, bytes, reason, detail } };
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === SPACE || byte === TAB);
}
