/** What the collector encodes, `decodeRecord` gives back, under every version of the schema. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  auditEventSchema,
  auditEventType,
  encodeAuditEvent,
  frame,
} from '../../schemas/audit-event.ts';
import { type AvroType, parseAvroSchema } from '../../schemas/avro.ts';
import { decodeJson, decodeRecord } from '../../services/ingest/decode.ts';
import type { AuditEvent } from '../../services/ingest/event.ts';
import { auditEvents } from '../schemas/audit-events.ts';

interface Field {
  name: string;
  type: unknown;
  default?: unknown;
}
const fields = auditEventSchema.fields as Field[];

/** A version of the schema with other fields. */
function versionOf(change: (fields: Field[]) => Field[]): AvroType {
  return parseAvroSchema({ ...auditEventSchema, fields: change(structuredClone(fields)) });
}

function decoded(type: AvroType, datum: Buffer): AuditEvent | string {
  const result = decodeRecord(frame(9, datum), (id) => (id === 9 ? type : 'unknown'));
  if (!result.ok) return result.reason;
  assert.deepEqual([result.events.length, result.refused.length], [1, 0]);
  return result.events[0]!;
}

describe('a framed event', () => {
  it('is the event that was encoded', () => {
    fc.assert(
      fc.property(auditEvents, (event) => {
        assert.deepEqual(decoded(auditEventType, encodeAuditEvent(event)), event);
      }),
      { numRuns: 1_000 },
    );
  });

  it('is the event that was encoded, for everything that was ever decoded', () => {
    const folder = new URL('../vectors/', import.meta.url);
    let count = 0;
    for (const file of readdirSync(folder).filter((name) => /^[a-z-]+\.ndjson$/.test(name))) {
      for (const line of readFileSync(new URL(file, folder), 'utf8').split('\n')) {
        const result = decodeJson(line);
        if (!result.ok) continue;
        for (const event of result.events) {
          assert.deepEqual(decoded(auditEventType, encodeAuditEvent(event)), event);
          count++;
        }
      }
    }
    assert.ok(count >= 30, `${count} events`);
  });

  it('does not keep the bytes it came in', () => {
    const [event] = fc.sample(auditEvents, { seed: 3, numRuns: 1 });
    const value = frame(9, encodeAuditEvent(event!));
    const result = decodeRecord(value, () => auditEventType);
    value.fill(0xff);
    assert.ok(result.ok);
    assert.deepEqual(result.events[0], event);
  });
});

describe('other versions of the schema', () => {
  const sample = fc.sample(auditEvents, { seed: 5, numRuns: 200 });

  it('with the same fields and another spelling are the same', () => {
    const type = parseAvroSchema(JSON.parse(JSON.stringify(auditEventSchema)));
    for (const event of sample) assert.deepEqual(decoded(type, encodeAuditEvent(event)), event);
  });

  it('that lack what has a default give the default', () => {
    const missing = new Set(['extra', 'decodeErrors', 'sourcePort', 'resourceId', 'response']);
    const type = versionOf((all) => all.filter((field) => !missing.has(field.name)));
    for (const event of sample) {
      const read = decoded(type, type.toBuffer(event));
      const expected = { ...event, extra: Object.create(null), decodeErrors: [] };
      assert.deepEqual(read, { ...expected, sourcePort: null, resourceId: null, response: null });
    }
  });

  it('that know more are read without it', () => {
    const type = versionOf((all) => [
      { name: 'before', type: { type: 'map', values: 'long' } },
      ...all.slice(0, 10),
      { name: 'between', type: ['null', { type: 'array', items: 'string' }], default: null },
      ...all.slice(10),
      { name: 'behind', type: 'double' },
    ]);
    for (const event of sample) {
      const datum = type.toBuffer({ ...event, before: { a: 1 }, between: ['x'], behind: 0.5 });
      assert.deepEqual(decoded(type, datum), event);
      assert.equal(decoded(type, Buffer.concat([datum, Buffer.from([0])])), 'bad_avro');
      assert.equal(decoded(type, datum.subarray(0, -1)), 'bad_avro');
    }
  });

  it('in another order of fields are read by name', () => {
    const type = versionOf((all) => all.reverse());
    for (const event of sample) assert.deepEqual(decoded(type, type.toBuffer(event)), event);
  });

  it('with a time that no event has are refused, whatever the number', () => {
    const type = versionOf((all) => [...all, { name: 'more', type: 'int', default: 0 }]);
    for (const time of [0, -1, 2 ** 52, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
      const datum = type.toBuffer({ ...sample[0]!, eventTime: time, more: 1 });
      assert.equal(decoded(type, datum), 'no_time');
    }
  });

  it('that lack what every event has are no audit events', () => {
    for (const name of ['raw', 'serviceName', 'eventTime', 'actor']) {
      const type = versionOf((all) => all.filter((field) => field.name !== name));
      assert.equal(decoded(type, type.toBuffer(sample[0]!)), 'wrong_schema', name);
    }
  });

  it('of another name or kind are no audit events', () => {
    const renamed = parseAvroSchema({ ...auditEventSchema, name: 'Other' });
    const elsewhere = parseAvroSchema({ ...auditEventSchema, namespace: 'elsewhere' });
    const list = parseAvroSchema({ type: 'array', items: auditEventSchema });
    for (const type of [renamed, elsewhere, list, parseAvroSchema('bytes')]) {
      assert.equal(decoded(type, Buffer.alloc(10)), 'wrong_schema');
    }
  });
});
