/**
 * An Avro datum as an event, without decoding it: `DatumScan` has found its fields, and here they
 * are made into values when they are asked for.
 */
import type { ResponseDatum } from '../../schemas/audit-event.ts';
import { ByteWords, type WideBytes, type WideWord } from '../../schemas/byte-words.ts';
import * as layout from './datum-layout.ts';
import { ABSENT, DatumScan, type Entries } from './datum-scan.ts';
import type { Actor, ActorType, EventIdSource, EventShape, Outcome } from './event.ts';
import type { EventView, ParamKey, TextShapes } from './event-view.ts';
import { NO_SPAN, Recurring } from './recurring.ts';

/** What makes up the recurring part of an event; of the status code the bytes of the integer. */
const RECURRING = Int32Array.of(
  layout.ACTION,
  layout.SERVICE,
  layout.USER_AGENT,
  layout.SOURCE_IP,
  layout.EMAIL,
  layout.OUTCOME,
  layout.STATUS_CODE,
);
const recurring = new Recurring();
/** `recurringId` of a datum that was not asked for it yet. */
const NOT_ASKED = -2;

const words = new ByteWords(2_048, 128);

export class DatumView extends DatumScan implements EventView {
  readonly isDoubtful = false;
  readonly actor: Actor;
  readonly #response: ResponseDatum;
  #recurringId = NOT_ASKED;

  constructor() {
    super();
    this.actor = actorOf(this);
    this.#response = responseOf(this);
  }

  /** As `scan`; the view is of this datum until the next. */
  read(bytes: Buffer, from: number): boolean {
    this.#recurringId = NOT_ASKED;
    return this.scan(bytes, from);
  }

  /** For the parts of this file only: the text of a field. */
  text(field: number): string | null {
    const from = this.from[field]!;
    return from === ABSENT ? null : words.text(this.wide, from, this.to[field]!);
  }

  param(key: ParamKey): string | undefined {
    const { name, word } = key;
    if (word === null) return this.requestParams[name];
    const at = this.#paramAt(word);
    const { places } = this.params;
    return at < 0 ? undefined : words.text(this.wide, places[at + 2]!, places[at + 3]!);
  }

  paramMayHave(key: ParamKey, filter: Uint8Array): boolean {
    if (key.word === null) return true;
    const at = this.#paramAt(key.word);
    const { places } = this.params;
    return at >= 0 && this.wide.mayHaveRun(places[at + 2]!, places[at + 3]!, filter);
  }

  paramMayEqual(key: ParamKey, { lengths, firsts }: TextShapes): boolean {
    if (key.word === null) return true;
    const at = this.#paramAt(key.word);
    const { places } = this.params;
    return at >= 0 && this.wide.mayBeShaped(places[at + 2]!, places[at + 3]!, lengths, firsts);
  }

  /** Where the places of a parameter start, or -1. Of a key that comes twice the last counts. */
  #paramAt(word: WideWord): number {
    const { places, count } = this.params;
    for (let at = count * 4 - 4; at >= 0; at -= 4) {
      const from = places[at]!;
      if (places[at + 1]! - from === word.size && this.wide.isWord(from, word)) return at;
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
      spans[index * 2] = this.from[field]!;
      spans[index * 2 + 1] = this.to[field]!;
    }
    if (!this.hasResponse) spans[RECURRING.length * 2 - 2] = NO_SPAN;
    return recurring.id(this.wide, RECURRING.length);
  }

  get requestParams(): Record<string, string> {
    return textsOf(this.params, this.wide);
  }
  get extra(): Record<string, string> {
    return textsOf(this.extras, this.wide);
  }
  get eventId(): string {
    return this.text(layout.EVENT_ID)!;
  }
  get eventIdSource(): EventIdSource {
    return this.text(layout.EVENT_ID_SOURCE) as EventIdSource;
  }
  get eventTimeText(): string | null {
    return this.text(layout.EVENT_TIME_TEXT);
  }
  get shape(): EventShape {
    return this.text(layout.SHAPE) as EventShape;
  }
  get version(): string | null {
    return this.text(layout.VERSION);
  }
  get auditLevel(): string | null {
    return this.text(layout.AUDIT_LEVEL);
  }
  get accountId(): string | null {
    return this.text(layout.ACCOUNT_ID);
  }
  get workspaceId(): string | null {
    return this.text(layout.WORKSPACE_ID);
  }
  get orgId(): string | null {
    return this.text(layout.ORG_ID);
  }
  get shardName(): string | null {
    return this.text(layout.SHARD_NAME);
  }
  get resourceId(): string | null {
    return this.text(layout.RESOURCE_ID);
  }
  get category(): string | null {
    return this.text(layout.CATEGORY);
  }
  get serviceName(): string {
    return this.text(layout.SERVICE)!;
  }
  get actionName(): string {
    return this.text(layout.ACTION)!;
  }
  get requestId(): string | null {
    return this.text(layout.REQUEST_ID);
  }
  get sessionId(): string | null {
    return this.text(layout.SESSION_ID);
  }
  get userAgent(): string | null {
    return this.text(layout.USER_AGENT);
  }
  get sourceIp(): string | null {
    return this.text(layout.SOURCE_IP);
  }
  get sourceAddressText(): string | null {
    return this.text(layout.SOURCE_TEXT);
  }
  get response(): ResponseDatum | null {
    return this.hasResponse ? this.#response : null;
  }
  /** For the parts of this file only: the status code of a response. */
  get status(): number | null {
    return this.statusCode;
  }
  get outcome(): Outcome {
    return this.text(layout.OUTCOME) as Outcome;
  }
  get decodeErrors(): string[] {
    return [];
  }
  get raw(): string {
    return this.text(layout.RAW)!;
  }
}

/** The entries of a map. Of a key that comes twice, the last value. */
function textsOf({ places, count }: Entries, wide: WideBytes): Record<string, string> {
  const map: Record<string, string> = Object.create(null);
  for (let at = 0; at < count * 4; at += 4) {
    const key = words.text(wide, places[at]!, places[at + 1]!);
    map[key] = words.text(wide, places[at + 2]!, places[at + 3]!);
  }
  return map;
}

function actorOf(view: DatumView): Actor {
  return {
    get name(): string {
      return view.text(layout.ACTOR_NAME)!;
    },
    get type(): ActorType {
      return view.text(layout.ACTOR_TYPE) as ActorType;
    },
    get email(): string | null {
      return view.text(layout.EMAIL);
    },
    get subjectName(): string | null {
      return view.text(layout.SUBJECT_NAME);
    },
    get runBy(): string | null {
      return view.text(layout.RUN_BY);
    },
    get runAs(): string | null {
      return view.text(layout.RUN_AS);
    },
    get runByDisplayName(): string | null {
      return view.text(layout.RUN_BY_DISPLAY_NAME);
    },
    get runAsDisplayName(): string | null {
      return view.text(layout.RUN_AS_DISPLAY_NAME);
    },
    get actingResource(): string | null {
      return view.text(layout.ACTING_RESOURCE);
    },
  };
}

function responseOf(view: DatumView): ResponseDatum {
  return {
    get statusCode(): number | null {
      return view.status;
    },
    get errorMessage(): string | null {
      return view.text(layout.ERROR_MESSAGE);
    },
    get result(): string | null {
      return view.text(layout.RESULT);
    },
  };
}
