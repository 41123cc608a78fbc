import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AuditEventDatum, auditEventType, unframe } from '../../schemas/audit-event.ts';
import { type BuildContext, buildLine, recordKey } from '../../services/collector/build.ts';
import { decodeJson } from '../../services/ingest/decode.ts';

const CONTEXT: BuildContext = { schemaId: 7, lineBytesMax: 1_000_000, recordBytesMax: 100_000 };

const EVENT = {
  version: '2.0',
  timestamp: 1759795200000,
  orgId: 1234567890123456,
  workspaceId: '1234567890123456',
  accountId: '11111111-2222-3333-4444-555555555555',
  userIdentity: { email: 'ana@example.com', subjectName: null },
  serviceName: 'accounts',
  actionName: 'login',
  requestParams: { user: 'ana@example.com' },
  response: { statusCode: 200 },
};

function build(text: string | Buffer, context = CONTEXT) {
  const line = { number: 3, bytes: Buffer.from(text), oversizedBytes: null };
  return buildLine(line, 'a.json', context);
}

function datumOf(value: Buffer): AuditEventDatum {
  const framed = unframe(value);
  assert.ok(framed);
  assert.equal(framed.schemaId, 7);
  return auditEventType.fromBuffer(framed.datum) as AuditEventDatum;
}

test('an event becomes one framed record with its key', () => {
  const text = JSON.stringify(EVENT);
  const { records, letters } = build(text);
  assert.equal(letters.length, 0);
  assert.equal(records.length, 1);
  const [record] = records;
  assert.equal(record!.key?.toString(), '1234567890123456');
  const datum = datumOf(record!.value);
  assert.equal(datum.raw, text, 'what was written, byte for byte');
  const decoded = decodeJson(text);
  assert.ok(decoded.ok);
  assert.deepEqual(
    JSON.parse(JSON.stringify(datum)),
    JSON.parse(JSON.stringify(decoded.events[0])),
  );
});

test('the key is the workspace, else the account, else the resource, else none', () => {
  const none = { workspaceId: null, accountId: null, resourceId: null };
  assert.equal(recordKey({ workspaceId: '5', accountId: 'a', resourceId: 'r' }), '5');
  assert.equal(recordKey({ ...none, workspaceId: '0', accountId: 'a' }), 'a');
  assert.equal(recordKey({ ...none, workspaceId: '', accountId: 'a' }), 'a');
  assert.equal(recordKey({ ...none, accountId: '', resourceId: '/SUB/1' }), '/SUB/1');
  assert.equal(recordKey(none), null);
});

test('a line of several events gives several records, and a letter for each that is none', () => {
  const azure = {
    time: '2025-05-20T18:02:06Z',
    resourceId: '/SUBSCRIPTIONS/1',
    category: 'accounts',
    properties: { serviceName: 'accounts', actionName: 'login', logId: 'l1' },
  };
  const nameless = { ...azure, time: 'never' };
  const { records, letters } = build(JSON.stringify({ records: [azure, nameless, azure] }));
  assert.equal(records.length, 2);
  assert.equal(letters.length, 1);
  assert.deepEqual(JSON.parse(letters[0]!.bytes.toString()), nameless);
  assert.equal(letters[0]!.reason, 'no_time');
  assert.match(letters[0]!.detail, /^event 2 of the line: /);
});

test('blank lines are nothing', () => {
  for (const text of ['', ' ', '\t \t'])
    assert.deepEqual(build(text), { records: [], letters: [] });
});

test('a line that cannot be read becomes a letter with its own bytes', () => {
  const cases: Array<[Buffer, string]> = [
    [Buffer.from('{"half":'), 'not_json'],
    [Buffer.from('plain text'), 'not_json'],
    [Buffer.from('[]'), 'no_event'],
    [Buffer.from('{"a":1}'), 'no_event'],
    [Buffer.from('{"a":"\0"}'), 'not_json'],
    [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 'not_utf8'],
    [Buffer.alloc(16), 'not_json'],
  ];
  for (const [bytes, reason] of cases) {
    const { records, letters } = build(bytes);
    assert.equal(records.length, 0);
    assert.equal(letters[0]?.reason, reason, bytes.toString('latin1'));
    assert.deepEqual(letters[0]?.bytes, bytes);
    assert.deepEqual([letters[0]?.source, letters[0]?.line], ['a.json', 3]);
  }
});

test('a letter keeps no slice of the chunk it came in', () => {
  const chunk = Buffer.from('not json');
  const { letters } = buildLine({ number: 1, bytes: chunk, oversizedBytes: null }, 'a', CONTEXT);
  chunk.fill(0x78);
  assert.equal(letters[0]!.bytes.toString(), 'not json');
});

test('a line over the limit becomes a letter with its first part and its true length', () => {
  const line = { number: 9, bytes: Buffer.from('{"first'), oversizedBytes: 20_000_000 };
  const { letters } = buildLine(line, 'a.json', CONTEXT);
  assert.equal(letters[0]!.reason, 'line_too_long');
  assert.match(letters[0]!.detail, /20000000 bytes/);
  assert.equal(letters[0]!.bytes.toString(), '{"first');
});

test('an event that makes a record over the topic limit becomes a letter with its JSON', () => {
  const text = JSON.stringify({ ...EVENT, requestParams: { commandText: 'x'.repeat(60_000) } });
  const { records, letters } = build(text);
  assert.equal(records.length, 0);
  assert.equal(letters[0]?.reason, 'record_too_large');
  assert.equal(letters[0]?.bytes.toString(), text);
  assert.equal(build(text, { ...CONTEXT, recordBytesMax: 200_000 }).records.length, 1);
});

test('the limit on a line holds for the decoder too', () => {
  const text = JSON.stringify({ ...EVENT, requestParams: { commandText: 'x'.repeat(9_000_000) } });
  const wide = { ...CONTEXT, lineBytesMax: 10_000_000, recordBytesMax: 100_000_000 };
  assert.equal(build(text, wide).records.length, 1);
});
