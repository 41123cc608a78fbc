/**
 * Weeks of the company and the two before each, judged by the shipped rules and the company's own
 * exceptions: every told attack is found, and few alerts are raised for nothing. One is of a million
 * events; a smaller one has another seed, so that the rules are not tuned to one. It prints what each
 * rule raised for nothing, because that is where tuning begins.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openEnrichment } from '../../services/detector/enrich/enrichment.ts';
import { writeGeography } from './week/geography.ts';
import { companyRules } from './week/rules.ts';
import { countAt, judgeWeek, noiseOf, noiseTable, type WeekVerdict } from './week/verdict.ts';
import { companyWeek } from './week/week.ts';

const WEEKS = [
  { seed: 1, events: 1_000_000 },
  { seed: 2, events: 250_000 },
];
/** Alerts outside the attacks, of so many events one. */
const HIGH_ONE_IN = 100_000;
const MEDIUM_ONE_IN = 10_000;

for (const { seed, events } of WEEKS) {
  describe(`a week of ${events} events, seed ${seed}`, () => {
    let verdict: WeekVerdict;
    before(() => {
      const folder = mkdtempSync(join(tmpdir(), 'lakeseal-week-'));
      after(() => rmSync(folder, { recursive: true, force: true }));
      const week = companyWeek({ seed, events });
      const places = openEnrichment(writeGeography(folder));
      verdict = judgeWeek(week, companyRules(week.weekMs), places);
      console.log(noiseTable(verdict));
    });

    test('every told attack is found by a rule that should', () => {
      assert.ok(verdict.events > events);
      assert.deepEqual(
        verdict.missed.map(({ behaviour }) => behaviour),
        [],
      );
      assert.equal(verdict.refused, 0);
    });

    test('outside the attacks at most one alert of level high or above in 100,000 events', () => {
      const high = countAt(noiseOf(verdict), ['high', 'critical']);
      assert.ok(high <= verdict.events / HIGH_ONE_IN, `${high} in ${verdict.events} events`);
    });

    test('outside the attacks at most one alert of level medium in 10,000 events', () => {
      const medium = countAt(noiseOf(verdict), ['medium']);
      assert.ok(medium <= verdict.events / MEDIUM_ONE_IN, `${medium} in ${verdict.events} events`);
    });
  });
}
