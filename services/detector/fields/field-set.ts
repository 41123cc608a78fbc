/**
 * The fields of stateful rules, read from an event: group-by values, counted values, places.
 * The same names and the same readings as in conditions.
 */
import type { AuditEvent } from '../../ingest/event.ts';
import { type FieldReader, fieldReader } from './fields.ts';
import { NO_PLACES, type PlaceSource } from './place.ts';

/** A few named fields that are read together. */
export class FieldSet {
  readonly names: readonly string[];
  readonly #readers: readonly FieldReader[];

  constructor(names: readonly string[], places: PlaceSource = NO_PLACES) {
    this.names = names;
    this.#readers = names.map((name) => fieldReader(name, places));
  }

  /**
   * One value for each name, in order; null where the event has none. Where a field has several
   * values they are one text, their JSON, so that the same list is the same value.
   */
  read(event: AuditEvent): Array<string | null> {
    return this.#readers.map((reader) => {
      const value = reader(event);
      if (value === undefined) return null;
      return typeof value === 'string' ? value : JSON.stringify(value);
    });
  }
}
