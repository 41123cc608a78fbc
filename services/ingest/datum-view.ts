/**
 * An Avro datum as an event, without decoding it. `read` says yes only to bytes of which
 * `decodeRecord` makes an event, under the schema of `schemas/audit-event.avsc`: every length,
 * branch, integer and word is checked and every text is UTF-8, but no text is made. Whatever is
 * unusual gets a no (maps in several blocks or with many entries, padded integers): the caller
 * then decodes, and finds out what it is.
 */
import { isUtf8 } from 'node:buffer';
import type { ResponseDatum } from '../../schemas/audit-event.ts';
import { ByteWords, WideBytes, type WideWord, wideWord } from '../../schemas/byte-words.ts';
import type { Actor, ActorType, EventIdSource, EventShape, Outcome } from './event.ts';
import { EVENT_TIME_MS_MAX } from './event-time.ts';
import type { EventView, ParamKey } from './event-view.ts';
import { NO_SPAN, Recurring } from './recurring.ts';

/** Fields of the schema in its order, and places in the tables of where they are. */
const EVENT_ID = 0;
const EVENT_ID_SOURCE = 1;
const EVENT_TIME = 2;
const EVENT_TIME_TEXT = 3;
const SHAPE = 4;
const VERSION = 5;
const AUDIT_LEVEL = 6;
const ACCOUNT_ID = 7;
const WORKSPACE_ID = 8;
const ORG_ID = 9;
const SHARD_NAME = 10;
const RESOURCE_ID = 11;
const CATEGORY = 12;
const SERVICE = 13;
const ACTION = 14;
const REQUEST_ID = 15;
const SESSION_ID = 16;
const USER_AGENT = 17;
const SOURCE_IP = 18;
const SOURCE_PORT = 19;
const SOURCE_TEXT = 20;
const ACTOR_NAME = 21;
const ACTOR_TYPE = 22;
const EMAIL = 23;
const SUBJECT_NAME = 24;
const RUN_BY = 25;
const RUN_AS = 26;
const RUN_BY_DISPLAY_NAME = 27;
const RUN_AS_DISPLAY_NAME = 28;
const ACTING_RESOURCE = 29;
const PARAMS = 30;
const CUT = 31;
const RESPONSE = 32;
const STATUS_CODE = 33;
const ERROR_MESSAGE = 34;
const RESULT = 35;
const OUTCOME = 36;
const DECODE_ERRORS = 37;
const EXTRA = 38;
const RAW = 39;
const FIELDS = 40;

/** How each field is written. */
const TEXT = 0;
const OPTIONAL_TEXT = 1;
const TIME = 2;
const OPTIONAL_INT = 3;
const MAP = 4;
const FLAG = 5;
/** The response: a branch, and its three fields where it is there. */
const RECORD = 6;
/** Notes of what could not be read are rare: with any, decoding is left to say what they are. */
const NO_LIST = 7;
const LAYOUT = new Uint8Array(FIELDS).fill(OPTIONAL_TEXT);
for (const field of [
  EVENT_ID,
  EVENT_ID_SOURCE,
  SHAPE,
  SERVICE,
  ACTION,
  ACTOR_NAME,
  ACTOR_TYPE,
  OUTCOME,
  RAW,
]) {
  LAYOUT[field] = TEXT;
}
LAYOUT[EVENT_TIME] = TIME;
LAYOUT[SOURCE_PORT] = OPTIONAL_INT;
LAYOUT[STATUS_CODE] = OPTIONAL_INT;
LAYOUT[PARAMS] = MAP;
LAYOUT[EXTRA] = MAP;
LAYOUT[CUT] = FLAG;
LAYOUT[RESPONSE] = RECORD;
LAYOUT[DECODE_ERRORS] = NO_LIST;

/** Entries of one map that are kept; of more, decoding is left to say what they are. */
const ENTRIES_MAX = 64;
/** From here on asking the engine about a text is cheaper than looking at its bytes. */
const LONG_BYTES = 160;
const EACH_ALONE = -1;
/** `from` of a text that is null. */
const ABSENT = -1;
const INT_MAX = 0x7fffffff;
const NO_BYTES = Buffer.alloc(0);

/** What makes up the recurring part of an event; of the status code the bytes of the integer. */
const RECURRING = Int32Array.of(
  ACTION,
  SERVICE,
  USER_AGENT,
  SOURCE_IP,
  EMAIL,
  OUTCOME,
  STATUS_CODE,
);
const recurring = new Recurring();
/** `recurringId` of a datum that was not asked for it yet. */
const NOT_ASKED = -2;

const words = new ByteWords(2_048, 128);

const KNOWN_WORDS = {
  eventIdSource: wordsOf<EventIdSource>('content_hash', 'event_id', 'log_id'),
  shape: wordsOf<EventShape>('delivery', 'system_table', 'azure_record', 'log_analytics'),
  actorType: wordsOf<ActorType>('user', 'service_principal', 'system', 'unknown'),
  outcome: wordsOf<Outcome>('success', 'failure', 'unknown'),
};

function wordsOf<Word extends string>(...known: Word[]): WideWord[] {
  return known.map(wideWord);
}

export class DatumView implements EventView {
  readonly isDoubtful = false;
  eventTime = 0;
  sourcePort: number | null = null;
  requestParamsTruncated = false;
  readonly actor: Actor;
  readonly #response: ResponseDatum;
  #bytes: Buffer = NO_BYTES;
  readonly #wide = new WideBytes();
  /** Texts are ASCII from here on, once it is looked at; -1 where each text is looked at alone. */
  #asciiFrom = 0;
  /** What was read last. */
  #value = 0;
  #textFrom = 0;
  #end = 0;
  readonly #from = new Int32Array(FIELDS);
  readonly #to = new Int32Array(FIELDS);
  readonly #params = new Entries();
  readonly #extra = new Entries();
  #recurringId = NOT_ASKED;
  #hasResponse = false;
  #statusCode: number | null = null;

  constructor() {
    this.actor = actorOf(this);
    this.#response = responseOf(this);
  }

  /**
   * Starts on the datum from `from` to the end of the bytes; false where it has to be decoded to
   * know what it is. The bytes, and the memory they are a part of, are held until the next start.
   */
  read(bytes: Buffer, from: number): boolean {
    this.#bytes = bytes;
    this.#recurringId = NOT_ASKED;
    this.#wide.start(bytes);
    this.#end = bytes.length;
    // Most data are ASCII all through, which is cheaper to find out for many texts at once.
    if (this.#walk(from, from)) return true;
    return this.#walk(from, EACH_ALONE);
  }

  #walk(start: number, asciiFrom: number): boolean {
    this.#asciiFrom = asciiFrom;
    const bytes = this.#bytes;
    const end = this.#end;
    const from = this.#from;
    const to = this.#to;
    const isAlone = asciiFrom === EACH_ALONE;
    let at = start;
    for (let field = 0; field < FIELDS; field += 1) {
      if (at >= end) return false;
      let byte = bytes[at]!;
      const layout = LAYOUT[field]!;
      if (layout === OPTIONAL_TEXT) {
        at += 1;
        if (byte === 0) {
          from[field] = ABSENT;
          continue;
        }
        if (byte !== 2 || at >= end) return false;
        byte = bytes[at]!;
      } else if (layout !== TEXT) {
        at = this.#other(field, layout, at);
        if (at < 0) return false;
        if (field === RESPONSE && !this.#hasResponse) field = RESULT;
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
    const from = this.#from;
    const to = this.#to;
    return (
      from[SERVICE]! < to[SERVICE]! &&
      from[ACTION]! < to[ACTION]! &&
      this.#isOneOf(EVENT_ID_SOURCE, KNOWN_WORDS.eventIdSource) &&
      this.#isOneOf(SHAPE, KNOWN_WORDS.shape) &&
      this.#isOneOf(ACTOR_TYPE, KNOWN_WORDS.actorType) &&
      this.#isOneOf(OUTCOME, KNOWN_WORDS.outcome)
    );
  }

  #isOneOf(field: number, known: readonly WideWord[]): boolean {
    const from = this.#from[field]!;
    const size = this.#to[field]! - from;
    for (let index = 0; index < known.length; index += 1) {
      const word = known[index]!;
      if (word.size === size && this.#wide.isWord(from, word)) return true;
    }
    return false;
  }

  /** The place behind a field that is no text, or -1. */
  #other(field: number, layout: number, at: number): number {
    const byte = this.#bytes[at]!;
    switch (layout) {
      case TIME: {
        if (!this.#endAscii(at)) return -1;
        const next = this.#integer(at);
        this.#startAscii(next);
        this.eventTime = this.#value;
        return this.#value > 0 && this.#value <= EVENT_TIME_MS_MAX ? next : -1;
      }
      case OPTIONAL_INT:
        return this.#optionalInt(field, at);
      case MAP:
        return this.#map(field === PARAMS ? this.#params : this.#extra, at);
      case FLAG:
        this.requestParamsTruncated = byte === 1;
        return byte <= 1 ? at + 1 : -1;
      case RECORD:
        this.#hasResponse = byte === 2;
        return byte === 0 || byte === 2 ? at + 1 : -1;
      default:
        return byte === 0 ? at + 1 : -1;
    }
  }

  #optionalInt(field: number, at: number): number {
    const byte = this.#bytes[at]!;
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
    this.#from[field] = value === null ? NO_SPAN : at + 1;
    this.#to[field] = next;
    if (field === SOURCE_PORT) this.sourcePort = value;
    else this.#statusCode = value;
    return next;
  }

  /**
   * Whether what was passed since the last time is ASCII: texts, and between them sizes and
   * branches of one byte, which are ASCII always.
   */
  #endAscii(to: number): boolean {
    const from = this.#asciiFrom;
    return from === EACH_ALONE || this.#wide.isAscii(from, to);
  }

  #startAscii(from: number): void {
    if (this.#asciiFrom !== EACH_ALONE) this.#asciiFrom = from;
  }

  /** Sets `#value` to the integer at a place, of at most seven bytes; the place behind it, or -1. */
  #integer(start: number): number {
    const bytes = this.#bytes;
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
    const size = this.#bytes[at]!;
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
    if (to - from < LONG_BYTES && this.#wide.isAscii(from, to)) return true;
    return isUtf8(this.#bytes.subarray(from, to));
  }

  /** The place behind a map of texts in one block, or -1. */
  #map(entries: Entries, start: number): number {
    entries.count = 0;
    const size = this.#bytes[start]!;
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
    return at < this.#end && this.#bytes[at] === 0 ? at + 1 : -1;
  }

  /** For the parts of this file only: the text of a field. */
  text(field: number): string | null {
    const from = this.#from[field]!;
    return from === ABSENT ? null : words.text(this.#wide, from, this.#to[field]!);
  }

  param({ name, word }: ParamKey): string | undefined {
    if (word === null) return this.requestParams[name];
    const at = this.#paramAt(word);
    const { places } = this.#params;
    return at < 0 ? undefined : words.text(this.#wide, places[at + 2]!, places[at + 3]!);
  }

  paramMayHave({ word }: ParamKey, filter: Uint8Array): boolean {
    if (word === null) return true;
    const at = this.#paramAt(word);
    const { places } = this.#params;
    return at >= 0 && this.#wide.mayHaveRun(places[at + 2]!, places[at + 3]!, filter);
  }

  /** Where the places of a parameter start, or -1. Of a key that comes twice the last counts. */
  #paramAt(word: WideWord): number {
    const { places, count } = this.#params;
    for (let at = count * 4 - 4; at >= 0; at -= 4) {
      const from = places[at]!;
      if (places[at + 1]! - from === word.size && this.#wide.isWord(from, word)) return at;
    }
    return -1;
  }

  get recurringId(): number {
    if (this.#recurringId === NOT_ASKED) this.#recurringId = this.#recur();
    return this.#recurringId;
  }

  #recur(): number {
    const { spans } = recurring;
    for (let index = 0; index < RECURRING.length; index += 1) {
      const field = RECURRING[index]!;
      spans[index * 2] = this.#from[field]!;
      spans[index * 2 + 1] = this.#to[field]!;
    }
    if (!this.#hasResponse) spans[RECURRING.length * 2 - 2] = NO_SPAN;
    return recurring.id(this.#wide, RECURRING.length);
  }

  get requestParams(): Record<string, string> {
    return this.#params.read(this.#wide);
  }
  get extra(): Record<string, string> {
    return this.#extra.read(this.#wide);
  }
  get eventId(): string {
    return this.text(EVENT_ID)!;
  }
  get eventIdSource(): EventIdSource {
    return this.text(EVENT_ID_SOURCE) as EventIdSource;
  }
  get eventTimeText(): string | null {
    return this.text(EVENT_TIME_TEXT);
  }
  get shape(): EventShape {
    return this.text(SHAPE) as EventShape;
  }
  get version(): string | null {
    return this.text(VERSION);
  }
  get auditLevel(): string | null {
    return this.text(AUDIT_LEVEL);
  }
  get accountId(): string | null {
    return this.text(ACCOUNT_ID);
  }
  get workspaceId(): string | null {
    return this.text(WORKSPACE_ID);
  }
  get orgId(): string | null {
    return this.text(ORG_ID);
  }
  get shardName(): string | null {
    return this.text(SHARD_NAME);
  }
  get resourceId(): string | null {
    return this.text(RESOURCE_ID);
  }
  get category(): string | null {
    return this.text(CATEGORY);
  }
  get serviceName(): string {
    return this.text(SERVICE)!;
  }
  get actionName(): string {
    return this.text(ACTION)!;
  }
  get requestId(): string | null {
    return this.text(REQUEST_ID);
  }
  get sessionId(): string | null {
    return this.text(SESSION_ID);
  }
  get userAgent(): string | null {
    return this.text(USER_AGENT);
  }
  get sourceIp(): string | null {
    return this.text(SOURCE_IP);
  }
  get sourceAddressText(): string | null {
    return this.text(SOURCE_TEXT);
  }
  get response(): ResponseDatum | null {
    return this.#hasResponse ? this.#response : null;
  }
  /** For the parts of this file only: the status code of a response. */
  get status(): number | null {
    return this.#statusCode;
  }
  get outcome(): Outcome {
    return this.text(OUTCOME) as Outcome;
  }
  get decodeErrors(): string[] {
    return [];
  }
  get raw(): string {
    return this.text(RAW)!;
  }
}

/** Where the entries of a map are: of each key from and to, and of its value. */
class Entries {
  count = 0;
  readonly places = new Int32Array(ENTRIES_MAX * 4);

  read(wide: WideBytes): Record<string, string> {
    const map: Record<string, string> = Object.create(null);
    const { places } = this;
    for (let index = 0; index < this.count; index += 1) {
      const key = words.text(wide, places[index * 4]!, places[index * 4 + 1]!);
      map[key] = words.text(wide, places[index * 4 + 2]!, places[index * 4 + 3]!);
    }
    return map;
  }
}

function actorOf(view: DatumView): Actor {
  return {
    get name(): string {
      return view.text(ACTOR_NAME)!;
    },
    get type(): ActorType {
      return view.text(ACTOR_TYPE) as ActorType;
    },
    get email(): string | null {
      return view.text(EMAIL);
    },
    get subjectName(): string | null {
      return view.text(SUBJECT_NAME);
    },
    get runBy(): string | null {
      return view.text(RUN_BY);
    },
    get runAs(): string | null {
      return view.text(RUN_AS);
    },
    get runByDisplayName(): string | null {
      return view.text(RUN_BY_DISPLAY_NAME);
    },
    get runAsDisplayName(): string | null {
      return view.text(RUN_AS_DISPLAY_NAME);
    },
    get actingResource(): string | null {
      return view.text(ACTING_RESOURCE);
    },
  };
}

function responseOf(view: DatumView): ResponseDatum {
  return {
    get statusCode(): number | null {
      return view.status;
    },
    get errorMessage(): string | null {
      return view.text(ERROR_MESSAGE);
    },
    get result(): string | null {
      return view.text(RESULT);
    },
  };
}
