/**
 * A company's week, small: what the generator promises, and every told attack found by the shipped
 * rules. `week.full.test.ts` counts the noise of a million events.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openEnrichment } from '../../services/detector/enrich/enrichment.ts';
import { decodeJson } from '../../services/ingest/decode.ts';
import type { DayLine } from './day.ts';
import { NETWORKS, writeGeography } from './week/geography.ts';
import { companyRules } from './week/rules.ts';
import { countAt, foundTable, judgeWeek, noiseOf, noiseTable } from './week/verdict.ts';
import { companyWeek, WEEK_EVENTS_MIN, type WeekOptions } from './week/week.ts';

const DAY_MS = 86_400_000;
/** Files come up to a quarter of an hour after their events. */
const LATE_MS_MAX = 15 * 60_000;
const OPTIONS: WeekOptions = { seed: 5, events: WEEK_EVENTS_MIN };

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'lakeseal-week-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe('the week', () => {
  const week = companyWeek(OPTIONS);
  let lines: DayLine[];
  before(() => {
    lines = [...week.lines()];
  });
  const distinct = (): DayLine[] => lines.filter(({ repeat }) => repeat !== true);

  test('is the same for the same options, and another for another seed', () => {
    const digest = (options: WeekOptions): string => {
      const hash = createHash('sha256');
      for (const { line } of companyWeek({ ...options, leadInDays: 0 }).lines()) hash.update(line);
      return hash.digest('hex');
    };
    const first = digest(OPTIONS);
    assert.equal(digest({ ...OPTIONS }), first);
    assert.notEqual(digest({ ...OPTIONS, seed: 6 }), first);
  });

  test('has exactly so many events as asked for, in seven days, after two thinner weeks', () => {
    const inWeek = distinct().filter(({ atMs }) => atMs >= week.weekMs);
    assert.equal(inWeek.length, OPTIONS.events);
    assert.equal(week.startMs, week.weekMs - 14 * DAY_MS);
    // Sunday evening in Portland is Monday in UTC.
    const untilMs = week.weekMs + 7.5 * DAY_MS;
    assert.ok(lines.every(({ atMs }) => atMs >= week.startMs && atMs < untilMs));
    for (let day = -14; day < 7; day += 1) {
      const fromMs = week.weekMs + day * DAY_MS;
      const here = distinct().filter(({ atMs }) => atMs >= fromMs && atMs < fromMs + DAY_MS);
      assert.ok(here.length > 2_000, `day ${day}: ${here.length}`);
    }
  });

  test('decodes, each event with an id of its own', () => {
    const ids = new Set<string>();
    for (const { line, atMs, workspaceId } of distinct()) {
      const decoded = decodeJson(line);
      assert.ok(decoded.ok && decoded.events.length === 1, line.slice(0, 200));
      const [event] = decoded.events;
      assert.equal(event!.eventTime, atMs);
      assert.equal(event!.workspaceId, workspaceId);
      ids.add(event!.eventId);
    }
    assert.equal(ids.size, distinct().length);
  });

  test('arrives out of order between workspaces, late, but never too late', () => {
    let newest = 0;
    let back = 0;
    let latest = 0;
    for (const { atMs } of lines) {
      if (atMs < newest) back += 1;
      latest = Math.max(latest, newest - atMs);
      newest = Math.max(newest, atMs);
    }
    assert.ok(back > lines.length / 10, `${back} of ${lines.length} out of order`);
    assert.ok(latest > LATE_MS_MAX / 2 && latest <= LATE_MS_MAX, `${latest} ms late`);
  });

  test('repeats files now and then', () => {
    const repeats = lines.length - distinct().length;
    assert.ok(repeats > 50 && repeats < lines.length / 50, String(repeats));
    const seen = new Set<string>();
    for (const { line, repeat } of lines) {
      assert.equal(seen.has(line), repeat === true);
      seen.add(line);
    }
  });

  test('knows the place of every public address in it', () => {
    const places = openEnrichment(writeGeography(folder));
    const unknown = new Set<string>();
    for (const { line } of distinct()) {
      const address = /"sourceIPAddress":"([^"]+)"/.exec(line)?.[1]?.replace(/:0$/, '');
      const inside = address === undefined || /^(?:10\.|0\.0\.0\.0)/.test(address);
      if (inside) continue;
      const place = places.place(address);
      if (place === null || place.asn === null || place.latitude === null) unknown.add(address);
    }
    assert.deepEqual([...unknown], []);
    assert.ok(NETWORKS.length > 20);
  });

  test('loses nothing of the attacks, and all of a silenced workspace', () => {
    const told = new Map<string, number>();
    for (const { told: name } of distinct()) if (name) told.set(name, (told.get(name) ?? 0) + 1);
    for (const { behaviour, events } of week.told) {
      assert.equal(told.get(behaviour) ?? 0, events, behaviour);
    }
    assert.equal(new Set(week.told.map(({ behaviour }) => behaviour)).size, week.told.length);
    const [silence] = week.told.flatMap(({ quiet }) => (quiet === null ? [] : [quiet]));
    const { workspaceId, fromMs, untilMs } = silence!;
    const there = distinct().filter((line) => line.workspaceId === workspaceId);
    assert.ok(there.every(({ atMs }) => atMs < fromMs || atMs >= untilMs));
    assert.ok(there.some(({ atMs }) => atMs >= untilMs));
  });

  test('without attacks tells of none', () => {
    const benign = companyWeek({ ...OPTIONS, leadInDays: 0, benign: true });
    assert.deepEqual(benign.told, []);
    for (const { told } of benign.lines()) assert.equal(told, undefined);
  });

  test('of too few events, or from another day than Monday, is refused', () => {
    assert.throws(() => companyWeek({ seed: 1, events: 50_000 }), RangeError);
    assert.throws(() => companyWeek({ ...OPTIONS, firstDay: '2026-11-24' }), RangeError);
    assert.throws(() => companyWeek({ ...OPTIONS, firstDay: 'soon' }), RangeError);
  });
});

test('every told attack is found by a rule that should, and little else that is high', () => {
  const week = companyWeek({ seed: 2, events: WEEK_EVENTS_MIN });
  const places = openEnrichment(writeGeography(folder));
  const verdict = judgeWeek(week, companyRules(week.weekMs), places);
  const missed = verdict.missed.map(({ behaviour }) => behaviour);
  if (missed.length > 0) console.log(foundTable(week, verdict));
  assert.deepEqual(missed, []);
  assert.equal(verdict.refused, 0);
  const high = countAt(noiseOf(verdict), ['high', 'critical']);
  if (high > 2) console.log(noiseTable(verdict));
  assert.ok(high <= 2, `${high} alerts of level high or above outside the attacks`);
});
