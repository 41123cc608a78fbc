/**
 * Every shape, against records written by hand and the events they stand for.
 *
 * `test/vectors/NAME.ndjson` holds the inputs, `NAME.expected.ndjson` what each line gives (`raw`
 * left out: it is checked here). After a wanted change, `LAKESEAL_WRITE_VECTORS=1` writes the
 * expectations anew; the difference is then for a person to read.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type Decoded, decodeJson } from '../../services/ingest/decode.ts';
import type { AuditEvent } from '../../services/ingest/event.ts';

const FOLDER = new URL('../vectors/', import.meta.url);
const isWriting = process.env.LAKESEAL_WRITE_VECTORS === '1';

function lines(name: string): string[] {
  const text = readFileSync(new URL(name, FOLDER), 'utf8');
  return text.split('\n').filter((line) => line !== '');
}

function vectorNames(): string[] {
  const files = readdirSync(FOLDER).filter((file) => /^[a-z-]+\.ndjson$/.test(file));
  assert.ok(files.length >= 5);
  return files.map((file) => file.replace('.ndjson', ''));
}

/** What a line gives, as JSON: events without `raw`, and what was refused. */
function outcomeOf(decoded: Decoded): string {
  if (!decoded.ok) return JSON.stringify({ reason: decoded.reason });
  const events = decoded.events.map(({ raw: _raw, ...event }) => event);
  const refused = decoded.refused.map(({ index, reason }) => ({ index, reason }));
  return JSON.stringify(refused.length > 0 ? { events, refused } : { events });
}

function eventsOf(line: string): AuditEvent[] {
  const decoded = decodeJson(line);
  return decoded.ok ? decoded.events : [];
}

function one(line: string): AuditEvent {
  const [event, ...more] = eventsOf(line);
  assert.ok(event !== undefined && more.length === 0);
  return event;
}

const all = vectorNames().flatMap((name) => lines(`${name}.ndjson`));

for (const name of vectorNames()) {
  describe(`vectors of ${name}`, () => {
    const inputs = lines(`${name}.ndjson`);
    const outcomes = inputs.map((line) => outcomeOf(decodeJson(line)));
    if (isWriting)
      writeFileSync(new URL(`${name}.expected.ndjson`, FOLDER), `${outcomes.join('\n')}\n`);
    const expected = lines(`${name}.expected.ndjson`);
    it('are as many as expected', () => assert.equal(expected.length, inputs.length));
    inputs.forEach((_line, index) => {
      it(`line ${index + 1}`, () => {
        assert.deepEqual(JSON.parse(outcomes[index]!), JSON.parse(expected[index]!));
      });
    });
  });
}

describe('raw', () => {
  it('is the text of the record, and gives the same event again', () => {
    for (const line of all) {
      for (const event of eventsOf(line)) {
        assert.ok(line.includes(event.raw));
        assert.deepEqual(one(event.raw), event);
      }
    }
  });

  it('of a lone event is the whole text, without white space and mark around it', () => {
    for (const line of all) {
      const decoded = decodeJson(line);
      if (!decoded.ok || decoded.events.length !== 1 || line.includes('"records"')) continue;
      for (const around of [line, `${line}\r\n`, `\ufeff${line}`, ` \t${line}\n\n`]) {
        assert.equal(one(around).raw, line);
        assert.deepEqual(decodeJson(Buffer.from(around)), decoded);
      }
    }
  });

  it('of an envelope and of a list is each record as it is written there, spaces and all', () => {
    const record = (id: string): string =>
      `{ "time":"2026-01-01T00:00:05Z" ,\n\t"properties" : {"logId":"${id}","serviceName":"a","actionName":"]}," } }`;
    const records = [record('1'), record('{"'.replaceAll('"', '\\"')), record('\\\\')];
    const envelope = `{"records":null, "x":["records", {"records":[1]}] ,"rec\\u006frds" :\n [ ${records.join(' ,\n')} ]\n, "y":1}`;
    for (const text of [envelope, `[\n${records.join('\t,')}\n]`]) {
      assert.deepEqual(
        eventsOf(text).map((event) => event.raw),
        records,
      );
    }
  });

  it('of what is refused beside events is its text too', () => {
    const good = lines('delivery.ndjson')[0]!;
    const decoded = decodeJson(`[${good}, {"a": 1},7 ,${good}]`);
    assert.ok(decoded.ok);
    assert.equal(decoded.events.length, 2);
    assert.deepEqual(
      decoded.refused.map(({ index, reason, raw }) => [index, reason, raw]),
      [
        [1, 'no_event', '{"a": 1}'],
        [2, 'no_event', '7'],
      ],
    );
  });
});

/** The same value with the keys of every object the other way round. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.create(null) as Record<string, unknown>;
  for (const [key, part] of Object.entries(value).reverse()) copy[key] = turned(part);
  return copy;
}

describe('the event id', () => {
  const lone = lines('delivery.ndjson').filter((line) => !/\d\.\d\d|\d{17}/.test(line));

  it('does not depend on white space or the order of keys', () => {
    for (const line of lone) {
      const { eventId } = one(line);
      assert.equal(one(JSON.stringify(turned(JSON.parse(line)))).eventId, eventId);
      assert.equal(one(JSON.stringify(JSON.parse(line), null, 2)).eventId, eventId);
    }
  });

  it('does not depend on what the route adds', () => {
    for (const line of lone) {
      const added = { ...JSON.parse(line), ingestedAt: '2026-01-02T00:00:00Z', file: 's3://a/b' };
      assert.equal(one(JSON.stringify(added)).eventId, one(line).eventId);
    }
  });

  it('differs where the event differs', () => {
    const base = JSON.parse(lines('delivery.ndjson')[0]!);
    const changes = [
      {},
      { timestamp: base.timestamp + 1 },
      { accountId: 'other' },
      { workspaceId: '2' },
      { serviceName: 'jobs' },
      { actionName: 'logout' },
      { requestId: 'r' },
      { sessionId: null },
      { sourceIPAddress: '192.0.2.18' },
      { userIdentity: { email: 'bob@example.com' } },
      { userIdentity: { email: null, subjectName: 'ada@example.com' } },
      { requestParams: { user: 'ada@example.com' } },
      { requestParams: { ...base.requestParams, extra: '' } },
      { requestParams: '{"cut' },
      { requestParams: '{"cut off' },
      { response: null },
      { response: { statusCode: 403 } },
      { response: { statusCode: 200, errorMessage: 'x' } },
      { response: { statusCode: 200, result: 'x' } },
      { response: { statusCode: 'a' } },
      { response: { statusCode: 'b' } },
    ];
    const ids = changes.map((change) => one(JSON.stringify({ ...base, ...change })).eventId);
    assert.equal(new Set(ids).size, changes.length);
  });

  it('is a hash that anyone can compute', () => {
    // printf '[…]' | sha256sum, over the list that the documentation of contentHash describes.
    assert.equal(
      one(lines('delivery.ndjson')[4]!).eventId,
      '2a50a86b9e2448458f9ac4050d46d70a3d1bd1feac3d113ff1f627f791ddf7f0',
    );
  });
});

describe('request parameters', () => {
  it('are a map without prototype, whatever the keys', () => {
    for (const line of all) {
      for (const event of eventsOf(line)) {
        assert.equal(Object.getPrototypeOf(event.requestParams), null);
        assert.equal(Object.getPrototypeOf(event.extra), null);
      }
    }
    const event = one(
      '{"serviceName":"a","actionName":"b","timestamp":1767225600123,"__proto__":{"x":1},"requestParams":{"__proto__":{"admin":true}}}',
    );
    assert.deepEqual(Object.entries(event.requestParams), [['__proto__', '{"admin":true}']]);
    assert.deepEqual(Object.entries(event.extra), [['__proto__', '{"x":1}']]);
  });
});
