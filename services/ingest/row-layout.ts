/**
 * What the scanner of JSON rows leaves in its memory, and where: kinds of values, fields of a row,
 * and the places of all that it shares with its caller. Read by TypeScript and by AssemblyScript
 * (`assembly/row-scan.ts`), so it holds numbers and nothing else.
 */

/** What a value is. */
export const NOTHING = 0;
export const NULL = 1;
/** Text without escapes: its bytes are its characters. */
export const TEXT = 2;
/** Text with escapes. */
export const ESCAPED = 3;
/** A whole number whose digits are its spelling in every reading: no minus zero, below 9e15. */
export const INTEGER = 4;
/** Any other number. */
export const NUMBER = 5;
export const TRUE = 6;
export const FALSE = 7;
/** An object or a list. */
export const NESTED = 8;

/** Fields of a row, and places in the tables that hold what they are and where. */
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
/** From here to `RESPONSE`: objects whose own fields are looked at. */
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

/** A key by which a row is of another shape, or may be. */
export const OTHER_SHAPE = -1;

/** Shapes a key belongs to, a bit of each. */
export const DELIVERY = 1;
export const SYSTEM_TABLE = 2;
export const BOTH_SHAPES = 3;

/** Longest row, bytes: texts beyond are counted by decoding before they are parsed. */
export const ROW_BYTES_MAX = 65_535;
/** Parameters of one row; of more, decoding is left to say what they are. */
export const PARAMS_MAX = 64;

/** Memory. Three 32-bit numbers: the shapes a row may be of, 1 where it has unknown keys, parameters. */
export const HEAD = 256;
/** A byte for each field: what it is. */
export const KINDS = 512;
/** 32-bit places in the row for each field: where it starts, and what is behind it. */
export const FROMS = 640;
export const TOS = 768;
/** A byte for each parameter. */
export const PARAM_KINDS = 896;
/** Four 32-bit places for each: of its key, from and to, and of its value. */
export const PARAM_PLACES = 1_024;

/** Key tables: of rows, identities, identity metadata, responses. */
export const TABLES = 4_096;
export const ROW_TABLE = 0;
export const IDENTITY_TABLE = 1;
export const METADATA_TABLE = 2;
export const RESPONSE_TABLE = 3;
/** A table: where the key is that came first last time, then slots of keys. */
export const TABLE_FIRST = 0;
export const TABLE_SLOTS = 16;
export const TABLE_SLOT_COUNT = 256;
export const TABLE_BYTES = 1_040;

/** Keys: where the one is that came behind it last time, size of its word, field, shapes. */
export const KEYS = 8_448;
export const KEY_NEXT = 0;
export const KEY_SIZE = 4;
export const KEY_FIELD = 8;
export const KEY_SHAPES = 12;
/** The bytes of `"name":`, zeros behind it, and as many bytes that have all bits set where it is. */
export const KEY_WORD = 16;
export const KEY_MASK = 48;
export const KEY_WORD_BYTES = 32;
export const KEY_BYTES = 80;

/** What a scan answers; of a row that is not all ASCII it does not say whether it is UTF-8. */
export const NO_ROW = 0;
export const ASCII_ROW = 1;
export const WIDE_ROW = 2;

/** The bytes of the row, and behind them as many zeros as are looked at in one step. */
export const ROW = 65_536;
export const MEMORY_PAGES = 3;
