/**
 * The matcher, compiled and indexed, against a second evaluator that is neither: same rules, same
 * events, same verdicts. Events are also judged in their Avro bytes, without decoding.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { auditEventType, encodeAuditEvent, frame } from '../../../schemas/audit-event.ts';
import { Matcher } from '../../../services/detector/match/match.ts';
import type { Rule } from '../../../services/detector/sigma/rule.ts';
import { RecordViewer } from '../../../services/ingest/record-view.ts';
import { auditEvent } from '../events.ts';
import { asAuditEvent, detection, event, levels, parsed } from './generators.ts';
import {
  type PlainDetection,
  type PlainEvent,
  plainLevel,
  plainVerdict,
} from './plain-evaluator.ts';

/** What an event must have to be written as Avro; the plain reading knows none of it. */
const VIEWABLE = {
  eventIdSource: 'event_id',
  eventTime: 1,
  shape: 'delivery',
  outcome: 'unknown',
} as const;

/** So many events of each pair teach the index which fields tell most. */
const LESSONS = 300;
/** So often each event is judged in its bytes. */
const PASSES = 40;

describe('compiled and indexed matching', () => {
  it('agrees with a plain reading of every rule, before and after the index has learnt', () => {
    let pairs = 0;
    let hits = 0;
    let run = 0;
    const check = (matcher: Matcher, detections: PlainDetection[], events: PlainEvent[]): void => {
      for (const plain of events) {
        const matched = matcher.match(asAuditEvent(plain)).map(({ title }) => title);
        const expected = detections.flatMap((one, n) =>
          plainVerdict(one, plain) ? [`rule ${n}`] : [],
        );
        assert.deepEqual(matched, expected, JSON.stringify(plain));
        pairs += detections.length;
        hits += matched.length;
      }
    };
    fc.assert(
      fc.property(
        fc.array(detection, { minLength: 1, maxLength: 15 }),
        fc.array(event, { minLength: 1, maxLength: 40, size: 'max' }),
        (detections, events) => {
          const matcher = new Matcher(parsed(detections));
          check(matcher, detections, events);
          run += 1;
          if (run % 5 !== 0) return;
          for (const plain of events) {
            const one = asAuditEvent(plain);
            for (let n = 0; n < LESSONS; n += 1) matcher.match(one);
          }
          check(matcher, detections, events);
        },
      ),
      { numRuns: 300, seed: 20_261_124 },
    );
    assert.ok(pairs > 20_000, `${pairs} pairs`);
    assert.ok(hits > pairs / 20 && hits < pairs * 0.9, `${hits} hits in ${pairs} pairs`);
  });

  it('agrees on levels, and on events judged in their Avro bytes', () => {
    const viewer = new RecordViewer();
    let levelled = 0;
    let viewed = 0;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(detection, levels), { minLength: 1, maxLength: 6 }),
        fc.array(event, { minLength: 1, maxLength: 20, size: 'max' }),
        (ruled, events) => {
          const detections = ruled.map(([one]) => one);
          const matcher = new Matcher(
            parsed(
              detections,
              ruled.map(([, cases]) => cases),
            ),
          );
          const seen: Array<{ bytes: Buffer; found: readonly Rule[] }> = [];
          for (const plain of events) {
            const bare = asAuditEvent(plain);
            const actor = { ...bare.actor, type: 'unknown' as const };
            const one = { ...bare, ...VIEWABLE, actor };
            const found = matcher.match(one);
            for (const rule of found) {
              const n = matcher.rules.indexOf(rule);
              const expected = plainLevel(detections[n]!, ruled[n]![1], plain, 'low');
              assert.equal(matcher.levelOf(rule, asAuditEvent(plain)), expected);
              if (expected !== 'low') levelled += 1;
            }
            seen.push({ bytes: frame(1, encodeAuditEvent(one)), found });
          }
          // What recurs is answered from what is known of it, once the index has learnt.
          for (let pass = 0; pass < PASSES; pass += 1) {
            for (const { bytes, found } of seen) {
              const view = viewer.record(bytes, () => auditEventType);
              assert.ok(view !== null);
              viewed += 1;
              assert.deepEqual(matcher.match(view), found);
            }
          }
        },
      ),
      { numRuns: 100, seed: 20_261_128 },
    );
    assert.ok(levelled > 100 && viewed > 500, JSON.stringify({ levelled, viewed }));
  });

  it('finds the same rules after more pairs of service and action than it remembers', () => {
    const matcher = new Matcher(
      parsed([
        { s: { actionName: 'login' }, condition: 's' },
        { s: { userAgent: 'Moz*' }, condition: 's' },
      ]),
    );
    const count = (actionName: string, serviceName: string): number =>
      matcher.match(auditEvent({ actionName, serviceName })).length;
    for (let n = 0; n < 10_000; n += 1) assert.equal(count(`made up ${n}`, `service ${n % 7}`), 1);
    assert.equal(count('login', 'accounts'), 2);
    assert.equal(count('LOGIN', 'x'.repeat(1_000)), 2);
  });
});
