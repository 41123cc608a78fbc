/**
 * Where the parts of an Avro datum are, without decoding it. `scan` says yes only to bytes of which
 * `decodeRecord` makes an event, under the schema of `schemas/audit-event.avsc`: every length,
 * branch, integer and word is checked and every text is UTF-8, but no text is made. Whatever is
 * unusual gets a no (maps in several blocks or with many entries, padded integers): the caller
 * then decodes, and finds out what it is.
 */
import { isUtf8 } from 'node:buffer';
import { WideBytes, type WideWord, wideWord } from '../../schemas/byte-words.ts';
import * as layout from './datum-layout.ts';
import type { ActorType, EventIdSource, EventShape, Outcome } from './event.ts';
import { EVENT_TIME_MS_MAX } from './event-time.ts';

/** Entries of one map that are kept; of more, decoding is left to say what they are. */
const ENTRIES_MAX = 64;
/** From here on asking the engine about a text is cheaper than looking at its bytes. */
const LONG_BYTES = 160;
const EACH_ALONE = -1;
/** `from` of a text that is null. */
export const ABSENT = -1;
const INT_MAX = 0x7fffffff;
const NO_BYTES = Buffer.alloc(0);

const KNOWN_WORDS = {
  eventIdSource: wordsOf<EventIdSource>('content_hash', 'event_id', 'log_id'),
  shape: wordsOf<EventShape>('delivery', 'system_table', 'azure_record', 'log_analytics'),
  actorType: wordsOf<ActorType>('user', 'service_principal', 'system', 'unknown'),
  outcome: wordsOf<Outcome>('success', 'failure', 'unknown'),
};

function wordsOf<Word extends string>(...known: Word[]): WideWord[] {
  return known.map(wideWord);
}

/** Where the entries of a map are: of each key from and to, and of its value. */
export class Entries {
  count = 0;
  readonly places = new Int32Array(ENTRIES_MAX * 4);
}

export class DatumScan {
  eventTime = 0;
  sourcePort: number | null = null;
  requestParamsTruncated = false;
  bytes: Buffer = NO_BYTES;
  readonly wide = new WideBytes();
  /** Where each field of `datum-layout.ts` is. */
  readonly from = new Int32Array(layout.FIELDS);
  readonly to = new Int32Array(layout.FIELDS);
  readonly params = new Entries();
  readonly extras = new Entries();
  hasResponse = false;
  statusCode: number | null = null;
  /** Texts are ASCII from here on, once it is looked at; -1 where each text is looked at alone. */
  #asciiFrom = 0;
  /** What was read last. */
  #value = 0;
  #textFrom = 0;
  #end = 0;

  /**
   * Starts on the datum from `from` to the end of the bytes; false where it has to be decoded to
   * know what it is. The bytes, and the memory they are a part of, are held until the next start.
   */
  scan(bytes: Buffer, from: number): boolean {
    this.bytes = bytes;
    this.wide.start(bytes);
    this.#end = bytes.length;
    // Most data are ASCII all through, which is cheaper to find out for many texts at once.
    if (this.#walk(from, from)) return true;
    return this.#walk(from, EACH_ALONE);
  }

  #walk(start: number, asciiFrom: number): boolean {
    this.#asciiFrom = asciiFrom;
    const bytes = this.bytes;
    const end = this.#end;
    const from = this.from;
    const to = this.to;
    const isAlone = asciiFrom === EACH_ALONE;
    let at = start;
    for (let field = 0; field < layout.FIELDS; field += 1) {
      if (at >= end) return false;
      let byte = bytes[at]!;
      const kind = layout.LAYOUT[field]!;
      if (kind === layout.OPTIONAL_TEXT) {
        at += 1;
        if (byte === 0) {
          from[field] = ABSENT;
          continue;
        }
        if (byte !== 2 || at >= end) return false;
        byte = bytes[at]!;
      } else if (kind !== layout.TEXT) {
        at = this.#other(field, kind, at);
        if (at < 0) return false;
        if (field === layout.RESPONSE && !this.hasResponse) field = layout.RESULT;
        continue;
      }
      if (byte < 0x80) {
        // A size is not negative.
        if ((byte & 1) !== 0) return false;
        at += 1;
        const next = at + (byte >>> 1);
        if (next > end || (isAlone && !this.#isText(at, next))) return false;
        from[field] = at;
        to[field] = next;
        at = next;
      } else {
        const next = this.#skipLongText(at);
        if (next < 0) return false;
        from[field] = this.#textFrom;
        to[field] = next;
        at = next;
      }
    }
    return at === end && this.#endAscii(end) && this.#isEvent();
  }

  /** What the schema allows and an event cannot be. */
  #isEvent(): boolean {
    const from = this.from;
    const to = this.to;
    return (
      from[layout.SERVICE]! < to[layout.SERVICE]! &&
      from[layout.ACTION]! < to[layout.ACTION]! &&
      this.#isOneOf(layout.EVENT_ID_SOURCE, KNOWN_WORDS.eventIdSource) &&
      this.#isOneOf(layout.SHAPE, KNOWN_WORDS.shape) &&
      this.#isOneOf(layout.ACTOR_TYPE, KNOWN_WORDS.actorType) &&
      this.#isOneOf(layout.OUTCOME, KNOWN_WORDS.outcome)
    );
  }

  #isOneOf(field: number, known: readonly WideWord[]): boolean {
    const from = this.from[field]!;
    const size = this.to[field]! - from;
    for (let index = 0; index < known.length; index += 1) {
      const word = known[index]!;
      if (word.size === size && this.wide.isWord(from, word)) return true;
    }
    return false;
  }

  /** The place behind a field that is no text, or -1. */
  #other(field: number, kind: number, at: number): number {
    const byte = this.bytes[at]!;
    switch (kind) {
      case layout.TIME: {
        if (!this.#endAscii(at)) return -1;
        const next = this.#integer(at);
        this.#startAscii(next);
        this.eventTime = this.#value;
        return this.#value > 0 && this.#value <= EVENT_TIME_MS_MAX ? next : -1;
      }
      case layout.OPTIONAL_INT:
        return this.#optionalInt(field, at);
      case layout.MAP:
        return this.#map(field === layout.PARAMS ? this.params : this.extras, at);
      case layout.FLAG:
        this.requestParamsTruncated = byte === 1;
        return byte <= 1 ? at + 1 : -1;
      case layout.RECORD:
        this.hasResponse = byte === 2;
        return byte === 0 || byte === 2 ? at + 1 : -1;
      default:
        return byte === 0 ? at + 1 : -1;
    }
  }

  #optionalInt(field: number, at: number): number {
    const byte = this.bytes[at]!;
    let value: number | null = null;
    let next = at + 1;
    if (byte === 2) {
      if (!this.#endAscii(next)) return -1;
      next = this.#integer(next);
      this.#startAscii(next);
      value = this.#value;
      if (!(value >= -INT_MAX - 1 && value <= INT_MAX)) return -1;
    } else if (byte !== 0) {
      return -1;
    }
    this.from[field] = value === null ? ABSENT : at + 1;
    this.to[field] = next;
    if (field === layout.SOURCE_PORT) this.sourcePort = value;
    else this.statusCode = value;
    return next;
  }

  /**
   * Whether what was passed since the last time is ASCII: texts, and between them sizes and
   * branches of one byte, which are ASCII always.
   */
  #endAscii(to: number): boolean {
    const from = this.#asciiFrom;
    return from === EACH_ALONE || this.wide.isAscii(from, to);
  }

  #startAscii(from: number): void {
    if (this.#asciiFrom !== EACH_ALONE) this.#asciiFrom = from;
  }

  /** Sets `#value` to the integer at a place, of at most seven bytes; the place behind it, or -1. */
  #integer(start: number): number {
    const bytes = this.bytes;
    const end = this.#end;
    let at = start;
    let value = 0;
    let scale = 1;
    for (;;) {
      if (at >= end || scale > 2 ** 42) {
        this.#value = Number.NaN;
        return -1;
      }
      const byte = bytes[at]!;
      at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    this.#value = (bytes[start]! & 1) === 0 ? value / 2 : -(value + 1) / 2;
    return at;
  }

  /** Sets `#textFrom` to where the text at a place starts; the place behind it, or -1. */
  #skipText(at: number): number {
    if (at >= this.#end) return -1;
    const size = this.bytes[at]!;
    if (size >= 0x80) return this.#skipLongText(at);
    const from = at + 1;
    const to = from + (size >>> 1);
    if ((size & 1) !== 0 || to > this.#end) return -1;
    if (this.#asciiFrom === EACH_ALONE && !this.#isText(from, to)) return -1;
    this.#textFrom = from;
    return to;
  }

  /** The same for a text whose size takes more than one byte. */
  #skipLongText(at: number): number {
    if (!this.#endAscii(at)) return -1;
    const from = this.#integer(at);
    const size = this.#value;
    const to = from + size;
    if (from < 0 || !(size >= 0 && to <= this.#end)) return -1;
    this.#startAscii(from);
    if (size >= LONG_BYTES || this.#asciiFrom === EACH_ALONE) {
      if (!this.#isText(from, to)) return -1;
      this.#startAscii(to);
    }
    this.#textFrom = from;
    return to;
  }

  #isText(from: number, to: number): boolean {
    if (to - from < LONG_BYTES && this.wide.isAscii(from, to)) return true;
    return isUtf8(this.bytes.subarray(from, to));
  }

  /** The place behind a map of texts in one block, or -1. */
  #map(entries: Entries, start: number): number {
    entries.count = 0;
    const size = this.bytes[start]!;
    if (size === 0) return start + 1;
    // A count in one byte, and none below zero.
    if (size >= 0x80 || (size & 1) !== 0) return -1;
    const count = size >>> 1;
    const { places } = entries;
    let at = start + 1;
    for (let place = 0; place < count * 4; place += 2) {
      at = this.#skipText(at);
      if (at < 0) return -1;
      places[place] = this.#textFrom;
      places[place + 1] = at;
    }
    entries.count = count;
    return at < this.#end && this.bytes[at] === 0 ? at + 1 : -1;
  }
}
