/**
 * A record's value, or a line, to audit events. Total: whatever the bytes, it returns events or a
 * reason, in time bounded by the limits, and never throws.
 *
 * One text may hold several events. Where some of them can be read and others cannot, the events
 * come with `refused`, so that nothing is dropped unseen.
 *
 * `raw` of an event is its own JSON text exactly as it was in the input: the slice of its record
 * in an envelope or a list, and the whole text, without white space around it, where it came
 * alone. Decoding `raw` gives the same event again.
 */
import { isUtf8 } from 'node:buffer';
import {
  type AuditEventDatum,
  auditEventType,
  CONFLUENT_MAGIC,
  unframe,
} from '../../schemas/audit-event.ts';
import { type AvroResolver, type AvroType, datumValidator } from '../../schemas/avro.ts';
import { assembleEvent, type Refusal } from './assemble.ts';
import type { AuditEvent } from './event.ts';
import {
  isObject,
  itemSpans,
  type JsonProblem,
  JsonReading,
  type Span,
  valueStart,
} from './json.ts';
import { shapeOf } from './shapes/shape.ts';

export type DecodeReason =
  /** A record without value. */
  | 'tombstone'
  /** More bytes than the limit. */
  | 'oversized'
  | 'not_utf8'
  | JsonProblem
  /** More events than the limit. */
  | 'too_many_events'
  /** JSON, but of no shape that is known. */
  | 'no_event'
  | Refusal
  /** The registry has no such schema. */
  | 'unknown_schema'
  /** The registry could not be asked: try again, the record may be good. */
  | 'schema_unavailable'
  /** The caller did not load the schema before decoding: a mistake of the caller. */
  | 'schema_not_loaded'
  /** Framed, but under a schema that is no audit event. */
  | 'wrong_schema'
  | 'bad_avro';

/** One event of a text that could not be read, beside others that could. */
export interface RefusedEvent {
  /** Place in the envelope or list, from 0. */
  index: number;
  reason: DecodeReason;
  detail: string;
  /** Its own JSON text. */
  raw: string;
}

export type Decoded =
  | { ok: true; events: AuditEvent[]; refused: readonly RefusedEvent[] }
  | { ok: false; reason: DecodeReason; detail: string };

export interface DecodeLimits {
  /** Largest text or record value, bytes. */
  bytesMax: number;
  /** Events in one text. */
  eventsMax: number;
}

export const DECODE_LIMITS: DecodeLimits = { bytesMax: 8 * 1024 * 1024, eventsMax: 20_000 };

/** A writer's schema by its id; undefined where it was not loaded yet. */
export type SchemaLookUp = (schemaId: number) => AvroType | 'unknown' | 'unavailable' | undefined;

const NONE_REFUSED: readonly RefusedEvent[] = Object.freeze([]);

function refuse(reason: DecodeReason, detail: string): Decoded {
  return { ok: false, reason, detail };
}

/** One JSON text: an event, an envelope or a list of events. Bytes must be UTF-8. */
export function decodeJson(input: string | Buffer, limits: DecodeLimits = DECODE_LIMITS): Decoded {
  const bytes = typeof input === 'string' ? byteLength(input, limits.bytesMax) : input.length;
  if (bytes > limits.bytesMax) {
    return refuse('oversized', `${bytes} bytes, the limit is ${limits.bytesMax}`);
  }
  if (typeof input !== 'string' && !isUtf8(input)) return refuse('not_utf8', 'not valid UTF-8');
  const text = trim(typeof input === 'string' ? input : input.toString('utf8'));
  const reading = new JsonReading(false);
  const value = reading.parse(text);
  if (value === undefined) return refuse(reading.problem, describeProblem(reading.problem, text));
  if (Array.isArray(value)) return decodeList(text, 0, value, limits);
  if (!isObject(value)) return refuse('no_event', 'neither an object nor a list');
  if (Array.isArray(value.records)) {
    return decodeList(text, valueStart(text, 'records'), value.records, limits);
  }
  const one = decodeOne(value, text, reading);
  if (typeof one === 'string') return refuse(one, DETAILS[one]);
  return { ok: true, events: [one], refused: NONE_REFUSED };
}

/** Exact where it matters: a text far below the limit is not measured. */
function byteLength(text: string, bytesMax: number): number {
  return text.length * 3 <= bytesMax ? text.length : Buffer.byteLength(text);
}

const BOM = 0xfeff;

/** Without byte order mark and JSON white space around it. */
function trim(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isSpace(text.charCodeAt(from))) from++;
  while (to > from && isSpace(text.charCodeAt(to - 1))) to--;
  return to - from === text.length ? text : text.slice(from, to);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09 || code === BOM;
}

const DETAILS: Record<'no_event' | Refusal, string> = {
  no_event: 'no key tells that it is an audit event',
  no_action: 'serviceName or actionName is missing',
  no_time: 'the event time is missing or not a time',
};

function describeProblem(problem: JsonProblem, text: string): string {
  if (problem === 'too_deep') return 'nested too deep';
  if (problem === 'too_many_values') return 'more values than an event can have';
  return text === '' ? 'empty' : 'not valid JSON';
}

function decodeList(text: string, from: number, items: unknown[], limits: DecodeLimits): Decoded {
  if (items.length === 0) return refuse('no_event', 'an empty list');
  if (items.length > limits.eventsMax) {
    return refuse('too_many_events', `${items.length} events, the limit is ${limits.eventsMax}`);
  }
  const spans: Span[] = itemSpans(text, from);
  const events: AuditEvent[] = [];
  const refused: RefusedEvent[] = [];
  items.forEach((item, index) => {
    const raw = text.slice(spans[index]!.from, spans[index]!.to);
    const one = decodeOne(item, raw, new JsonReading(false));
    if (typeof one !== 'string') events.push(one);
    else refused.push({ index, reason: one, detail: DETAILS[one], raw });
  });
  const [first] = refused;
  if (events.length === 0)
    return refuse(first!.reason, `${first!.detail} (none of ${items.length})`);
  return { ok: true, events, refused };
}

function decodeOne(
  value: unknown,
  raw: string,
  reading: JsonReading,
): AuditEvent | 'no_event' | Refusal {
  const row = unwrap(value);
  if (!isObject(row)) return 'no_event';
  const reader = shapeOf(row);
  if (reader === null) return 'no_event';
  const event = assembleEvent(reader(row, reading), reading, raw);
  if (!reading.isLossy(raw)) return event;
  const exact = new JsonReading(true);
  const again = unwrap(exact.parse(raw));
  if (!isObject(again)) return event;
  return assembleEvent(reader(again, exact), exact, raw);
}

/** Google Cloud Logging puts a line that was written to it under `jsonPayload`. */
function unwrap(value: unknown): unknown {
  return isObject(value) && isObject(value.jsonPayload) ? value.jsonPayload : value;
}

/** The value of a Kafka record: framed Avro, or raw JSON. */
export function decodeRecord(
  value: Buffer | null,
  lookUp: SchemaLookUp,
  limits: DecodeLimits = DECODE_LIMITS,
): Decoded {
  if (value === null) return refuse('tombstone', 'no value');
  if (value.length > limits.bytesMax) {
    return refuse('oversized', `${value.length} bytes, the limit is ${limits.bytesMax}`);
  }
  if (value[0] !== CONFLUENT_MAGIC) return decodeJson(value, limits);
  const framed = unframe(value);
  if (framed === null) return refuse('bad_avro', 'the frame is cut or its schema id negative');
  const { schemaId, datum } = framed;
  const type = lookUp(schemaId);
  if (type === 'unknown') return refuse('unknown_schema', `schema ${schemaId} is not registered`);
  if (type === 'unavailable') return refuse('schema_unavailable', `schema ${schemaId}`);
  if (type === undefined) return refuse('schema_not_loaded', `schema ${schemaId}`);
  return decodeDatum(type, datum, schemaId);
}

interface Writer {
  isDatum: (bytes: Buffer, from: number) => boolean;
  resolver: AvroResolver;
}

/** Readers by writer type; null where the type is no audit event. */
const writers = new WeakMap<AvroType, Writer | null>();

function writerOf(type: AvroType): Writer | null {
  let writer = writers.get(type);
  if (writer === undefined) {
    try {
      writer = { isDatum: datumValidator(type), resolver: auditEventType.createResolver(type) };
    } catch {
      writer = null;
    }
    writers.set(type, writer);
  }
  return writer;
}

function decodeDatum(type: AvroType, datum: Buffer, schemaId: number): Decoded {
  const writer = writerOf(type);
  if (writer === null) return refuse('wrong_schema', `schema ${schemaId} is no audit event`);
  if (!writer.isDatum(datum, 0)) return refuse('bad_avro', `not a datum of schema ${schemaId}`);
  let event: AuditEventDatum;
  try {
    event = auditEventType.fromBuffer(datum, writer.resolver) as AuditEventDatum;
  } catch {
    return refuse('bad_avro', `not a datum of schema ${schemaId}`);
  }
  return { ok: true, events: [plain(event) as AuditEvent], refused: NONE_REFUSED };
}

/** avsc gives instances of its own record classes. */
function plain(event: AuditEventDatum): AuditEventDatum {
  const { actor, response } = event;
  return { ...event, actor: { ...actor }, response: response === null ? null : { ...response } };
}
