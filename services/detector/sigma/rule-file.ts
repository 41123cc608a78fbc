/**
 * A rule file (YAML, one or more Sigma documents) into rules, or into every problem it has, each
 * with its line and column. Total: whatever the text, it never throws.
 *
 * Stricter than the Sigma schema where lakeseal needs it: `id`, `title` and `level` are required
 * (alerts are identified and ranked by them) and `logsource.product` is `databricks`. What
 * lakeseal adds lives under one top-level key, `lakeseal`, which other Sigma tools pass over:
 *
 *   lakeseal:
 *     runbook: [step, …]                        what an analyst does, in order
 *     tests: [{name, hit: true|false, event}]   events that must and must not fire the rule
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  type Scalar,
  type YAMLMap,
} from 'yaml';
import { nearest } from '../../runtime/nearest.ts';
import { fieldDoubt } from '../match/fields.ts';
import { parseCondition } from './condition.ts';
import { type ItemProblem, parseItem, type ScalarValue } from './modifiers.ts';
import type { Problem, Severity } from './problem.ts';
import {
  type Expression,
  LEVELS,
  type Level,
  type Rule,
  type RuleTest,
  STATUSES,
  type Status,
} from './rule.ts';

export interface ParsedRuleFile {
  rules: Rule[];
  problems: Problem[];
}

export const RULE_FILE_BYTES_MAX = 1024 * 1024;
const TITLE_CHARS_MAX = 256;
/** Most YAML aliases followed in one file, so that nested aliases cannot multiply. */
const ALIASES_MAX = 1_000;

const RULE_KEYS = [
  'title',
  'id',
  'name',
  'related',
  'taxonomy',
  'status',
  'description',
  'license',
  'author',
  'references',
  'date',
  'modified',
  'logsource',
  'detection',
  'fields',
  'falsepositives',
  'level',
  'tags',
  'scope',
  'lakeseal',
];
const LAKESEAL_KEYS = ['runbook', 'tests'];
const TEST_KEYS = ['name', 'hit', 'event'];

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const DATE = /^\d{4}-\d{2}-\d{2}$/;
const TAG = /^[a-z0-9_-]+\.[a-z0-9._-]+$/;

/** `file` is only used to name places in problems. */
export function parseRuleFile(file: string, source: string): ParsedRuleFile {
  const lines = new LineCounter();
  const problems: Problem[] = [];
  if (Buffer.byteLength(source) > RULE_FILE_BYTES_MAX) {
    problems.push({
      severity: 'error',
      file,
      line: 0,
      column: 0,
      message: `the file is larger than ${RULE_FILE_BYTES_MAX} bytes`,
      hint: 'split it',
    });
    return { rules: [], problems };
  }
  const documents = parseAllDocuments(source, { lineCounter: lines, prettyErrors: false });
  const rules: Rule[] = [];
  for (const document of Array.isArray(documents) ? documents : []) {
    const reader = new Reader(file, lines, document as Document, problems);
    const rule = reader.rule();
    if (rule !== null) rules.push(rule);
  }
  if (documents.length === 0) {
    problems.push({
      severity: 'error',
      file,
      line: 1,
      column: 1,
      message: 'the file holds no rule',
      hint: 'write a Sigma rule or remove the file',
    });
  }
  return { rules, problems };
}

type Place = Node | number | null | undefined;

class Reader {
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #document: Document;
  readonly #problems: Problem[];
  #aliases = 0;
  #failed = false;

  constructor(file: string, lines: LineCounter, document: Document, problems: Problem[]) {
    this.#file = file;
    this.#lines = lines;
    this.#document = document;
    this.#problems = problems;
  }

  rule(): Rule | null {
    for (const error of this.#document.errors) {
      this.#error(error.pos[0], `not valid YAML: ${error.message.split('\n')[0]}`, yamlHint(error));
    }
    if (this.#failed) return null;
    const root = this.#node(this.#document.contents);
    if (root === null || (isScalar(root) && root.value === null)) return null;
    if (!isMap(root)) {
      this.#error(root, 'a rule is a map of keys', 'start with "title: …"');
      return null;
    }
    for (const [key, what] of [
      ['correlation', 'correlation documents'],
      ['filter', 'filter documents'],
      ['action', 'global actions'],
    ] as const) {
      const found = this.#keyNode(root, key);
      if (found === undefined) continue;
      this.#error(found, `not supported yet: ${what}`, 'take the document out of the rule folder');
      return null;
    }
    this.#unknownKeys(root, RULE_KEYS, 'warning');
    return this.#fields(root);
  }

  #fields(root: YAMLMap): Rule | null {
    const title = this.#text(root, 'title', true);
    const id = this.#text(root, 'id', true);
    const level = this.#choice(root, 'level', LEVELS, true);
    const status = this.#choice(root, 'status', STATUSES, false);
    this.#form(root, 'id', UUID, 'a UUID', 'make one with: uuidgen');
    this.#form(root, 'date', DATE, 'a date', 'write YYYY-MM-DD');
    this.#form(root, 'modified', DATE, 'a date', 'write YYYY-MM-DD');
    if (title !== null && title.length > TITLE_CHARS_MAX) {
      this.#error(
        root.get('title', true),
        `the title has ${title.length} characters`,
        `Sigma allows ${TITLE_CHARS_MAX}`,
      );
    }
    const taxonomy = this.#text(root, 'taxonomy', false);
    if (taxonomy !== null && taxonomy !== 'sigma') {
      this.#error(
        root.get('taxonomy', true),
        `the taxonomy ${JSON.stringify(taxonomy)} is not known`,
        'use the field names of Databricks audit events and leave the key out',
      );
    }
    const service = this.#logsource(root);
    const detection = this.#detection(root);
    const own = this.#own(root);
    const rest = {
      name: this.#text(root, 'name', false),
      description: this.#text(root, 'description', false),
      author: this.#text(root, 'author', false),
      references: this.#texts(root, 'references'),
      falsepositives: this.#texts(root, 'falsepositives'),
      tags: this.#tags(root),
    };
    if (this.#failed || title === null || id === null || level === null || detection === null) {
      return null;
    }
    return {
      id: id.toLowerCase(),
      title,
      level: level as Level,
      status: status as Status | null,
      service,
      file: this.#file,
      line: this.#lines.linePos(root.range?.[0] ?? 0).line,
      ...rest,
      ...own,
      ...detection,
    };
  }

  #logsource(root: YAMLMap): string | null {
    const node = this.#node(root.get('logsource', true));
    if (!isMap(node)) {
      this.#error(
        node ?? root,
        'the rule has no logsource',
        'add "logsource:" with "product: databricks"',
      );
      return null;
    }
    const product = this.#text(node, 'product', true);
    if (product !== null && product.toLowerCase() !== 'databricks') {
      this.#error(
        node.get('product', true),
        `the rule is for ${product}, and lakeseal judges databricks`,
        'take the rule out of the folder, or write "product: databricks"',
      );
    }
    const service = this.#text(node, 'service', false);
    return service === null || service.toLowerCase() === 'audit' ? null : service;
  }

  #detection(root: YAMLMap): { selections: Map<string, Expression>; condition: Expression } | null {
    const node = this.#node(root.get('detection', true));
    if (!isMap(node)) {
      this.#error(
        node ?? root,
        'the rule has no detection',
        'add "detection:" with a selection and a condition',
      );
      return null;
    }
    const selections = new Map<string, Expression>();
    const names: string[] = [];
    for (const pair of node.items) {
      const name = this.#key(pair.key);
      if (name === 'condition' || name === 'timeframe') continue;
      names.push(name);
      const selection = this.#selection(this.#node(pair.value), pair.key as Node);
      if (selection !== null) selections.set(name, selection);
    }
    const timeframe = this.#keyNode(node, 'timeframe');
    if (timeframe !== undefined) {
      this.#error(
        timeframe,
        'a timeframe in a detection is no longer part of Sigma',
        'write a correlation document',
      );
    }
    if (names.length === 0) {
      this.#error(
        node,
        'the detection has no selection',
        'add "selection:" with fields and values',
      );
    }
    const condition = this.#condition(node, names);
    return condition === null ? null : { selections, condition };
  }

  #condition(detection: YAMLMap, names: readonly string[]): Expression | null {
    const node = this.#node(detection.get('condition', true));
    const nodes = isSeq(node) ? node.items.map((item) => this.#node(item)) : [node];
    const used = new Set<string>();
    const terms: Expression[] = [];
    for (const one of nodes) {
      if (!isScalar(one) || (typeof one.value !== 'string' && typeof one.value !== 'number')) {
        this.#error(
          one ?? detection,
          'the detection has no condition',
          'add "condition: selection"',
        );
        return null;
      }
      const parsed = parseCondition(String(one.value), names);
      if (parsed.ok) {
        terms.push(parsed.expression);
        for (const name of parsed.used) used.add(name);
      } else {
        this.#error(offsetIn(one, parsed.at), parsed.message, parsed.hint);
      }
    }
    if (terms.length < nodes.length) return null;
    for (const pair of detection.items) {
      const name = this.#key(pair.key);
      if (names.includes(name) && !used.has(name) && !name.startsWith('_')) {
        this.#report(
          'warning',
          pair.key as Node,
          `the condition does not use "${name}"`,
          'use it, remove it, or start its name with "_"',
        );
      }
    }
    if (terms.length === 0) {
      this.#error(node ?? detection, 'the list of conditions is empty', 'add a condition');
      return null;
    }
    return terms.length === 1 ? terms[0]! : { kind: 'or', terms };
  }

  /** Map: AND of its items. List: OR of maps and keywords. Scalar: a keyword. */
  #selection(node: Node | null, key: Node): Expression | null {
    if (isMap(node)) return this.#items(node);
    if (isSeq(node)) {
      if (node.items.length === 0) {
        this.#error(node, 'the selection is empty', 'give it fields or keywords');
        return null;
      }
      const terms = node.items.map((item) => this.#alternative(this.#node(item), key));
      const whole = terms.filter((term) => term !== null);
      if (whole.length < terms.length) return null;
      return whole.length === 1 ? whole[0]! : { kind: 'or', terms: whole };
    }
    return this.#alternative(node, key);
  }

  #alternative(node: Node | null, key: Node): Expression | null {
    if (isMap(node)) return this.#items(node);
    if (isScalar(node) && node.value !== null) return this.#keyword(node);
    this.#error(
      node ?? key,
      isSeq(node) ? 'a list inside a list' : 'the selection is empty',
      isSeq(node) ? 'write one list of maps or of keywords' : 'give it fields or keywords',
    );
    return null;
  }

  #keyword(node: Scalar): Expression | null {
    const { expression, problems } = parseItem('', [scalarValue(node)], false);
    this.#itemProblems(problems, node, [node]);
    return expression;
  }

  #items(map: YAMLMap): Expression | null {
    if (map.items.length === 0) {
      this.#error(map, 'the selection is empty', 'give it fields and values');
      return null;
    }
    const terms = map.items.map((pair) => this.#item(pair.key as Node, this.#node(pair.value)));
    const whole = terms.filter((term) => term !== null);
    if (whole.length < terms.length) return null;
    return whole.length === 1 ? whole[0]! : { kind: 'and', terms: whole };
  }

  #item(keyNode: Node, valueNode: Node | null): Expression | null {
    const key = this.#key(keyNode);
    const isList = isSeq(valueNode);
    const nodes = isSeq(valueNode) ? valueNode.items.map((item) => this.#node(item)) : [valueNode];
    const values: ScalarValue[] = [];
    for (const node of nodes) {
      if (node === null) {
        values.push({ value: null, text: '' });
      } else if (isScalar(node)) {
        values.push(scalarValue(node));
      } else {
        this.#error(
          node,
          `${JSON.stringify(key)} has a ${isMap(node) ? 'map' : 'list'} where a value should be`,
          'a field takes one value or a list of values; use a dotted name for a nested field',
        );
        return null;
      }
    }
    const { expression, problems } = parseItem(key, values, isList);
    this.#itemProblems(problems, keyNode, nodes);
    this.#doubtField(key.split('|')[0]!, keyNode);
    if (key.split('|').includes('fieldref')) {
      for (const node of nodes) if (isScalar(node)) this.#doubtField(String(node.value), node);
    }
    return expression;
  }

  #doubtField(field: string, node: Node): void {
    const doubt = field === '' ? null : fieldDoubt(field);
    if (doubt !== null) this.#report('warning', node, doubt.message, doubt.hint);
  }

  #itemProblems(
    problems: readonly ItemProblem[],
    key: Node,
    values: readonly (Node | null)[],
  ): void {
    for (const problem of problems) {
      const value = problem.value === undefined ? null : (values[problem.value] ?? null);
      let place: Place = value ?? key;
      if (value === null && isScalar(key) && problem.modifier !== undefined) {
        const parts = String(key.value).split('|').slice(0, problem.modifier);
        const at = parts.reduce((length, part) => length + part.length + 1, 0);
        place = offsetIn(key, at);
      }
      this.#report(problem.severity, place, problem.message, problem.hint);
    }
  }

  #own(root: YAMLMap): { runbook: string[]; tests: RuleTest[] } {
    const node = this.#node(root.get('lakeseal', true));
    if (node === null) return { runbook: [], tests: [] };
    if (!isMap(node)) {
      this.#error(node, '"lakeseal" is not a map', 'give it "runbook" and "tests"');
      return { runbook: [], tests: [] };
    }
    this.#unknownKeys(node, LAKESEAL_KEYS, 'error');
    return { runbook: this.#texts(node, 'runbook'), tests: this.#tests(node) };
  }

  #tests(own: YAMLMap): RuleTest[] {
    const node = this.#node(own.get('tests', true));
    if (node === null) return [];
    if (!isSeq(node)) {
      this.#error(node, '"tests" is not a list', 'write "- name: …" items');
      return [];
    }
    const tests: RuleTest[] = [];
    for (const item of node.items) {
      const test = this.#node(item);
      if (!isMap(test)) {
        this.#error(test ?? node, 'a test is a map', 'give it "name", "hit" and "event"');
        continue;
      }
      this.#unknownKeys(test, TEST_KEYS, 'error');
      const name = this.#text(test, 'name', true);
      const hit = this.#node(test.get('hit', true));
      const event = this.#node(test.get('event', true));
      if (!isScalar(hit) || typeof hit.value !== 'boolean') {
        this.#error(
          hit ?? test,
          'the test does not say whether it is a hit',
          'add "hit: true" or "hit: false"',
        );
      } else if (!isMap(event)) {
        this.#error(event ?? test, 'the test has no event', 'add "event:" with one audit event');
      } else if (name !== null) {
        const { line } = this.#lines.linePos(test.range?.[0] ?? 0);
        const value = this.#plain(event);
        if (value !== null) tests.push({ name, hit: hit.value, event: value, line });
      }
    }
    return tests;
  }

  #plain(node: Node): unknown {
    try {
      return node.toJS(this.#document);
    } catch {
      this.#error(node, 'the event has too many YAML aliases', 'write the values out');
      return null;
    }
  }

  #tags(root: YAMLMap): string[] {
    const tags = this.#texts(root, 'tags');
    const node = this.#node(root.get('tags', true));
    for (const [index, tag] of tags.entries()) {
      if (TAG.test(tag)) continue;
      const place = isSeq(node) ? (node.items[index] as Node) : node;
      this.#error(
        place,
        `${JSON.stringify(tag)} is not a Sigma tag`,
        'write namespace.value in lower case, as attack.t1098',
      );
    }
    return tags;
  }

  #text(map: YAMLMap, key: string, required: boolean): string | null {
    const node = this.#node(map.get(key, true));
    if (node === null || (isScalar(node) && node.value === null)) {
      if (required) this.#error(map, `"${key}" is missing`, `add "${key}: …"`);
      return null;
    }
    if (isScalar(node) && (typeof node.value === 'string' || typeof node.value === 'number')) {
      const text =
        typeof node.value === 'string' ? node.value : (node.source ?? String(node.value));
      if (text.trim() !== '') return text;
    }
    this.#error(node, `"${key}" is not text`, `write "${key}: …" on one line`);
    return null;
  }

  #texts(map: YAMLMap, key: string): string[] {
    const node = this.#node(map.get(key, true));
    if (node === null) return [];
    const nodes = isSeq(node) ? node.items.map((item) => this.#node(item)) : [];
    const texts = nodes.filter((one) => isScalar(one) && typeof one.value === 'string');
    if (!isSeq(node) || texts.length < nodes.length) {
      this.#error(
        node,
        `"${key}" is not a list of texts`,
        'write "- …" items, in quotes where they hold ": "',
      );
      return [];
    }
    return texts.map((one) => (one as Scalar<string>).value);
  }

  #choice(map: YAMLMap, key: string, choices: readonly string[], required: boolean): string | null {
    const text = this.#text(map, key, required);
    if (text === null || choices.includes(text)) return text;
    const near = nearest(text, choices);
    this.#error(
      this.#node(map.get(key, true)),
      `${JSON.stringify(text)} is not a ${key}`,
      near === null ? `use one of ${choices.join(', ')}` : `did you mean "${near}"?`,
    );
    return null;
  }

  #form(map: YAMLMap, key: string, form: RegExp, what: string, hint: string): void {
    const node = this.#node(map.get(key, true));
    if (isScalar(node) && node.value !== null && !form.test(String(node.value))) {
      this.#error(node, `"${key}" is not ${what}`, hint);
    }
  }

  /** Custom keys are allowed at the top of a rule, so there only a likely typing error is told. */
  #unknownKeys(map: YAMLMap, known: readonly string[], severity: Severity): void {
    for (const pair of map.items) {
      const key = this.#key(pair.key);
      if (known.includes(key)) continue;
      const near = nearest(key, known);
      if (severity === 'warning' && near === null) continue;
      this.#report(
        severity,
        pair.key as Node,
        `unknown key ${JSON.stringify(key)}`,
        near === null ? `the keys are ${known.join(', ')}` : `did you mean "${near}"?`,
      );
    }
  }

  #keyNode(map: YAMLMap, key: string): Node | undefined {
    return map.items.find((pair) => this.#key(pair.key) === key)?.key as Node | undefined;
  }

  #key(key: unknown): string {
    return isScalar(key) ? String(key.value) : '';
  }

  /** The node itself, behind an alias; null where there is none. */
  #node(node: unknown): Node | null {
    if (!isAlias(node)) return (node as Node | null | undefined) ?? null;
    this.#aliases += 1;
    if (this.#aliases > ALIASES_MAX) {
      if (this.#aliases === ALIASES_MAX + 1) {
        this.#error(node, `more than ${ALIASES_MAX} YAML aliases`, 'write the values out');
      }
      return null;
    }
    return (node.resolve(this.#document) as Node | undefined) ?? null;
  }

  #error(place: Place, message: string, hint: string): void {
    this.#report('error', place, message, hint);
  }

  #report(severity: Severity, place: Place, message: string, hint: string): void {
    if (severity === 'error') this.#failed = true;
    const offset = typeof place === 'number' ? place : (place?.range?.[0] ?? 0);
    const { line, col } = this.#lines.linePos(offset);
    const at = { file: this.#file, line: Math.max(1, line), column: Math.max(1, col) };
    this.#problems.push({ severity, ...at, message, hint });
  }
}

function scalarValue(node: Scalar): ScalarValue {
  const { value } = node;
  if (typeof value === 'number') return { value, text: node.source ?? String(value) };
  if (typeof value === 'string' || typeof value === 'boolean')
    return { value, text: String(value) };
  return { value: null, text: '' };
}

/** The place of character `at` of a one-line scalar; its start where it spans lines. */
function offsetIn(node: Scalar, at: number): number {
  const start = node.range?.[0] ?? 0;
  if (node.type === 'PLAIN') return start + at;
  if (node.type === 'QUOTE_SINGLE' || node.type === 'QUOTE_DOUBLE') return start + 1 + at;
  return start;
}

function yamlHint(error: { code: string }): string {
  if (error.code === 'DUPLICATE_KEY') return 'keep one of the two, or make a list of maps';
  if (error.code === 'TAB_AS_INDENT') return 'indent with spaces';
  return 'check indentation and quotes: a value with ": ", " #", "*" or "&" in front needs quotes';
}
