/** The detector's own metrics. Labels are topics, partitions, rules and closed sets of words. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { TopicPartition } from '../ingest/consume-types.ts';

export interface DetectorMetrics {
  events(count: number): void;
  undecodable(reason: string): void;
  matched(ruleId: string): void;
  alerts(outcome: 'stored' | 'duplicate' | 'rejected' | 'retried', count: number): void;
  unsent(count: number): void;
  /** Matches of stateful rules that were not made, since the last call. */
  dropped(counts: { groupMissing: number; valueMissing: number }): void;
  /** Events whose time is impossible or far ahead: they are judged, but move no event time. */
  timeless(count: number): void;
  rulesLoaded(count: number): void;
  /** Whether the rules on disk, as they were last looked at, are the rules in force. */
  rulesCurrent(current: boolean): void;
  /** How far behind the newest record; 0 at the end of the partition. */
  lag(at: TopicPartition, seconds: number): void;
  /** The partition is no longer ours: its series end. */
  revoked(at: TopicPartition): void;
}

export function detectorMetrics(registry: Registry): DetectorMetrics {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `lakeseal_detector_${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: `lakeseal_detector_${name}`, help, labelNames, registers });

  const events = counter('events_total', 'Events judged.');
  const undecodable = counter('undecodable_total', 'Records or events dead-lettered.', ['reason']);
  const matches = counter('matches_total', 'Times a rule matched an event.', ['rule']);
  const alerts = counter(
    'alerts_total',
    'Alerts by what became of them: stored, duplicate (there already), rejected (dead-lettered), retried (sent again).',
    ['outcome'],
  );
  const unsent = gauge('alerts_unsent', 'Alerts that wait for OpenSearch.');
  const dropped = counter(
    'matches_dropped_total',
    'Matches that stateful rules did not get, because the event lacks what they group or count by.',
    ['reason'],
  );
  const timeless = counter(
    'timeless_events_total',
    'Events judged whose time is impossible or more than a day ahead: they move no event time.',
  );
  const rules = gauge('rules_loaded', 'Rules in force.');
  const current = gauge(
    'rules_current',
    '1 where the rules in force are those on disk, 0 where those on disk did not load.',
  );
  const lag = gauge('lag_seconds', 'Age of the last judged record while newer ones wait, else 0.', [
    'topic',
    'partition',
  ]);
  return {
    events: (count) => events.inc(count),
    undecodable: (reason) => undecodable.inc({ reason }),
    matched: (rule) => matches.inc({ rule }),
    alerts: (outcome, count) => alerts.inc({ outcome }, count),
    unsent: (count) => unsent.set(count),
    dropped: ({ groupMissing, valueMissing }) => {
      if (groupMissing > 0) dropped.inc({ reason: 'group_missing' }, groupMissing);
      if (valueMissing > 0) dropped.inc({ reason: 'value_missing' }, valueMissing);
    },
    timeless: (count) => timeless.inc(count),
    rulesLoaded: (count) => rules.set(count),
    rulesCurrent: (is) => current.set(is ? 1 : 0),
    lag: ({ topic, partition }, seconds) => lag.set({ topic, partition }, seconds),
    revoked: ({ topic, partition }) => lag.remove({ topic, partition }),
  };
}
