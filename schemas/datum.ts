/**
 * Where an Avro datum ends, and whether every conforming reader will read it.
 *
 * `parseWriterSchema` turns a schema's JSON into a walker that steps over one datum without
 * building anything. It is stricter than most readers on purpose: a datum that it accepts is put
 * into a block between its neighbours, where a reader that stumbles loses the neighbours too. So
 * beside structure it checks what single readers are known to refuse: UTF-8, boolean bytes, enum
 * and union indices, 32-bit ints, byte sizes of blocks, and values outside the calendar of a
 * logical type. What it refuses is not lost: it is stored as plain bytes.
 *
 * Time is linear in the datum's bytes, whatever the bytes claim. Source: Avro 1.12 specification.
 */
import { isUtf8 } from 'node:buffer';
import { type Cursor, readLong } from './varint.ts';

/** Nesting of records in one datum, and of types in one schema. */
export const DEPTH_MAX = 64;
/** Array items, map values and records of no bytes at all, in one datum. */
export const EMPTY_ITEMS_MAX = 10_000;
/** Types in one schema. */
export const SCHEMA_TYPES_MAX = 20_000;

export interface WriterSchema {
  /** The schema as text, exactly as given. */
  text: string;
  /** Full names of every type that the schema defines. */
  names: ReadonlySet<string>;
  /** The place behind the one datum that starts at `from`, or -1 where there is none before `end`. */
  walk(bytes: Uint8Array, from: number, end: number): number;
}

interface Walk extends Cursor {
  depth: number;
  emptyItems: number;
}

type Step = (walk: Walk) => boolean;

const PRIMITIVES = new Set([
  'null',
  'boolean',
  'int',
  'long',
  'float',
  'double',
  'bytes',
  'string',
]);
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Thrown and caught inside this file only. */
class SchemaProblem extends Error {}

/**
 * The walker of a schema, or the reason why there is none. The top type must be a record: that is
 * what a reader of a container file expects in a column, and no union can be put inside a union.
 */
export function parseWriterSchema(text: string): WriterSchema | { problem: string } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { problem: 'not JSON' };
  }
  const names = new Map<string, Step>();
  try {
    if (!isRecordSchema(json)) throw new SchemaProblem('the top type is not a record');
    const step = compile(json, '', { names, types: 0, depth: 0 });
    return { text, names: new Set(names.keys()), walk: walker(step) };
  } catch (error) {
    if (error instanceof SchemaProblem) return { problem: error.message };
    throw error;
  }
}

function isRecordSchema(json: unknown): boolean {
  return (
    typeof json === 'object' && json !== null && (json as { type?: unknown }).type === 'record'
  );
}

function walker(step: Step): WriterSchema['walk'] {
  const walk: Walk = { bytes: Buffer.alloc(0), at: 0, end: 0, depth: 0, emptyItems: 0 };
  return (bytes, from, end) => {
    walk.bytes = bytes;
    walk.at = from;
    walk.end = end;
    walk.depth = 0;
    walk.emptyItems = 0;
    const place = step(walk) ? walk.at : -1;
    walk.bytes = NOTHING;
    return place;
  };
}

const NOTHING = Buffer.alloc(0);

// --- schema -> steps -------------------------------------------------------------------------

interface Scope {
  names: Map<string, Step>;
  types: number;
  depth: number;
}

function compile(schema: unknown, namespace: string, scope: Scope): Step {
  scope.types++;
  if (scope.types > SCHEMA_TYPES_MAX) throw new SchemaProblem('too many types');
  if (scope.depth >= DEPTH_MAX) throw new SchemaProblem('types nested too deep');
  scope.depth++;
  try {
    if (typeof schema === 'string') return reference(schema, namespace, scope);
    if (Array.isArray(schema)) return union(schema, namespace, scope);
    if (typeof schema === 'object' && schema !== null) {
      return complex(schema as Record<string, unknown>, namespace, scope);
    }
    throw new SchemaProblem('a type is neither text, list nor object');
  } finally {
    scope.depth--;
  }
}

function reference(name: string, namespace: string, scope: Scope): Step {
  if (PRIMITIVES.has(name)) return primitive(name, undefined);
  const full = name.includes('.') || namespace === '' ? name : `${namespace}.${name}`;
  const step = scope.names.get(full);
  if (step === undefined) throw new SchemaProblem('a type is used before it is defined');
  return step;
}

function complex(schema: Record<string, unknown>, namespace: string, scope: Scope): Step {
  const { type } = schema;
  switch (type) {
    case 'record':
      return record(schema, namespace, scope);
    case 'enum':
      return enumeration(schema, namespace, scope);
    case 'fixed':
      return fixed(schema, namespace, scope);
    case 'array':
      return blocks(undefined, compile(schema.items, namespace, scope));
    case 'map':
      return blocks(utf8, compile(schema.values, namespace, scope));
    default:
      if (typeof type !== 'string') throw new SchemaProblem('a type has no name');
      if (PRIMITIVES.has(type)) return primitive(type, schema.logicalType);
      return reference(type, namespace, scope);
  }
}

/** Registers a definition before its parts are compiled, so that it may refer to itself. */
function define(
  schema: Record<string, unknown>,
  namespace: string,
  scope: Scope,
): { space: string; fill: (step: Step) => Step } {
  const { name } = schema;
  if (typeof name !== 'string') throw new SchemaProblem('a named type has no name');
  const dot = name.lastIndexOf('.');
  const given = typeof schema.namespace === 'string' ? schema.namespace : namespace;
  const space = dot >= 0 ? name.slice(0, dot) : given;
  const short = name.slice(dot + 1);
  const parts = space === '' ? [short] : [...space.split('.'), short];
  if (!parts.every((part) => NAME.test(part))) throw new SchemaProblem('a name is not allowed');
  if (PRIMITIVES.has(short)) throw new SchemaProblem('a primitive type is redefined');
  const full = parts.join('.');
  if (scope.names.has(full)) throw new SchemaProblem('a type is defined twice');
  let body: Step = () => false;
  scope.names.set(full, (walk) => body(walk));
  return {
    space,
    fill: (step) => {
      body = step;
      scope.names.set(full, step);
      return step;
    },
  };
}

function record(schema: Record<string, unknown>, namespace: string, scope: Scope): Step {
  const { space, fill } = define(schema, namespace, scope);
  if (!Array.isArray(schema.fields)) throw new SchemaProblem('a record has no fields');
  const seen = new Set<string>();
  const steps: Step[] = schema.fields.map((field: unknown) => {
    const { name, type } = (field ?? {}) as { name?: unknown; type?: unknown };
    if (typeof name !== 'string' || !NAME.test(name)) {
      throw new SchemaProblem('a field name is not allowed');
    }
    if (seen.has(name)) throw new SchemaProblem('a field is defined twice');
    seen.add(name);
    return compile(type, space, scope);
  });
  return fill((walk) => {
    const start = walk.at;
    if (walk.depth >= DEPTH_MAX) return false;
    walk.depth++;
    for (let index = 0; index < steps.length; index++) if (!steps[index]!(walk)) return false;
    walk.depth--;
    // Records of no bytes can be multiplied by the schema alone: they have a budget.
    return walk.at !== start || ++walk.emptyItems <= EMPTY_ITEMS_MAX;
  });
}

function enumeration(schema: Record<string, unknown>, namespace: string, scope: Scope): Step {
  const { fill } = define(schema, namespace, scope);
  const { symbols } = schema;
  if (!Array.isArray(symbols) || symbols.length === 0) throw new SchemaProblem('an empty enum');
  for (const symbol of symbols) {
    if (typeof symbol !== 'string' || !NAME.test(symbol)) {
      throw new SchemaProblem('an enum symbol is not allowed');
    }
  }
  if (new Set(symbols).size !== symbols.length) throw new SchemaProblem('an enum symbol is twice');
  const last = symbols.length - 1;
  return fill((walk) => {
    const index = readLong(walk);
    return index >= 0 && index <= last;
  });
}

function fixed(schema: Record<string, unknown>, namespace: string, scope: Scope): Step {
  const { fill } = define(schema, namespace, scope);
  const { size } = schema;
  if (typeof size !== 'number' || !Number.isInteger(size) || size < 0) {
    throw new SchemaProblem('a fixed has no size');
  }
  return fill(skip(size));
}

function union(branches: unknown[], namespace: string, scope: Scope): Step {
  if (branches.length === 0) throw new SchemaProblem('an empty union');
  const kinds = new Set<string>();
  const steps = branches.map((branch) => {
    if (Array.isArray(branch)) throw new SchemaProblem('a union inside a union');
    const kind = branchKind(branch, namespace);
    if (kinds.has(kind)) throw new SchemaProblem('a union has a branch twice');
    kinds.add(kind);
    return compile(branch, namespace, scope);
  });
  const count = steps.length;
  if (count === 2 && branches[0] === 'null') return optional(steps[1]!);
  return (walk) => {
    const index = readLong(walk);
    return index >= 0 && index < count && steps[index]!(walk);
  };
}

/** `["null", T]`, by far the most common union, without a look at the branches. */
function optional(step: Step): Step {
  return (walk) => {
    const index = readLong(walk);
    return index === 1 ? step(walk) : index === 0;
  };
}

/** What may be in a union once: a full name, or the name of an unnamed type. */
function branchKind(branch: unknown, namespace: string): string {
  if (typeof branch !== 'object' || branch === null) {
    const name = String(branch);
    const plain = PRIMITIVES.has(name) || name.includes('.') || namespace === '';
    return plain ? name : `${namespace}.${name}`;
  }
  const { type, name, namespace: given } = branch as Record<string, unknown>;
  if (type !== 'record' && type !== 'enum' && type !== 'fixed') {
    return branchKind(String(type), PRIMITIVES.has(String(type)) ? '' : namespace);
  }
  const text = String(name);
  if (text.includes('.')) return text;
  const space = typeof given === 'string' ? given : namespace;
  return space === '' ? text : `${space}.${text}`;
}

// --- steps -------------------------------------------------------------------------------------

const nothing: Step = () => true;

const boolean: Step = (walk) => walk.at < walk.end && walk.bytes[walk.at++]! <= 1;

const long: Step = (walk) => {
  return !Number.isNaN(readLong(walk));
};

const int: Step = within(-0x80000000, 0x7fffffff);

const bytes: Step = (walk) => {
  const size = readLong(walk);
  if (!(size >= 0 && size <= walk.end - walk.at)) return false;
  walk.at += size;
  return true;
};

/** Up to here a loop over the bytes is faster than a call into the engine. */
const SHORT_TEXT_BYTES = 80;

const utf8: Step = (walk) => {
  const size = readLong(walk);
  if (!(size >= 0 && size <= walk.end - walk.at)) return false;
  const from = walk.at;
  const to = from + size;
  walk.at = to;
  if (size <= SHORT_TEXT_BYTES) {
    const { bytes: all } = walk;
    let at = from;
    while (at < to && all[at]! < 0x80) at++;
    if (at === to) return true;
  }
  return isUtf8(walk.bytes.subarray(from, to));
};

const UUID = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

const uuid: Step = (walk) => {
  const before = walk.at;
  if (!bytes(walk) || walk.at - before !== 1 + 36) return false;
  return UUID.test(Buffer.from(walk.bytes.subarray(before + 1, walk.at)).toString('latin1'));
};

function skip(size: number): Step {
  if (size === 0) return nothing;
  return (walk) => {
    if (size > walk.end - walk.at) return false;
    walk.at += size;
    return true;
  };
}

function within(min: number, max: number): Step {
  return (walk) => {
    const value = readLong(walk);
    return value >= min && value <= max;
  };
}

const DAY_MS = 86_400_000;
/** 0001-01-01 and the last moment of 9999-12-31, milliseconds since the epoch. */
export const CALENDAR_MS_MIN = -62_135_596_800_000;
export const CALENDAR_MS_MAX = 253_402_300_799_999;

/** Logical types whose values a reader turns into something that cannot hold every number. */
const LOGICAL: Record<string, Step> = {
  'int date': within(CALENDAR_MS_MIN / DAY_MS, Math.floor(CALENDAR_MS_MAX / DAY_MS)),
  'int time-millis': within(0, DAY_MS - 1),
  'long time-micros': within(0, DAY_MS * 1e3 - 1),
  'long timestamp-millis': within(CALENDAR_MS_MIN, CALENDAR_MS_MAX),
  'long local-timestamp-millis': within(CALENDAR_MS_MIN, CALENDAR_MS_MAX),
  'long timestamp-micros': within(CALENDAR_MS_MIN * 1e3, CALENDAR_MS_MAX * 1e3),
  'long local-timestamp-micros': within(CALENDAR_MS_MIN * 1e3, CALENDAR_MS_MAX * 1e3),
  'string uuid': uuid,
};

const PLAIN: Record<string, Step> = {
  null: nothing,
  boolean,
  int,
  long,
  float: skip(4),
  double: skip(8),
  bytes,
  string: utf8,
};

function primitive(name: string, logicalType: unknown): Step {
  const logical = typeof logicalType === 'string' ? LOGICAL[`${name} ${logicalType}`] : undefined;
  return logical ?? PLAIN[name]!;
}

/** The blocks of an array, or of a map where `key` is given. */
function blocks(key: Step | undefined, item: Step): Step {
  return (walk) => {
    for (;;) {
      let count = readLong(walk);
      if (count === 0) return true;
      let size = -1;
      if (count < 0) {
        count = -count;
        size = readLong(walk);
        if (!(size >= 0 && size <= walk.end - walk.at)) return false;
      }
      const start = walk.at;
      if (!(count <= walk.end - start + EMPTY_ITEMS_MAX)) return false;
      for (let left = count; left > 0; left--) {
        const before = walk.at;
        if (key !== undefined && !key(walk)) return false;
        if (!item(walk)) return false;
        if (walk.at === before && ++walk.emptyItems > EMPTY_ITEMS_MAX) return false;
      }
      if (size >= 0 && walk.at - start !== size) return false;
    }
  };
}
