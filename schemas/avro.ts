/**
 * Avro types that hostile bytes cannot hang, poison or blow up.
 *
 * Importing this file hardens avsc for the whole process, whoever made the type: stock avsc
 * believes the counts of maps and arrays (six bytes keep it busy for minutes), follows negative
 * block sizes backwards for ever, loses a map key named `__proto__` or makes it the prototype of
 * the value, and refuses longs from 2^53 - 1 up. Here reading, skipping and checking stay linear
 * in the bytes at hand, maps have no prototype, and a long that no double holds exactly is a
 * bigint. What is damaged throws, as in stock avsc: callers at a border catch it.
 *
 * avsc compiles readers with `new Function`: the process must allow code generation.
 */
import { strict as assert } from 'node:assert';
import avsc from 'avsc';
import { parseWriterSchema } from './datum.ts';

export type AvroType = avsc.Type;
/** Reads data of one type as another; made by `AvroType.createResolver`. */
export type AvroResolver = ReturnType<AvroType['createResolver']>;

/** Array items of no bytes at all (null, empty records) in one read. */
const EMPTY_ITEMS_MAX = 10_000;
/** Fields of no bytes in one record, nested records included: each is work that no byte pays. */
const EMPTY_FIELDS_MAX = 256;
/** Objects and lists in the JSON of one schema, and how deep they may be nested. */
const SCHEMA_PARTS_MAX = 20_000;
const SCHEMA_DEPTH_MAX = 192;

/**
 * A type from a schema (its JSON value, or the text of that JSON). Logical types read as their
 * underlying type. Throws an Error where it is no Avro schema, or one whose data could cost more
 * time than their bytes pay for.
 */
export function parseAvroSchema(schemaJson: unknown): AvroType {
  const schema = typeof schemaJson === 'string' ? schemaFromText(schemaJson) : schemaJson;
  checkSchema(schema, 0, { parts: 0 });
  const type = avsc.Type.forSchema(schema as avsc.Schema);
  checkEmptyFields(type);
  return type;
}

function schemaFromText(text: string): unknown {
  return /^\s*[[{"]/.test(text) ? JSON.parse(text) : text;
}

/** Bounds what avsc walks recursively; whether it is Avro at all is for avsc to say. */
function checkSchema(schema: unknown, depth: number, count: { parts: number }): void {
  if (typeof schema !== 'object' || schema === null) return;
  if (depth > SCHEMA_DEPTH_MAX) throw new Error('schema nested too deep');
  if (++count.parts > SCHEMA_PARTS_MAX) throw new Error('schema with too many parts');
  // avsc would assign what it reads to the prototype of the record.
  if ((schema as { name?: unknown }).name === '__proto__')
    throw new Error('a field named __proto__');
  for (const part of Object.values(schema)) checkSchema(part, depth + 1, count);
}

/** How many steps one value of the type can take without reading a byte. */
function checkEmptyFields(type: AvroType): void {
  const known = new Map<unknown, number>();
  const steps = (part: unknown): number => {
    const { typeName } = part as AvroType;
    if (typeName === 'null') return 1;
    if (typeName === 'fixed') return (part as avsc.types.FixedType).size === 0 ? 1 : 0;
    const before = known.get(part);
    if (before !== undefined) return before;
    known.set(part, 0);
    let sum = 0;
    if (typeName === 'map') steps((part as avsc.types.MapType).valuesType);
    else if (typeName === 'array') steps((part as avsc.types.ArrayType).itemsType);
    else if (typeName.startsWith('union')) {
      for (const branch of (part as avsc.types.UnwrappedUnionType).types) steps(branch);
    } else if (typeName === 'record' || typeName === 'error') {
      sum = 1;
      for (const field of (part as avsc.types.RecordType).fields) sum += steps(field.type);
      if (sum > EMPTY_FIELDS_MAX) throw new Error('schema with too many fields of no bytes');
    }
    known.set(part, sum);
    return sum;
  };
  steps(type);
}

/**
 * True exactly when `bytes` from `from` to its end are one whole datum of the type. Stricter than
 * avsc where avsc is lax (UTF-8, booleans, block sizes, 32-bit ints), never laxer.
 */
export function datumValidator(type: AvroType): (bytes: Buffer, from: number) => boolean {
  const schema = type.schema({ exportAttrs: true }) as unknown;
  const isRecord = type.typeName === 'record';
  // The walker takes records only; a record of one field has the bytes of the field.
  const wrapped = {
    type: 'record',
    name: 'lakeseal_.Datum',
    fields: [{ name: 'v', type: schema }],
  };
  const walker = parseWriterSchema(JSON.stringify(isRecord ? schema : wrapped));
  if ('problem' in walker) throw new Error(`no walker for the type: ${walker.problem}`);
  return (bytes, from) => walker.walk(bytes, from, bytes.length) === bytes.length;
}

// --- the guards ----------------------------------------------------------------------------------

/** avsc's cursor. It moves past the end silently; the caller checks `pos` when it is done. */
interface Tap {
  buf: Buffer;
  pos: number;
  readLong(): number;
  readString(): string;
  skipString(): void;
  skipLong(): void;
  writeLong(value: number): void;
  _invalidate(): void;
  /** Ours: array items that took no bytes. Absent until the first. */
  emptyItems?: number;
}

interface Part {
  _read(tap: Tap): unknown;
  _skip(tap: Tap): void;
}

type Patchable = Record<string, (...args: never[]) => unknown>;

/** The prototype, after making sure that this avsc has the methods that are replaced. */
function prototypeOf(type: { prototype: unknown }, methods: string[]): Patchable {
  const prototype = type.prototype as Patchable;
  for (const method of methods) {
    assert(typeof prototype[method] === 'function', `avsc has no ${method} to guard`);
  }
  return prototype;
}

/**
 * Entries of the next block, 0 at the end. Each takes a byte at least, so more entries than bytes
 * are a lie; the cursor then goes past the end, which avsc reports as a truncated buffer.
 */
function blockCount(tap: Tap, spare: number): number {
  let count = tap.readLong();
  if (count < 0) {
    count = -count;
    tap.skipLong();
  }
  if (count <= tap.buf.length - tap.pos + spare) return count;
  tap._invalidate();
  return 0;
}

function readMap(this: { valuesType: Part }, tap: Tap): Record<string, unknown> {
  const values = this.valuesType;
  const map: Record<string, unknown> = Object.create(null);
  for (let left = blockCount(tap, 0); left > 0; left = blockCount(tap, 0)) {
    while (left-- > 0 && tap.pos <= tap.buf.length) {
      const key = tap.readString();
      map[key] = values._read(tap);
    }
  }
  return map;
}

function skipMap(this: { valuesType: Part }, tap: Tap): void {
  const values = this.valuesType;
  for (let left = blockCount(tap, 0); left > 0; left = blockCount(tap, 0)) {
    while (left-- > 0 && tap.pos <= tap.buf.length) {
      tap.skipString();
      values._skip(tap);
    }
  }
}

/** True when the items of no bytes have used up what one read may spend on them. */
function isEmptyItemTooMany(tap: Tap): boolean {
  tap.emptyItems = (tap.emptyItems ?? 0) + 1;
  if (tap.emptyItems <= EMPTY_ITEMS_MAX) return false;
  tap._invalidate();
  return true;
}

function readArray(this: { itemsType: Part }, tap: Tap): unknown[] {
  const items = this.itemsType;
  const list: unknown[] = [];
  for (;;) {
    let left = blockCount(tap, EMPTY_ITEMS_MAX);
    if (!(left > 0)) return list;
    while (left-- > 0 && tap.pos <= tap.buf.length) {
      const before = tap.pos;
      list.push(items._read(tap));
      if (tap.pos === before && isEmptyItemTooMany(tap)) return list;
    }
  }
}

function skipArray(this: { itemsType: Part }, tap: Tap): void {
  const items = this.itemsType;
  for (;;) {
    let left = blockCount(tap, EMPTY_ITEMS_MAX);
    if (!(left > 0)) return;
    while (left-- > 0 && tap.pos <= tap.buf.length) {
      const before = tap.pos;
      items._skip(tap);
      if (tap.pos === before && isEmptyItemTooMany(tap)) return;
    }
  }
}

/**
 * avsc adds up twice the value in a double, which is exact up to here. Beyond, stock avsc even
 * loses the sign: it reads 1 - 2^53 as 2^53 - 2.
 */
const EXACT_LONG_MAX = 2 ** 52;

function readLong(this: unknown, tap: Tap): number | bigint {
  const from = tap.pos;
  const value = tap.readLong();
  if (value >= -EXACT_LONG_MAX && value <= EXACT_LONG_MAX) return value;
  return exactLong(tap, from);
}

/** Reads again, exactly, the long that starts at `from`. */
function exactLong(tap: Tap, from: number): number | bigint {
  let zigzag = 0n;
  for (let at = tap.pos - 1; at >= from; at--) {
    zigzag = (zigzag << 7n) | BigInt((tap.buf[at] ?? 0) & 0x7f);
    if (tap.pos - from > 10 || zigzag > 0xffffffffffffffffn)
      throw new Error('long of over 64 bits');
  }
  const value = (zigzag & 1n) === 1n ? -((zigzag + 1n) >> 1n) : zigzag >> 1n;
  const small = Number(value);
  return Number.isSafeInteger(small) ? small : value;
}

/** A clone and a default keep what the reader keeps: every key, and no prototype. */
function copyMap(
  this: { valuesType: { _copy(value: unknown, options: unknown): unknown } },
  value: unknown,
  options: unknown,
): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error('not a map');
  }
  const copy: Record<string, unknown> = Object.create(null);
  for (const [key, part] of Object.entries(value)) copy[key] = this.valuesType._copy(part, options);
  return copy;
}

/** Integers that take 64 bits. */
const LONG_MAX = 2n ** 63n - 1n;

/** What the reader gives, the writer takes. */
function writeLong(this: unknown, tap: Tap, value: unknown): void {
  if (Number.isSafeInteger(value) && Math.abs(value as number) <= EXACT_LONG_MAX) {
    tap.writeLong(value as number);
    return;
  }
  if (!isLong(value)) throw new Error('not a long');
  const exact = BigInt(value);
  let rest = BigInt.asUintN(64, (exact << 1n) ^ (exact >> 63n));
  // Past the end of its buffer avsc counts on, and then writes again into a larger one.
  for (; rest >= 0x80n; rest >>= 7n) tap.buf[tap.pos++] = Number(rest & 0x7fn) | 0x80;
  tap.buf[tap.pos++] = Number(rest);
}

function isLong(value: unknown): value is number | bigint {
  if (typeof value === 'bigint') return value >= -LONG_MAX - 1n && value <= LONG_MAX;
  return Number.isSafeInteger(value);
}

function checkLong(
  this: unknown,
  value: unknown,
  _flags: unknown,
  hook: ((value: unknown, type: unknown) => void) | undefined,
): boolean {
  const isValid = isLong(value);
  if (!isValid) hook?.(value, this);
  return isValid;
}

function harden(): void {
  const { MapType, ArrayType, LongType } = avsc.types;
  const map = { _read: readMap, _skip: skipMap, _copy: copyMap };
  const long = { _read: readLong, _write: writeLong, _check: checkLong };
  Object.assign(prototypeOf(MapType, Object.keys(map)), map);
  Object.assign(prototypeOf(ArrayType, ['_read', '_skip']), { _read: readArray, _skip: skipArray });
  Object.assign(prototypeOf(LongType, Object.keys(long)), long);
}

harden();
