/**
 * Promise I1 for the decoder: whatever the bytes, it returns a reason or events, in less than a
 * second, and never throws. Time is that of the processor, so that neighbours do not count. Fixed seed: a run can be repeated.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { auditEventType, encodeAuditEvent, frame } from '../../schemas/audit-event.ts';
import { parseAvroSchema } from '../../schemas/avro.ts';
import { longBytes } from '../../schemas/varint.ts';
import { type Decoded, decodeJson, decodeRecord } from '../../services/ingest/decode.ts';

const TIME_MS_MAX = 1_000;
/** On a machine so busy that even the processor's own time grows: as often the bare parsing. */
const PARSINGS_MAX = 4;
const MIB = 1024 * 1024;
const SCHEMA_ID = 7;

const lookUp = () => auditEventType;
let slowestMs = 0;

/** Decodes, and fails where that throws, takes too long or gives neither events nor a reason. */
function decode(value: Buffer | null, type = lookUp): Decoded {
  const before = process.threadCpuUsage();
  const decoded = decodeRecord(value, type);
  const { user, system } = process.threadCpuUsage(before);
  const ms = (user + system) / 1_000;
  slowestMs = Math.max(slowestMs, ms);
  const allowedMs = ms < TIME_MS_MAX ? TIME_MS_MAX : Math.max(TIME_MS_MAX, parsingMs(value));
  assert.ok(ms < allowedMs, `took ${Math.round(ms)} of ${Math.round(allowedMs)} ms`);
  if (decoded.ok) assert.ok(decoded.events.length > 0);
  else assert.match(decoded.reason, /^[a-z_0-9]+$/);
  return decoded;
}

/** What so many bare parsings of the bytes take now; 0 where they are no JSON. */
function parsingMs(value: Buffer | null): number {
  const before = process.threadCpuUsage();
  try {
    JSON.parse(String(value));
  } catch {
    return 0;
  }
  const { user, system } = process.threadCpuUsage(before);
  return (PARSINGS_MAX * (user + system)) / 1_000;
}

function reason(value: Buffer | string | null): string {
  const decoded = decode(typeof value === 'string' ? Buffer.from(value) : value);
  return decoded.ok ? 'ok' : decoded.reason;
}

/** An event whose parameters are the given JSON. */
function withParams(json: string): string {
  return `{"serviceName":"jobs","actionName":"create","timestamp":1767225600123,"requestParams":${json}}`;
}

/** A part again and again, up to a size. */
function fill(part: string, bytes = 7.9 * MIB): string {
  return part.repeat(Math.floor(bytes / part.length));
}

describe('values that are no event', () => {
  const cases: [string, Buffer | string | null, string][] = [
    ['a tombstone', null, 'tombstone'],
    ['nothing', '', 'not_json'],
    ['white space', ' \r\n\t', 'not_json'],
    ['a word', 'null', 'no_event'],
    ['a number', '12', 'no_event'],
    ['a text', '"text"', 'no_event'],
    ['an empty object', '{}', 'no_event'],
    ['an empty list', '[]', 'no_event'],
    ['an empty envelope', '{"records":[]}', 'no_event'],
    ['a list of lists', '[[1,2],[3,4]]', 'no_event'],
    ['an envelope of words', '{"records":[null,1,"a"]}', 'no_event'],
    ['half an event', '{"serviceName":"jobs",', 'not_json'],
    ['no action', '{"serviceName":"jobs","timestamp":1767225600123}', 'no_action'],
    ['an empty action', '{"serviceName":"jobs","actionName":"","timestamp":1}', 'no_action'],
    ['no time', '{"serviceName":"jobs","actionName":"create"}', 'no_time'],
    ['time zero', '{"serviceName":"jobs","actionName":"create","timestamp":0}', 'no_time'],
    ['a time far off', '{"serviceName":"a","actionName":"b","timestamp":1e300}', 'no_time'],
    ['a magic byte alone', Buffer.from([0]), 'bad_avro'],
    ['a cut frame', Buffer.from([0, 0, 0, 0]), 'bad_avro'],
    ['a negative schema id', Buffer.from([0, 0xff, 0, 0, 1, 2]), 'bad_avro'],
    ['a frame around nothing', Buffer.from([0, 0, 0, 0, 7]), 'bad_avro'],
    ['bytes that are no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 'not_utf8'],
    ['half a character', Buffer.from('{"a":"é').subarray(0, -1), 'not_utf8'],
    ['UTF-16', Buffer.from('{"serviceName":"a"}', 'utf16le'), 'not_json'],
    ['20 MB', Buffer.alloc(20_000_000, 0x20), 'oversized'],
    ['20 MB of framed Avro', Buffer.alloc(20_000_000), 'oversized'],
  ];
  for (const [name, value, expected] of cases) {
    it(`${name}: ${expected}`, () => assert.equal(reason(value), expected));
  }

  it('say how many bytes are too many, for text as for bytes', () => {
    const limits = { bytesMax: 10, eventsMax: 1 };
    assert.deepEqual(decodeJson('"éééééé"', limits), {
      ok: false,
      reason: 'oversized',
      detail: '14 bytes, the limit is 10',
    });
    const fits = decodeJson('"éé"', limits);
    assert.equal(fits.ok ? '' : fits.reason, 'no_event');
  });

  it('are refused past the limit of events', () => {
    const event = withParams('{}');
    const limits = { bytesMax: MIB, eventsMax: 2 };
    assert.ok(decodeJson(`[${event},${event}]`, limits).ok);
    const decoded = decodeJson(`[${event},${event},${event}]`, limits);
    assert.equal(decoded.ok ? '' : decoded.reason, 'too_many_events');
  });

  it('say what is wrong with the schema', () => {
    const value = frame(SCHEMA_ID, Buffer.alloc(4));
    const other = parseAvroSchema({ type: 'record', name: 'Other', fields: [] });
    const cases = [
      [() => 'unknown' as const, 'unknown_schema'],
      [() => 'unavailable' as const, 'schema_unavailable'],
      [() => undefined, 'schema_not_loaded'],
      [() => other, 'wrong_schema'],
      [() => parseAvroSchema('string'), 'wrong_schema'],
      [lookUp, 'bad_avro'],
    ] as const;
    for (const [type, expected] of cases) {
      const decoded = decodeRecord(value, type);
      assert.equal(decoded.ok ? 'ok' : decoded.reason, expected);
    }
  });
});

/** An event with 30 unknown keys that no other number has. */
function differentKeys(number: number): string {
  const keys = Array.from({ length: 30 }, (_, index) => `"k${number}_${index}":1`).join();
  return `{${keys},${withParams('{}').slice(1)}`;
}

describe('texts made to be slow', () => {
  const deepList = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  const cases: [string, () => string, string][] = [
    ['4 million lists in each other', () => deepList(4 * MIB - 100), 'too_deep'],
    ['lists that never close', () => fill('['), 'too_deep'],
    ['objects in each other', () => fill('{"a":'), 'too_deep'],
    ['a nest below the size of a scan', () => deepList(30_000), 'no_event'],
    ['a nest in a parameter', () => withParams(`{"a":${deepList(30_000)}}`), 'too_deep'],
    ['a deep nest in a parameter', () => withParams(`{"a":${deepList(2 * MIB)}}`), 'too_deep'],
    [
      'a nest in an unknown field',
      () => `{"x":${deepList(20_000)},${withParams('{}').slice(1)}`,
      'too_deep',
    ],
    ['a nest beside a number', () => withParams(`{"n":1.50,"a":${deepList(30_000)}}`), 'too_deep'],
    ['a nest in text', () => withParams(JSON.stringify(`{"a":${deepList(30_000)}}`)), 'ok'],
    ['numbers', () => `[${fill('1,')}1]`, 'too_many_values'],
    ['numbers in a parameter', () => withParams(`{"a":[${fill('1.50,')}1]}`), 'too_many_values'],
    ['exact numbers', () => withParams(`{"a":[${'1.50,'.repeat(49_000)}1]}`), 'ok'],
    [
      'too many exact numbers',
      () => withParams(`{"a":[${'1.50,'.repeat(240_000)}1]}`),
      'too_many_values',
    ],
    [
      'keys',
      () => withParams(`{${Array.from({ length: 240_000 }, (_, n) => `"k${n}":"${n}"`).join()}}`),
      'ok',
    ],
    [
      'integer keys',
      () => withParams(`{${Array.from({ length: 240_000 }, (_, n) => `"${n * 7919}":1`).join()}}`),
      'ok',
    ],
    [
      'unknown keys',
      () =>
        `{${Array.from({ length: 240_000 }, (_, n) => `"k${n}":1`).join()},${withParams('{}').slice(1)}`,
      'ok',
    ],
    [
      'records whose keys are all different',
      () => `[${Array.from({ length: 6_500 }, (_, n) => differentKeys(n)).join()}]`,
      'ok',
    ],
    ['empty records', () => `{"records":[${'{},'.repeat(10_000)}{}]}`, 'too_many_events'],
    ['small records', () => `{"records":[${'{},'.repeat(9_000)}{}]}`, 'no_event'],
    ['records as lists', () => `{"records":[${'[],'.repeat(9_000)}[]]}`, 'no_event'],
    ['one long text', () => withParams(`{"a":"${fill('x')}"}`), 'ok'],
    ['one long text of escapes', () => withParams(`{"a":"${fill('\\u00e9')}"}`), 'ok'],
    ['backslashes', () => withParams(`{"a":"${fill('\\\\')}"}`), 'ok'],
    ['a number of 8 million digits', () => withParams(`{"a":${fill('9')}}`), 'ok'],
    [
      'a text of digits after a number',
      () => withParams(`{"n":1,"a":"${fill(':123456789012345678')}"}`),
      'ok',
    ],
    ['white space after a number', () => withParams(`{"n":1,"a":${fill(' ')}1}`), 'ok'],
    ['colons and spaces', () => withParams(`{"n":1,"a":"${fill(':                ')}"}`), 'ok'],
    [
      'a long time',
      () => `{"serviceName":"a","actionName":"b","timestamp":"${fill('1')}"}`,
      'no_time',
    ],
    [
      'a long address',
      () => `{"sourceIPAddress":"${fill('1.')}",${withParams('{}').slice(1)}`,
      'ok',
    ],
    [
      'a long status',
      () => `{"response":{"statusCode":"${fill('1')}"},${withParams('{}').slice(1)}`,
      'ok',
    ],
    [
      'text in text',
      () => withParams(JSON.stringify(`{"a":${JSON.stringify(fill('"', MIB))}}`)),
      'ok',
    ],
    ['broken text in a field', () => withParams(JSON.stringify(fill('[', 3 * MIB))), 'ok'],
  ];
  for (const [name, make, expected] of cases) {
    it(`${name}: ${expected}`, () => {
      const text = Buffer.from(make());
      assert.equal(reason(text), expected);
    });
  }

  it('name the field that is too much, and keep judging the event', () => {
    const keys = Array.from({ length: 10_001 }, (_, n) => `"k${n}":"v"`).join();
    const decoded = decode(Buffer.from(withParams(`{${keys}}`)));
    assert.ok(decoded.ok);
    const [event] = decoded.events;
    assert.deepEqual(event?.decodeErrors, ['requestParams: more than 10000 keys']);
    assert.equal(event?.requestParamsTruncated, true);
    assert.equal(Object.keys(event?.requestParams ?? {}).length, 10_000);
  });
});

describe('Avro made to be slow', () => {
  const event = decodeJson(withParams('{"key":"value"}'));
  assert.ok(event.ok);
  const datum = encodeAuditEvent(event.events[0]!);
  /** The place of the map count: behind it come the 4 bytes of `key` and its length. */
  const mapAt = datum.indexOf('\u0006key') - 1;

  it('has a map count that is a lie', () => {
    assert.equal(datum[mapAt], 2);
    for (const power of [20, 28, 30, 31, 40, 52, 62]) {
      const lie = longBytes(2n ** BigInt(power));
      const parts = [datum.subarray(0, mapAt), lie, datum.subarray(mapAt + 1)];
      assert.equal(reason(frame(SCHEMA_ID, Buffer.concat(parts))), 'bad_avro');
      assert.equal(reason(frame(SCHEMA_ID, Buffer.concat(parts.slice(0, 2)))), 'bad_avro');
    }
  });

  it('has bytes behind its end', () => {
    assert.equal(reason(frame(SCHEMA_ID, datum)), 'ok');
    assert.equal(reason(Buffer.concat([frame(SCHEMA_ID, datum), Buffer.from([0])])), 'bad_avro');
    assert.equal(reason(frame(SCHEMA_ID, Buffer.concat([datum, datum]))), 'bad_avro');
  });

  it('is 8 MiB of anything', () => {
    for (const byte of [0, 1, 2, 3, 0x7f, 0x80, 0xff]) {
      assert.equal(reason(frame(SCHEMA_ID, Buffer.alloc(8 * MIB - 5, byte))), 'bad_avro');
    }
  });

  it('hides a bomb in a field that only the writer knows', () => {
    const fields = auditEventType.schema({ exportAttrs: true }) as unknown as { fields: object[] };
    const bombs = [
      { type: 'array', items: 'null' },
      { type: 'array', items: { type: 'array', items: 'null' } },
      { type: 'map', values: 'null' },
    ];
    for (const bomb of bombs) {
      const schema = { ...fields, fields: [...fields.fields, { name: 'bomb', type: bomb }] };
      const type = parseAvroSchema(schema);
      for (const power of [24, 31, 40]) {
        const tail = Buffer.concat([longBytes(2n ** BigInt(power)), Buffer.alloc(100)]);
        const value = frame(SCHEMA_ID, Buffer.concat([datum, tail]));
        const decoded = decode(value, () => type);
        assert.equal(decoded.ok ? 'ok' : decoded.reason, 'bad_avro');
      }
      const decoded = decode(
        frame(SCHEMA_ID, Buffer.concat([datum, Buffer.from([0])])),
        () => type,
      );
      assert.deepEqual(decoded, event);
    }
  });

  it('holds values that no event has', () => {
    const [good] = event.events;
    const cases = [
      [{ ...good!, shape: 'other' }, 'unknown_word'],
      [{ ...good!, outcome: 'maybe' }, 'unknown_word'],
      [{ ...good!, eventIdSource: '' }, 'unknown_word'],
      [{ ...good!, actor: { ...good!.actor, type: 'root' } }, 'unknown_word'],
      [{ ...good!, serviceName: '' }, 'no_action'],
      [{ ...good!, eventTime: 0 }, 'no_time'],
      [{ ...good!, eventTime: -5 }, 'no_time'],
      [{ ...good!, eventTime: 2 ** 51 }, 'no_time'],
    ] as const;
    for (const [bad, expected] of cases) {
      assert.equal(reason(frame(SCHEMA_ID, encodeAuditEvent(bad))), expected);
    }
  });
});

const MUTATIONS = 10_000;
const SEED = 0x5ea1;

/** Mulberry32: small, and the same everywhere. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Every vector, as JSON and, where it decodes, as framed Avro. */
function vectors(): Buffer[] {
  const folder = new URL('../vectors/', import.meta.url);
  const values: Buffer[] = [];
  for (const name of readdirSync(folder).filter((file) => /^[a-z-]+\.ndjson$/.test(file))) {
    for (const line of readFileSync(new URL(name, folder), 'utf8').split('\n')) {
      if (line === '') continue;
      values.push(Buffer.from(line));
      const decoded = decodeJson(line);
      if (!decoded.ok) continue;
      for (const event of decoded.events) values.push(frame(SCHEMA_ID, encodeAuditEvent(event)));
    }
  }
  return values;
}

/** Bytes that mean something to one of the two readers. */
const TELLING = Buffer.concat([
  Buffer.from('"\\{}[]:,0-9eE.tfn \u0000'),
  Buffer.from([0x01, 0x02, 0x7f, 0x80, 0xff, 0xfe, 0xc3, 0xed]),
]);

function mutated(value: Buffer, random: () => number): Buffer {
  let bytes = Buffer.from(value);
  const times = 1 + Math.floor(random() * 4);
  for (let time = 0; time < times; time++) {
    const at = Math.floor(random() * bytes.length);
    const kind = Math.floor(random() * 5);
    if (kind === 0 && bytes.length > 0) bytes[at] = bytes[at]! ^ (1 << Math.floor(random() * 8));
    else if (kind === 1) bytes = bytes.subarray(0, at);
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    else {
      const size = 1 + Math.floor(random() * 6);
      const extra = Buffer.from(
        Array.from({ length: size }, () => TELLING[Math.floor(random() * TELLING.length)]!),
      );
      const rest = kind === 3 ? at : Math.min(bytes.length, at + size);
      bytes = Buffer.concat([bytes.subarray(0, at), extra, bytes.subarray(rest)]);
    }
  }
  return bytes;
}

describe('mutated records', () => {
  it(`of which ${MUTATIONS} all get an answer within a second`, (context) => {
    const random = randomOf(SEED);
    const originals = vectors();
    assert.ok(originals.length > 50);
    const answers = new Map<string, number>();
    for (let count = 0; count < MUTATIONS; count++) {
      const value = mutated(originals[count % originals.length]!, random);
      const answer = reason(value);
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
    for (const answer of ['ok', 'bad_avro', 'not_json', 'not_utf8']) {
      assert.ok((answers.get(answer) ?? 0) > 100, `${answer}: ${answers.get(answer)}`);
    }
    context.diagnostic(`answers: ${JSON.stringify(Object.fromEntries(answers))}`);
    context.diagnostic(`slowest of all values: ${slowestMs.toFixed(1)} ms`);
  });
});
