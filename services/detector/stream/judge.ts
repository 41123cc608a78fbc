/**
 * What correlation over Kafka asks of the rules: something that judges the matches of a partition, and
 * what is in force. `judges.ts` makes both of an engine, tests of less.
 */
import type { Effect, Match, StateChange } from '../correlate/types.ts';
import type { RuleHeader } from '../sigma/rule.ts';

/** What judges the matches of one partition. */
export interface Judge {
  /** Takes a match of a rule in force in. `nowMs`: when it was written to the matches topic. */
  fold(match: Match, nowMs: number): void;
  /** Event time has come so far; the effects since they were last taken. */
  advance(watermarkMs: number, nowMs?: number): Effect[];
  /** The effects since they were last taken: of each alert its newest state. */
  takeEffects(): Effect[];
  /** Groups that changed since the last call, as they are now. */
  takeChanges(): StateChange[];
  /** Takes a group's state back; false where no rule in force has any use for it. */
  restore(key: string, state: Buffer): boolean;
  /** Key of the group that a match belongs to. */
  keyOf(match: Match): string;
  /** Groups that are open. */
  readonly groups: number;
}

/** The stateful rules in force. */
export interface Judges {
  /** Another text for another set of stateful rules. */
  readonly version: string;
  /** Fingerprint of each rule's meaning, by rule id. */
  readonly plans: ReadonlyMap<string, string>;
  ruleOf(ruleId: string): RuleHeader | null;
  open(): Judge;
}
