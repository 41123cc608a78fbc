/**
 * A JSON row as an event, without parsing it: `RowScan` has found its fields, and here they are
 * made into values when they are asked for. What decoding would have to tell is a doubt.
 */
import { toUSVString } from 'node:util';
import type { ResponseDatum } from '../../schemas/audit-event.ts';
import { ByteWords, type WideWord } from '../../schemas/byte-words.ts';
import { actorName, actorType } from './actor.ts';
import { type SourceAddress, splitAddress } from './address.ts';
import { CUT_KEY, CUT_SUFFIX } from './assemble.ts';
import type { Actor, ActorType, EventIdSource, EventShape, Outcome } from './event.ts';
import { type EventView, type ParamKey, paramKey, type TextShapes } from './event-view.ts';
import { outcomeOf } from './outcome.ts';
import { NO_SPAN, Recurring } from './recurring.ts';
import * as row from './row-layout.ts';
import { MINUS, RowScan } from './row-scan.ts';

/** Digits of a status code that fits an int whatever they are. */
const STATUS_DIGITS_MAX = 9;

/** What makes up the recurring part of a row. */
const RECURRING = Int32Array.of(
  row.ACTION,
  row.SERVICE,
  row.USER_AGENT,
  row.SOURCE,
  row.EMAIL,
  row.STATUS_CODE,
);
const recurring = new Recurring();
/** `recurringId` of a row that was not asked for it yet. */
const NOT_ASKED = -2;

/** The suffix of a text that was cut, all of it in escapes. */
const ESCAPED_CUT_BYTES = CUT_SUFFIX.length * 6;

const ADDRESSES_MAX = 4_096;
const ADDRESS_UNITS_MAX = 128;
const addresses = new Map<string, SourceAddress | null>();

const words = new ByteWords(2_048, 128);

export class RowView extends RowScan implements EventView {
  isDoubtful = false;
  readonly actor: Actor;
  #recurringId = NOT_ASKED;
  readonly #response: ResponseDatum;

  constructor() {
    super();
    this.actor = actorOf(this);
    this.#response = responseOf(this);
  }

  /** Starts on a row; false where the bytes have to be decoded to know what they are. */
  read(bytes: Buffer): boolean {
    this.isDoubtful = false;
    this.#recurringId = NOT_ASKED;
    return this.scan(bytes);
  }

  #doubt(): null {
    this.isDoubtful = true;
    return null;
  }

  /** What decoding makes of a value that is to be text, or a doubt. */
  #textOf(kind: number, from: number, to: number): string | null {
    switch (kind) {
      case row.NOTHING:
      case row.NULL:
        return null;
      case row.TEXT:
        return words.text(this.wide, from, to);
      case row.INTEGER:
        return this.bytes.toString('latin1', from, to);
      case row.ESCAPED:
        return toUSVString(JSON.parse(this.bytes.toString('utf8', from - 1, to + 1)) as string);
      case row.TRUE:
        return 'true';
      case row.FALSE:
        return 'false';
      default:
        return this.#doubt();
    }
  }

  /** For the parts of this file only: the text of a field. */
  text(field: number): string | null {
    return this.#textOf(this.kind[field]!, this.from[field]!, this.to[field]!);
  }

  param(key: ParamKey): string | undefined {
    const { name, word } = key;
    if (word === null) return this.requestParams[name];
    const at = this.#paramAt(key, word);
    if (at < 0) return undefined;
    const places = this.paramPlaces;
    return this.#textOf(this.paramKind[at >> 2]!, places[at + 2]!, places[at + 3]!) ?? undefined;
  }

  paramMayHave(key: ParamKey, filter: Uint8Array): boolean {
    if (key.word === null) return true;
    const at = this.#paramAt(key, key.word);
    if (at < 0) return false;
    const kind = this.paramKind[at >> 2];
    if (kind !== row.TEXT && kind !== row.ESCAPED) return true;
    const places = this.paramPlaces;
    return this.wide.mayHaveRun(places[at + 2]!, places[at + 3]!, filter);
  }

  paramMayEqual(key: ParamKey, { lengths, firsts }: TextShapes): boolean {
    if (key.word === null) return true;
    const at = this.#paramAt(key, key.word);
    if (at < 0) return false;
    if (this.paramKind[at >> 2] !== row.TEXT) return true;
    const places = this.paramPlaces;
    return this.wide.mayBeShaped(places[at + 2]!, places[at + 3]!, lengths, firsts);
  }

  /** Where the places of a parameter start, or -1. */
  #paramAt(key: ParamKey, word: WideWord): number {
    const { wide } = this;
    const places = this.paramPlaces;
    const end = this.paramCount * 4;
    const last = key.place;
    if (last < end && places[last + 1]! - places[last]! === word.size) {
      if (wide.isWord(places[last]!, word)) return last;
    }
    for (let at = 0; at < end; at += 4) {
      const from = places[at]!;
      if (places[at + 1]! - from !== word.size || !wide.isWord(from, word)) continue;
      key.place = at;
      return at;
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
      const kind = this.kind[field]!;
      if (kind === row.NOTHING || kind === row.NULL) {
        spans[index * 2] = NO_SPAN;
        continue;
      }
      if (kind !== (field === row.STATUS_CODE ? row.INTEGER : row.TEXT)) return -1;
      spans[index * 2] = this.from[field]!;
      spans[index * 2 + 1] = this.to[field]!;
    }
    if (this.kind[row.STATUS_CODE] === row.INTEGER && this.#status() === null) return -1;
    return recurring.id(this.wide, RECURRING.length);
  }

  get requestParams(): Record<string, string> {
    const params: Record<string, string> = Object.create(null);
    const places = this.paramPlaces;
    for (let index = 0; index < this.paramCount; index += 1) {
      const key = words.text(this.wide, places[index * 4]!, places[index * 4 + 1]!);
      const value = this.#textOf(
        this.paramKind[index]!,
        places[index * 4 + 2]!,
        places[index * 4 + 3]!,
      );
      if (value !== null) params[key] = value;
    }
    return params;
  }

  get serviceName(): string {
    return this.text(row.SERVICE)!;
  }
  get actionName(): string {
    return this.text(row.ACTION)!;
  }
  get version(): string | null {
    return this.text(row.VERSION);
  }
  get auditLevel(): string | null {
    return this.text(row.AUDIT_LEVEL);
  }
  get accountId(): string | null {
    return this.text(row.ACCOUNT_ID);
  }
  get workspaceId(): string | null {
    return this.text(row.WORKSPACE_ID) || this.orgId;
  }
  get orgId(): string | null {
    return this.text(row.ORG_ID);
  }
  get shardName(): string | null {
    return this.text(row.SHARD_NAME);
  }
  get resourceId(): null {
    return null;
  }
  get category(): null {
    return null;
  }
  get requestId(): string | null {
    return this.text(row.REQUEST_ID);
  }
  get sessionId(): string | null {
    return this.text(row.SESSION_ID);
  }
  get userAgent(): string | null {
    return this.text(row.USER_AGENT);
  }
  get sourceAddressText(): string | null {
    return this.text(row.SOURCE);
  }
  get sourceIp(): string | null {
    return this.#address()?.ip ?? null;
  }
  get sourcePort(): number | null {
    return this.#address()?.port ?? null;
  }

  /** Addresses come again and again; the last ones are known by their text. */
  #address(): SourceAddress | null {
    const text = this.text(row.SOURCE);
    if (text === null || text === '') return null;
    let address = addresses.get(text);
    if (address !== undefined) return address;
    address = splitAddress(text);
    if (addresses.size >= ADDRESSES_MAX) addresses.clear();
    if (text.length <= ADDRESS_UNITS_MAX) addresses.set(text, address);
    return address;
  }
  /** Of a row without an id of its own, the id is made of all its fields. */
  get eventId(): string {
    return this.text(row.EVENT_ID) || (this.#doubt() ?? '');
  }
  get eventIdSource(): EventIdSource {
    return this.text(row.EVENT_ID) ? 'event_id' : 'content_hash';
  }
  get eventTimeText(): string | null {
    return this.kind[row.TIME] === row.TEXT ? this.text(row.TIME) : null;
  }
  get shape(): EventShape {
    return this.shapes === row.DELIVERY ? 'delivery' : 'system_table';
  }
  get response(): ResponseDatum | null {
    return this.kind[row.RESPONSE] === row.NESTED ? this.#response : null;
  }
  /** For the parts of this file only: the status code. */
  status(): number | null {
    const kind = this.kind[row.STATUS_CODE];
    if (kind === row.NOTHING || kind === row.NULL) return null;
    return this.#status() ?? this.#doubt();
  }

  /** A plain status code, or null where it is none. */
  #status(): number | null {
    const { bytes } = this;
    const from = this.from[row.STATUS_CODE]!;
    const to = this.to[row.STATUS_CODE]!;
    const isPlain =
      this.kind[row.STATUS_CODE] === row.INTEGER &&
      to - from <= STATUS_DIGITS_MAX &&
      bytes[from] !== MINUS;
    return isPlain ? this.digits(from, to) : null;
  }
  get outcome(): Outcome {
    return outcomeOf(
      this.actionName,
      this.kind[row.RESPONSE] === row.NESTED ? this.status() : null,
    );
  }
  get requestParamsTruncated(): boolean {
    for (let index = 0; index < this.paramCount; index += 1) if (this.#isCut(index)) return true;
    return false;
  }

  #isCut(index: number): boolean {
    const kind = this.paramKind[index]!;
    // Any other value is written as JSON, which ends otherwise.
    if (kind !== row.TEXT && kind !== row.ESCAPED) return false;
    const { bytes } = this;
    const places = this.paramPlaces;
    const from = places[index * 4 + 2]!;
    const to = places[index * 4 + 3]!;
    if (from === to) {
      return bytes.toString('latin1', places[index * 4], places[index * 4 + 1]) === CUT_KEY;
    }
    let back = 1;
    while (back <= CUT_SUFFIX.length && to - back >= from) {
      if (bytes[to - back] !== CUT_SUFFIX.charCodeAt(CUT_SUFFIX.length - back)) break;
      back += 1;
    }
    if (back > CUT_SUFFIX.length) return true;
    // Its characters may be written as escapes, each of which ends in a hexadecimal digit.
    if (kind !== row.ESCAPED || bytes.indexOf('\\u', Math.max(from, to - ESCAPED_CUT_BYTES)) < 0) {
      return false;
    }
    return this.#textOf(kind, from, to)!.endsWith(CUT_SUFFIX);
  }

  get decodeErrors(): string[] {
    this.isDoubtful = true;
    return [];
  }
  /** What no shape knows, and what decoding could not make sense of. */
  get extra(): Record<string, string> {
    this.status();
    if (this.hasExtra) this.isDoubtful = true;
    return NO_FIELDS;
  }
  get raw(): string {
    const { bytes } = this;
    return bytes.toString('utf8', 0, bytes.length).trim();
  }
}

const USER = paramKey('user');
const RECIPIENT = paramKey('recipient_name');

const NO_FIELDS: Record<string, string> = Object.freeze(Object.create(null));

function actorOf(view: RowView): Actor {
  return {
    get name(): string {
      return actorName(this, view.param(USER), view.param(RECIPIENT));
    },
    get type(): ActorType {
      return actorType(this.name);
    },
    get email(): string | null {
      return view.text(row.EMAIL);
    },
    get subjectName(): string | null {
      return view.text(row.SUBJECT_NAME);
    },
    get runBy(): string | null {
      return view.text(row.RUN_BY);
    },
    get runAs(): string | null {
      return view.text(row.RUN_AS);
    },
    get runByDisplayName(): string | null {
      return view.text(row.RUN_BY_DISPLAY_NAME);
    },
    get runAsDisplayName(): string | null {
      return view.text(row.RUN_AS_DISPLAY_NAME);
    },
    get actingResource(): string | null {
      return view.text(row.ACTING_RESOURCE);
    },
  };
}

function responseOf(view: RowView): ResponseDatum {
  return {
    get statusCode(): number | null {
      return view.status();
    },
    get errorMessage(): string | null {
      return view.text(row.ERROR_MESSAGE);
    },
    get result(): string | null {
      return view.text(row.RESULT);
    },
  };
}
