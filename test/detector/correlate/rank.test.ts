/**
 * How grave an alert of a stateful rule is: as the gravest event that it counts, of every kind, in
 * any order, over a restart; and what is read of state that was written before there were ranks.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { Correlator } from '../../../services/detector/correlate/correlator.ts';
import { DEFAULT_LIMITS } from '../../../services/detector/correlate/limits.ts';
import { PlanIndex } from '../../../services/detector/correlate/matches.ts';
import { markOf, STATE_VERSION } from '../../../services/detector/correlate/state-codec.ts';
import type { Effect, StatefulAlert } from '../../../services/detector/correlate/types.ts';
import type { StatefulKind } from '../../../services/detector/sigma/rule.ts';
import { aggregate, ruleSet, type StatefulParts, stateful } from '../made.ts';
import { matchesOf, plansOf } from './delivery.ts';

const LIMITS = { ...DEFAULT_LIMITS, latenessMs: 1_000 };
const BASELINE: StatefulKind = {
  ...{ kind: 'baseline', measure: 'event_count', fields: [], periodMs: 100, historyMs: 400 },
  ...{ excludeMs: 0, periodsMin: 1, method: 'zscore', factor: 1, floor: 3, spreadMin: 0 },
  coldStart: 3,
};

interface Told {
  time: number;
  rank?: number;
  fields?: Record<string, string>;
  hits?: string[];
}

interface Case {
  kind: StatefulKind;
  parts?: StatefulParts;
  events: Told[];
  /** Of the alert in the end. */
  rank: number;
}

const CASES: Record<string, Case> = {
  'a sum': {
    kind: aggregate('value_sum', { gte: 20 }, ['size']),
    parts: { timespanMs: 100 },
    events: [3, 1, 0, 2].map((rank, n) => ({ time: 10 + n, rank, fields: { size: '7' } })),
    rank: 3,
  },
  'a window that is judged at its end': {
    kind: aggregate('event_count', { lt: 1_000 }),
    parts: { timespanMs: 500 },
    events: Array.from({ length: 400 }, (_, n) => ({ time: n, rank: n === 100 ? 4 : 1 })),
    rank: 4,
  },
  'a baseline': {
    kind: { ...BASELINE, coldStart: 90 },
    parts: { timespanMs: 400, suppressMs: 100 },
    events: Array.from({ length: 96 }, (_, n) => ({ time: n, rank: n === 60 ? 4 : 1 })),
    rank: 4,
  },
  'a value seen again': {
    kind: { kind: 'first_seen', fields: ['size'], learnMs: 0 },
    parts: { timespanMs: 100 },
    events: [1, 0, 3, 2].map((rank, n) => ({ time: 10 + n, rank, fields: { size: 'x' } })),
    rank: 3,
  },
  travel: {
    kind: { kind: 'travel', speedKmh: 1, distanceKmMin: 1 },
    parts: { timespanMs: 100 },
    events: [3, 1].map((rank, n) => ({
      ...{ time: 10 + n, rank },
      fields: { 'lakeseal.source.latitude': `${10 * n}`, 'lakeseal.source.longitude': '0' },
    })),
    rank: 3,
  },
  'an absence': {
    kind: { kind: 'absence', followedBy: 'b' },
    parts: { timespanMs: 20, suppressMs: 100 },
    events: [
      { time: 10, rank: 2 },
      { time: 12, rank: 3 },
      { time: 40, rank: 1 },
      { time: 41, rank: 4, hits: ['b'] },
      { time: 90, rank: 0 },
    ],
    rank: 3,
  },
  'a silence': {
    kind: { kind: 'silence' },
    parts: { timespanMs: 20, suppressMs: 100 },
    events: [
      { time: 10, rank: 2 },
      { time: 40, rank: 1 },
    ],
    rank: 2,
  },
  'an expression that waits': {
    kind: {
      ...{ kind: 'temporal_expression', ordered: true },
      expression: {
        kind: 'and',
        terms: [
          { kind: 'rule', rule: 'a' },
          { kind: 'rule', rule: 'b' },
        ],
      },
    },
    parts: { rules: ['a', 'b'], timespanMs: 20 },
    events: [
      { time: 10, rank: 0 },
      { time: 12, rank: 3, hits: ['b'] },
    ],
    rank: 3,
  },
  'a count': {
    kind: aggregate('event_count', { gte: 3 }),
    parts: { timespanMs: 100 },
    events: [3, 1, 0, 2].map((rank, n) => ({ time: 10 + n, rank })),
    rank: 3,
  },
};

function opened({ kind, parts }: Case) {
  const set = ruleSet(['a', 'b'], [stateful(kind, { groupBy: ['user'], ...parts })]);
  const plans = plansOf(set);
  return { plans, index: new PlanIndex(plans), correlator: new Correlator(plans, LIMITS) };
}

const newest = (effects: readonly Effect[]): StatefulAlert[] =>
  effects.flatMap((effect) => (effect.kind === 'alert' ? [effect.alert] : []));

function fold(index: PlanIndex, to: Correlator, told: readonly Told[], from: number): Effect[] {
  const effects: Effect[] = [];
  for (const [n, { time, rank, fields, hits = ['a'] }] of told.entries()) {
    const event = { id: `e${from + n}`, time, hits, fields: { user: 'ann', ...fields } };
    const ranked = rank === undefined ? event : { ...event, rank };
    for (const match of matchesOf(index, ranked, from + n)) to.fold(match);
    effects.push(...to.advance(time));
  }
  return effects;
}
describe('an alert is as grave as the gravest event it counts', () => {
  for (const [name, one] of Object.entries(CASES)) {
    test(`of ${name}, wherever its state is taken up again`, () => {
      const { plans, index } = opened(one);
      for (let cut = 0; cut < one.events.length; cut += Math.ceil(one.events.length / 7)) {
        const first = new Correlator(plans, LIMITS);
        const alerts = newest(fold(index, first, one.events.slice(0, cut), 0));
        const second = new Correlator(plans, LIMITS);
        for (const { key, state } of first.takeChanges()) {
          assert.equal(state![0], STATE_VERSION);
          second.restore(key, state!);
        }
        alerts.push(...newest(fold(index, second, one.events.slice(cut), cut)));
        alerts.push(...newest(second.advance(10_000)));
        assert.equal(alerts.at(-1)!.rank, one.rank, `cut at ${cut}`);
      }
    });
  }
});

/** Groups as layout 1 wrote them after so many events of a case: base64url, without the head. */
const LAYOUT_1: Record<string, [folded: number, group: string]> = {
  'a sum': [
    3,
    'AQAAAAAAAChAAQAAAAAAAChAAAABAAMUBAACZTAABWF1ZGl0AAAAAAAAAAAcQAIEAAJlMQECAQAAAAAAABxAAgQAAmUyAQQCAAAAAAAAHEABAAAUBAMAAwACZTABAAAAAmUxAQIBAAJlMgEEAgADDnsiZXZlbnQiOiJlMiJ9PXRoZSBzdW0gb2Ygc2l6ZSBpcyAyMSwgYXNrZWQgZm9yIGlzIGF0IGxlYXN0IDIwIHdpdGhpbiAxMDAgbXMDFMuMp9PPproDAojV4LTzrM4OApv76OmyybgH',
  ],
  'a window that is judged at its end': [
    2,
    'AQAAAAAAAPA_AQAAAAAAAPA_AAABAAEAAgAAAAAAAAAAAgJlMAJlMQAAAgAAAAJlMAAFYXVkaXQAAAIAAAJlMQECAQABAhgAAmUxAQIBAA57ImV2ZW50IjoiZTEifQACAMuMp9PPproDAojV4LTzrM4O',
  ],
  'a baseline': [
    2,
    'AQAAAAAAAPA_AQAAAAAAAPA_AAABAAEAAgAAAgAAAAJlMAAFYXVkaXQAAAIAAAJlMQECAQACAMuMp9PPproDAojV4LTzrM4O',
  ],
  'a value seen again': [
    2,
    'AQAAAAAAACZAAQAAAAAAACZAAAABABQBAAAAAAAAJkABBVsieCJdAgEAAQVbIngiXRQCAgACAAJlMAAFYXVkaXQAAAACZTEBAgEAAg57ImV2ZW50IjoiZTEifSNzaXplIHggZm9yIHRoZSBmaXJzdCB0aW1lIGluIDEwMCBtcwIUy4yn08-mugMCiNXgtPOszg4',
  ],
  'a count': [3, 'AAAAAxQAAAJlMAAFYXVkaXQAAAIAAAJlMQECAQIAAAJlMgEEAgEAGLABxAEEAwMAAA'],
};

describe('state of layout 1', () => {
  for (const [name, [folded, group]] of Object.entries(LAYOUT_1)) {
    test(`of ${name} goes on as if nothing had happened`, () => {
      const one = CASES[name]!;
      const { plans, index, correlator } = opened(one);
      const last = (to: Correlator, from: number): StatefulAlert => {
        const effects = fold(index, to, one.events.slice(from), from);
        return newest([...effects, ...to.advance(10_000)]).at(-1)!;
      };
      const mark = markOf(plans[0]!);
      const state = Buffer.concat([Buffer.from([1, 0, 0, 0, 0]), mark, bytesOf(group)]);
      state.writeUInt32LE(crc32(state.subarray(5)), 1);
      assert.ok(correlator.restore('rule\n["ann"]', state));
      const { rank: _, ...whole } = last(new Correlator(plans, LIMITS), 0);
      const { rank, ...found } = last(correlator, folded);
      assert.deepEqual(found, whole);
      // It says nothing of those before.
      assert.equal(rank, Math.max(...one.events.slice(folded).map((event) => event.rank ?? -1)));
    });
  }
});

function bytesOf(base64: string): Buffer {
  return Buffer.from(base64, 'base64url');
}
