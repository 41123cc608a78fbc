/**
 * The documents of a rule file, told apart: detection rules, correlations, filters and overrides.
 * Global documents are merged into those that follow them, as Sigma has them:
 *
 *   action: global   its keys are part of every document that follows in the file; several add up
 *   action: reset    forgets the global documents so far
 *   action: repeat   the document before it once more, with the keys that are given here
 *
 * Tools disagree about who wins where a global document and a rule give one key different values,
 * so that is an error here.
 */
import { nearest } from '../../runtime/nearest.ts';
import { Findings } from './findings.ts';
import { MapReader } from './map-reader.ts';
import type { Problem } from './problem.ts';
import { type Entry, type MapTree, readTrees, type Tree } from './tree.ts';

export type DocumentKind = 'detection' | 'correlation' | 'filter' | 'override';

/** One document, not read any further than what it is and what it is called. */
export interface RuleDocument {
  kind: DocumentKind;
  tree: MapTree;
  file: string;
  /** Position of its layer: documents of a later one replace those of an earlier one, by id. */
  layer: number;
  /** As written, lower case; null where it has none (or what is no text). */
  id: string | null;
  name: string | null;
}

export interface ReadDocuments {
  documents: RuleDocument[];
  problems: Problem[];
}

const ACTIONS = ['global', 'reset', 'repeat'];

/** `file` only names places. Never throws, whatever the text. */
export function readDocuments(file: string, layer: number, text: string): ReadDocuments {
  const findings = new Findings(file);
  const documents: RuleDocument[] = [];
  let globals: MapTree | null = null;
  let previous: MapTree | null = null;
  for (const tree of readTrees(file, text, findings)) {
    if (tree.kind !== 'map') {
      findings.error(tree, 'a rule is a map of keys', 'start with "title: …"');
      continue;
    }
    const action = new MapReader(tree, findings).get('action');
    if (action !== null && !isAction(action, findings)) continue;
    const said = action?.kind === 'scalar' ? action.text : '';
    const body = action === null ? tree : without(tree, 'action');
    if (said === 'global') {
      globals = globals === null ? body : merged(globals, body, null);
      continue;
    }
    if (said === 'reset') {
      globals = null;
      continue;
    }
    if (said === 'repeat' && previous === null) {
      findings.error(action, 'there is no rule to repeat', 'put it behind the rule it repeats');
      continue;
    }
    if (said === 'repeat') previous = merged(previous!, body, null);
    else previous = globals === null ? body : merged(globals, body, findings);
    documents.push(documentOf(previous, file, layer, findings));
  }
  return { documents, problems: findings.problems };
}

function isAction(action: Tree, findings: Findings): boolean {
  const text = action.kind === 'scalar' ? action.text : '';
  if (ACTIONS.includes(text)) return true;
  const near = nearest(text, ACTIONS);
  findings.error(
    action,
    `the action ${JSON.stringify(text)} is not known`,
    near === null ? `the actions are ${ACTIONS.join(', ')}` : `did you mean "${near}"?`,
  );
  return false;
}

function documentOf(tree: MapTree, file: string, layer: number, findings: Findings): RuleDocument {
  const reader = new MapReader(tree, findings);
  return {
    kind: kindOf(reader),
    tree,
    file,
    layer,
    id: textOf(reader.get('id'))?.toLowerCase() ?? null,
    name: textOf(reader.get('name')),
  };
}

function kindOf(reader: MapReader): DocumentKind {
  const kinds = (['correlation', 'filter', 'detection'] as const).filter((key) => reader.has(key));
  if (kinds.length > 1) {
    reader.findings.error(
      reader.keyOf(kinds[0]!),
      `a document cannot be a ${kinds.join(' and a ')} at once`,
      'make it two documents, with a line "---" between them',
    );
  }
  if (kinds.length > 0) return kinds[0]!;
  const own = reader.get('lakeseal');
  const isOverride = own?.kind === 'map' && own.entries.some(({ key }) => key.text === 'override');
  return isOverride ? 'override' : 'detection';
}

function textOf(tree: Tree | null): string | null {
  return tree?.kind === 'scalar' && tree.value !== null ? tree.text : null;
}

export function without(map: MapTree, key: string): MapTree {
  return { ...map, entries: map.entries.filter((entry) => entry.key.text !== key) };
}

/**
 * Both maps in one; where both have a key, maps are merged and what `over` says holds. With
 * `findings`, values that differ are told as an error.
 */
function merged(under: MapTree, over: MapTree, findings: Findings | null): MapTree {
  const entries = new Map<string, Entry>(under.entries.map((entry) => [entry.key.text, entry]));
  for (const entry of over.entries) {
    const before = entries.get(entry.key.text);
    if (before?.value.kind === 'map' && entry.value.kind === 'map') {
      const value = merged(before.value, entry.value, findings);
      entries.set(entry.key.text, { key: entry.key, value });
      continue;
    }
    if (before !== undefined && findings !== null && !same(before.value, entry.value)) {
      findings.error(
        entry.key,
        `${JSON.stringify(entry.key.text)} differs from the global document before it`,
        'give it in one of the two: tools disagree about which holds',
      );
    }
    entries.set(entry.key.text, entry);
  }
  return { ...over, entries: [...entries.values()] };
}

function same(a: Tree, b: Tree): boolean {
  return a.kind === 'scalar' && b.kind === 'scalar' && a.value === b.value;
}
