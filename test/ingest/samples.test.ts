/**
 * The published samples that the shapes were learned from. They are not part of this repository:
 * `LAKESEAL_SAMPLES` names a folder with `*.ndjson` in their original shape and
 * `action-names.txt`. Without it nothing here runs, and the run says so.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { auditEventType, encodeAuditEvent, frame } from '../../schemas/audit-event.ts';
import { type Decoded, decodeJson, decodeRecord } from '../../services/ingest/decode.ts';
import type { AuditEvent } from '../../services/ingest/event.ts';

const folder = process.env.LAKESEAL_SAMPLES;
const NOT_RUN = 'LAKESEAL_SAMPLES is not set: the published samples were NOT decoded';
if (folder === undefined) process.stderr.write(`samples: ${NOT_RUN}\n`);
const skip = folder === undefined ? NOT_RUN : false;

function read(name: string): string[] {
  assert.ok(folder !== undefined);
  const text = readFileSync(join(folder, name), 'utf8');
  return text.split('\n').filter((line) => line !== '');
}

/** Fragments of documentation: they say what was done and not when. */
const WITHOUT_TIME = /fragment/;

function check(decoded: Decoded): AuditEvent[] {
  assert.ok(decoded.ok, decoded.ok ? '' : `${decoded.reason}: ${decoded.detail}`);
  assert.equal(decoded.refused.length, 0);
  for (const event of decoded.events) {
    assert.deepEqual(event.decodeErrors, []);
    assert.notEqual(event.actor.name, 'unknown');
    const again = decodeRecord(frame(1, encodeAuditEvent(event)), () => auditEventType);
    assert.ok(again.ok);
    assert.deepEqual(again.events, [event]);
    const alone = decodeJson(event.raw);
    assert.ok(alone.ok);
    assert.deepEqual(alone.events, [event]);
  }
  return decoded.events;
}

describe('the published samples', () => {
  it('all decode, without an error in any field', { skip }, () => {
    const files = readdirSync(folder!).filter((file) => file.endsWith('.ndjson'));
    assert.ok(files.length >= 8);
    const shapes = new Set<string>();
    let count = 0;
    for (const file of files) {
      for (const line of read(file)) {
        const decoded = decodeJson(line);
        if (WITHOUT_TIME.test(file)) {
          assert.equal(decoded.ok ? 'ok' : decoded.reason, 'no_time');
          const timed = `{"time":"2026-01-01T00:00:00Z",${line.trim().slice(1)}`;
          assert.ok(decodeJson(timed).ok, file);
          continue;
        }
        for (const event of check(decoded)) {
          shapes.add(event.shape);
          count++;
        }
      }
    }
    assert.deepEqual([...shapes].sort(), [
      'azure_record',
      'delivery',
      'log_analytics',
      'system_table',
    ]);
    assert.ok(count >= 20, `${count} events`);
  });

  it('decode under every action name that was ever seen, in every shape', { skip }, () => {
    const names = read('action-names.txt');
    assert.ok(names.length > 600);
    const time = '2026-01-01T00:00:00Z';
    for (const name of names) {
      const lines = [
        { serviceName: 's', actionName: name, timestamp: time },
        { service_name: 's', action_name: name, event_time: time },
        { properties: { serviceName: 's', actionName: name }, time },
        { ServiceName: 's', ActionName: name, TimeGenerated: time, Type: 'T' },
      ];
      for (const line of lines) {
        const decoded = decodeJson(JSON.stringify(line));
        assert.ok(decoded.ok, name);
        assert.equal(decoded.events[0]?.actionName, name);
      }
    }
  });
});
