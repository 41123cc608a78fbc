/**
 * The week judged by a rule set, as `lakeseal scan` would judge its files: which told attacks were
 * found and by which rules, and what was raised beside them. An alert belongs to an attack when an
 * event of it is among its evidence, or when it is about the silence that was told.
 */
import { strict as assert } from 'node:assert';
import { basename } from 'node:path';
import Table from 'cli-table3';
import type { PlaceSource } from '../../../services/detector/fields/place.ts';
import { LEVELS, type Level, type RuleSet } from '../../../services/detector/sigma/rule.ts';
import { Judge, JudgedRules } from '../../../services/detector/workbench/judge.ts';
import { decodeJson } from '../../../services/ingest/decode.ts';
import type { ToldWeekAttack } from './attacks.ts';
import type { CompanyWeek } from './week.ts';

export interface WeekAlert {
  ruleId: string;
  /** Name of the rule's file, without ending. */
  rule: string;
  level: Level;
  actor: string;
  /** Group-by values of a stateful rule, as text. */
  group: string;
  firstMs: number;
  reason: string;
  /** Behaviours of the attacks it belongs to; none for noise. */
  told: readonly string[];
}

export interface WeekVerdict {
  /** Distinct events judged. */
  events: number;
  alerts: readonly WeekAlert[];
  refused: number;
  /** Told attacks of which no rule told that should have. */
  missed: readonly ToldWeekAttack[];
}

const TOPIC = 'week';

export function judgeWeek(week: CompanyWeek, set: RuleSet, places: PlaceSource): WeekVerdict {
  const judge = new Judge(new JudgedRules(set, places));
  const told = new Map<bigint, string>();
  const alerts = new Map<string, WeekAlert>();
  let offset = 0n;
  let events = 0;
  for (const { line, told: behaviour, repeat } of week.lines()) {
    const decoded = decodeJson(line);
    assert.ok(decoded.ok && decoded.events.length === 1, 'the generator writes events');
    const event = decoded.events[0]!;
    if (behaviour !== undefined) told.set(offset, behaviour);
    if (repeat !== true) events += 1;
    for (const { id, rule, level } of judge.event(event, { topic: TOPIC, partition: 0, offset })) {
      if (alerts.has(id)) continue;
      alerts.set(id, {
        ruleId: rule.id,
        rule: nameOf(rule.file),
        level,
        actor: event.actor.name,
        group: '',
        firstMs: event.eventTime,
        reason: `${event.serviceName}.${event.actionName}`,
        told: behaviour === undefined ? [] : [behaviour],
      });
    }
    offset += 1n;
  }
  const verdict = judge.end();
  for (const { id, rule, level, actor, alert } of verdict.alerts) {
    const behaviours = new Set<string>();
    for (const { offset: at } of alert.evidence) {
      const behaviour = told.get(at);
      if (behaviour !== undefined) behaviours.add(behaviour);
    }
    if (rule.stateful.kind === 'silence') {
      for (const attack of week.told) {
        if (silenceOf(attack, alert.group, alert.last)) behaviours.add(attack.behaviour);
      }
    }
    alerts.set(id, {
      ruleId: rule.id,
      rule: nameOf(rule.file),
      level,
      actor,
      group: alert.group.map(([, value]) => value).join(' | '),
      firstMs: alert.first,
      reason: alert.reason,
      told: [...behaviours],
    });
  }
  const all = [...alerts.values()];
  return { events, alerts: all, refused: verdict.refused.length, missed: missedOf(week, all) };
}

/** Silence begins with the last event before it, shortly before or after what was told. */
function silenceOf(
  { quiet }: ToldWeekAttack,
  group: ReadonlyArray<readonly [name: string, value: string]>,
  lastMs: number,
): boolean {
  if (quiet === null || !group.some(([, value]) => value === quiet.workspaceId)) return false;
  const marginMs = 2 * 3_600_000;
  return lastMs >= quiet.fromMs - marginMs && lastMs <= quiet.untilMs + marginMs;
}

function missedOf({ told }: CompanyWeek, alerts: readonly WeekAlert[]): ToldWeekAttack[] {
  return told.filter(
    ({ behaviour, rules }) =>
      !alerts.some((alert) => alert.told.includes(behaviour) && rules.includes(alert.rule)),
  );
}

const nameOf = (file: string): string => basename(file).replace(/\.ya?ml$/, '');

/** Alerts outside the attacks. */
export function noiseOf({ alerts }: WeekVerdict): WeekAlert[] {
  return alerts.filter(({ told }) => told.length === 0);
}

export function countAt(alerts: readonly WeekAlert[], levels: readonly Level[]): number {
  return alerts.filter(({ level }) => levels.includes(level)).length;
}

/** Noise per rule, the loudest level first; with the groups that make most of it. */
export function noiseTable(verdict: WeekVerdict): string {
  const rows = new Map<string, { level: Level; rule: string; alerts: WeekAlert[] }>();
  for (const alert of noiseOf(verdict)) {
    const key = `${alert.level}/${alert.ruleId}`;
    const row = rows.get(key);
    if (row === undefined) rows.set(key, { level: alert.level, rule: alert.rule, alerts: [alert] });
    else row.alerts.push(alert);
  }
  const table = new Table({
    head: ['level', 'rule', 'alerts', 'per 100,000', 'an example'],
    colWidths: [null, null, null, null, 90],
    wordWrap: true,
    style: { head: [], border: [], compact: true },
  });
  const sorted = [...rows.values()].sort(
    (left, right) =>
      LEVELS.indexOf(right.level) - LEVELS.indexOf(left.level) ||
      right.alerts.length - left.alerts.length,
  );
  for (const { level, rule, alerts } of sorted) {
    const example = alerts[Math.floor(alerts.length / 2)]!;
    const time = new Date(example.firstMs).toISOString().slice(5, 16);
    const told = `${time} ${example.group || example.actor}: ${example.reason}`;
    const rate = ((alerts.length / verdict.events) * 100_000).toFixed(2);
    table.push([level, rule, alerts.length, rate, told]);
  }
  return table.toString();
}

/** Which rules told of each attack. */
export function foundTable({ told }: CompanyWeek, verdict: WeekVerdict): string {
  const table = new Table({
    head: ['attack', 'expected', 'raised'],
    colWidths: [null, null, 100],
    wordWrap: true,
    style: { head: [], border: [], compact: true },
  });
  for (const { behaviour, rules } of told) {
    const counts = new Map<string, number>();
    for (const { rule, told: of, level } of verdict.alerts) {
      const name = `${rule} (${level})`;
      if (of.includes(behaviour)) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    const raised = [...counts].map(([name, n]) => (n === 1 ? name : `${n} ${name}`)).join(', ');
    const missed = verdict.missed.some((attack) => attack.behaviour === behaviour);
    table.push([behaviour, rules.join(', '), missed ? `MISSED ${raised}` : raised]);
  }
  return table.toString();
}
