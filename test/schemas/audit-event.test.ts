/** The codec of audit events agrees with avsc, byte for byte and value for value. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type AuditEventDatum,
  auditEventSchema,
  auditEventType,
  CONFLUENT_MAGIC,
  encodeAuditEvent,
  FRAME_BYTES,
  frame,
  readAuditEvent,
  unframe,
} from '../../schemas/audit-event.ts';
import { datumValidator } from '../../schemas/avro.ts';
import { longBytes } from '../../schemas/varint.ts';
import { auditEvents } from './audit-events.ts';

const isDatum = datumValidator(auditEventType);

/** avsc gives instances of its own record classes. */
function plain(value: unknown): AuditEventDatum {
  const event = value as AuditEventDatum;
  const { actor, response } = event;
  return { ...event, actor: { ...actor }, response: response === null ? null : { ...response } };
}

const base: AuditEventDatum = fc.sample(auditEvents, { seed: 7, numRuns: 1 })[0]!;

function anEvent(changes: Partial<AuditEventDatum> = {}): AuditEventDatum {
  return { ...base, ...changes };
}

describe('the codec', () => {
  it('writes what avsc writes, reads what it wrote, and avsc reads it too', () => {
    fc.assert(
      fc.property(auditEvents, (event) => {
        const datum = encodeAuditEvent(event);
        assert.deepEqual(datum, auditEventType.toBuffer(event));
        assert.deepEqual(readAuditEvent(datum), event);
        assert.deepEqual(plain(auditEventType.fromBuffer(datum)), event);
        assert.ok(isDatum(datum, 0));
      }),
      { numRuns: 1_000 },
    );
  });

  it('keeps events apart: a buffer given out is never written again', () => {
    const first = encodeAuditEvent(anEvent({ raw: 'first' }));
    const copy = Buffer.from(first);
    encodeAuditEvent(anEvent({ raw: 'x'.repeat(3_000_000) }));
    encodeAuditEvent(anEvent({ raw: 'second' }));
    assert.deepEqual(first, copy);
    assert.equal(readAuditEvent(first)?.raw, 'first');
  });

  it('takes texts on both sides of every size of length, in one and in several bytes', () => {
    for (const size of [0, 1, 23, 24, 25, 31, 32, 63, 64, 65, 8_191, 8_192, 8_193, 1_048_576]) {
      for (const unit of ['a', 'é', '€', '\u{1f600}']) {
        const event = anEvent({ raw: unit.repeat(size), eventId: unit.repeat(Math.min(size, 70)) });
        const datum = encodeAuditEvent(event);
        assert.deepEqual(datum, auditEventType.toBuffer(event), `${unit} ${size}`);
        assert.deepEqual(readAuditEvent(datum), event, `${unit} ${size}`);
      }
    }
  });

  it('writes half a surrogate pair as U+FFFD, as any writer of UTF-8 does', () => {
    for (const raw of ['\ud800', `${'x'.repeat(80)}\udc00`]) {
      const read = readAuditEvent(encodeAuditEvent(anEvent({ raw })));
      assert.equal(read?.raw, raw.replace(/[\ud800-\udfff]/, '\ufffd'));
    }
  });

  it('refuses exactly what is not one datum, whatever byte is changed, cut or added', () => {
    const bytes = fc.tuple(fc.nat(), fc.nat(255));
    let same = 0;
    fc.assert(
      fc.property(auditEvents, fc.array(bytes, { maxLength: 3 }), fc.nat(), (event, flips, cut) => {
        let datum = encodeAuditEvent(event);
        for (const [place, byte] of flips) datum[place % datum.length] = byte;
        if (cut % 4 === 0) datum = datum.subarray(0, cut % datum.length);
        if (cut % 4 === 1) datum = Buffer.concat([datum, Buffer.from([cut % 256])]);
        const read = readAuditEvent(datum);
        if (!isDatum(datum, 0)) {
          assert.equal(read, null);
          return;
        }
        const expected = plain(auditEventType.fromBuffer(datum));
        if (Math.abs(Number(expected.eventTime)) > 2 ** 52) return;
        same++;
        assert.deepEqual(read, expected);
      }),
      { numRuns: 2_000 },
    );
    assert.ok(same > 300, `only ${same} changed data were still data`);
  });

  it('refuses a time that no double holds', () => {
    const event = anEvent({ eventId: '', eventIdSource: '' });
    const rest = encodeAuditEvent({ ...event, eventTime: 0 }).subarray(3);
    for (const time of [2n ** 52n + 1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
      const datum = Buffer.concat([Buffer.from([0, 0]), longBytes(time), rest]);
      assert.ok(isDatum(datum, 0));
      assert.equal(readAuditEvent(datum), null, String(time));
    }
  });

  it('gives the words of other events only where they are the same', () => {
    // Two keys in one slot of the table of words must not be taken for each other.
    for (let index = 0; index < 20_000; index++) {
      const event = anEvent({ requestParams: params(`key${index}`) });
      const [key] = Object.keys(readAuditEvent(encodeAuditEvent(event))!.requestParams);
      assert.equal(key, `key${index}`);
    }
  });
});

function params(key: string): Record<string, string> {
  const map: Record<string, string> = Object.create(null);
  map[key] = 'value';
  return map;
}

describe('the schema', () => {
  it('has a default for every field but those that are always known', () => {
    const fields = auditEventSchema.fields as { name: string; default?: unknown }[];
    const required = fields.filter((field) => !('default' in field)).map((field) => field.name);
    assert.deepEqual(required, [
      'eventId',
      'eventIdSource',
      'eventTime',
      'shape',
      'serviceName',
      'actionName',
      'actor',
      'outcome',
      'raw',
    ]);
  });

  it('is written in the order of the fields of an event', () => {
    const fields = auditEventSchema.fields as { name: string }[];
    assert.deepEqual(
      fields.map((field) => field.name),
      Object.keys(readAuditEvent(encodeAuditEvent(anEvent()))!),
    );
  });
});

describe('the frame', () => {
  it('holds the schema id and the datum', () => {
    const datum = Buffer.from('datum');
    for (const schemaId of [0, 1, 258, 0x7fffffff]) {
      const value = frame(schemaId, datum);
      assert.equal(value[0], CONFLUENT_MAGIC);
      assert.equal(value.readUInt32BE(1), schemaId);
      assert.deepEqual(unframe(value), { schemaId, datum });
    }
  });

  it('takes no id that is none', () => {
    for (const id of [-1, 1.5, 2 ** 31, Number.NaN])
      assert.throws(() => frame(id, Buffer.alloc(0)));
  });

  it('is not seen where there is none', () => {
    const none = ['', '{"a":1}', '\u0000\u0000\u0000\u0000', '\u0001\u0000\u0000\u0000\u0001x'];
    for (const text of none) assert.equal(unframe(Buffer.from(text)), null);
    assert.equal(unframe(Buffer.from([0, 0x80, 0, 0, 0, 1])), null);
    assert.deepEqual(unframe(Buffer.alloc(FRAME_BYTES)), { schemaId: 0, datum: Buffer.alloc(0) });
  });
});
