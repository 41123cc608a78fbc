/**
 * Judges a company week with the shipped rules and the company's own exceptions, and prints what was
 * found, what was missed and what was raised for nothing.
 *
 *   node test/company/week/judge.ts [--events 1000000] [--seed 1] [--benign]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openEnrichment } from '../../../services/detector/enrich/enrichment.ts';
import { writeGeography } from './geography.ts';
import { companyRules } from './rules.ts';
import { countAt, foundTable, judgeWeek, noiseOf, noiseTable } from './verdict.ts';
import { companyWeek } from './week.ts';

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    benign: { type: 'boolean', default: false },
  },
});

const folder = mkdtempSync(join(tmpdir(), 'lakeseal-week-'));
const started = performance.now();
try {
  const { seed, events, benign } = values;
  const week = companyWeek({ seed: Number(seed), events: Number(events), benign });
  const verdict = judgeWeek(
    week,
    companyRules(week.weekMs),
    openEnrichment(writeGeography(folder)),
  );
  console.log(foundTable(week, verdict));
  console.log(noiseTable(verdict));
  const noise = noiseOf(verdict);
  const rate = (count: number): string => ((count / verdict.events) * 100_000).toFixed(2);
  const high = countAt(noise, ['high', 'critical']);
  const medium = countAt(noise, ['medium']);
  console.log(`${verdict.events} events in ${Math.round(performance.now() - started)} ms`);
  console.log(`told attacks: ${week.told.length}, missed: ${verdict.missed.length}`);
  console.log(`high and critical outside attacks: ${high}, ${rate(high)} per 100,000 (at most 1)`);
  console.log(`medium outside attacks: ${medium}, ${rate(medium)} per 100,000 (at most 10)`);
  console.log(`refused matches: ${verdict.refused}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
