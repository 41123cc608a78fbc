/**
 * An Avro datum as an event, without decoding it. `read` says yes only to bytes of which
 * `decodeRecord` makes an event, under the schema of `schemas/audit-event.avsc`: every length,
 * branch, integer and word is checked and every text is UTF-8, but no text is made. Whatever is
 * unusual gets a no (maps in several blocks or with many entries, padded integers): the caller
 * then decodes, and finds out what it is.
 */
import { isUtf8 } from 'node:buffer';
import type { ResponseDatum } from '../../schemas/audit-event.ts';
import { ByteWords } from '../../schemas/byte-words.ts';
import type { Actor, ActorType, EventIdSource, EventShape, Outcome } from './event.ts';
import { EVENT_TIME_MS_MAX } from './event-time.ts';
import type { EventView } from './event-view.ts';

/** Texts of an event in the order of the schema, and places in the tables of where they are. */
const EVENT_ID = 0;
const EVENT_ID_SOURCE = 1;
const EVENT_TIME_TEXT = 2;
const SHAPE = 3;
const VERSION = 4;
const AUDIT_LEVEL = 5;
const ACCOUNT_ID = 6;
const WORKSPACE_ID = 7;
const ORG_ID = 8;
const SHARD_NAME = 9;
const RESOURCE_ID = 10;
const CATEGORY = 11;
const SERVICE = 12;
const ACTION = 13;
const REQUEST_ID = 14;
const SESSION_ID = 15;
const USER_AGENT = 16;
const SOURCE_IP = 17;
const SOURCE_TEXT = 18;
const ACTOR_NAME = 19;
const ACTOR_TYPE = 20;
const EMAIL = 21;
const SUBJECT_NAME = 22;
const RUN_BY = 23;
const RUN_AS = 24;
const RUN_BY_DISPLAY_NAME = 25;
const RUN_AS_DISPLAY_NAME = 26;
const ACTING_RESOURCE = 27;
const ERROR_MESSAGE = 28;
const RESULT = 29;
const OUTCOME = 30;
const RAW = 31;
const FIELDS = 32;

/** Entries of one map that are kept; of more, decoding is left to say what they are. */
const ENTRIES_MAX = 64;
/** From here on asking the engine about a text is cheaper than looking at its bytes. */
const LONG_BYTES = 160;
/** `from` of a text that is null. */
const ABSENT = -1;
const INT_MAX = 0x7fffffff;
const NO_BYTES = Buffer.alloc(0);
const HIGH_BITS = 0x80808080 | 0;

const words = new ByteWords(8_192, 160);

const KNOWN_WORDS = {
  eventIdSource: ['content_hash', 'event_id', 'log_id'] satisfies EventIdSource[],
  shape: ['delivery', 'system_table', 'azure_record', 'log_analytics'] satisfies EventShape[],
  actorType: ['user', 'service_principal', 'system', 'unknown'] satisfies ActorType[],
  outcome: ['success', 'failure', 'unknown'] satisfies Outcome[],
};

export class DatumView implements EventView {
  readonly isDoubtful = false;
  eventTime = 0;
  sourcePort: number | null = null;
  requestParamsTruncated = false;
  readonly actor: Actor;
  readonly #response: ResponseDatum;
  #bytes: Buffer = NO_BYTES;
  #words: DataView = new DataView(NO_BYTES.buffer);
  #offset = 0;
  #at = 0;
  #end = 0;
  readonly #from = new Int32Array(FIELDS);
  readonly #to = new Int32Array(FIELDS);
  readonly #params = new Entries();
  readonly #extra = new Entries();
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
    this.#offset = bytes.byteOffset;
    if (this.#words.buffer !== bytes.buffer) this.#words = new DataView(bytes.buffer);
    this.#at = from;
    this.#end = bytes.length;
    return this.#head() && this.#names() && this.#who() && this.#what() && this.#tail();
  }

  #head(): boolean {
    if (!this.#text(EVENT_ID)) return false;
    if (!this.#word(EVENT_ID_SOURCE, KNOWN_WORDS.eventIdSource)) return false;
    this.eventTime = this.#integer();
    if (!(this.eventTime > 0 && this.eventTime <= EVENT_TIME_MS_MAX)) return false;
    if (!this.#optional(EVENT_TIME_TEXT)) return false;
    if (!this.#word(SHAPE, KNOWN_WORDS.shape)) return false;
    for (let field = VERSION; field <= CATEGORY; field += 1) {
      if (!this.#optional(field)) return false;
    }
    return true;
  }

  #names(): boolean {
    if (!this.#text(SERVICE) || !this.#text(ACTION)) return false;
    if (this.#from[SERVICE] === this.#to[SERVICE]) return false;
    if (this.#from[ACTION] === this.#to[ACTION]) return false;
    for (let field = REQUEST_ID; field <= SOURCE_IP; field += 1) {
      if (!this.#optional(field)) return false;
    }
    const port = this.#optionalInt();
    if (port === undefined) return false;
    this.sourcePort = port;
    return this.#optional(SOURCE_TEXT);
  }

  #who(): boolean {
    if (!this.#text(ACTOR_NAME) || !this.#word(ACTOR_TYPE, KNOWN_WORDS.actorType)) return false;
    for (let field = EMAIL; field <= ACTING_RESOURCE; field += 1) {
      if (!this.#optional(field)) return false;
    }
    return true;
  }

  #what(): boolean {
    if (!this.#map(this.#params)) return false;
    const isCut = this.#flag();
    if (isCut < 0) return false;
    this.requestParamsTruncated = isCut === 1;
    return this.#readResponse() && this.#word(OUTCOME, KNOWN_WORDS.outcome);
  }

  /** A boolean: a byte of 0 or 1; -1 for anything else. */
  #flag(): number {
    if (this.#at >= this.#end) return -1;
    const byte = this.#bytes[this.#at]!;
    this.#at += 1;
    return byte <= 1 ? byte : -1;
  }

  #readResponse(): boolean {
    const present = this.#present();
    if (present < 0) return false;
    this.#hasResponse = present === 1;
    if (present === 0) return true;
    const status = this.#optionalInt();
    if (status === undefined) return false;
    this.#statusCode = status;
    return this.#optional(ERROR_MESSAGE) && this.#optional(RESULT);
  }

  #tail(): boolean {
    // Notes of what could not be read are rare: left to decoding.
    if (this.#at >= this.#end || this.#bytes[this.#at] !== 0) return false;
    this.#at += 1;
    return this.#map(this.#extra) && this.#text(RAW) && this.#at === this.#end;
  }

  /** The next integer, of at most seven bytes; NaN where it is cut or longer. */
  #integer(): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = this.#at;
    if (at >= end) return Number.NaN;
    const first = bytes[at]!;
    at += 1;
    if (first < 0x80) {
      this.#at = at;
      return (first & 1) === 0 ? first >>> 1 : -((first + 1) >>> 1);
    }
    let value = first & 0x7f;
    let scale = 128;
    for (;;) {
      if (at >= end || scale > 2 ** 42) return Number.NaN;
      const byte = bytes[at]!;
      at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    this.#at = at;
    return (first & 1) === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** 1 or 0 for the two branches of an optional value, -1 for anything else. */
  #present(): number {
    if (this.#at >= this.#end) return -1;
    const byte = this.#bytes[this.#at]!;
    this.#at += 1;
    return byte === 0 ? 0 : byte === 2 ? 1 : -1;
  }

  #optionalInt(): number | null | undefined {
    const present = this.#present();
    if (present <= 0) return present === 0 ? null : undefined;
    const value = this.#integer();
    return value >= -INT_MAX - 1 && value <= INT_MAX ? value : undefined;
  }

  #optional(field: number): boolean {
    if (this.#at >= this.#end) return false;
    const byte = this.#bytes[this.#at]!;
    this.#at += 1;
    if (byte === 2) return this.#text(field);
    this.#from[field] = ABSENT;
    return byte === 0;
  }

  #text(field: number): boolean {
    const from = this.#skipText();
    if (from < 0) return false;
    this.#from[field] = from;
    this.#to[field] = this.#at;
    return true;
  }

  /** Passes a text, and gives the place of its first byte, or -1 where it is none. */
  #skipText(): number {
    const bytes = this.#bytes;
    let at = this.#at;
    if (at >= this.#end) return -1;
    let size = bytes[at]!;
    if (size < 0x80) {
      if ((size & 1) !== 0) return -1;
      size >>>= 1;
      at += 1;
    } else {
      size = this.#integer();
      at = this.#at;
    }
    const to = at + size;
    if (!(size >= 0 && to <= this.#end) || !this.#isText(at, to)) return -1;
    this.#at = to;
    return at;
  }

  #isText(from: number, to: number): boolean {
    if (to - from >= LONG_BYTES) return isUtf8(this.#bytes.subarray(from, to));
    const fours = this.#words;
    const offset = this.#offset;
    let bits = 0;
    let at = from;
    for (; at + 4 <= to; at += 4) bits |= fours.getInt32(offset + at, true);
    for (; at < to; at += 1) bits |= this.#bytes[at]!;
    return (bits & HIGH_BITS) === 0 || isUtf8(this.#bytes.subarray(from, to));
  }

  /** A text that is one of these words. */
  #word(field: number, known: readonly string[]): boolean {
    if (!this.#text(field)) return false;
    const from = this.#from[field]!;
    const size = this.#to[field]! - from;
    for (const word of known) {
      if (word.length === size && isWordAt(this.#bytes, from, word)) return true;
    }
    return false;
  }

  /** A map of texts in one block. */
  #map(entries: Entries): boolean {
    entries.count = 0;
    const count = this.#integer();
    if (count === 0) return true;
    if (!(count > 0 && count <= ENTRIES_MAX)) return false;
    const { places } = entries;
    for (let index = 0; index < count; index += 1) {
      const keyFrom = this.#skipText();
      if (keyFrom < 0) return false;
      const keyTo = this.#at;
      const from = this.#skipText();
      if (from < 0) return false;
      places[index * 4] = keyFrom;
      places[index * 4 + 1] = keyTo;
      places[index * 4 + 2] = from;
      places[index * 4 + 3] = this.#at;
    }
    entries.count = count;
    if (this.#at >= this.#end || this.#bytes[this.#at] !== 0) return false;
    this.#at += 1;
    return true;
  }

  /** For the parts of this file only: the text of a field. */
  text(field: number): string | null {
    const from = this.#from[field]!;
    return from === ABSENT ? null : words.text(this.#bytes, from, this.#to[field]!);
  }

  param(key: string): string | undefined {
    const bytes = this.#bytes;
    const { places, count } = this.#params;
    const size = key.length;
    // Of a key that comes twice the last value counts.
    for (let index = count - 1; index >= 0; index -= 1) {
      const from = places[index * 4]!;
      if (places[index * 4 + 1]! - from !== size || !isWordAt(bytes, from, key)) continue;
      return words.text(bytes, places[index * 4 + 2]!, places[index * 4 + 3]!);
    }
    return isAscii(key) ? undefined : this.requestParams[key];
  }

  get requestParams(): Record<string, string> {
    return this.#params.read(this.#bytes);
  }
  get extra(): Record<string, string> {
    return this.#extra.read(this.#bytes);
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

  read(bytes: Buffer): Record<string, string> {
    const map: Record<string, string> = Object.create(null);
    const { places } = this;
    for (let index = 0; index < this.count; index += 1) {
      const key = words.text(bytes, places[index * 4]!, places[index * 4 + 1]!);
      map[key] = words.text(bytes, places[index * 4 + 2]!, places[index * 4 + 3]!);
    }
    return map;
  }
}

/** Whether the bytes from `from` are the characters of a text; never where one is not ASCII. */
function isWordAt(bytes: Buffer, from: number, word: string): boolean {
  for (let index = 0; index < word.length; index += 1) {
    const byte = bytes[from + index]!;
    if (byte !== word.charCodeAt(index) || byte >= 0x80) return false;
  }
  return true;
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) >= 0x80) return false;
  }
  return true;
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
