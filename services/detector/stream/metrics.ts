/** Metrics of rules over many events. Labels are partitions, rules and closed sets of words. */
import { Counter, Gauge, type Registry } from 'prom-client';

export type MatchOutcome =
  | 'judged'
  /** It is in the state that was read back already. */
  | 'folded'
  /** The same event, judged in its time: a detector died between its matches and its commit. */
  | 'repeated'
  /** Made for a rule, or a meaning of it, that is not in force here any more. */
  | 'outdated'
  /** … that did not come into force here while it was waited for: dead-lettered. */
  | 'unknown_rule'
  | 'unreadable';

export interface CorrelationMetrics {
  matches(outcome: MatchOutcome): void;
  late(): void;
  refused(reason: string): void;
  raised(ruleId: string): void;
  /** Groups whose state was overwritten by one who was not the owner, by what became of them. */
  behind(mended: number, incomplete: number): void;
  groups(partition: number, count: number): void;
  /** null before event time is known. */
  watermark(partition: number, ms: number | null): void;
  lag(partition: number, seconds: number): void;
  /** The partition is no longer ours: its series end. */
  revoked(partition: number): void;
}

export function correlationMetrics(registry: Registry): CorrelationMetrics {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `lakeseal_correlation_${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string) =>
    new Gauge({
      name: `lakeseal_correlation_${name}`,
      help,
      labelNames: ['partition'],
      registers,
    });
  const matches = counter(
    'matches_total',
    'Matches of stateful rules by what became of them: judged, folded (in the state already), repeated, outdated (of rules that are not in force any more), unknown_rule (of rules that did not come into force in time: dead-lettered), unreadable.',
    ['outcome'],
  );
  const late = counter('late_total', 'Matches that came too late and were dead-lettered.');
  const refused = counter('refused_total', 'Matches beyond a limit, dead-lettered.', ['reason']);
  const raised = counter('alerts_total', 'Alerts of stateful rules sent, new or updated.', [
    'rule',
  ]);
  const behind = counter(
    'groups_behind_total',
    'Groups whose state a detector overwrote that did not own them any more: mended from the matches, or incomplete because matches are gone from the topic.',
    ['outcome'],
  );
  const groups = gauge('groups', 'Open groups of the partition.');
  const watermark = gauge(
    'watermark_seconds',
    'Event time up to which the partition is judged, as seconds since the epoch.',
  );
  const lag = gauge('lag_seconds', 'Age of the last judged match while newer ones wait, else 0.');
  return {
    matches: (outcome) => matches.inc({ outcome }),
    late: () => late.inc(),
    refused: (reason) => refused.inc({ reason }),
    behind: (mended, incomplete) => {
      if (mended > 0) behind.inc({ outcome: 'mended' }, mended);
      if (incomplete > 0) behind.inc({ outcome: 'incomplete' }, incomplete);
    },
    raised: (rule) => raised.inc({ rule }),
    groups: (partition, count) => groups.set({ partition }, count),
    watermark: (partition, ms) => {
      if (ms !== null) watermark.set({ partition }, ms / 1000);
    },
    lag: (partition, seconds) => lag.set({ partition }, seconds),
    revoked: (partition) => {
      for (const one of [groups, watermark, lag]) one.remove({ partition });
    },
  };
}
