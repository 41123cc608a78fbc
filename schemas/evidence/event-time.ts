/**
 * Event times of spliced datums, as far as the schema gives them: the field `eventTime` of type
 * long at the top of the record. The fields before it are stepped over; nothing is decoded, and no
 * text is judged again. Pure.
 */
import { parseWriterSchema, type WriterSchema } from '../datum.ts';
import { type Cursor, readInteger } from '../varint.ts';

const FIELD = 'eventTime';

/** Event time in ms, or null; the datum lies at [from, end) and was walked. */
export type EventTimeReader = (
  bytes: Uint8Array,
  from: number,
  end: number,
) => number | bigint | null;

const readers = new WeakMap<WriterSchema, { read: EventTimeReader | null }>();

/** Null where datums of this schema give no event time. Made once for a schema. */
export function eventTimeReader(schema: WriterSchema): EventTimeReader | null {
  let known = readers.get(schema);
  if (known === undefined) {
    known = { read: makeReader(schema.text) };
    readers.set(schema, known);
  }
  return known.read;
}

function makeReader(schemaText: string): EventTimeReader | null {
  const schema = JSON.parse(schemaText) as { fields?: Array<{ name: string; type: unknown }> };
  const fields = schema.fields ?? [];
  const place = fields.findIndex(({ name }) => name === FIELD);
  if (place < 0 || !isLong(fields[place]!.type)) return null;
  const skipped = fields.slice(0, place).map(({ name, type }) => ({ name, type: unjudged(type) }));
  const before = parseWriterSchema(JSON.stringify({ ...schema, fields: skipped }));
  if ('problem' in before) return null;
  const cursor: Cursor = { bytes: NOTHING, at: 0, end: 0 };
  return (bytes, from, end) => {
    cursor.at = before.walk(bytes, from, end);
    if (cursor.at < 0) return null;
    cursor.bytes = bytes;
    cursor.end = end;
    const time = readInteger(cursor);
    cursor.bytes = NOTHING;
    return time;
  };
}

const NOTHING = Buffer.alloc(0);

/** Plain text is stepped over as bytes are. */
function unjudged(type: unknown): unknown {
  return type === 'string' ? 'bytes' : type;
}

function isLong(type: unknown): boolean {
  if (type === 'long') return true;
  return typeof type === 'object' && type !== null && (type as { type?: unknown }).type === 'long';
}

/** Least, greatest and number of the event times seen. */
export class EventTimes {
  #min: number | bigint | null = null;
  #max: number | bigint | null = null;
  count = 0;

  add(time: number | bigint): void {
    if (this.#min === null || time < this.#min) this.#min = time;
    if (this.#max === null || time > this.#max) this.#max = time;
    this.count += 1;
  }

  get min(): bigint | null {
    return this.#min === null ? null : BigInt(this.#min);
  }

  get max(): bigint | null {
    return this.#max === null ? null : BigInt(this.#max);
  }
}
