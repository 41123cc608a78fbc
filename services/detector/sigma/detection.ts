/**
 * The `detection` of a rule, or the like part of a filter: named selections and a condition over
 * them, as expressions.
 */
import { fieldDoubt } from '../fields/fields.ts';
import { parseCondition } from './condition.ts';
import type { Findings } from './findings.ts';
import type { ItemProblem } from './item-problem.ts';
import { type NameKind, nameDoubt } from './known-names.ts';
import { MapReader } from './map-reader.ts';
import { parseItem } from './modifiers.ts';
import { type Lists, noted } from './placeholder.ts';
import type { Expression } from './rule.ts';
import { type Entry, type MapTree, type ScalarTree, type Spot, spotIn, type Tree } from './tree.ts';

export interface Detection {
  selections: Map<string, Expression>;
  condition: Expression;
  /** Names of the lists whose values stand in it. */
  lists: ReadonlySet<string>;
}

/** A condition beside the rule's own, as that of a level. */
export type FurtherConditions = (parse: (text: ScalarTree) => Expression | null) => void;

/** Fields whose values are names that are known. */
const NAME_FIELDS: Record<string, NameKind> = {
  serviceName: 'service',
  service_name: 'service',
  actionName: 'action',
  action_name: 'action',
};
/** Modifiers that leave a value the whole of what is compared. */
const WHOLE_VALUE = ['all', 'cased', 'neq'];

export interface DetectionOptions {
  /** `detection` or `filter`, for messages. */
  what: string;
  /** Keys of the map that are no selections. */
  otherKeys: readonly string[];
  lists: Lists;
  /** Reads conditions elsewhere in the document; what they name counts as used. */
  further?: FurtherConditions;
}

/** null where there is an error. */
export function readDetection(
  map: MapTree,
  findings: Findings,
  options: DetectionOptions,
): Detection | null {
  return new DetectionReader(map, findings, options).read();
}

class DetectionReader {
  readonly #map: MapTree;
  readonly #keys: MapReader;
  readonly #findings: Findings;
  readonly #options: DetectionOptions;
  readonly #lists = new Set<string>();
  readonly #used = new Set<string>();
  readonly #names: readonly string[];

  constructor(map: MapTree, findings: Findings, options: DetectionOptions) {
    this.#map = map;
    this.#keys = new MapReader(map, findings);
    this.#findings = findings;
    this.#options = { ...options, lists: noted(options.lists, this.#lists) };
    this.#names = this.#selectionEntries().map(({ key }) => key.text);
  }

  read(): Detection | null {
    const before = this.#findings.errors;
    const selections = new Map<string, Expression>();
    for (const { key, value } of this.#selectionEntries()) {
      const selection = this.#selection(value, key);
      if (selection !== null) selections.set(key.text, selection);
    }
    if (this.#keys.has('timeframe')) {
      this.#error(
        this.#keys.keyOf('timeframe'),
        'a timeframe in a detection is no longer part of Sigma',
        'write a correlation document',
      );
    }
    if (this.#names.length === 0) {
      this.#error(
        this.#map,
        `the ${this.#options.what} has no selection`,
        'add "selection:" with fields and values',
      );
    }
    const condition = this.#condition();
    this.#options.further?.((text) => this.#parsed(text));
    if (condition !== null) this.#tellUnused();
    if (condition === null || this.#findings.errors > before) return null;
    return { selections, condition, lists: this.#lists };
  }

  #selectionEntries(): Entry[] {
    const others = ['condition', 'timeframe', ...this.#options.otherKeys];
    return this.#map.entries.filter(({ key }) => !others.includes(key.text));
  }

  /** A list of conditions is OR. */
  #condition(): Expression | null {
    const tree = this.#keys.get('condition');
    const trees = tree?.kind === 'seq' ? tree.items : [tree];
    const terms: Expression[] = [];
    for (const one of trees) {
      if (one?.kind !== 'scalar' || typeof one.value === 'boolean' || one.value === null) {
        this.#error(
          one ?? this.#map,
          `the ${this.#options.what} has no condition`,
          'add "condition: selection"',
        );
        return null;
      }
      const term = this.#parsed(one);
      if (term !== null) terms.push(term);
    }
    if (terms.length < trees.length) return null;
    if (terms.length === 0) {
      this.#error(tree ?? this.#map, 'the list of conditions is empty', 'add a condition');
      return null;
    }
    return terms.length === 1 ? terms[0]! : { kind: 'or', terms };
  }

  #parsed(text: ScalarTree): Expression | null {
    const parsed = parseCondition(text.text, this.#names);
    if (!parsed.ok) {
      this.#error(spotIn(text, parsed.at), parsed.message, parsed.hint);
      return null;
    }
    for (const name of parsed.used) this.#used.add(name);
    return parsed.expression;
  }

  #tellUnused(): void {
    for (const { key } of this.#selectionEntries()) {
      if (this.#used.has(key.text) || key.text.startsWith('_')) continue;
      this.#findings.warning(
        key,
        `the condition does not use "${key.text}"`,
        'use it, remove it, or start its name with "_"',
      );
    }
  }

  /** Map: AND of its items. List: OR of maps and keywords. Scalar: a keyword. */
  #selection(tree: Tree, key: Spot): Expression | null {
    if (tree.kind !== 'seq') return this.#alternative(tree, key);
    if (tree.items.length === 0) {
      this.#error(tree, 'the selection is empty', 'give it fields or keywords');
      return null;
    }
    const terms = tree.items.map((item) => this.#alternative(item, key));
    return joined('or', terms);
  }

  #alternative(tree: Tree, key: Spot): Expression | null {
    if (tree.kind === 'map') return this.#items(tree);
    if (tree.kind === 'scalar' && tree.value !== null) return this.#keyword(tree);
    const isList = tree.kind === 'seq';
    this.#error(
      isList ? tree : key,
      isList ? 'a list inside a list' : 'the selection is empty',
      isList ? 'write one list of maps or of keywords' : 'give it fields or keywords',
    );
    return null;
  }

  #keyword(tree: ScalarTree): Expression | null {
    const { expression, problems } = parseItem('', [tree], false, this.#options.lists);
    this.#tellItem(problems, tree, [tree]);
    return expression;
  }

  #items(map: MapTree): Expression | null {
    if (map.entries.length === 0) {
      this.#error(map, 'the selection is empty', 'give it fields and values');
      return null;
    }
    return joined(
      'and',
      map.entries.map((entry) => this.#item(entry)),
    );
  }

  #item({ key, value }: Entry): Expression | null {
    const isList = value.kind === 'seq';
    const values: ScalarTree[] = [];
    for (const tree of isList ? value.items : [value]) {
      if (tree.kind === 'scalar') {
        values.push(tree);
        continue;
      }
      this.#error(
        tree,
        `${JSON.stringify(key.text)} has a ${tree.kind === 'map' ? 'map' : 'list'} where a value should be`,
        'a field takes one value or a list of values; use a dotted name for a nested field',
      );
      return null;
    }
    const { expression, problems } = parseItem(key.text, values, isList, this.#options.lists);
    this.#tellItem(problems, key, values);
    const [field = '', ...modifiers] = key.text.split('|');
    this.#doubtField(field, key);
    if (modifiers.includes('fieldref')) {
      for (const one of values) this.#doubtField(one.text, one);
    }
    if (modifiers.every((modifier) => WHOLE_VALUE.includes(modifier))) {
      this.#doubtNames(field, values);
    }
    return expression;
  }

  #doubtNames(field: string, values: readonly ScalarTree[]): void {
    const kind = NAME_FIELDS[field];
    if (kind === undefined) return;
    for (const value of values) {
      if (typeof value.value !== 'string' || /[*?\\]/.test(value.value) || value.value === '')
        continue;
      const doubt = nameDoubt(kind, value.value);
      if (doubt !== null) this.#findings.warning(value, doubt.message, doubt.hint);
    }
  }

  #doubtField(field: string, spot: Spot): void {
    const doubt = field === '' ? null : fieldDoubt(field);
    if (doubt !== null) this.#findings.warning(spot, doubt.message, doubt.hint);
  }

  #tellItem(
    problems: readonly ItemProblem[],
    key: ScalarTree,
    values: readonly ScalarTree[],
  ): void {
    for (const { severity, message, hint, value, modifier } of problems) {
      let spot: Spot | null = value === undefined ? null : (values[value] ?? null);
      if (spot === null && modifier !== undefined) {
        const parts = key.text.split('|').slice(0, modifier);
        spot = spotIn(
          key,
          parts.reduce((length, part) => length + part.length + 1, 0),
        );
      }
      this.#findings.report(severity, spot ?? key, message, hint);
    }
  }

  #error(spot: Spot, message: string, hint: string): void {
    this.#findings.error(spot, message, hint);
  }
}

function joined(kind: 'and' | 'or', terms: readonly (Expression | null)[]): Expression | null {
  const whole = terms.filter((term) => term !== null);
  if (whole.length < terms.length) return null;
  return whole.length === 1 ? whole[0]! : { kind, terms: whole };
}
