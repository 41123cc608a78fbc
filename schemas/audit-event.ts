/**
 * The audit event as Avro: its schema, its bytes, and the frame it travels in on Kafka.
 *
 * `encodeAuditEvent` gives what avsc gives for the same schema, and `readAuditEvent` takes what
 * any writer of the schema wrote.
 */
import { readFileSync } from 'node:fs';
import { type AvroType, parseAvroSchema } from './avro.ts';

/** The schema of an event, as JSON. `audit-event.avsc` is the source. */
export const auditEventSchema: Record<string, unknown> = JSON.parse(
  readFileSync(new URL('./audit-event.avsc', import.meta.url), 'utf8'),
);

export const auditEventType: AvroType = parseAvroSchema(auditEventSchema);

/** An event as the schema has it. Words are not checked: a newer writer may know more of them. */
export interface AuditEventDatum {
  eventId: string;
  eventIdSource: string;
  /** Milliseconds since the epoch, UTC. */
  eventTime: number;
  eventTimeText: string | null;
  shape: string;
  version: string | null;
  auditLevel: string | null;
  accountId: string | null;
  workspaceId: string | null;
  orgId: string | null;
  shardName: string | null;
  resourceId: string | null;
  category: string | null;
  serviceName: string;
  actionName: string;
  requestId: string | null;
  sessionId: string | null;
  userAgent: string | null;
  sourceIp: string | null;
  sourcePort: number | null;
  sourceAddressText: string | null;
  actor: {
    name: string;
    type: string;
    email: string | null;
    subjectName: string | null;
    runBy: string | null;
    runAs: string | null;
    runByDisplayName: string | null;
    runAsDisplayName: string | null;
    actingResource: string | null;
  };
  requestParams: Record<string, string>;
  requestParamsTruncated: boolean;
  response: {
    statusCode: number | null;
    errorMessage: string | null;
    result: string | null;
  } | null;
  outcome: string;
  decodeErrors: string[];
  extra: Record<string, string>;
  raw: string;
}

/** The datum of an event, without frame. The buffer is the caller's to keep. */
export function encodeAuditEvent(event: AuditEventDatum): Buffer {
  return auditEventType.toBuffer(event);
}

/** First byte of a value framed the Confluent way; JSON text never starts with it. */
export const CONFLUENT_MAGIC = 0;
/** Magic byte and 32-bit schema id, big endian. */
export const FRAME_BYTES = 5;
/** Registries give ids as signed 32-bit integers. */
const SCHEMA_ID_MAX = 0x7fffffff;

/** A Kafka value: magic byte, schema id, datum. Source: Confluent wire format. */
export function frame(schemaId: number, datum: Buffer): Buffer {
  if (!Number.isInteger(schemaId) || schemaId < 0 || schemaId > SCHEMA_ID_MAX) {
    throw new RangeError('a schema id is an integer from 0 to 2^31 - 1');
  }
  const value = Buffer.allocUnsafe(FRAME_BYTES + datum.length);
  value[0] = CONFLUENT_MAGIC;
  value.writeInt32BE(schemaId, 1);
  datum.copy(value, FRAME_BYTES);
  return value;
}

/** The parts of a framed value, sharing its memory, or null where there is no frame. */
export function unframe(value: Buffer): { schemaId: number; datum: Buffer } | null {
  if (value.length < FRAME_BYTES || value[0] !== CONFLUENT_MAGIC) return null;
  const schemaId = value.readInt32BE(1);
  return schemaId < 0 ? null : { schemaId, datum: value.subarray(FRAME_BYTES) };
}
