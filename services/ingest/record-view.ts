/**
 * A record's value, or a line, as a view of its one event, where it is plain enough to be one:
 * then, and only then, decoding it gives exactly that event and refuses nothing. So whoever passes
 * over a viewed event loses no dead letter (promise I1).
 *
 * One object views one record at a time.
 */
import { auditEventType, CONFLUENT_MAGIC, FRAME_BYTES } from '../../schemas/audit-event.ts';
import type { AvroType } from '../../schemas/avro.ts';
import { DatumView } from './datum-view.ts';
import { DECODE_LIMITS, type DecodeLimits, type SchemaLookUp } from './decode.ts';
import type { EventView } from './event-view.ts';
import { RowView } from './row-view.ts';

export class RecordViewer {
  readonly #row = new RowView();
  readonly #datum = new DatumView();
  /** Whether a writer's type is the schema of this version. */
  readonly #isOurs = new WeakMap<AvroType, boolean>();

  /** The event of a record's value, valid until the next one, or null: decode to know. */
  record(
    value: Buffer | null,
    lookUp: SchemaLookUp,
    limits: DecodeLimits = DECODE_LIMITS,
  ): EventView | null {
    if (value === null || value.length > limits.bytesMax) return null;
    if (value[0] !== CONFLUENT_MAGIC) return this.json(value, limits);
    if (value.length <= FRAME_BYTES) return null;
    const schemaId = value.readInt32BE(1);
    const type = schemaId < 0 ? undefined : lookUp(schemaId);
    if (typeof type !== 'object' || !this.#isOurType(type)) return null;
    return this.#datum.read(value, FRAME_BYTES) ? this.#datum : null;
  }

  /** The event of a JSON text, valid until the next one, or null: decode to know. */
  json(bytes: Buffer, limits: DecodeLimits = DECODE_LIMITS): EventView | null {
    if (bytes.length > limits.bytesMax) return null;
    return this.#row.read(bytes) ? this.#row : null;
  }

  #isOurType(type: AvroType): boolean {
    let isOurs = this.#isOurs.get(type);
    if (isOurs === undefined) {
      isOurs = type.equals(auditEventType);
      this.#isOurs.set(type, isOurs);
    }
    return isOurs;
  }
}
