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
import { toUSVString } from 'node:util';
import {
  type AuditEventDatum,
  auditEventType,
  CONFLUENT_MAGIC,
  readAuditEvent,
  unframe,
} from '../../schemas/audit-event.ts';
import { type AvroResolver, type AvroType, datumValidator } from '../../schemas/avro.ts';
import { assembleEvent, type Refusal } from './assemble.ts';
import type { ActorType, AuditEvent, EventIdSource, EventShape, Outcome } from './event.ts';
import { EVENT_TIME_MS_MAX } from './event-time.ts';
import {
  isObject,
  itemSpans,
  type JsonProblem,
  JsonReading,
  type Span,
  spelling,
  valueStart,
} from './json.ts';
import type { ShapeReader } from './shapes/fields.ts';
import { shapeOf } from './shapes/shape.ts';
import { wellFormed } from './well-formed.ts';

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
  | 'bad_avro'
  /** An Avro event with a word that this version does not know, as `shape` or `outcome`. */
  | 'unknown_word';

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

export const DECODE_LIMITS: DecodeLimits = { bytesMax: 8 * 1024 * 1024, eventsMax: 10_000 };

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
  const text = trim(typeof input === 'string' ? toUSVString(input) : input.toString('utf8'));
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

const DETAILS: Record<'no_event' | 'unknown_word' | Refusal, string> = {
  unknown_word: 'shape, outcome, actor type or id source is none that is known',
  no_event: 'no key tells that it is an audit event',
  no_action: 'serviceName or actionName is missing',
  no_time: 'the event time is missing or not a time',
  too_deep: 'nested too deep',
  too_many_values: 'more values than an event can have',
};

function describeProblem(problem: JsonProblem, text: string): string {
  if (problem !== 'not_json') return DETAILS[problem];
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
  if (reading.isLossy(raw)) return decodeExactly(raw, reader);
  return typeof event === 'string' ? event : wellFormed(event);
}

/** Reads an event again, every number by its spelling. */
function decodeExactly(raw: string, reader: ShapeReader): AuditEvent | Refusal {
  const reading = new JsonReading(true);
  const row = unwrap(reading.parse(raw));
  // The text was read before: only nesting and numbers can be too much now.
  if (!isObject(row)) return reading.problem === 'too_deep' ? 'too_deep' : 'too_many_values';
  const event = assembleEvent(reader(row, reading), reading, raw);
  return typeof event === 'string' ? event : wellFormed(event);
}

/** Google Cloud Logging puts a line that was written to it under `jsonPayload`. */
function unwrap(value: unknown): unknown {
  if (!isObject(value) || !isObject(value.jsonPayload)) return value;
  return spelling(value.jsonPayload) === null ? value.jsonPayload : value;
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

const WORDS = {
  eventIdSource: new Set<string>(['event_id', 'log_id', 'content_hash'] satisfies EventIdSource[]),
  shape: new Set<string>([
    'delivery',
    'system_table',
    'azure_record',
    'log_analytics',
  ] satisfies EventShape[]),
  actorType: new Set<string>([
    'user',
    'service_principal',
    'system',
    'unknown',
  ] satisfies ActorType[]),
  outcome: new Set<string>(['success', 'failure', 'unknown'] satisfies Outcome[]),
};

/** What the schema allows and an event cannot be. */
function valueProblem(event: AuditEventDatum): 'no_action' | 'no_time' | 'unknown_word' | null {
  if (event.serviceName === '' || event.actionName === '') return 'no_action';
  if (!(event.eventTime > 0 && event.eventTime <= EVENT_TIME_MS_MAX)) return 'no_time';
  const isKnown =
    WORDS.eventIdSource.has(event.eventIdSource) &&
    WORDS.shape.has(event.shape) &&
    WORDS.actorType.has(event.actor.type) &&
    WORDS.outcome.has(event.outcome);
  return isKnown ? null : 'unknown_word';
}

/** Reads a datum of one writer's type; null where it is none. */
type DatumReader = (datum: Buffer) => AuditEventDatum | null;

/** By writer's type; null where the type is no audit event. */
const readers = new WeakMap<AvroType, DatumReader | null>();

function readerOf(type: AvroType): DatumReader | null {
  let reader = readers.get(type);
  if (reader === undefined) {
    reader = makeReader(type);
    readers.set(type, reader);
  }
  return reader;
}

function makeReader(type: AvroType): DatumReader | null {
  if (type.equals(auditEventType)) return readAuditEvent;
  try {
    const isDatum = datumValidator(type);
    const resolver = auditEventType.createResolver(type);
    return (datum) => (isDatum(datum, 0) ? resolveDatum(datum, resolver) : null);
  } catch {
    return null;
  }
}

function resolveDatum(datum: Buffer, resolver: AvroResolver): AuditEventDatum | null {
  try {
    const event = auditEventType.fromBuffer(datum, resolver) as AuditEventDatum;
    const { actor, response } = event;
    // avsc gives instances of its own record classes.
    return { ...event, actor: { ...actor }, response: response === null ? null : { ...response } };
  } catch {
    return null;
  }
}

function decodeDatum(type: AvroType, datum: Buffer, schemaId: number): Decoded {
  const read = readerOf(type);
  if (read === null) return refuse('wrong_schema', `schema ${schemaId} is no audit event`);
  const event = read(datum);
  if (event === null) return refuse('bad_avro', `not one datum of schema ${schemaId}`);
  const problem = valueProblem(event);
  if (problem !== null) return refuse(problem, DETAILS[problem]);
  return { ok: true, events: [event as AuditEvent], refused: NONE_REFUSED };
}
