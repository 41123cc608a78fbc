/**
 * Values made to hurt whoever reads them, and good values broken at random. Pure: a seed gives the
 * same values again.
 */
import { frame } from '../../schemas/audit-event.ts';
import { longBytes } from '../../schemas/varint.ts';
import { type EventChoice, eventDatum, eventJson } from './events.ts';
import type { Random } from './random.ts';

const MIB = 1024 * 1024;
/** Just below what the detector takes for an event at all. */
const LARGE_BYTES = 7.9 * MIB;

/** Writer schemas that let few bytes stand for much; registered under subjects of their own. */
export const HOSTILE_SCHEMAS = {
  map: {
    type: 'record',
    name: 'HostileMap',
    fields: [{ name: 'm', type: { type: 'map', values: 'string' } }],
  },
  mapOfMaps: {
    type: 'record',
    name: 'HostileMaps',
    fields: [{ name: 'm', type: { type: 'map', values: { type: 'map', values: 'string' } } }],
  },
  nulls: {
    type: 'record',
    name: 'HostileNulls',
    fields: [{ name: 'a', type: { type: 'array', items: 'null' } }],
  },
  long: { type: 'record', name: 'HostileLong', fields: [{ name: 'l', type: 'long' }] },
  nest: {
    type: 'record',
    name: 'HostileNest',
    fields: [{ name: 'inner', type: ['null', 'HostileNest'] }],
  },
} as const;

export type HostileIds = Record<keyof typeof HOSTILE_SCHEMAS, number>;

/** A count or a number, as Avro writes it. */
function long(value: bigint): Buffer {
  return Buffer.from(longBytes(value));
}

const END = Buffer.from([0]);
const POWERS = [28n, 30n, 31n, 52n, 62n];

/** Small Avro values that claim to be huge, by name. */
export function hostileAvro(ids: HostileIds, auditId: number): Map<string, Buffer> {
  const values = new Map<string, Buffer>();
  const add = (name: string, id: number, ...parts: Buffer[]): void => {
    values.set(name, frame(id, Buffer.concat(parts)));
  };
  for (const power of POWERS) {
    const count = long(2n ** power);
    add(`map of 2^${power} entries`, ids.map, count, END);
    add(`map of 2^${power} maps`, ids.mapOfMaps, count, END);
    add(`2^${power} nulls`, ids.nulls, count, END);
    add(`2^${power} nulls, sized`, ids.nulls, long(-(2n ** power)), long(0n), END);
    const { before, after } = aroundParameters(auditId);
    add(`event with 2^${power} parameters`, auditId, before, count, after);
    add(`event cut after the count 2^${power}`, auditId, before, count);
  }
  add('50 million nulls', ids.nulls, long(50_000_000n), END);
  add('least long', ids.long, long(-(2n ** 63n)));
  add('greatest long', ids.long, long(2n ** 63n - 1n));
  add('2^53', ids.long, long(2n ** 53n));
  add('nothing behind the frame', ids.long);
  add('300,000 records in each other', ids.nest, Buffer.alloc(300_000, 2), END);
  add('4 million records that never end', ids.nest, Buffer.alloc(4_000_000, 2));
  const entry = Buffer.concat([long(1n), long(9n), Buffer.from('__proto__')]);
  add('__proto__ as a text', ids.map, entry, long(3n), Buffer.from('yes'), END);
  const inner = Buffer.concat([long(1n), long(4n), Buffer.from('role')]);
  add('__proto__ as a map', ids.mapOfMaps, entry, inner, long(5n), Buffer.from('admin'), END, END);
  for (const byte of [0x00, 0x01, 0x02, 0x7f, 0x80, 0xff]) {
    add(`7.9 MiB of ${byte} as an event`, auditId, Buffer.alloc(LARGE_BYTES, byte));
  }
  return values;
}

/** The datum of an event up to its parameter count, and behind the count. */
function aroundParameters(auditId: number): { before: Buffer; after: Buffer } {
  const action = { serviceName: 's', actionName: 'a', requestParams: { marker: 'marker' } };
  const datum = eventDatum({ scope: auditId, number: 1, action });
  const at = datum.indexOf('\x0cmarker\x0cmarker') - 1;
  return { before: datum.subarray(0, at), after: datum.subarray(at + 1) };
}

/** A part again and again, up to a size. */
function fill(part: string, bytes = LARGE_BYTES): string {
  return part.repeat(Math.floor(bytes / part.length));
}

function withParams(json: string): string {
  return `{"serviceName":"jobs","actionName":"create","timestamp":1767225600123,"requestParams":${json}}`;
}

/** Texts that are slow to read, or to judge where they are events after all, by name. */
export function hostileTexts(): Map<string, Buffer> {
  const numbered = (count: number, one: (number: number) => string): string =>
    Array.from({ length: count }, (_, number) => one(number)).join();
  const texts: Record<string, string> = {
    'lists that never close': fill('['),
    'lists in each other': '['.repeat(2_000_000) + ']'.repeat(2_000_000),
    'a nest in a parameter': withParams(`{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`),
    numbers: `[${fill('1,')}1]`,
    'exact numbers': withParams(`{"a":[${'1.50,'.repeat(49_000)}1]}`),
    keys: withParams(`{${numbered(240_000, (n) => `"k${n}":"${n}"`)}}`),
    '9,000 small events in an envelope': `{"records":[${numbered(9_000, (n) => withParams(`{"n":${n}}`))}]}`,
    '9,000 empty records': `{"records":[${'{},'.repeat(9_000)}{}]}`,
    'a long text': withParams(`{"path":"${fill('x')}","target":"${fill('y', 1000)}"}`),
    'a long user agent': `{"userAgent":"${fill('a')}",${withParams('{}').slice(1)}`,
    'a text of escapes': withParams(`{"a":"${fill('\\u00e9')}"}`),
    'a text that almost matches': withParams(`{"commandText":"${fill('base64 -d | ba')}"}`),
    'eight million digits': withParams(`{"a":${fill('9')}}`),
    'not UTF-16': 'ÿþ{"serviceName":"x"}',
    'half a surrogate': withParams('{"a":"\\ud800"}'),
    nothing: '',
    'a word': 'true',
  };
  return new Map(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text)]));
}

/** A valid event above every limit but Kafka's. */
export function hugeEvent(choice: EventChoice, bytes: number): Buffer {
  return Buffer.from(eventJson({ ...choice, padding: bytes }));
}

/** One good value broken in one to four places. Never the value itself. */
export function mutated(value: Buffer, random: Random): Buffer {
  let bytes: Buffer = Buffer.from(value);
  const rounds = random.integer(1, 4);
  for (let round = 0; round < rounds || bytes.equals(value); round++) {
    bytes = mutatedOnce(bytes, random);
  }
  return bytes;
}

function mutatedOnce(bytes: Buffer, random: Random): Buffer {
  if (bytes.length === 0) return Buffer.from([random.integer(0, 255)]);
  const at = random.integer(0, bytes.length - 1);
  const size = Math.min(random.integer(1, 16), bytes.length - at);
  const copy = Buffer.from(bytes);
  switch (random.integer(0, 7)) {
    case 0:
      copy[at]! ^= 1 << random.integer(0, 7);
      return copy;
    case 1:
      copy[at] = random.pick([0, 1, 2, 0x7f, 0x80, 0xff, 0x22, 0x5c, 0x7b]);
      return copy;
    case 2:
      return copy.subarray(0, at);
    case 3:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(at + size)]);
    case 4:
      return Buffer.concat([copy.subarray(0, at + size), copy.subarray(at)]);
    case 5:
      return Buffer.concat([copy, copy.subarray(at, at + size)]);
    case 6:
      return Buffer.concat([
        copy.subarray(0, at),
        long(2n ** BigInt(random.integer(1, 62))),
        copy.subarray(at + 1),
      ]);
    default:
      copy.fill(random.integer(0, 255), at, at + size);
      return copy;
  }
}
