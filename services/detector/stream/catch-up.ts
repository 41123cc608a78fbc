/**
 * Groups of which only an older state is left, because a process that was not the owner any more
 * wrote it last. That state is true as of its offset: it is a function of the matches before it. So
 * the matches from there on are folded into it, by themselves, and the group is where it should be.
 *
 * Event time begins anew in this, since nobody knows how far it was: what was late for the group
 * within these matches may be counted now. Where the first of them are gone from the topic, the group
 * counts from below, and the caller is told.
 */
import type { KafkaRecord } from '../../ingest/record.ts';
import type { Effect, StateChange } from '../correlate/types.ts';
import type { Judge, Judges } from './judge.ts';
import type { LogBounds } from './log-reader.ts';
import { decodeStreamRecord } from './records.ts';
import type { Behind } from './restore.ts';
import { Watermark } from './watermark.ts';

export interface CatchUpParts {
  judges: Judges;
  behind: readonly Behind[];
  /** Offset of the matches topic up to which all other groups are folded. */
  upTo: bigint;
  /** What the matches topic still holds. */
  held: LogBounds;
  /** Reads the matches topic, the first offset included and the second not. */
  read: (from: bigint, to: bigint, take: (records: KafkaRecord[]) => void) => Promise<void>;
}

export interface CaughtUp {
  /** Each of the groups, as it is up to `upTo`; without those that no rule in force knows. */
  groups: StateChange[];
  /** Alerts that changed: of the ids and revisions that they had. What was late was told in its time. */
  alerts: Effect[];
  /** Groups that lack matches, because the topic does not hold them any more. */
  incomplete: number;
}

export async function catchUp(parts: CatchUpParts): Promise<CaughtUp> {
  const { judges, upTo, held } = parts;
  const judge = judges.open();
  const behind = parts.behind.filter(
    ({ group, state }) => state === null || judge.restore(group, state),
  );
  const folded = new Map(behind.map((one) => [one.group, one.folded]));
  const watermark = new Watermark();
  const alerts: Effect[] = [];
  const keep = (effects: Effect[]): void => {
    for (const effect of effects) if (effect.kind === 'alert') alerts.push(effect);
  };
  const from = behind.reduce((least, one) => (one.folded < least ? one.folded : least), upTo);
  await parts.read(from < held.start ? held.start : from, upTo, (records) => {
    for (const record of records) keep(foldInto(judge, judges, watermark, folded, record));
  });
  keep(judge.takeEffects());
  const changed = new Map(judge.takeChanges().map((change) => [change.key, change]));
  return {
    groups: behind.map(({ group, state }) => changed.get(group) ?? { key: group, state }),
    alerts,
    incomplete: behind.filter((one) => one.folded < held.start).length,
  };
}

/** Folds of one record what belongs to the groups and is not in them. */
function foldInto(
  judge: Judge,
  judges: Judges,
  watermark: Watermark,
  folded: ReadonlyMap<string, bigint>,
  { offset, timestamp, value }: KafkaRecord,
): Effect[] {
  const nowMs = Number(timestamp);
  const read = decodeStreamRecord(value);
  if (read.kind === 'progress') {
    const before = judge.takeEffects();
    if (!watermark.note(read.progress)) return before;
    return [...before, ...judge.advance(watermark.value!, nowMs)];
  }
  if (read.kind === 'unreadable') return [];
  for (const { plan, match } of read.matches) {
    if (judges.plans.get(match.ruleId) !== plan) continue;
    const before = folded.get(judge.keyOf(match));
    if (before !== undefined && offset >= before) judge.fold(match, nowMs);
  }
  return [];
}
