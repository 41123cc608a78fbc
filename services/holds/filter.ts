/**
 * Filters of a hold: `FIELD=VALUE`, where FIELD is a field of the audit event
 * (`schemas/audit-event.avsc`), also one inside `actor`, `response` or `requestParams`, with a dot.
 * An event meets filters where it has all of them, letter by letter. Pure.
 */
import { type AuditEventDatum, auditEventType, readAuditEvent } from '../../schemas/audit-event.ts';
import { readSegmentHeader, type SealedRecord, scanRecords } from '../../schemas/segment.ts';
import { decodeJson } from '../ingest/decode.ts';
import { didYouMean } from '../runtime/nearest.ts';

export interface HoldFilter {
  path: readonly string[];
  value: string;
}

const FIELDS: readonly string[] = (
  auditEventType as unknown as { fields: Array<{ name: string }> }
).fields.map(({ name }) => name);
/** Fields that hold others. */
const INNER = new Set(['actor', 'response', 'requestParams', 'extra']);

/** A filter, or what is wrong with the text. */
export function parseFilter(text: string): HoldFilter | { problem: string } {
  const at = text.indexOf('=');
  if (at <= 0) return { problem: 'write it as FIELD=VALUE' };
  const [field, ...rest] = text.slice(0, at).split('.');
  if (!FIELDS.includes(field!)) {
    return { problem: `an event has no field ${field}${didYouMean(field!, FIELDS)}` };
  }
  const inner = rest.join('.');
  if (INNER.has(field!) !== (inner !== '')) {
    return { problem: INNER.has(field!) ? `write ${field}.NAME` : `${field} has no fields inside` };
  }
  const path = inner === '' ? [field!] : [field!, inner];
  return { path, value: text.slice(at + 1) };
}

export interface HoldSearch {
  filters: readonly HoldFilter[];
  /** Event times, epoch ms, both included. */
  fromMs: number;
  toMs: number;
}

/** `doubt`: no event of those that can be read meets the filters, and some could not be read. */
export type Sighting = 'met' | 'doubt' | 'none';

/**
 * Looks through the records of one segment.
 * @throws SegmentError where the bytes are none.
 */
export async function lookThrough(
  bytes: Buffer,
  search: HoldSearch,
  breathe: () => Promise<void>,
): Promise<Sighting> {
  let sighting: Sighting = 'none';
  let count = 0;
  for (const record of scanRecords(bytes, readSegmentHeader(bytes))) {
    if (++count % SLICE_RECORDS === 0) await breathe();
    const { events, isWhole } = eventsOf(record);
    if (events.some((event) => meetsFilters(event, search))) return 'met';
    if (!isWhole) sighting = 'doubt';
  }
  return sighting;
}

/** Records between two looks at the event loop. */
const SLICE_RECORDS = 2_000;

function eventsOf({ body, schemaId }: SealedRecord): {
  events: readonly AuditEventDatum[];
  isWhole: boolean;
} {
  // A record without value holds no event.
  if (body === null) return { events: [], isWhole: true };
  if (schemaId !== null) {
    const event = readAuditEvent(body);
    return event === null ? { events: [], isWhole: false } : { events: [event], isWhole: true };
  }
  const decoded = decodeJson(body);
  if (!decoded.ok) return { events: [], isWhole: false };
  return { events: decoded.events, isWhole: decoded.refused.length === 0 };
}

export function meetsFilters(
  event: AuditEventDatum,
  { filters, fromMs, toMs }: HoldSearch,
): boolean {
  if (event.eventTime < fromMs || event.eventTime > toMs) return false;
  return filters.every(({ path, value }) => textAt(event, path) === value);
}

function textAt(event: AuditEventDatum, [field, inner]: readonly string[]): string | null {
  const at = (event as unknown as Record<string, unknown>)[field!] ?? null;
  const value = inner === undefined || at === null ? at : (at as Record<string, unknown>)[inner];
  return value === null || value === undefined ? null : String(value);
}
