/**
 * Walks a JSON row in its bytes, sixteen at a time. Says yes only to one object that is valid JSON
 * to its last byte, with exactly what `JSON.parse` takes (RFC 8259); gives up on repeated keys,
 * keys with escapes, other shapes and deep nesting. What it finds stays in memory, at the places of
 * `row-layout.ts`.
 *
 * AssemblyScript, compiled to `row-scan.wasm` by `npm run assemble`. The row stands at `ROW`; whether
 * it is UTF-8 is for the caller to find out. Zeros are put behind it: no step of the walk
 * takes a zero, so none has to look for the end.
 */
import {
  ASCII_ROW,
  BOTH_SHAPES,
  ESCAPED,
  FALSE,
  FIELDS,
  FROMS,
  HEAD,
  IDENTITY,
  IDENTITY_TABLE,
  INTEGER,
  KEY_FIELD,
  KEY_MASK,
  KEY_NEXT,
  KEY_SHAPES,
  KEY_SIZE,
  KEY_WORD,
  KINDS,
  METADATA_TABLE,
  NESTED,
  NO_ROW,
  NOTHING,
  NULL,
  NUMBER,
  PARAM_KINDS,
  PARAM_PLACES,
  PARAMS,
  PARAMS_MAX,
  RESPONSE,
  RESPONSE_TABLE,
  ROW,
  ROW_TABLE,
  TABLE_BYTES,
  TABLE_FIRST,
  TABLE_SLOT_COUNT,
  TABLE_SLOTS,
  TABLES,
  TEXT,
  TOS,
  TRUE,
  WIDE_ROW,
} from '../row-layout';

/** Levels of objects and lists that are walked. */
const DEPTH_MAX = 64;
/** Digits of an integer that is safe whatever they are, and with a first digit below 9. */
const SAFE_DIGITS = 15;
/** No place: what was looked for is not there, or is no JSON. */
const NOWHERE: i32 = 0;
const BLOCK: i32 = 16;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const SPACE = 0x20;
/** `null`, `true` and `alse` as little-endian numbers. */
const NULL_WORD = 0x6c6c756e;
const TRUE_WORD = 0x65757274;
const ALSE_WORD = 0x65736c61;

/** 2^32 by the golden ratio. */
const HASH_FACTOR: i32 = 0x9e3779b1;

/** Kind of the value that was walked last. */
let kind: i32 = NOTHING;
let shapes: i32 = BOTH_SHAPES;
let hasExtra: i32 = 0;
let paramCount: i32 = 0;

/** Whether the row of this many bytes is such an object: `NO_ROW`, `ASCII_ROW` or `WIDE_ROW`. */
export function scan(size: i32): i32 {
  const end = ROW + size;
  v128.store(end, i8x16.splat(0));
  memory.fill(KINDS, <u8>NOTHING, FIELDS);
  shapes = BOTH_SHAPES;
  hasExtra = 0;
  paramCount = 0;
  const from = skipSpace(ROW);
  if (byteAt(from) !== OPEN_OBJECT) return NO_ROW;
  const to = knownObject(from, TABLES + ROW_TABLE * TABLE_BYTES);
  store<i32>(HEAD, shapes);
  store<i32>(HEAD + 4, hasExtra);
  store<i32>(HEAD + 8, paramCount);
  if (to === NOWHERE || skipSpace(to) !== end) return NO_ROW;
  return isAscii(end) ? ASCII_ROW : WIDE_ROW;
}

/** Whether all up to `end` is ASCII; the zeros behind it are. */
function isAscii(end: i32): bool {
  let bits = i8x16.splat(0);
  for (let at: i32 = ROW; at < end; at += BLOCK) bits = v128.or(bits, v128.load(at));
  return i8x16.bitmask(bits) === 0;
}

/** The slot to look at first for a name of four bytes or more; names differ here more than elsewhere. */
export function slotOf(name: i32, size: i32): i32 {
  const ends = load<i32>(name) ^ (load<i32>(name + size - 4) * 31);
  const within = load<i32>(name + ((size - 4) >> 2)) * 961;
  return ((ends ^ within ^ (size << 7)) * HASH_FACTOR) >>> 24;
}

function byteAt(at: i32): i32 {
  return load<u8>(at);
}

function skipSpace(from: i32): i32 {
  let at = from;
  while (true) {
    const byte = byteAt(at);
    if (byte > SPACE) return at;
    if (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
    at += 1;
  }
}

/** Of the sixteen bytes at a place, a bit for each that is a quote, a backslash or a control character. */
function specials(at: i32): i32 {
  const block = v128.load(at);
  const quotes = i8x16.eq(block, i8x16.splat(<i8>QUOTE));
  const backslashes = i8x16.eq(block, i8x16.splat(<i8>BACKSLASH));
  const controls = i8x16.lt_u(block, i8x16.splat(<i8>SPACE));
  return i8x16.bitmask(v128.or(v128.or(quotes, backslashes), controls));
}

/** From the place behind the opening quote to that behind the closing one. */
function text(from: i32): i32 {
  let at = from;
  kind = TEXT;
  while (true) {
    const special = specials(at);
    if (special === 0) {
      at += BLOCK;
      continue;
    }
    at += ctz(special);
    const byte = byteAt(at);
    if (byte === QUOTE) return at + 1;
    if (byte !== BACKSLASH) return NOWHERE;
    kind = ESCAPED;
    at = behindEscape(at + 1);
    if (at === NOWHERE) return NOWHERE;
  }
}

/** From the place behind a backslash. */
function behindEscape(at: i32): i32 {
  switch (byteAt(at)) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f: // /
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return at + 1;
    case 0x75: // u
      for (let index: i32 = 1; index <= 4; index += 1) {
        if (!isHex(byteAt(at + index))) return NOWHERE;
      }
      return at + 5;
    default:
      return NOWHERE;
  }
}

function isHex(byte: i32): bool {
  const letter = byte | 0x20;
  return (byte >= ZERO && byte <= NINE) || (letter >= 0x61 && letter <= 0x66);
}

function behindDigits(from: i32): i32 {
  let at = from;
  while (true) {
    const byte = byteAt(at);
    if (byte < ZERO || byte > NINE) return at;
    at += 1;
  }
}

function number(from: i32): i32 {
  const isNegative = byteAt(from) === MINUS;
  const first = isNegative ? from + 1 : from;
  let at = behindDigits(first);
  const digits = at - first;
  const leading = byteAt(first);
  if (digits === 0 || (digits > 1 && leading === ZERO)) return NOWHERE;
  const isSafe = digits <= SAFE_DIGITS || (digits === SAFE_DIGITS + 1 && leading < NINE);
  kind = isSafe && !(isNegative && leading === ZERO) ? INTEGER : NUMBER;
  if (byteAt(at) === DOT) {
    const fraction = behindDigits(at + 1);
    if (fraction === at + 1) return NOWHERE;
    at = fraction;
    kind = NUMBER;
  }
  if ((byteAt(at) | 0x20) === 0x65) {
    const sign = byteAt(at + 1);
    const signed = sign === PLUS || sign === MINUS ? at + 2 : at + 1;
    const exponent = behindDigits(signed);
    if (exponent === signed) return NOWHERE;
    at = exponent;
    kind = NUMBER;
  }
  return at;
}

/** The place behind the value that starts here. Sets `kind`. */
function value(at: i32, depth: i32): i32 {
  switch (byteAt(at)) {
    case QUOTE:
      return text(at + 1);
    case OPEN_OBJECT:
      return object(at, depth);
    case OPEN_LIST:
      return list(at, depth);
    case 0x6e: // n
      kind = NULL;
      return load<i32>(at) === NULL_WORD ? at + 4 : NOWHERE;
    case 0x74: // t
      kind = TRUE;
      return load<i32>(at) === TRUE_WORD ? at + 4 : NOWHERE;
    case 0x66: // f
      kind = FALSE;
      return load<i32>(at + 1) === ALSE_WORD ? at + 5 : NOWHERE;
    default:
      return number(at);
  }
}

/** The place of the value behind the key whose closing quote is here. */
function valueStart(quote: i32): i32 {
  const at = skipSpace(quote + 1);
  return byteAt(at) === COLON ? skipSpace(at + 1) : NOWHERE;
}

function object(from: i32, depth: i32): i32 {
  if (depth >= DEPTH_MAX) return NOWHERE;
  let at = skipSpace(from + 1);
  if (byteAt(at) === CLOSE_OBJECT) return nested(at + 1);
  while (true) {
    if (byteAt(at) !== QUOTE) return NOWHERE;
    const keyEnd = text(at + 1);
    if (keyEnd === NOWHERE) return NOWHERE;
    const start = valueStart(keyEnd - 1);
    if (start === NOWHERE) return NOWHERE;
    at = value(start, depth + 1);
    if (at === NOWHERE) return NOWHERE;
    at = skipSpace(at);
    const byte = byteAt(at);
    if (byte === CLOSE_OBJECT) return nested(at + 1);
    if (byte !== COMMA) return NOWHERE;
    at = skipSpace(at + 1);
  }
}

function list(from: i32, depth: i32): i32 {
  if (depth >= DEPTH_MAX) return NOWHERE;
  let at = skipSpace(from + 1);
  if (byteAt(at) === CLOSE_LIST) return nested(at + 1);
  while (true) {
    at = value(at, depth + 1);
    if (at === NOWHERE) return NOWHERE;
    at = skipSpace(at);
    const byte = byteAt(at);
    if (byte === CLOSE_LIST) return nested(at + 1);
    if (byte !== COMMA) return NOWHERE;
    at = skipSpace(at + 1);
  }
}

function nested(end: i32): i32 {
  kind = NESTED;
  return end;
}

/** The closing quote of the key whose opening quote is here; nowhere where it has escapes. */
function keyEnd(from: i32): i32 {
  if (byteAt(from) !== QUOTE) return NOWHERE;
  let at = from + 1;
  while (true) {
    const special = specials(at);
    if (special !== 0) {
      at += ctz(special);
      return byteAt(at) === QUOTE ? at : NOWHERE;
    }
    at += BLOCK;
  }
}

/** Whether the word of a key, colon included, stands here. */
function isKey(at: i32, key: i32): bool {
  const word = key + KEY_WORD;
  const mask = key + KEY_MASK;
  let other = v128.and(v128.xor(v128.load(at), v128.load(word)), v128.load(mask));
  if (load<i32>(key + KEY_SIZE) > BLOCK) {
    const rest = v128.xor(v128.load(at + BLOCK), v128.load(word + BLOCK));
    other = v128.or(other, v128.and(rest, v128.load(mask + BLOCK)));
  }
  return !v128.any_true(other);
}

function isSame(one: i32, other: i32, size: i32): bool {
  for (let at: i32 = 0; at < size; at += 1) {
    if (byteAt(one + at) !== byteAt(other + at)) return false;
  }
  return true;
}

/** The key of a table whose quotes are here, or nowhere where it is none of its keys. */
function find(table: i32, from: i32, to: i32): i32 {
  const size = to - from - 1;
  if (size < 4) return NOWHERE;
  let slot = slotOf(from + 1, size);
  while (true) {
    const key = load<i32>(table + TABLE_SLOTS + slot * 4);
    if (key === NOWHERE) return NOWHERE;
    if (load<i32>(key + KEY_SIZE) === size + 3 && isSame(key + KEY_WORD, from, size + 2))
      return key;
    slot = (slot + 1) & (TABLE_SLOT_COUNT - 1);
  }
}

/** Walks an object of known keys. Rows of one writer have one order of keys, so that is tried first. */
function knownObject(from: i32, table: i32): i32 {
  let at = skipSpace(from + 1);
  if (byteAt(at) === CLOSE_OBJECT) return at + 1;
  // Where the key is that came next the last time.
  let next = table + TABLE_FIRST;
  while (true) {
    let key = load<i32>(next);
    if (key !== NOWHERE && isKey(at, key)) {
      at = skipSpace(at + load<i32>(key + KEY_SIZE));
    } else {
      const quote = keyEnd(at);
      if (quote === NOWHERE) return NOWHERE;
      key = find(table, at, quote);
      at = valueStart(quote);
      if (at === NOWHERE) return NOWHERE;
      if (key !== NOWHERE) store<i32>(next, key);
    }
    if (key === NOWHERE) {
      hasExtra = 1;
      at = value(at, 1);
    } else {
      next = key + KEY_NEXT;
      at = knownValue(key, at);
    }
    if (at === NOWHERE) return NOWHERE;
    at = skipSpace(at);
    const byte = byteAt(at);
    if (byte === CLOSE_OBJECT) return at + 1;
    if (byte !== COMMA) return NOWHERE;
    at = skipSpace(at + 1);
  }
}

function knownValue(key: i32, start: i32): i32 {
  const field = load<i32>(key + KEY_FIELD);
  if (field < 0 || byteAt(KINDS + field) !== NOTHING) return NOWHERE;
  shapes &= load<i32>(key + KEY_SHAPES);
  if (field >= IDENTITY && field <= RESPONSE) return container(field, start);
  const quotes: i32 = byteAt(start) === QUOTE ? 1 : 0;
  const end = value(start, 2);
  store<u8>(KINDS + field, <u8>kind);
  store<i32>(FROMS + (field << 2), start + quotes - ROW);
  store<i32>(TOS + (field << 2), end - quotes - ROW);
  return end;
}

function container(field: i32, start: i32): i32 {
  if (byteAt(start) === OPEN_OBJECT) {
    store<u8>(KINDS + field, <u8>NESTED);
    return field === PARAMS ? params(start) : knownObject(start, tableOf(field));
  }
  const end = value(start, 2);
  store<u8>(KINDS + field, <u8>kind);
  // Decoding may find an object in a text, or keep what is none among the unknown fields.
  return kind === NULL ? end : NOWHERE;
}

function tableOf(field: i32): i32 {
  if (field === IDENTITY) return TABLES + IDENTITY_TABLE * TABLE_BYTES;
  return TABLES + (field === RESPONSE ? RESPONSE_TABLE : METADATA_TABLE) * TABLE_BYTES;
}

function params(from: i32): i32 {
  let at = skipSpace(from + 1);
  if (byteAt(at) === CLOSE_OBJECT) return at + 1;
  while (true) {
    const quote = keyEnd(at);
    if (quote === NOWHERE) return NOWHERE;
    const start = valueStart(quote);
    if (start === NOWHERE) return NOWHERE;
    const end = value(start, 2);
    if (end === NOWHERE || !addParam(at + 1, quote, start, end)) return NOWHERE;
    at = skipSpace(end);
    const byte = byteAt(at);
    if (byte === CLOSE_OBJECT) return at + 1;
    if (byte !== COMMA) return NOWHERE;
    at = skipSpace(at + 1);
  }
}

/** False where the key came before, or there are too many. */
function addParam(keyFrom: i32, keyTo: i32, from: i32, to: i32): bool {
  if (paramCount === PARAMS_MAX) return false;
  const size = keyTo - keyFrom;
  const place: i32 = PARAM_PLACES + (paramCount << 4);
  for (let other: i32 = PARAM_PLACES; other < place; other += 16) {
    const otherFrom = ROW + load<i32>(other);
    if (ROW + load<i32>(other + 4) - otherFrom !== size) continue;
    if (isSame(otherFrom, keyFrom, size)) return false;
  }
  const quotes: i32 = kind === TEXT || kind === ESCAPED ? 1 : 0;
  store<u8>(PARAM_KINDS + paramCount, <u8>kind);
  store<i32>(place, keyFrom - ROW);
  store<i32>(place + 4, keyTo - ROW);
  store<i32>(place + 8, from + quotes - ROW);
  store<i32>(place + 12, to - quotes - ROW);
  paramCount += 1;
  return true;
}
