/** Dead letters of matches: what could not be judged is kept with all that is known of it. Pure. */
import type { DeadLetter } from '../../ingest/dead-letter.ts';
import type { Match } from '../correlate/types.ts';

/** Epoch ms of a record; 0 for a time that is none. */
export function recordTime(timeMs: number): bigint {
  return Number.isSafeInteger(timeMs) ? BigInt(timeMs) : 0n;
}

/** The dead letter of a match that could not be judged: its value is what is known of the event. */
export function letterOf(match: Match, reason: string, detail: string): DeadLetter {
  const { ruleId, leafId, group, values, eventTime, eventId, context } = match;
  const value = JSON.stringify({ ruleId, leafId, group, values, eventTime, eventId, context });
  return {
    source: {
      topic: match.topic,
      partition: match.partition,
      offset: match.offset,
      timestamp: recordTime(eventTime),
      key: null,
      value: Buffer.from(value),
      headers: [{ key: 'lakeseal.rule', value: Buffer.from(ruleId) }],
    },
    reason,
    detail: `rule ${ruleId}: ${detail}`,
  };
}
