/**
 * Which alerts rules that changed owe, by what is on the topics: each match tells the meaning of the
 * rule that it was made for, and the alerts of a meaning are those of its matches and of nothing else.
 * One that others have replaced is judged up to some place of each partition, of which it is known only
 * where it lies at least.
 */
import assert from 'node:assert/strict';
import { alertId } from '../../services/detector/alert/alert.ts';
import { Correlator } from '../../services/detector/correlate/correlator.ts';
import { DEFAULT_LIMITS } from '../../services/detector/correlate/limits.ts';
import type { Plan } from '../../services/detector/correlate/plan.ts';
import type { Match } from '../../services/detector/correlate/types.ts';
import { NO_PLACES } from '../../services/detector/fields/place.ts';
import { loadRules } from '../../services/detector/sigma/rules.ts';
import { Engine } from '../../services/detector/stream/engine.ts';
import { decodeStreamRecord } from '../../services/detector/stream/records.ts';
import { DECODE_LIMITS, decodeRecord } from '../../services/ingest/decode.ts';
import type { AuditEvent } from '../../services/ingest/event.ts';
import { type DumpedRecord, readTopic } from './kafka.ts';
import type { Scene } from './scene.ts';
import { LATENESS_MS } from './stream.ts';

/** Offsets by partition. */
export type Offsets = ReadonlyMap<number, bigint>;

/** How far everything was when a stage began to be rolled out, and when all detectors had it. */
export interface Fence {
  /** Events that were judged by the rules of before, for sure. */
  judged: Offsets;
  /** Matches that were folded by the rules of before, for sure. */
  folded: Offsets;
  /** Events that were not there yet when all had the new rules. */
  ends: Offsets;
}

export function engineOf(folder: string): Engine {
  const loaded = loadRules({ layers: [folder], lists: [], nowMs: Date.now(), tests: false });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  return new Engine(loaded.set, NO_PLACES);
}

interface FoundMatch {
  match: Match;
  /** Where it lies on the matches topic. */
  partition: number;
  offset: bigint;
}

/** All matches of the scene, by rule and meaning, in their order on each partition. */
export async function readMatches(scene: Scene): Promise<Map<string, Map<string, FoundMatch[]>>> {
  const found = new Map<string, Map<string, FoundMatch[]>>();
  await readTopic(scene.stack.brokers, scene.matchesTopic, ({ partition, offset, value }) => {
    const read = decodeStreamRecord(value);
    assert.notEqual(read.kind, 'unreadable');
    for (const { plan, match } of read.kind === 'matches' ? read.matches : []) {
      const plans = found.get(match.ruleId) ?? new Map<string, FoundMatch[]>();
      found.set(match.ruleId, plans);
      const list = plans.get(plan) ?? [];
      plans.set(plan, list);
      list.push({ match, partition, offset });
    }
  });
  return found;
}

function alertIdsOf(plan: Plan, matches: readonly FoundMatch[]): Set<string> {
  const correlator = new Correlator([plan], { ...DEFAULT_LIMITS, latenessMs: LATENESS_MS });
  for (const { match } of matches) correlator.fold(match);
  const newest = matches.reduce((time, { match }) => Math.max(time, match.eventTime), 0);
  const effects = correlator.advance(newest + 86_400_000);
  return new Set(
    effects.map((effect) => (effect.kind === 'alert' ? effect.alert.id : effect.kind)),
  );
}

/** Alerts that the matches give, each group's broken off at any place. */
function alertIdsOfBeginnings(plan: Plan, matches: readonly FoundMatch[]): Set<string> {
  const ids = new Set<string>();
  const groups = new Map<string, FoundMatch[]>();
  for (const found of matches) {
    const key = JSON.stringify(found.match.group);
    groups.set(key, [...(groups.get(key) ?? []), found]);
  }
  for (const group of groups.values()) {
    for (let end = 1; end <= group.length; end += 1) {
      for (const id of alertIdsOf(plan, group.slice(0, end))) ids.add(id);
    }
  }
  return ids;
}

/** What must be there, and what may. */
export interface Owed {
  must: Set<string>;
  may: Set<string>;
}

/** Of one stateful rule: `stages` are its meanings, stage by stage; null where it is not in force. */
export function owedOf(
  stages: ReadonlyArray<Plan | null>,
  matches: ReadonlyMap<string, readonly FoundMatch[]>,
  fences: readonly Fence[],
): Owed {
  const owed: Owed = { must: new Set(), may: new Set() };
  for (const [stage, plan] of stages.entries()) {
    const next = stages[stage + 1];
    if (plan === null || next?.fingerprint === plan.fingerprint) continue;
    const own = matches.get(plan.fingerprint) ?? [];
    const isLast = next === undefined;
    const sure = isLast
      ? own
      : own.filter(
          ({ partition, offset }) => offset < (fences[stage]!.folded.get(partition) ?? 0n),
        );
    // What is judged in order may not have been judged yet at that place.
    if (isLast || plan.mode === 'eager') for (const id of alertIdsOf(plan, sure)) owed.must.add(id);
    const ids = isLast ? alertIdsOf(plan, own) : alertIdsOfBeginnings(plan, own);
    for (const id of ids) owed.may.add(id);
  }
  return owed;
}

/** Of one rule of single events: by the stage in which each record was judged, or may have been. */
export function owedOfSingle(
  ruleId: string,
  engines: readonly Engine[],
  records: readonly DumpedRecord[],
  fences: readonly Fence[],
): Owed {
  const owed: Owed = { must: new Set(), may: new Set() };
  for (const record of records) {
    const stages = stagesOf(record, fences);
    for (const event of eventsOf(record)) {
      const fires = stages.map((stage) =>
        engines[stage]!.matcher.match(event).some(({ id }) => id === ruleId),
      );
      const id = alertId(ruleId, event.eventId);
      if (fires.every(Boolean)) owed.must.add(id);
      if (fires.some(Boolean)) owed.may.add(id);
    }
  }
  return owed;
}

function stagesOf({ partition, offset }: DumpedRecord, fences: readonly Fence[]): number[] {
  const first = fences.filter(({ ends }) => offset >= (ends.get(partition) ?? 0n)).length;
  const open = fences.findIndex(({ judged }) => offset < (judged.get(partition) ?? 0n));
  const last = open < 0 ? fences.length : open;
  return Array.from({ length: last - first + 1 }, (_, n) => first + n);
}

function eventsOf({ value }: DumpedRecord): AuditEvent[] {
  const none = () => assert.fail('the events of this test have no schema');
  const decoded = decodeRecord(value, none, DECODE_LIMITS);
  assert.ok(decoded.ok);
  return decoded.events;
}
