/**
 * Walks JSON in its bytes: says where a value ends and what kind it is, makes nothing of it, and
 * takes exactly what `JSON.parse` takes (RFC 8259), save that it gives up on deep nesting. Bytes
 * must be known to be UTF-8.
 *
 * For those who have to know that a text is JSON, and what a few of its values are, at less than
 * the cost of parsing it.
 */
import { WideBytes, type WideWord } from '../../schemas/byte-words.ts';

/** What the value that was walked last is. */
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

/** Levels of objects and lists that are walked. */
const DEPTH_MAX = 64;
/** Digits of an integer that is safe whatever they are, and with a first digit below 9. */
const SAFE_DIGITS = 15;

export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const OPEN_OBJECT = 0x7b;
export const CLOSE_OBJECT = 0x7d;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
export const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
export const ZERO = 0x30;
const NINE = 0x39;
const LETTER_T = 0x74;
const LETTER_F = 0x66;
const LETTER_N = 0x6e;
const LETTER_U = 0x75;
export const SPACE = 0x20;

const NO_BYTES = Buffer.alloc(0);

/** What may stand behind a backslash, but for `u`. */
const ESCAPES = new Uint8Array(256);
for (const character of '"\\/bfnrt') ESCAPES[character.charCodeAt(0)] = 1;
const HEX = new Uint8Array(256);
for (const character of '0123456789abcdefABCDEF') HEX[character.charCodeAt(0)] = 1;

const wordBytes = { true: [...Buffer.from('true')], false: [...Buffer.from('false')] };
const nullBytes = [...Buffer.from('null')];

export class JsonCursor {
  bytes: Buffer = NO_BYTES;
  end = 0;
  /** Kind of the value that was walked last. */
  kind = NOTHING;
  /** Of a key that was walked last: a number that equal keys share. */
  hash = 0;
  readonly wide = new WideBytes();

  /** The bytes, and the memory they are a part of, are held until the next start. */
  start(bytes: Buffer): void {
    this.bytes = bytes;
    this.end = bytes.length;
    this.wide.start(bytes);
  }

  /** The first place at or behind `at` that is no white space. */
  skipSpace(at: number): number {
    const { bytes, end } = this;
    let place = at;
    while (place < end) {
      const byte = bytes[place]!;
      if (byte > SPACE) return place;
      if (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return place;
      place += 1;
    }
    return place;
  }

  /**
   * The closing quote of the key whose opening quote is at `at`, or -1 where it has escapes or is
   * none. Sets `hash`.
   */
  key(at: number): number {
    const { bytes, end } = this;
    if (at >= end || bytes[at] !== QUOTE) return -1;
    let hash = 0;
    for (let place = at + 1; place < end; place += 1) {
      const byte = bytes[place]!;
      if (byte === QUOTE) {
        this.hash = hash;
        return place;
      }
      if (byte === BACKSLASH || byte < SPACE) return -1;
      hash = (Math.imul(hash, 31) + byte) | 0;
    }
    return -1;
  }

  /** Whether a word stands at `at`, and something behind it. */
  isAt(at: number, word: WideWord): boolean {
    return at + word.size < this.end && this.wide.isWord(at, word);
  }

  /** The place of the value behind the key whose closing quote is at `at`, or -1. */
  valueStart(at: number): number {
    const { bytes } = this;
    if (bytes[at + 1] === COLON && at + 2 < this.end && bytes[at + 2]! > SPACE) return at + 2;
    const colon = this.skipSpace(at + 1);
    return colon < this.end && bytes[colon] === COLON ? this.skipSpace(colon + 1) : -1;
  }

  /** The place behind the value that starts at `at`, or -1 where there is none. Sets `kind`. */
  value(at: number, depth: number): number {
    if (at >= this.end) return -1;
    const byte = this.bytes[at]!;
    if (byte === QUOTE) return this.text(at + 1);
    if (byte === OPEN_OBJECT) return this.#object(at, depth);
    if (byte === OPEN_LIST) return this.#list(at, depth);
    if (byte === LETTER_N) return this.#word(at, nullBytes, NULL);
    if (byte === LETTER_T) return this.#word(at, wordBytes.true, TRUE);
    if (byte === LETTER_F) return this.#word(at, wordBytes.false, FALSE);
    return this.#number(at);
  }

  #word(at: number, word: readonly number[], kind: number): number {
    const { bytes } = this;
    if (at + word.length > this.end) return -1;
    for (let index = 1; index < word.length; index += 1) {
      if (bytes[at + index] !== word[index]) return -1;
    }
    this.kind = kind;
    return at + word.length;
  }

  /** From the place behind the opening quote to that behind the closing one. */
  text(from: number): number {
    const { bytes, end } = this;
    const { fours, offset } = this.wide;
    let kind = TEXT;
    let at = from;
    for (;;) {
      // Four bytes at a time, as long as none is a quote, a backslash or a control character.
      for (; at + 4 <= end; at += 4) {
        const four = fours.getInt32(offset + at, true);
        const quotes = four ^ 0x22222222;
        const backslashes = four ^ 0x5c5c5c5c;
        const special =
          (((four - 0x20202020) & ~four) |
            ((quotes - 0x01010101) & ~quotes) |
            ((backslashes - 0x01010101) & ~backslashes)) &
          0x80808080;
        if (special !== 0) {
          // Its lowest bit is of the first of them: a borrow may mark only bytes behind it.
          at += (31 - Math.clz32(special & -special)) >> 3;
          break;
        }
      }
      let byte = SPACE;
      while (at < end) {
        byte = bytes[at]!;
        if (byte === QUOTE || byte === BACKSLASH || byte < SPACE) break;
        at += 1;
      }
      if (at >= end || byte < SPACE) return -1;
      if (byte === QUOTE) {
        this.kind = kind;
        return at + 1;
      }
      kind = ESCAPED;
      at = this.#escape(at + 1);
      if (at < 0) return -1;
    }
  }

  /** From the place behind a backslash to that behind the escape, or -1. */
  #escape(at: number): number {
    const { bytes, end } = this;
    if (at >= end) return -1;
    const byte = bytes[at]!;
    if (ESCAPES[byte] === 1) return at + 1;
    if (byte !== LETTER_U || at + 5 > end) return -1;
    for (let index = 1; index <= 4; index += 1) if (HEX[bytes[at + index]!] === 0) return -1;
    return at + 5;
  }

  #digits(at: number): number {
    const { bytes, end } = this;
    let place = at;
    while (place < end && bytes[place]! >= ZERO && bytes[place]! <= NINE) place += 1;
    return place;
  }

  #number(from: number): number {
    const { bytes, end } = this;
    const first = bytes[from] === MINUS ? from + 1 : from;
    let at = this.#digits(first);
    const digits = at - first;
    if (digits === 0 || (digits > 1 && bytes[first] === ZERO)) return -1;
    const isMinusZero = first > from && bytes[first] === ZERO;
    const isSafe = digits <= SAFE_DIGITS || (digits === SAFE_DIGITS + 1 && bytes[first]! < NINE);
    let kind = isSafe && !isMinusZero ? INTEGER : NUMBER;
    if (at < end && bytes[at] === DOT) {
      const fraction = this.#digits(at + 1);
      if (fraction === at + 1) return -1;
      at = fraction;
      kind = NUMBER;
    }
    if (at < end && (bytes[at]! | 0x20) === 0x65) {
      const signed = bytes[at + 1] === PLUS || bytes[at + 1] === MINUS ? at + 2 : at + 1;
      const exponent = this.#digits(signed);
      if (exponent === signed) return -1;
      at = exponent;
      kind = NUMBER;
    }
    this.kind = kind;
    return at;
  }

  #object(from: number, depth: number): number {
    const { bytes, end } = this;
    if (depth >= DEPTH_MAX) return -1;
    let at = this.skipSpace(from + 1);
    if (at < end && bytes[at] === CLOSE_OBJECT) return this.#nested(at + 1);
    for (;;) {
      if (at >= end || bytes[at] !== QUOTE) return -1;
      const keyEnd = this.text(at + 1);
      if (keyEnd < 0) return -1;
      const start = this.valueStart(keyEnd - 1);
      if (start < 0) return -1;
      const valueEnd = this.value(start, depth + 1);
      if (valueEnd < 0) return -1;
      at = this.skipSpace(valueEnd);
      if (at >= end) return -1;
      if (bytes[at] === CLOSE_OBJECT) return this.#nested(at + 1);
      if (bytes[at] !== COMMA) return -1;
      at = this.skipSpace(at + 1);
    }
  }

  #list(from: number, depth: number): number {
    const { bytes, end } = this;
    if (depth >= DEPTH_MAX) return -1;
    let at = this.skipSpace(from + 1);
    if (at < end && bytes[at] === CLOSE_LIST) return this.#nested(at + 1);
    for (;;) {
      const valueEnd = this.value(at, depth + 1);
      if (valueEnd < 0) return -1;
      at = this.skipSpace(valueEnd);
      if (at >= end) return -1;
      if (bytes[at] === CLOSE_LIST) return this.#nested(at + 1);
      if (bytes[at] !== COMMA) return -1;
      at = this.skipSpace(at + 1);
    }
  }

  #nested(end: number): number {
    this.kind = NESTED;
    return end;
  }
}
