/**
 * The keys of JSON rows by the hash of their bytes: which field of an event each one is. For the
 * shapes that are read where they lie: log delivery, and rows of the system table.
 */
import { type WideWord, wideWord } from '../../schemas/byte-words.ts';

/** Fields of a row, and places in the tables that hold where they are. */
export const TIME = 0;
export const SERVICE = 1;
export const ACTION = 2;
export const VERSION = 3;
export const AUDIT_LEVEL = 4;
export const ACCOUNT_ID = 5;
export const WORKSPACE_ID = 6;
export const ORG_ID = 7;
export const SHARD_NAME = 8;
export const REQUEST_ID = 9;
export const SESSION_ID = 10;
export const USER_AGENT = 11;
export const SOURCE = 12;
export const EVENT_ID = 13;
export const IDENTITY = 14;
export const METADATA = 15;
export const PARAMS = 16;
export const RESPONSE = 17;
export const EMAIL = 18;
export const SUBJECT_NAME = 19;
export const RUN_BY = 20;
export const RUN_AS = 21;
export const RUN_BY_DISPLAY_NAME = 22;
export const RUN_AS_DISPLAY_NAME = 23;
export const ACTING_RESOURCE = 24;
export const STATUS_CODE = 25;
export const ERROR_MESSAGE = 26;
export const RESULT = 27;
export const FIELDS = 28;

/** Shapes a key belongs to. */
export const DELIVERY = 1;
export const SYSTEM_TABLE = 2;

export interface RowKey {
  readonly name: string;
  /** -1: the row is of another shape, or may be. */
  readonly field: number;
  readonly shapes: number;
  /** The bytes of `"name":`. */
  readonly word: WideWord;
  /** The key that came behind it last time: rows of one writer have one order of keys. */
  next: RowKey | null;
}

/** Keys of one kind of object. */
export class KeyTable {
  readonly #keys: Array<RowKey | undefined>;
  readonly #mask: number;
  /** The key that came first in the last row. */
  first: RowKey | null = null;

  constructor(keys: readonly RowKey[]) {
    // Large enough that no two keys share a place: found out here, once.
    let size = 64;
    while (new Set(keys.map(({ name }) => keyHash(name) & (size - 1))).size < keys.length) {
      size *= 2;
    }
    this.#mask = size - 1;
    this.#keys = new Array<RowKey | undefined>(size).fill(undefined);
    for (const key of keys) this.#keys[keyHash(key.name) & this.#mask] = key;
  }

  /** The key whose bytes are from `from` to `to`, or undefined where it is none of these. */
  find(hash: number, bytes: Buffer, from: number, to: number): RowKey | undefined {
    const key = this.#keys[spread(hash) & this.#mask];
    if (key === undefined || key.name.length !== to - from) return undefined;
    const { name } = key;
    for (let index = 0; index < name.length; index += 1) {
      if (bytes[from + index] !== name.charCodeAt(index)) return undefined;
    }
    return key;
  }
}

function spread(hash: number): number {
  return hash ^ (hash >>> 11);
}

/** The hash that `JsonCursor.key` gives, spread. */
function keyHash(name: string): number {
  let hash = 0;
  for (const byte of Buffer.from(name)) hash = (Math.imul(hash, 31) + byte) | 0;
  return spread(hash);
}

const BOTH = DELIVERY | SYSTEM_TABLE;
const OTHER = -1;

function keys(shapes: number, fields: Record<string, number>): RowKey[] {
  return Object.entries(fields).map(([name, field]) => {
    return { name, field, shapes, word: wideWord(`"${name}":`), next: null };
  });
}

export const ROW_KEYS = new KeyTable([
  ...keys(BOTH, { version: VERSION, response: RESPONSE }),
  ...keys(DELIVERY, {
    timestamp: TIME,
    serviceName: SERVICE,
    actionName: ACTION,
    auditLevel: AUDIT_LEVEL,
    accountId: ACCOUNT_ID,
    workspaceId: WORKSPACE_ID,
    orgId: ORG_ID,
    shardName: SHARD_NAME,
    requestId: REQUEST_ID,
    sessionId: SESSION_ID,
    userAgent: USER_AGENT,
    sourceIPAddress: SOURCE,
    userIdentity: IDENTITY,
    requestParams: PARAMS,
  }),
  ...keys(SYSTEM_TABLE, {
    event_time: TIME,
    service_name: SERVICE,
    action_name: ACTION,
    audit_level: AUDIT_LEVEL,
    account_id: ACCOUNT_ID,
    workspace_id: WORKSPACE_ID,
    request_id: REQUEST_ID,
    session_id: SESSION_ID,
    user_agent: USER_AGENT,
    source_ip_address: SOURCE,
    event_id: EVENT_ID,
    user_identity: IDENTITY,
    identity_metadata: METADATA,
    request_params: PARAMS,
  }),
  // Envelopes, and shapes that `shapeOf` would prefer or that hold their fields deeper.
  ...keys(BOTH, { records: OTHER, jsonPayload: OTHER, properties: OTHER, ServiceName: OTHER }),
]);

export const IDENTITY_KEYS = new KeyTable(
  keys(BOTH, { email: EMAIL, subjectName: SUBJECT_NAME, subject_name: SUBJECT_NAME }),
);

export const METADATA_KEYS = new KeyTable(
  keys(BOTH, {
    run_by: RUN_BY,
    runBy: RUN_BY,
    run_as: RUN_AS,
    runAs: RUN_AS,
    run_by_display_name: RUN_BY_DISPLAY_NAME,
    runByDisplayName: RUN_BY_DISPLAY_NAME,
    run_as_display_name: RUN_AS_DISPLAY_NAME,
    runAsDisplayName: RUN_AS_DISPLAY_NAME,
    acting_resource: ACTING_RESOURCE,
    actingResource: ACTING_RESOURCE,
  }),
);

export const RESPONSE_KEYS = new KeyTable(
  keys(BOTH, {
    statusCode: STATUS_CODE,
    status_code: STATUS_CODE,
    errorMessage: ERROR_MESSAGE,
    error_message: ERROR_MESSAGE,
    result: RESULT,
  }),
);
