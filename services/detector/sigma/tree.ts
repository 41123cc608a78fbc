/**
 * YAML documents as trees that know their places: aliases followed once, every node with the file
 * and the offset it was read from, so that a document may be put together from several (global
 * documents, overrides) and each problem still names the line that a person has to change.
 *
 * Total: whatever the text, reading answers trees, problems, or both.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseAllDocuments,
  type Scalar,
} from 'yaml';
import type { Findings } from './findings.ts';
import { Lines } from './lines.ts';

/** A text that places point into. */
export interface Source {
  file: string;
  lines: Lines;
}

/** A place: character `at` of a source, from 0. */
export interface Spot {
  source: Source;
  at: number;
}

export type ScalarTree = Spot & {
  kind: 'scalar';
  value: string | number | boolean | null;
  /** As written, so that long numbers keep all their digits; empty for null. */
  text: string;
  /** Where the first character of the text is: behind the quote. */
  textAt: number;
  /** False where the text spans lines, so that offsets in it are no places. */
  oneLine: boolean;
};
export type SeqTree = Spot & { kind: 'seq'; items: readonly Tree[] };
export type MapTree = Spot & { kind: 'map'; entries: readonly Entry[] };
export type Tree = ScalarTree | SeqTree | MapTree;

export interface Entry {
  key: ScalarTree;
  value: Tree;
}

export const RULE_FILE_BYTES_MAX = 1024 * 1024;
/** Most YAML aliases followed in one document, so that nested aliases cannot multiply. */
const ALIASES_MAX = 1_000;
/** Deepest nesting of maps and lists. */
const DEPTH_MAX = 64;
/** Most values that one tree may be written out into. */
const PLAIN_VALUES_MAX = 100_000;

/** The documents of a text that are valid YAML and not empty. */
export function readTrees(file: string, text: string, findings: Findings): Tree[] {
  if (Buffer.byteLength(text) > RULE_FILE_BYTES_MAX) {
    findings.error(null, `the file is larger than ${RULE_FILE_BYTES_MAX} bytes`, 'split it');
    return [];
  }
  const source: Source = { file, lines: new Lines(text) };
  const whole: Spot = { source, at: 0 };
  let documents: readonly Document[];
  try {
    const parsed = parseAllDocuments(text, { prettyErrors: false });
    documents = Array.isArray(parsed) ? (parsed as Document[]) : [];
  } catch (error) {
    // The YAML reader calls itself for each level of nesting and has no limit of its own.
    if (!(error instanceof RangeError)) throw error;
    findings.error(whole, 'the YAML nests too deeply to be read', 'write it flatter');
    return [];
  }
  if (documents.length === 0) {
    findings.error(whole, 'the file holds no rule', 'write a Sigma rule or remove the file');
  }
  return documents.flatMap((document) => {
    const tree = treeOf(document, source, findings);
    return tree === null || (tree.kind === 'scalar' && tree.value === null) ? [] : [tree];
  });
}

function treeOf(document: Document, source: Source, findings: Findings): Tree | null {
  for (const error of document.errors) {
    const spot = { source, at: error.pos[0] };
    findings.error(spot, `not valid YAML: ${error.message.split('\n')[0]}`, yamlHint(error));
  }
  if (document.errors.length > 0 || document.contents === null) return null;
  const converter = new Converter(source, findings);
  const tree = converter.tree(document.contents as Node, 0);
  return converter.failed ? null : tree;
}

class Converter {
  failed = false;
  readonly #source: Source;
  readonly #findings: Findings;
  /** Trees of nodes that are read; null while one is being read. */
  readonly #done = new Map<Node, Tree | null>();
  /** The last node of each name, so far: asking the document for one walks all of it each time. */
  readonly #anchors = new Map<string, Node>();
  #aliases = 0;

  constructor(source: Source, findings: Findings) {
    this.#source = source;
    this.#findings = findings;
  }

  tree(node: Node, depth: number): Tree {
    if (depth > DEPTH_MAX) {
      return this.#refused(node, `the YAML nests deeper than ${DEPTH_MAX}`, 'write it flatter');
    }
    if (isAlias(node)) return this.#alias(node, depth);
    const known = this.#done.get(node);
    if (known === null) {
      return this.#refused(node, 'a YAML alias inside what it stands for', 'write the values out');
    }
    if (known !== undefined) return known;
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    this.#done.set(node, null);
    const tree = this.#read(node, depth);
    this.#done.set(node, tree);
    return tree;
  }

  #read(node: Node, depth: number): Tree {
    const spot = this.#spot(node);
    if (isMap(node)) {
      const entries = node.items.map((pair) => this.#entry(pair as Pair, spot, depth));
      return { kind: 'map', ...spot, entries };
    }
    if (isSeq(node)) {
      const items = node.items.map((item) =>
        item === null ? scalar(spot, null) : this.tree(item as Node, depth + 1),
      );
      return { kind: 'seq', ...spot, items };
    }
    return isScalar(node) ? scalar(spot, node) : scalar(spot, null);
  }

  #entry(pair: Pair, map: Spot, depth: number): Entry {
    const key = pair.key === null ? scalar(map, null) : this.tree(pair.key as Node, depth + 1);
    const value =
      pair.value === null || pair.value === undefined
        ? scalar(key, null)
        : this.tree(pair.value as Node, depth + 1);
    if (key.kind === 'scalar') return { key, value };
    this.#refused(key, 'a key that is a map or a list', 'write a name before the ":"');
    return { key: scalar(key, null), value };
  }

  #alias(node: Alias, depth: number): Tree {
    this.#aliases += 1;
    const target = this.#anchors.get(node.source);
    if (target === undefined) {
      const hint = `mark the value with "&${node.source}" before it, or write it out`;
      return this.#refused(node, `nothing before it is named "${node.source}"`, hint);
    }
    if (this.#aliases > ALIASES_MAX) {
      return this.#refused(node, `more than ${ALIASES_MAX} YAML aliases`, 'write the values out');
    }
    return this.tree(target, depth);
  }

  #refused(place: Node | Spot, message: string, hint: string): Tree {
    const spot = 'source' in place && 'at' in place ? (place as Spot) : this.#spot(place as Node);
    if (!this.failed) this.#findings.error(spot, message, hint);
    this.failed = true;
    return scalar(spot, null);
  }

  #spot(node: Node): Spot {
    return { source: this.#source, at: node.range?.[0] ?? 0 };
  }
}

function scalar({ source, at }: Spot, node: Scalar | null): ScalarTree {
  const written = node?.source ?? '';
  const quoted = node?.type === 'QUOTE_SINGLE' || node?.type === 'QUOTE_DOUBLE';
  const oneLine = (quoted || node?.type === 'PLAIN') && !written.includes('\n');
  const [value, text] = heldBy(node?.value, written);
  return { kind: 'scalar', source, at, value, text, textAt: quoted ? at + 1 : at, oneLine };
}

/** What a node holds, and that as text. */
function heldBy(value: unknown, written: string): [ScalarTree['value'], string] {
  if (typeof value === 'number') return [value, written === '' ? String(value) : written];
  if (typeof value === 'string' || typeof value === 'boolean') return [value, String(value)];
  return [null, ''];
}

/** The place of character `index` of a text; its start where it spans lines. */
export function spotIn(tree: ScalarTree, index: number): Spot {
  return { source: tree.source, at: tree.oneLine ? tree.textAt + index : tree.at };
}

export function lineOf({ source, at }: Spot): number {
  return source.lines.positionOf(at).line;
}

/** A tree written out as plain values; undefined (and an error) where aliases make it huge. */
export function plainOf(tree: Tree, findings: Findings): unknown {
  let left = PLAIN_VALUES_MAX;
  const plain = (one: Tree): unknown => {
    left -= 1;
    if (left < 0) return undefined;
    if (one.kind === 'scalar') return exact(one);
    if (one.kind === 'seq') return one.items.map(plain);
    const entries = one.entries.map(({ key, value }) => [key.text, plain(value)]);
    return Object.fromEntries(entries) as unknown;
  };
  const value = plain(tree);
  if (left >= 0) return value;
  findings.error(
    tree,
    `YAML aliases make more than ${PLAIN_VALUES_MAX} values of this`,
    'write the values out',
  );
  return undefined;
}

/** Whole numbers that a double cannot hold stay text, as decoding would have them. */
function exact({ value, text }: ScalarTree): ScalarTree['value'] {
  const isRounded = typeof value === 'number' && /^-?\d+$/.test(text);
  return isRounded && !Number.isSafeInteger(value) ? text : value;
}

function yamlHint(error: { code: string }): string {
  if (error.code === 'DUPLICATE_KEY') return 'keep one of the two, or make a list of maps';
  if (error.code === 'TAB_AS_INDENT') return 'indent with spaces';
  return 'check indentation and quotes: a value with ": ", " #", "*" or "&" in front needs quotes';
}
