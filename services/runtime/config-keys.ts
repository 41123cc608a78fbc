/**
 * The keys of the configuration as a list, read out of the schema itself, so that the reference
 * that `lakeseal config` prints and the environment names that the loader takes cannot drift from
 * what is checked. Pure.
 */

/** `objects`: a list of objects; YAML in a variable, too. */
export type ValueKind = 'string' | 'number' | 'boolean' | 'list' | 'objects';

export interface ConfigKey {
  /** `kafka.brokers` */
  path: string;
  section: string;
  name: string;
  /** `LAKESEAL_KAFKA_BROKERS` */
  env: string;
  kind: ValueKind;
  /** The closed set of values, where there is one. */
  allowed: string[] | undefined;
  /** undefined where the key has none: it is then optional. */
  default: unknown;
  description: string;
  /** Never printed; `ENV_FILE` may name a file that holds it. */
  secret: boolean;
}

/** `storage.accessKeyId` → `LAKESEAL_STORAGE_ACCESS_KEY_ID`. */
export function envName(path: string): string {
  const words = path.replaceAll('.', '_').replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2');
  return `LAKESEAL_${words.toUpperCase()}`;
}

interface SchemaNode {
  type?: string;
  items?: SchemaNode;
  properties?: Record<string, SchemaNode>;
  enum?: string[];
  default?: unknown;
  description?: string;
  secret?: boolean;
}

const KINDS: Record<string, ValueKind> = {
  string: 'string',
  integer: 'number',
  number: 'number',
  boolean: 'boolean',
  array: 'list',
};

/** `schema` is the JSON Schema of the configuration: sections of scalar keys and lists. */
export function describeKeys(schema: object): ConfigKey[] {
  const sections = (schema as SchemaNode).properties ?? {};
  return Object.entries(sections).flatMap(([section, node]) =>
    Object.entries(node.properties ?? {}).map(([name, key]) => describeKey(section, name, key)),
  );
}

function describeKey(section: string, name: string, node: SchemaNode): ConfigKey {
  const path = `${section}.${name}`;
  const ofText = KINDS[node.type ?? ''];
  const kind = ofText === 'list' && node.items?.type !== 'string' ? 'objects' : ofText;
  if (kind === undefined) throw new TypeError(`no kind for the configuration key ${path}`);
  return {
    path,
    section,
    name,
    env: envName(path),
    kind,
    allowed: node.enum,
    default: node.default,
    description: node.description ?? '',
    secret: node.secret === true,
  };
}
