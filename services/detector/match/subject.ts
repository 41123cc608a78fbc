/**
 * One event while it is judged. Rules share fields, so each field gets a slot when rules are
 * compiled, and a slot's text, lower-cased text and address are worked out at most once per event.
 * A subject is reused for every event of a process; nothing is allocated to reset it.
 */
import { strict as assert } from 'node:assert';
import type { AuditEvent } from '../../ingest/event.ts';
import type { EventView, ParamKey, TextShapes } from '../../ingest/event-view.ts';
import {
  everyText,
  type FieldReader,
  type FieldValue,
  fieldReader,
  paramKeysOf,
} from '../fields/fields.ts';
import { remembered } from '../fields/memo.ts';
import { NO_PLACES, type PlaceSource } from '../fields/place.ts';

/** The fields that a rule set reads, in order of first use. */
export class FieldSlots {
  readonly readers: FieldReader[] = [];
  /** Of each slot that is a request parameter, its keys. */
  readonly params: ParamKey[][] = [];
  readonly #fields: string[] = [];
  readonly #slots = new Map<string, number>();
  readonly #places: PlaceSource;

  constructor(places: PlaceSource = NO_PLACES) {
    this.#places = places;
  }

  slotOf(field: string): number {
    let slot = this.#slots.get(field);
    if (slot === undefined) {
      slot = this.readers.length;
      this.#slots.set(field, slot);
      this.#fields.push(field);
      this.readers.push(fieldReader(field, this.#places));
      this.params.push(paramKeysOf(field));
    }
    return slot;
  }

  fieldOf(slot: number): string {
    return this.#fields[slot]!;
  }
}

/** Names come again and again, and so does the same string of each. */
const lowerCased = remembered((text: string): string => text.toLowerCase());

export class Subject {
  readonly #readers: readonly FieldReader[];
  readonly #params: readonly ParamKey[][];
  readonly #text: FieldValue[] = [];
  readonly #lower: FieldValue[] = [];
  readonly #textStamp: Float64Array;
  readonly #lowerStamp: Float64Array;
  #stamp = 0;
  #event: AuditEvent | undefined;
  #everything: string[] | undefined;
  #everythingLower: string[] | undefined;

  constructor(slots: FieldSlots) {
    this.#readers = slots.readers;
    this.#params = slots.params;
    this.#text = new Array<FieldValue>(this.#readers.length).fill(undefined);
    this.#lower = new Array<FieldValue>(this.#readers.length).fill(undefined);
    this.#textStamp = new Float64Array(this.#readers.length);
    this.#lowerStamp = new Float64Array(this.#readers.length);
  }

  reset(event: AuditEvent): void {
    this.#event = event;
    this.#stamp += 1;
    this.#everything = undefined;
    this.#everythingLower = undefined;
  }

  /**
   * False only where a field has none of the runs of a filter (`EventView.paramMayHave`): asked of
   * the bytes of a view, and true of anything else.
   */
  mayHave(slot: number, filter: Uint8Array): boolean {
    const event = this.#event;
    const keys = this.#params[slot]!;
    if (event === undefined || keys.length === 0 || !('paramMayHave' in event)) return true;
    const view = event as EventView;
    for (const key of keys) if (view.paramMayHave(key, filter)) return true;
    return false;
  }

  /** False only where a field is absent or has the shape of none of some texts: as `mayHave`. */
  mayEqual(slot: number, shapes: TextShapes): boolean {
    const event = this.#event;
    const keys = this.#params[slot]!;
    if (event === undefined || keys.length === 0 || !('paramMayEqual' in event)) return true;
    const view = event as EventView;
    for (const key of keys) if (view.paramMayEqual(key, shapes)) return true;
    return false;
  }

  text(slot: number): FieldValue {
    if (this.#textStamp[slot] !== this.#stamp) {
      assert(this.#event !== undefined, 'a subject is reset before it is read');
      this.#text[slot] = this.#readers[slot]!(this.#event);
      this.#textStamp[slot] = this.#stamp;
    }
    return this.#text[slot];
  }

  lower(slot: number): FieldValue {
    if (this.#lowerStamp[slot] !== this.#stamp) {
      const value = this.text(slot);
      this.#lower[slot] = typeof value === 'string' ? lowerCased(value) : value?.map(lowerCased);
      this.#lowerStamp[slot] = this.#stamp;
    }
    return this.#lower[slot];
  }

  everything(): readonly string[] {
    assert(this.#event !== undefined, 'a subject is reset before it is read');
    this.#everything ??= everyText(this.#event);
    return this.#everything;
  }

  everythingLower(): readonly string[] {
    this.#everythingLower ??= this.everything().map((text) => text.toLowerCase());
    return this.#everythingLower;
  }
}
