/**
 * The YAML that rule files are mostly written in, read at a tenth of what the library takes: block
 * maps and lists, texts on one line, flow maps and lists on one line, `|` and `>`, values that have a
 * name (`&`) and come again (`*`). Of anything else (tags, texts that go on in the next line, an error)
 * nothing is claimed: the answer is null, and the library reads the file and tells what is wrong.
 *
 * What is answered is what the library gives, trees and places alike; a test holds the two to each
 * other on the shipped rules and on a great many broken ones.
 */
import { LineCursor } from './line-cursor.ts';
import type { Entry, MapTree, ScalarTree, SeqTree, Source, Tree } from './tree.ts';

/** Deeper nesting, and more repeated values in a document, are the library's to judge. */
const DEPTH_MAX = 30;
const ALIASES_MAX = 100;

/** Tabs, other line ends, marks of byte order and control characters. */
const UNUSUAL =
  /[^\n -\uD7FF\uE000-\uFEFE\uFF00-\uFFFD\u{10000}-\u{10FFFF}]|[\u007F-\u009F\u2028\u2029]/u;
const KEY = /\w[\w.|-]*(?=:(?: |$))/my;
/** Begins a text of its own accord: not a sign of YAML, and not what may be a number of another kind. */
const PLAIN_START = /[A-Za-z0-9_/%$(+<=^~\\.\u00A0-\uFFFF]|-(?=[\w.])/uy;
const ANCHOR = /&([\w-]+)(?: +|$)/my;
const ALIAS = /\*([\w-]+)(?=[ ,\]}]|$)/my;
const COMMENT = / #/;
const WORDS: ReadonlyMap<string, boolean | null> = new Map([
  ...['~', 'null', 'Null', 'NULL'].map((word) => [word, null] as const),
  ...['true', 'True', 'TRUE'].map((word) => [word, true] as const),
  ...['false', 'False', 'FALSE'].map((word) => [word, false] as const),
]);
const NUMBER = /^[-+]?(?:\d+|(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?)$/;
/** Other numbers of YAML: `0x1f`, `0o17`, `.inf`. */
const OTHER_NUMBER = /^(?:0[ox]|[-+]?\.(?:inf|nan))/i;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\', '"': '"', n: '\n', t: '\t' };

/** Thrown where the library has to read. */
class NotPlain extends Error {}

/** The documents that are not empty, or null. */
export function readPlainYaml(source: Source, text: string): Tree[] | null {
  if (UNUSUAL.test(text)) return null;
  try {
    return new PlainReader(source, text).documents();
  } catch (error) {
    if (error instanceof NotPlain) return null;
    throw error;
  }
}

class PlainReader extends LineCursor {
  readonly #source: Source;
  #depth = 0;
  /** Values of the document that have a name, and how many come again. */
  #named = new Map<string, Tree>();
  #aliases = 0;

  constructor(source: Source, text: string) {
    super(text);
    this.#source = source;
  }

  documents(): Tree[] | null {
    const trees: Tree[] = [];
    for (;;) {
      this.significant();
      if (this.isOver) break;
      if (this.isMark) this.next();
      else if (this.column !== 0) throw new NotPlain();
      else trees.push(this.#document());
    }
    return trees.length === 0 ? null : trees;
  }

  #document(): MapTree {
    this.#named = new Map();
    this.#aliases = 0;
    return this.#map();
  }

  /** Behind a value that ends on its line. What is deeper would belong to it. */
  #leave(column: number): void {
    this.next();
    this.significant();
    if (this.isWithin(column + 1)) throw new NotPlain();
  }

  // --- blocks -------------------------------------------------------------------------------------

  /** The map whose first key is here; its other keys are in the same column. */
  #map(): MapTree {
    this.#deeper();
    const column = this.column;
    const at = this.at;
    const entries: Entry[] = [];
    const names = new Set<string>();
    do {
      if (this.column !== column) throw new NotPlain();
      const key = this.#key(this.at);
      if (names.has(key.text)) throw new NotPlain();
      names.add(key.text);
      this.at = this.blanks(key.at + key.text.length + 1);
      entries.push({ key, value: this.#value(column, true) });
    } while (this.isWithin(column));
    this.#depth -= 1;
    return { kind: 'map', source: this.#source, at, entries };
  }

  #seq(): SeqTree {
    this.#deeper();
    const column = this.column;
    const at = this.at;
    const items: Tree[] = [];
    do {
      if (this.column !== column) throw new NotPlain();
      this.at = this.blanks(this.at + 1);
      if (this.at < this.end && this.#isKey(this.at)) items.push(this.#map());
      else items.push(this.#value(column, false));
    } while (this.isWithin(column) && this.#isItem);
    this.#depth -= 1;
    return { kind: 'seq', source: this.#source, at, items };
  }

  get #isItem(): boolean {
    return (
      this.text[this.at] === '-' && (this.at + 1 === this.end || this.text[this.at + 1] === ' ')
    );
  }

  /** What stands behind a key or a dash, in a block at this column. Goes on to the line behind it. */
  #value(column: number, isEntry: boolean): Tree {
    return this.#withName(() => this.#unnamed(column, isEntry));
  }

  #unnamed(column: number, isEntry: boolean): Tree {
    const first = this.text[this.at];
    if (this.isBlank || first === '#') return this.#below(column, isEntry);
    if (first === '|' || first === '>') return this.#folded(column);
    const value = this.#inline();
    this.#leave(column);
    return value;
  }

  #below(column: number, isEntry: boolean): Tree {
    this.next();
    this.significant();
    // A list may stand in the column of its key.
    if (!this.isWithin(isEntry ? column : column + 1)) throw new NotPlain();
    if (this.#isItem) return this.#seq();
    if (this.column === column) throw new NotPlain();
    return this.#map();
  }

  /** A text over several lines, as they are (`|`) or joined (`>`). */
  #folded(column: number): ScalarTree {
    const at = this.at;
    const header = this.text.slice(at, this.end).trimEnd();
    if (!/^[|>]-?$/.test(header)) throw new NotPlain();
    this.next();
    const indent = this.column;
    if (this.isOver || this.isBlank || indent <= column) throw new NotPlain();
    const lines: string[] = [];
    while (!this.isOver && (this.isBlank || this.column > column)) {
      const line = this.text.slice(Math.min(this.start + indent, this.end), this.end);
      const isOdd = this.isBlank ? line !== '' : this.column < indent || line.endsWith(' ');
      if (isOdd || (header[0] === '>' && line.startsWith(' '))) throw new NotPlain();
      lines.push(line);
      this.next();
    }
    if (this.isOver && !this.text.endsWith('\n')) throw new NotPlain();
    this.significant();
    const whole = lines.join('\n').replace(/\n+$/, '');
    // A line end alone is a blank; of several one less are kept.
    const body =
      header[0] === '|' ? whole : whole.replaceAll(/\n+/g, (ends) => ends.slice(1) || ' ');
    const text = header.length === 1 ? `${body}\n` : body;
    return {
      kind: 'scalar',
      source: this.#source,
      at,
      textAt: at,
      oneLine: false,
      value: text,
      text,
    };
  }

  // --- on one line --------------------------------------------------------------------------------

  /** A value that ends on this line, with nothing but a comment behind it. */
  #inline(): Tree {
    const first = this.text[this.at];
    if (!'[{"\'*'.includes(first ?? '-')) {
      const rest = this.text.slice(this.at, this.end);
      const comment = COMMENT.exec(rest)?.index ?? rest.length;
      return this.#plain(this.at, this.at + comment);
    }
    const value = this.#flow(true);
    const behind = this.text.slice(this.at, this.end);
    if (!/^ *(?: #|$)/.test(behind)) throw new NotPlain();
    return value;
  }

  /** A value in braces or quotes, or inside them; `#at` is behind it then. */
  #flow(isOuter: boolean): Tree {
    switch (this.text[this.at]) {
      case '*':
        return this.#alias();
      case '{':
        return this.#flowMap();
      case '[':
        return this.#flowSeq();
      case '"':
      case "'":
        return this.#quoted();
    }
    if (isOuter) throw new NotPlain();
    const start = this.at;
    let end = start;
    while (end < this.end && !',[]{}'.includes(this.text[end]!)) end += 1;
    this.at = end;
    return this.#plain(start, end);
  }

  #flowMap(): MapTree {
    this.#deeper();
    const at = this.at;
    const entries: Entry[] = [];
    const names = new Set<string>();
    this.#elements('}', () => {
      const isQuoted = '"\''.includes(this.text[this.at] ?? ' ');
      const key = isQuoted ? this.#quoted() : this.#key(this.at);
      const end = isQuoted ? this.at : this.at + key.text.length;
      if (names.has(key.text) || !this.text.startsWith(': ', end)) throw new NotPlain();
      names.add(key.text);
      this.at = this.blanks(end + 1);
      entries.push({ key, value: this.#withName(() => this.#flow(false)) });
    });
    this.#depth -= 1;
    return { kind: 'map', source: this.#source, at, entries };
  }

  #flowSeq(): SeqTree {
    this.#deeper();
    const at = this.at;
    const items: Tree[] = [];
    this.#elements(']', () => void items.push(this.#withName(() => this.#flow(false))));
    this.#depth -= 1;
    return { kind: 'seq', source: this.#source, at, items };
  }

  /** What stands between a bracket and the one that closes it, with a comma between two. */
  #elements(close: string, read: () => void): void {
    this.at = this.blanks(this.at + 1);
    if (this.text[this.at] === close) {
      this.at += 1;
      return;
    }
    for (;;) {
      if (this.at >= this.end) throw new NotPlain();
      read();
      this.at = this.blanks(this.at);
      const sign = this.text[this.at];
      if (this.at >= this.end || (sign !== close && sign !== ',')) throw new NotPlain();
      this.at += 1;
      if (sign === close) return;
      // Without a blank behind it a comma is one all the same, but not in front of everything.
      if (this.text[this.at] !== ' ') throw new NotPlain();
      this.at = this.blanks(this.at);
    }
  }

  /** A value with or without a name in front of it. */
  #withName(read: () => Tree): Tree {
    ANCHOR.lastIndex = this.at;
    const match = ANCHOR.exec(this.text);
    if (match === null) return read();
    this.at += match[0].length;
    const value = read();
    if (this.#named.has(match[1]!)) throw new NotPlain();
    this.#named.set(match[1]!, value);
    return value;
  }

  #alias(): Tree {
    ALIAS.lastIndex = this.at;
    const match = ALIAS.exec(this.text);
    const value = match === null ? undefined : this.#named.get(match[1]!);
    this.#aliases += 1;
    if (value === undefined || this.#aliases > ALIASES_MAX) throw new NotPlain();
    this.at += match![0].length;
    return value;
  }

  #quoted(): ScalarTree {
    const at = this.at;
    const quote = this.text[at]!;
    let value = '';
    let from = at + 1;
    for (let end = from; ; end += 1) {
      if (end >= this.end) throw new NotPlain();
      const sign = this.text[end];
      const isDoubled = sign === "'" && quote === "'" && this.text[end + 1] === "'";
      if (sign === quote && !isDoubled) {
        value += this.text.slice(from, end);
        this.at = end + 1;
        break;
      }
      if (!isDoubled && (sign !== '\\' || quote === "'")) continue;
      const meant = isDoubled ? "'" : ESCAPES[this.text[end + 1] ?? ''];
      if (meant === undefined) throw new NotPlain();
      value += this.text.slice(from, end) + meant;
      end += 1;
      from = end + 1;
    }
    const oneLine = !value.includes('\n');
    return {
      kind: 'scalar',
      source: this.#source,
      at,
      textAt: at + 1,
      oneLine,
      value,
      text: value,
    };
  }

  #isKey(at: number): boolean {
    KEY.lastIndex = at;
    return KEY.test(this.text);
  }

  #key(at: number): ScalarTree {
    KEY.lastIndex = at;
    const text = KEY.exec(this.text)?.[0];
    if (text === undefined || WORDS.has(text) || NUMBER.test(text) || OTHER_NUMBER.test(text)) {
      throw new NotPlain();
    }
    return this.#scalar(at, text, text);
  }

  /** A text without quotes; what looks like another type is of that. */
  #plain(from: number, to: number): ScalarTree {
    const text = this.text.slice(from, to).trimEnd();
    PLAIN_START.lastIndex = from;
    if (text === '' || !PLAIN_START.test(this.text) || OTHER_NUMBER.test(text))
      throw new NotPlain();
    if (/:(?: |$)| #/.test(text)) throw new NotPlain();
    const word = WORDS.get(text);
    if (word === null) return this.#scalar(from, null, '');
    if (word !== undefined) return this.#scalar(from, word, String(word));
    return this.#scalar(from, NUMBER.test(text) ? Number(text) : text, text);
  }

  #scalar(at: number, value: ScalarTree['value'], text: string): ScalarTree {
    return { kind: 'scalar', source: this.#source, at, textAt: at, oneLine: true, value, text };
  }

  #deeper(): void {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) throw new NotPlain();
  }
}
