/**
 * Matching alone: `node test/bench/match.ts [EVENTS] [ROUNDS]`. Events of a company day are decoded
 * before the clock starts; what is timed is `Matcher.match` with 50, 500 and 5,000 made-up rules,
 * which take turns. Prints JSON: nanoseconds for each event, and how much slower the largest set is
 * than the smallest.
 */
import { Matcher } from '../../services/detector/match/match.ts';
import { parseRuleFile } from '../../services/detector/sigma/rule-file.ts';
import { decodeJson } from '../../services/ingest/decode.ts';
import type { AuditEvent } from '../../services/ingest/event.ts';
import { companyDay } from '../company/day.ts';
import { madeRules } from './made-rules.ts';
import { ratio, takeTurns, type Work } from './rounds.ts';

const EVENTS = Number(process.argv[2] ?? 20_000);
const ROUNDS = Number(process.argv[3] ?? 15);
const SIZES = [50, 500, 5_000] as const;

const day = companyDay({ seed: 1, events: EVENTS, days: 1, workspaces: 5, benign: false });
const events: AuditEvent[] = [];
for (const { line } of day.lines()) {
  const decoded = decodeJson(line);
  if (decoded.ok) events.push(...decoded.events);
}

let hits = 0;
const works = Object.fromEntries(
  SIZES.map((size) => {
    const rules = madeRules(size).flatMap(
      (rule) => parseRuleFile('made-up.yml', JSON.stringify(rule)).rules,
    );
    const matcher = new Matcher(rules);
    const work: Work = (from, to) => {
      for (let at = from; at < to; at += 1) hits += matcher.match(events[at]!).length;
    };
    return [`${size} rules`, work];
  }),
);
const times = takeTurns(works, events.length, ROUNDS);
process.stdout.write(
  `${JSON.stringify({
    bench: 'match',
    node: process.version,
    events: events.length,
    hits,
    nsPerEvent: times,
    slowdown: ratio(times['5000 rules']! / times['50 rules']!),
  })}\n`,
);
