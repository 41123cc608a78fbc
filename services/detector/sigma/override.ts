/**
 * Overrides: what an operator's layer changes of one rule without copying it. Levels and figures
 * are written into the rule's YAML before it is parsed, so that they are checked like any other.
 *
 *   title: Wider window
 *   lakeseal:
 *     override:
 *       rule: ID_OR_NAME
 *       enabled: false
 *       level: low
 *       set: { correlation.timespan: 30m, lakeseal.first_seen.learn: 14d }
 */
import type { RuleDocument } from './documents.ts';
import type { Findings } from './findings.ts';
import { HEADER_KEYS, readTitle } from './header.ts';
import { MapReader } from './map-reader.ts';
import { LEVELS } from './rule.ts';
import type { Entry, MapTree, ScalarTree, Spot, Tree } from './tree.ts';

export interface Override {
  /** Id or name, as written. */
  rule: ScalarTree;
  enabled: boolean | null;
  /** What to put where; paths are keys from the document's root on. */
  settings: ReadonlyArray<{ path: readonly string[]; at: ScalarTree; value: Tree }>;
  layer: number;
}

const OVERRIDE_KEYS = ['rule', 'enabled', 'level', 'set'];
const SETTABLE = ['correlation', 'lakeseal'];
/** Maps that a path may make; the others have to be there, or the rule is not what was meant. */
const CREATED = ['lakeseal', 'suppress'];

export function readOverride(document: RuleDocument, findings: Findings): Override | null {
  const before = findings.errors;
  const root = new MapReader(document.tree, findings);
  root.unknownKeys(HEADER_KEYS, 'warning');
  readTitle(root);
  const own = root.inner('lakeseal', 'write "override:" below it');
  own?.unknownKeys(['override'], 'error');
  const body = own?.inner('override', 'write "rule: ID_OR_NAME" below it') ?? null;
  if (body === null) {
    if (findings.errors === before) {
      findings.error(own?.map ?? root.map, 'the override is empty', 'name its rule');
    }
    return null;
  }
  body.unknownKeys(OVERRIDE_KEYS, 'error');
  const [rule, second] = body.names('rule', true);
  if (second !== undefined) {
    findings.error(second, 'an override is of one rule', 'write one document for each');
  }
  const enabled = body.get('enabled') === null ? null : body.flag('enabled', true);
  const level = body.choice('level', LEVELS, false);
  const settings = [...readSettings(body)];
  if (level !== null) {
    const at = body.map.entries.find(({ key }) => key.text === 'level')!.key;
    settings.push({ path: ['level'], at, value: body.get('level')! });
  }
  if (enabled === null && settings.length === 0 && findings.errors === before) {
    findings.warning(body.map, 'the override changes nothing', 'give it "enabled" or "level"');
  }
  if (rule === undefined || findings.errors > before) return null;
  return { rule, enabled, settings, layer: document.layer };
}

function* readSettings(body: MapReader): Iterable<Override['settings'][number]> {
  const set = body.inner('set', 'write paths and values, as "correlation.timespan: 30m"');
  for (const { key, value } of set?.map.entries ?? []) {
    const path = key.text.split('.');
    const [first, second] = path;
    if (!SETTABLE.includes(first!) || path.length < 2 || path.includes('')) {
      body.findings.error(
        key,
        `"${key.text}" is not a path that can be set`,
        'start it with "correlation." or "lakeseal."',
      );
    } else if (first === 'lakeseal' && (second === 'tests' || second === 'override')) {
      body.findings.error(
        key,
        `lakeseal.${second} cannot be set by an override`,
        'copy the rule into your folder, with its id, and change it there',
      );
    } else {
      yield { path, at: key, value };
    }
  }
}

/** The document with the override's settings in it. */
export function overridden(tree: MapTree, override: Override, findings: Findings): MapTree {
  return override.settings.reduce(
    (map, { path, at, value }) => put(map, path, at, value, findings),
    tree,
  );
}

function put(
  map: MapTree,
  path: readonly string[],
  at: ScalarTree,
  value: Tree,
  findings: Findings,
): MapTree {
  const [step, ...rest] = path;
  const before = map.entries.find(({ key }) => key.text === step);
  const key: ScalarTree = before?.key ?? { ...at, text: step!, value: step! };
  let inner: Tree = value;
  if (rest.length > 0) {
    const absent = CREATED.includes(step!) ? emptyMap(at) : null;
    const under = before?.value ?? absent;
    if (under?.kind !== 'map') {
      findings.error(at, `the rule has no "${step}" with keys in it`, 'correct the path');
      return map;
    }
    inner = put(under, rest, at, value, findings);
  }
  const entry: Entry = { key: rest.length === 0 ? { ...key, ...placeOf(at) } : key, value: inner };
  const entries =
    before === undefined
      ? [...map.entries, entry]
      : map.entries.map((one) => (one === before ? entry : one));
  return { ...map, entries };
}

function emptyMap({ source, at }: Spot): MapTree {
  return { kind: 'map', source, at, entries: [] };
}

function placeOf({
  source,
  at,
  textAt,
  oneLine,
}: ScalarTree): Omit<ScalarTree, 'kind' | 'value' | 'text'> {
  return { source, at, textAt, oneLine };
}
