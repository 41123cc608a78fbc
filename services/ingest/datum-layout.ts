/** How an event lies in its Avro datum: the fields of `schemas/audit-event.avsc` in their order. */

/** Fields of the schema in its order, and places in the tables of where they are. */
export const EVENT_ID = 0;
export const EVENT_ID_SOURCE = 1;
export const EVENT_TIME = 2;
export const EVENT_TIME_TEXT = 3;
export const SHAPE = 4;
export const VERSION = 5;
export const AUDIT_LEVEL = 6;
export const ACCOUNT_ID = 7;
export const WORKSPACE_ID = 8;
export const ORG_ID = 9;
export const SHARD_NAME = 10;
export const RESOURCE_ID = 11;
export const CATEGORY = 12;
export const SERVICE = 13;
export const ACTION = 14;
export const REQUEST_ID = 15;
export const SESSION_ID = 16;
export const USER_AGENT = 17;
export const SOURCE_IP = 18;
export const SOURCE_PORT = 19;
export const SOURCE_TEXT = 20;
export const ACTOR_NAME = 21;
export const ACTOR_TYPE = 22;
export const EMAIL = 23;
export const SUBJECT_NAME = 24;
export const RUN_BY = 25;
export const RUN_AS = 26;
export const RUN_BY_DISPLAY_NAME = 27;
export const RUN_AS_DISPLAY_NAME = 28;
export const ACTING_RESOURCE = 29;
export const PARAMS = 30;
export const CUT = 31;
export const RESPONSE = 32;
export const STATUS_CODE = 33;
export const ERROR_MESSAGE = 34;
export const RESULT = 35;
export const OUTCOME = 36;
export const DECODE_ERRORS = 37;
export const EXTRA = 38;
export const RAW = 39;
export const FIELDS = 40;

/** How each field is written. */
export const TEXT = 0;
export const OPTIONAL_TEXT = 1;
export const TIME = 2;
export const OPTIONAL_INT = 3;
export const MAP = 4;
export const FLAG = 5;
/** The response: a branch, and its three fields where it is there. */
export const RECORD = 6;
/** Notes of what could not be read are rare: with any, decoding is left to say what they are. */
export const NO_LIST = 7;
export const LAYOUT = new Uint8Array(FIELDS).fill(OPTIONAL_TEXT);
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
