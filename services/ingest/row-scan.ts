/**
 * Where the parts of a JSON row are, without parsing it. `scan` says yes only to bytes of which
 * `decodeJson` makes exactly one event and refuses nothing: one object, valid JSON to its last
 * byte, of log delivery or of the system table, with names and a time. Whatever is unusual gets a
 * no: repeated keys, keys with escapes, envelopes, other shapes, deep nesting, long texts, byte
 * order marks. The caller then decodes, and finds out what it is.
 */
import { isUtf8 } from 'node:buffer';
import { eventTimeMs } from './event-time.ts';
import {
  CLOSE_OBJECT,
  COMMA,
  ESCAPED,
  INTEGER,
  JsonCursor,
  MINUS,
  NESTED,
  NOTHING,
  NULL,
  OPEN_OBJECT,
  QUOTE,
  SPACE,
  TEXT,
  ZERO,
} from './json-cursor.ts';
import * as row from './row-keys.ts';

/** Texts from here on are counted by decoding before they are parsed: not for us. */
const ROW_BYTES_MAX = 65_535;
/** Parameters of one row; of more, decoding is left to say what they are. */
const PARAMS_MAX = 64;

export class RowScan {
  eventTime = 0;
  readonly cursor = new JsonCursor();
  /** Of each field of `row-keys.ts`: what it is, and where. */
  readonly kind = new Uint8Array(row.FIELDS);
  readonly from = new Int32Array(row.FIELDS);
  readonly to = new Int32Array(row.FIELDS);
  shapes = 0;
  /** Whether there are keys that no shape knows. */
  hasExtra = false;
  paramCount = 0;
  readonly paramKind = new Uint8Array(PARAMS_MAX);
  /** Four places of each: of its key, from and to, and of its value. */
  readonly paramPlaces = new Int32Array(PARAMS_MAX * 4);
  readonly #paramHash = new Int32Array(PARAMS_MAX);

  /** Starts on a row; false where the bytes have to be decoded to know what they are. */
  scan(bytes: Buffer): boolean {
    if (bytes.length > ROW_BYTES_MAX || !isUtf8(bytes)) return false;
    const { cursor } = this;
    cursor.start(bytes);
    this.kind.fill(NOTHING);
    this.shapes = row.DELIVERY | row.SYSTEM_TABLE;
    this.hasExtra = false;
    this.paramCount = 0;
    const from = cursor.skipSpace(0);
    if (from >= cursor.end || bytes[from] !== OPEN_OBJECT) return false;
    const to = this.#object(from, row.ROW_KEYS, 0);
    return to > 0 && cursor.skipSpace(to) === cursor.end && this.#isEvent();
  }

  /** Whether the row has what an event must have. */
  #isEvent(): boolean {
    if (this.shapes !== row.DELIVERY && this.shapes !== row.SYSTEM_TABLE) return false;
    if (!this.#isName(row.SERVICE) || !this.#isName(row.ACTION)) return false;
    const time = this.#time();
    this.eventTime = time ?? 0;
    return time !== null;
  }

  #isName(field: number): boolean {
    return this.kind[field] === TEXT && this.from[field]! < this.to[field]!;
  }

  #time(): number | null {
    const { bytes } = this.cursor;
    const from = this.from[row.TIME]!;
    const to = this.to[row.TIME]!;
    if (this.kind[row.TIME] === TEXT) return eventTimeMs(bytes.toString('utf8', from, to));
    if (this.kind[row.TIME] !== INTEGER || bytes[from] === MINUS) return null;
    return eventTimeMs(this.digits(from, to));
  }

  digits(from: number, to: number): number {
    const { bytes } = this.cursor;
    let value = 0;
    for (let at = from; at < to; at += 1) value = value * 10 + (bytes[at]! - ZERO);
    return value;
  }

  /** Walks an object of known keys; the place behind it, or -1. */
  #object(from: number, table: row.KeyTable, depth: number): number {
    const cursor = this.cursor;
    const { bytes, end } = cursor;
    let at = cursor.skipSpace(from + 1);
    if (bytes[at] === CLOSE_OBJECT && at < end) return at + 1;
    let before: row.RowKey | null = null;
    for (;;) {
      let key: row.RowKey | null | undefined = before === null ? table.first : before.next;
      let start: number;
      if (key !== null && cursor.isAt(at, key.word)) {
        start = at + key.word.size;
        if (bytes[start]! <= SPACE) start = cursor.skipSpace(start);
      } else {
        const keyEnd = cursor.key(at);
        if (keyEnd < 0) return -1;
        key = table.find(cursor.hash, bytes, at + 1, keyEnd);
        start = cursor.valueStart(keyEnd);
        if (start < 0) return -1;
        if (key !== undefined) {
          if (before === null) table.first = key;
          else before.next = key;
        }
      }
      if (key !== undefined) before = key;
      const valueEnd = key === undefined ? this.#extra(start, depth) : this.#known(key, start);
      if (valueEnd < 0) return -1;
      at = cursor.skipSpace(valueEnd);
      if (at >= end) return -1;
      if (bytes[at] === CLOSE_OBJECT) return at + 1;
      if (bytes[at] !== COMMA) return -1;
      at = cursor.skipSpace(at + 1);
    }
  }

  #extra(start: number, depth: number): number {
    this.hasExtra = true;
    return this.cursor.value(start, depth + 1);
  }

  #known({ field, shapes }: row.RowKey, start: number): number {
    if (field < 0 || this.kind[field] !== NOTHING) return -1;
    this.shapes &= shapes;
    if (this.shapes === 0) return -1;
    const cursor = this.cursor;
    if (field >= row.IDENTITY && field <= row.RESPONSE) return this.#container(field, start);
    if (cursor.bytes[start] === QUOTE) {
      const end = cursor.text(start + 1);
      this.kind[field] = cursor.kind;
      this.from[field] = start + 1;
      this.to[field] = end - 1;
      return end;
    }
    const end = cursor.value(start, 2);
    this.kind[field] = cursor.kind;
    this.from[field] = start;
    this.to[field] = end;
    return end;
  }

  #container(field: number, start: number): number {
    const cursor = this.cursor;
    if (cursor.bytes[start] === OPEN_OBJECT) {
      this.kind[field] = NESTED;
      return field === row.PARAMS ? this.#params(start) : this.#object(start, tableOf(field), 1);
    }
    const end = cursor.value(start, 2);
    this.kind[field] = cursor.kind;
    // Decoding may find an object in a text, or keep what is none among the unknown fields.
    return cursor.kind === NULL ? end : -1;
  }

  #params(from: number): number {
    const cursor = this.cursor;
    const { bytes, end } = cursor;
    let at = cursor.skipSpace(from + 1);
    if (bytes[at] === CLOSE_OBJECT && at < end) return at + 1;
    for (;;) {
      const keyEnd = cursor.key(at);
      if (keyEnd < 0) return -1;
      const { hash } = cursor;
      const start = cursor.valueStart(keyEnd);
      if (start < 0) return -1;
      const valueEnd = cursor.value(start, 2);
      if (valueEnd < 0 || !this.#addParam(hash, at + 1, keyEnd, start, valueEnd)) return -1;
      at = cursor.skipSpace(valueEnd);
      if (at >= end) return -1;
      if (bytes[at] === CLOSE_OBJECT) return at + 1;
      if (bytes[at] !== COMMA) return -1;
      at = cursor.skipSpace(at + 1);
    }
  }

  /** False where the key may have come before, or there are too many. */
  #addParam(hash: number, keyFrom: number, keyTo: number, from: number, to: number): boolean {
    const count = this.paramCount;
    if (count === PARAMS_MAX) return false;
    for (let index = 0; index < count; index += 1) {
      if (this.#paramHash[index] === hash) return false;
    }
    const { kind } = this.cursor;
    const quotes = kind === TEXT || kind === ESCAPED ? 1 : 0;
    this.#paramHash[count] = hash;
    this.paramKind[count] = kind;
    const places = this.paramPlaces;
    places[count * 4] = keyFrom;
    places[count * 4 + 1] = keyTo;
    places[count * 4 + 2] = from + quotes;
    places[count * 4 + 3] = to - quotes;
    this.paramCount = count + 1;
    return true;
  }
}

function tableOf(field: number): row.KeyTable {
  if (field === row.IDENTITY) return row.IDENTITY_KEYS;
  return field === row.METADATA ? row.METADATA_KEYS : row.RESPONSE_KEYS;
}
