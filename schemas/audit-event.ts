/**
 * The audit event as Avro: its schema, its bytes, and the frame it travels in on Kafka.
 *
 * `encodeAuditEvent` gives what avsc gives for the same schema, and `readAuditEvent` takes what
 * any writer of the schema wrote.
 */
import { readFileSync } from 'node:fs';
import { type AvroType, parseAvroSchema } from './avro.ts';
import { DatumReader, DatumWriter } from './datum-text.ts';

/** The schema of an event, as JSON. `audit-event.avsc` is the source. */
export const auditEventSchema: Record<string, unknown> = JSON.parse(
  readFileSync(new URL('./audit-event.avsc', import.meta.url), 'utf8'),
);

export const auditEventType: AvroType = parseAvroSchema(auditEventSchema);

export interface ResponseDatum {
  statusCode: number | null;
  errorMessage: string | null;
  result: string | null;
}

export interface ActorDatum {
  name: string;
  type: string;
  email: string | null;
  subjectName: string | null;
  runBy: string | null;
  runAs: string | null;
  runByDisplayName: string | null;
  runAsDisplayName: string | null;
  actingResource: string | null;
}

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
  actor: ActorDatum;
  requestParams: Record<string, string>;
  requestParamsTruncated: boolean;
  response: ResponseDatum | null;
  outcome: string;
  decodeErrors: string[];
  extra: Record<string, string>;
  raw: string;
}

const writer = new DatumWriter();

/**
 * The datum of an event, without frame: byte for byte what avsc writes. The buffer is the
 * caller's to keep. Text that is no Unicode (half a surrogate pair) becomes U+FFFD.
 */
export function encodeAuditEvent(event: AuditEventDatum): Buffer {
  writer.clear();
  writer.text(event.eventId);
  writer.text(event.eventIdSource);
  writer.integer(event.eventTime);
  writer.optionalText(event.eventTimeText);
  writer.text(event.shape);
  writer.optionalText(event.version);
  writer.optionalText(event.auditLevel);
  writer.optionalText(event.accountId);
  writer.optionalText(event.workspaceId);
  writer.optionalText(event.orgId);
  writer.optionalText(event.shardName);
  writer.optionalText(event.resourceId);
  writer.optionalText(event.category);
  writer.text(event.serviceName);
  writer.text(event.actionName);
  writer.optionalText(event.requestId);
  writer.optionalText(event.sessionId);
  writer.optionalText(event.userAgent);
  writer.optionalText(event.sourceIp);
  writer.optionalInteger(event.sourcePort);
  writer.optionalText(event.sourceAddressText);
  writeActor(event.actor);
  writer.textMap(event.requestParams);
  writer.boolean(event.requestParamsTruncated);
  writeResponse(event.response);
  writer.text(event.outcome);
  writer.textList(event.decodeErrors);
  writer.textMap(event.extra);
  writer.text(event.raw);
  return writer.take();
}

function writeActor(actor: AuditEventDatum['actor']): void {
  writer.text(actor.name);
  writer.text(actor.type);
  writer.optionalText(actor.email);
  writer.optionalText(actor.subjectName);
  writer.optionalText(actor.runBy);
  writer.optionalText(actor.runAs);
  writer.optionalText(actor.runByDisplayName);
  writer.optionalText(actor.runAsDisplayName);
  writer.optionalText(actor.actingResource);
}

function writeResponse(response: AuditEventDatum['response']): void {
  if (response === null) {
    writer.integer(0);
    return;
  }
  writer.integer(1);
  writer.optionalInteger(response.statusCode);
  writer.optionalText(response.errorMessage);
  writer.optionalText(response.result);
}

const reader = new DatumReader();
/** Longs are exact up to here, and no calendar goes as far. */
const EVENT_TIME_MAX = 2 ** 52;

/**
 * The event of a datum that `auditEventType` wrote, or null where the bytes are not exactly one:
 * cut, longer, not UTF-8, or an integer out of its range (the time: ± 2^52). Maps have no prototype.
 */
export function readAuditEvent(datum: Buffer): AuditEventDatum | null {
  reader.start(datum, 0);
  // Values are read in the order of the schema, which is the order they are written in here.
  const event: AuditEventDatum = {
    eventId: reader.text(),
    eventIdSource: reader.word(),
    eventTime: reader.integer(),
    eventTimeText: reader.optionalText(),
    shape: reader.word(),
    version: reader.optionalWord(),
    auditLevel: reader.optionalWord(),
    accountId: reader.optionalWord(),
    workspaceId: reader.optionalWord(),
    orgId: reader.optionalWord(),
    shardName: reader.optionalWord(),
    resourceId: reader.optionalText(),
    category: reader.optionalWord(),
    serviceName: reader.word(),
    actionName: reader.word(),
    requestId: reader.optionalText(),
    sessionId: reader.optionalText(),
    userAgent: reader.optionalText(),
    sourceIp: reader.optionalText(),
    sourcePort: reader.optionalInt(),
    sourceAddressText: reader.optionalText(),
    actor: readActor(),
    requestParams: reader.textMap(),
    requestParamsTruncated: reader.boolean(),
    response: reader.isPresent() ? readResponse() : null,
    outcome: reader.word(),
    decodeErrors: reader.textList(),
    extra: reader.textMap(),
    raw: reader.text(),
  };
  return reader.finish() && Math.abs(event.eventTime) <= EVENT_TIME_MAX ? event : null;
}

function readActor(): AuditEventDatum['actor'] {
  return {
    name: reader.text(),
    type: reader.word(),
    email: reader.optionalText(),
    subjectName: reader.optionalText(),
    runBy: reader.optionalText(),
    runAs: reader.optionalText(),
    runByDisplayName: reader.optionalText(),
    runAsDisplayName: reader.optionalText(),
    actingResource: reader.optionalText(),
  };
}

function readResponse(): NonNullable<AuditEventDatum['response']> {
  return {
    statusCode: reader.optionalInt(),
    errorMessage: reader.optionalText(),
    result: reader.optionalText(),
  };
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
