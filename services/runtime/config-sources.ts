/**
 * Turns the two sources of configuration, YAML text and environment, into plain values by section,
 * and remembers where each came from, so that a problem is reported at file:line:column or by the
 * name of its variable. Says nothing about whether a value is right: the schema does.
 */
import { LineCounter, parse, parseDocument } from 'yaml';
import type { Problem } from './config-checks.ts';
import type { ConfigKey } from './config-keys.ts';
import { systemReason } from './errors.ts';
import { didYouMean } from './nearest.ts';
import { offsetOf } from './yaml-place.ts';

/** `LAKESEAL_` variables that are not keys: of this loader, of the tests and of their servers. */
const OTHER_VARIABLES = new Set([
  'LAKESEAL_CONFIG',
  'LAKESEAL_SAMPLES',
  'LAKESEAL_CACHE',
  'LAKESEAL_JAVA_HOME',
]);
const OTHER_PREFIXES = ['LAKESEAL_STACK', 'LAKESEAL_TEST_'];

/** YAML aliases beyond this are an attack on memory, not a configuration. */
const ALIASES_MAX = 100;

type Section = Record<string, unknown>;

export interface Sources {
  /** Per section; whatever is not a map is passed on for the schema to refuse. */
  values: Record<string, unknown>;
  problems: Problem[];
  /** `lakeseal.yaml:3:5` or `LAKESEAL_…`; with `isKey` the place of the key, not of its value. */
  placeOf: (path: string, isKey?: boolean) => string;
  /** Key paths that were given, and where. */
  places: Map<string, string>;
}

export function readSources(
  keys: ConfigKey[],
  file: { path: string; text: string } | undefined,
  env: NodeJS.ProcessEnv,
  readText: (path: string) => string,
): Sources {
  const fromFile = readYaml(keys, file);
  const fromEnv = readEnvironment(keys, env, readText);
  const values = { ...fromFile.values };
  for (const [path, value] of fromEnv.values) {
    const [section, name] = path.split('.') as [string, string];
    const below = values[section] ?? {};
    if (isSection(below)) values[section] = { ...below, [name]: value };
  }
  const placeOf = (path: string, isKey = false): string =>
    fromEnv.places.get(ownerOf(path)) ?? fromFile.placeOf(path, isKey);
  const given = keys
    .map((key) => key.path)
    .filter((path) => fromEnv.places.has(path) || fromFile.has(path));
  return {
    values,
    problems: [...fromFile.problems, ...fromEnv.problems],
    placeOf,
    places: new Map(given.map((path) => [path, placeOf(path)])),
  };
}

/** `kafka.brokers.0` is part of the key `kafka.brokers`. */
function ownerOf(path: string): string {
  return path.split('.').slice(0, 2).join('.');
}

function isSection(value: unknown): value is Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface FileValues {
  values: Record<string, unknown>;
  problems: Problem[];
  placeOf: (path: string, isKey: boolean) => string;
  has: (path: string) => boolean;
}

function readYaml(keys: ConfigKey[], file: { path: string; text: string } | undefined): FileValues {
  if (file === undefined) {
    return { values: {}, problems: [], placeOf: (path) => `default of ${path}`, has: () => false };
  }
  const lineCounter = new LineCounter();
  const document = parseDocument(file.text, { lineCounter, prettyErrors: false });
  const placeAt = (offset: number): string => {
    const { line, col } = lineCounter.linePos(offset);
    return `${file.path}:${line}:${col}`;
  };
  const problems = document.errors.map((error) => ({
    place: placeAt(error.pos[0]),
    path: 'YAML',
    what: error.message,
  }));
  const placeOf = (path: string, isKey: boolean): string =>
    placeAt(offsetOf(document.contents, path.split('.'), isKey));
  const read = problems.length > 0 ? {} : toPlain(document, placeAt(0), problems);
  const values = withoutNulls(read, keys);
  const sections = new Set(keys.map((key) => key.section));
  for (const name of Object.keys(values).filter((name) => !sections.has(name))) {
    problems.push({
      place: placeOf(name, true),
      path: name,
      what: `unknown section${didYouMean(name, sections)}`,
    });
  }
  const has = (path: string): boolean => {
    const [section, name] = path.split('.') as [string, string];
    const below = values[section];
    return isSection(below) && Object.hasOwn(below, name);
  };
  return { values, problems, placeOf, has };
}

function toPlain(
  document: ReturnType<typeof parseDocument>,
  place: string,
  problems: Problem[],
): Record<string, unknown> {
  try {
    const value: unknown = document.toJS({ maxAliasCount: ALIASES_MAX });
    if (value === null || value === undefined) return {};
    if (isSection(value)) return value;
    problems.push({ place, path: 'file', what: 'expected sections such as "kafka:" at the top' });
  } catch (error) {
    problems.push({
      place,
      path: 'file',
      what: error instanceof Error ? error.message : 'not YAML',
    });
  }
  return {};
}

/**
 * `key:` with nothing behind it is as if it were not written, so that a key can be left in place
 * with its value commented out. Where "null" is one of the values (the Avro codec), it is meant.
 */
function withoutNulls(values: Record<string, unknown>, keys: ConfigKey[]): Record<string, unknown> {
  const takesNull = new Set(keys.filter((key) => key.allowed?.includes('null')).map((k) => k.path));
  const sections = Object.entries(values).flatMap(([section, below]) => {
    if (below === null) return [];
    if (!isSection(below)) return [[section, below] as const];
    const kept = Object.entries(below).flatMap(([name, value]) => {
      if (value !== null) return [[name, value] as const];
      return takesNull.has(`${section}.${name}`) ? [[name, 'null'] as const] : [];
    });
    return [[section, Object.fromEntries(kept)] as const];
  });
  return Object.fromEntries(sections);
}

interface EnvironmentValues {
  values: Map<string, unknown>;
  places: Map<string, string>;
  problems: Problem[];
}

function readEnvironment(
  keys: ConfigKey[],
  env: NodeJS.ProcessEnv,
  readText: (path: string) => string,
): EnvironmentValues {
  const found: EnvironmentValues = { values: new Map(), places: new Map(), problems: [] };
  const known = new Set(OTHER_VARIABLES);
  for (const key of keys) {
    known.add(key.env);
    if (key.secret) known.add(`${key.env}_FILE`);
    readVariable(key, env, readText, found);
  }
  for (const name of Object.keys(env).sort()) {
    if (!name.startsWith('LAKESEAL_') || known.has(name)) continue;
    if (OTHER_PREFIXES.some((prefix) => name.startsWith(prefix))) continue;
    found.problems.push({
      place: name,
      path: 'environment',
      what: `unknown variable${didYouMean(name, known)}`,
    });
  }
  return found;
}

/** An empty variable counts as unset, which is what `${NAME:-}` in a compose file gives. */
function readVariable(
  key: ConfigKey,
  env: NodeJS.ProcessEnv,
  readText: (path: string) => string,
  found: EnvironmentValues,
): void {
  const direct = env[key.env] || undefined;
  const fileName = key.secret ? env[`${key.env}_FILE`] || undefined : undefined;
  const place = fileName === undefined ? key.env : `${key.env}_FILE`;
  if (direct === undefined && fileName === undefined) return;
  const problem = (what: string): void => {
    found.problems.push({ place, path: key.path, what });
  };
  found.places.set(key.path, place);
  if (direct !== undefined && fileName !== undefined) {
    problem(`given twice, by ${key.env} and by ${key.env}_FILE`);
    return;
  }
  let text = direct ?? '';
  if (fileName !== undefined) {
    try {
      text = readText(fileName).replace(/\r?\n$/, '');
    } catch (error) {
      problem(`cannot read ${fileName}: ${systemReason(error)}`);
      return;
    }
  }
  const value = parseValue(key, text);
  if (value === undefined) problem(`expected ${EXPECTED[key.kind]}`);
  else found.values.set(key.path, value);
}

const EXPECTED = {
  string: 'text',
  number: 'a whole number',
  boolean: 'true or false',
  list: 'values with commas between them',
  objects: 'a list in YAML or JSON',
} as const;

function parseValue(key: ConfigKey, text: string): unknown {
  switch (key.kind) {
    case 'string':
      return text;
    case 'number':
      return /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : undefined;
    case 'boolean':
      return { true: true, false: false }[text.trim()];
    case 'list':
      return text.split(',').flatMap((part) => part.trim() || []);
    case 'objects':
      return listOf(text);
  }
}

function listOf(text: string): unknown {
  try {
    const value: unknown = parse(text, { maxAliasCount: ALIASES_MAX });
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
