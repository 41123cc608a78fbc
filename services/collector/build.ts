/**
 * One line of input becomes Kafka records and, for what of it cannot be read, dead letters. Pure.
 *
 * The record: value = Confluent frame of the Avro event, key = workspace or account. The dedupe key
 * of everything downstream is the event id, which is in the datum; it is not repeated as a header,
 * because reading headers halves the rate at which kafkajs decodes batches.
 *
 * The record's time is when it is sent, never when the event happened: Kafka's retention counts from
 * the record's time, and would delete last month's events minutes after they were collected, before
 * the archiver has sealed them.
 */
import { auditEventType, encodeAuditEvent, frame, unframe } from '../../schemas/audit-event.ts';
import { DECODE_LIMITS, type DecodeReason, decodeJson } from '../ingest/decode.ts';
import type { AuditEvent } from '../ingest/event.ts';
import { isBlank, type Line } from '../ingest/lines.ts';

export interface EventRecord {
  key: Buffer | null;
  value: Buffer;
  /** Where it was read: file, `stdin` or `s3://bucket/key`, and the line, counted from 1. */
  source: string;
  line: number;
}

/** Why something was not collected: what `decode` found, or what only the collector can see. */
export type LineReason = DecodeReason | 'line_too_long' | 'record_too_large';

/** A line, or one event of a line, for the dead-letter topic. */
export interface Letter {
  source: string;
  line: number;
  /** As read, without the line end; the first part of a line that is too long. */
  bytes: Buffer;
  reason: LineReason;
  detail: string;
}

export interface BuildContext {
  schemaId: number;
  lineBytesMax: number;
  /** Largest record that the topic takes, key and value together. */
  recordBytesMax: number;
}

/** Neither records nor letters: the line was blank. */
export interface BuiltLine {
  records: EventRecord[];
  letters: Letter[];
}

/** Lengths, attributes and deltas of a record, and the batch around it (Kafka batch format 2). */
const RECORD_OVERHEAD_BYTES = 128;

export function buildLine(line: Line, source: string, context: BuildContext): BuiltLine {
  const built: BuiltLine = { records: [], letters: [] };
  const refuse = (bytes: Buffer, reason: LineReason, detail: string): void => {
    built.letters.push({ source, line: line.number, bytes, reason, detail });
  };
  if (line.oversizedBytes !== null) {
    const detail = `${line.oversizedBytes} bytes, the limit is ${context.lineBytesMax}`;
    refuse(Buffer.from(line.bytes), 'line_too_long', detail);
    return built;
  }
  if (isBlank(line.bytes)) return built;
  const limits = { ...DECODE_LIMITS, bytesMax: context.lineBytesMax };
  const decoded = decodeJson(line.bytes, limits);
  if (!decoded.ok) {
    refuse(Buffer.from(line.bytes), decoded.reason, decoded.detail);
    return built;
  }
  for (const { index, reason, detail, raw } of decoded.refused) {
    refuse(Buffer.from(raw), reason, `event ${index + 1} of the line: ${detail}`);
  }
  for (const event of decoded.events) {
    const record = buildRecord(event, source, line.number, context.schemaId);
    const bytes = recordBytes(record);
    if (bytes <= context.recordBytesMax) built.records.push(record);
    else built.letters.push(tooLarge(record, context.recordBytesMax));
  }
  return built;
}

export function recordBytes({ key, value }: Pick<EventRecord, 'key' | 'value'>): number {
  return value.length + (key?.length ?? 0) + RECORD_OVERHEAD_BYTES;
}

/** The dead letter of a record that the topic does not take: the event as it was read. */
export function tooLarge(record: EventRecord, limit: number | null): Letter {
  const { source, line, value } = record;
  const { raw } = auditEventType.fromBuffer(unframe(value)!.datum) as AuditEvent;
  const detail = `${recordBytes(record)} bytes as a record, ${limit ?? 'fewer'} allowed`;
  return { source, line, bytes: Buffer.from(raw), reason: 'record_too_large', detail };
}

function buildRecord(
  event: AuditEvent,
  source: string,
  line: number,
  schemaId: number,
): EventRecord {
  const key = recordKey(event);
  return {
    key: key === null ? null : Buffer.from(key),
    value: frame(schemaId, encodeAuditEvent(event)),
    source,
    line,
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
