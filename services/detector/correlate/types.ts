/**
 * What goes into correlation and what comes out of it. Pure data: the same types serve the live
 * detector (where matches come over Kafka), `scan`, and the tests.
 */

/** One event that one detection rule matched, on its way to one stateful rule. */
export interface Match {
  /** Id of the stateful rule it is for: the one that alerts, the root of a chain. */
  ruleId: string;
  /** Id of the detection rule that matched. */
  leafId: string;
  /** Values of the root's group-by fields, in its order. */
  group: readonly string[];
  /** Values of the plan's `fields`, in its order; null where the event has none. */
  values: readonly (string | null)[];
  /** Event time, milliseconds since the epoch. */
  eventTime: number;
  /** Identity of the event: duplicates of it count once. */
  eventId: string;
  /** Where the record is. `scan` gives the file as topic and the line as offset. */
  topic: string;
  partition: number;
  offset: bigint;
  /** What an alert shows of the event, as JSON (`alert.ts`); opaque here. */
  context: string;
  /** How grave the event is by its own rule: a place in `LEVELS`. Absent where the rule has one level. */
  rank?: number;
}

export interface EvidenceRef {
  topic: string;
  partition: number;
  offset: bigint;
  eventId: string;
}

/** An alert of a stateful rule, raised or brought up to date: the id stays, the revision grows. */
export interface StatefulAlert {
  /** Depends on rule id, group, period and, where the kind has one, the value: nothing else (D1). */
  id: string;
  ruleId: string;
  /** Group-by names and values, in order. */
  group: ReadonlyArray<readonly [name: string, value: string]>;
  /** Start of the suppression period the id is of, epoch ms. */
  periodMs: number;
  /** Event time of the earliest and the latest event counted, epoch ms. */
  first: number;
  last: number;
  count: number;
  /** True where more events were counted than identities are kept for. */
  countIsLowerBound: boolean;
  /** In order of event time; at most `EVIDENCE_MAX`, the first and the newest. */
  evidence: readonly EvidenceRef[];
  /** What was found, in words and figures: `7 events within 1 h, the limit is 5`. */
  reason: string;
  /** Context of the event that decided. */
  context: string;
  /** The highest `rank` of what was counted, so that nothing later lowers an alert; absent if none. */
  rank?: number;
  /** Grows with every change of this alert; a higher one replaces a lower one. */
  revision: number;
}

export const EVIDENCE_MAX = 100;
/** Of an event that says nothing of how grave it is. */
export const NO_RANK = -1;

export type Effect =
  | { kind: 'alert'; alert: StatefulAlert }
  /** Came after what it should have been judged with was forgotten or closed. */
  | { kind: 'late'; match: Match; behindMs: number }
  /** A limit of the group or of the process forbids to keep it. */
  | { kind: 'refused'; match: Match; reason: RefusalReason };

/**
 * `group_entries`: the group holds as much as one may. `groups`: there are as many groups as there
 * may be. `time`: the event's time is no whole number of milliseconds that a calendar has.
 */
export type RefusalReason = 'group_entries' | 'groups' | 'time';

/** State of one group, to be kept under its key; null where nothing is left to keep. */
export interface StateChange {
  key: string;
  state: Buffer | null;
}
