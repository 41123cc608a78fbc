/** What `lakeseal access diff` prints: tables for people, JSON for programs. Pure. */
import type { Op } from '../../schemas/evidence/access-leaf.ts';
import type { Judged } from '../access/approvals.ts';
import type { AccessEvent, Fact, Place } from '../access/change.ts';
import { type Difference, listed, type Verdict } from '../access/diff.ts';
import { isBareId } from '../access/names.ts';
import { EVERYTHING } from '../access/state.ts';
import { counted } from '../runtime/wording.ts';
import type { DiffReport } from './access-diff.ts';
import type { Material } from './access-material.ts';
import { type Cell, formatTable, paint, printable, type Terminal, type Tone } from './terminal.ts';

/** Partition of what lies in a file. */
export const IN_A_FILE = -1;

/** `FILE:LINE`, or `TOPIC/PARTITION/OFFSET` as `prove` takes it. */
export function placeText({ topic, partition, offset }: Place): string {
  return partition === IN_A_FILE ? `${topic}:${offset}` : `${topic}/${partition}/${offset}`;
}

const TITLES: ReadonlyArray<[Verdict, Tone, string]> = [
  ['wider', 'attention', 'WIDER'],
  ['changed', 'attention', 'CHANGED (the events do not tell which way)'],
  ['narrower', 'good', 'NARROWER'],
  ['passing', 'attention', 'CHANGED AND CHANGED BACK'],
];

export function diffAsText(
  terminal: Terminal,
  report: DiffReport,
  { maxRows }: { maxRows: number },
): string {
  const { range, material, judged } = report;
  const all = listed(report.diff);
  const parts = [`${material.source}, from ${iso(range.fromMs)} to ${iso(range.toMs)}`];
  for (const [verdict, tone, title] of TITLES) {
    const rows = all.filter((one) => one.verdict === verdict).map((one) => row(one.difference));
    if (rows.length === 0) continue;
    const head = ['TIME', 'KIND', 'WHO', 'PRIVILEGE', 'ON', 'IN', 'BY', 'EVENT'];
    parts.push(paint(terminal, tone, title), formatTable(terminal, head, rows.slice(0, maxRows)));
    const more = rows.length - maxRows;
    if (more > 0) parts.push(`and ${counted(more, 'row')} more: --max-rows, or --json`);
  }
  if (judged !== null) parts.push(approvalsText(terminal, judged, maxRows));
  parts.push(...namesText(terminal, report, maxRows), summary(report));
  return parts.join('\n');
}

function row({ fact, to, steps }: Difference): Cell[] {
  const { event, effect } = steps.findLast(({ isNews }) => isNews)!;
  return rowOf(event, fact, to || effect.op === 'touch');
}

function rowOf(event: AccessEvent, fact: Fact, holds: boolean): Cell[] {
  const { kind, subject, privilege, object, scope } = fact;
  const told = holds ? privilege : `no longer ${privilege.replace(EVERYTHING, '') || 'any'}`;
  const named = [kind, subject, told, object, scope].map((text) => text || '-');
  return [iso(event.timeMs), ...named, event.by, `${event.action} ${placeText(event.at)}`];
}

/** By what other texts events called those that are told of, and what could not be made one. */
function namesText(terminal: Terminal, { diff, named }: DiffReport, maxRows: number): string[] {
  const others = new Map<string, Set<string>>();
  const bare = new Set<string>();
  const take = (label: string, told: string): void => {
    if (label === told && isBareId(label)) bare.add(label);
    if (label !== told) others.set(label, (others.get(label) ?? new Set()).add(told));
  };
  for (const { fact, steps } of diff.values()) {
    for (const { effect } of steps) {
      take(fact.subject, effect.toldAs?.subject[0] ?? fact.subject);
      if (fact.kind !== 'group') continue;
      take(groupIn(fact.object), groupIn(effect.toldAs?.object[0] ?? fact.object));
    }
  }
  const rows = [...others].map(([label, told]) => [label, [...told].sort().join(', ')]);
  const parts: string[] = [];
  if (rows.length > 0) {
    const table = formatTable(terminal, ['WHO', 'IN EVENTS ALSO'], rows.slice(0, maxRows));
    parts.push('NAMES', table);
    const more = rows.length - maxRows;
    if (more > 0) parts.push(`and ${counted(more, 'row')} more: --max-rows, or --json`);
  }
  const { doubtful } = named;
  const list = (texts: Iterable<string>): string =>
    printable([...texts].slice(0, maxRows).join(', '));
  if (bare.size > 0) parts.push(`No event tells the name of: ${list(bare)}`);
  if (doubtful.length > 0) parts.push(`More than one may be called: ${list(doubtful)}`);
  return parts;
}

const groupIn = (object: string): string => object.replace(/^group /, '');

/** After these, what the effect names is so. */
const HOLDING: ReadonlySet<Op> = new Set(['give', 'touch']);

function approvalsText(terminal: Terminal, judged: Judged, maxRows: number): string {
  const { unapproved, uses, expired } = judged;
  const lines: string[] = [];
  if (unapproved.length > 0) {
    const head = ['TIME', 'KIND', 'WHO', 'PRIVILEGE', 'ON', 'IN', 'BY', 'EVENT', 'EXPIRED'];
    const rows = unapproved
      .slice(0, maxRows)
      .map(({ event, effect, expired: ids }) => [
        ...rowOf(event, effect, HOLDING.has(effect.op)),
        ids.join(', ') || '-',
      ]);
    lines.push(paint(terminal, 'bad', 'NOT APPROVED'), formatTable(terminal, head, rows));
    const more = unapproved.length - maxRows;
    if (more > 0) lines.push(`and ${counted(more, 'row')} more: --max-rows, or --json`);
  }
  for (const { id, owner, expiresMs } of expired) {
    lines.push(`approval ${id} of ${owner} expired ${iso(expiresMs!)}: renew or remove it`);
  }
  const approved = [...uses.values()].reduce((sum, count) => sum + count, 0);
  lines.push(`${counted(approved, 'expansion')} approved, ${unapproved.length} not`);
  return lines.join('\n');
}

function summary({ material, named, diff }: DiffReport): string {
  const { events, undecodable, gaps, firstMs } = material;
  const verdicts = listed(diff).map(({ verdict }) => verdict);
  const count = (verdict: Verdict): string =>
    `${verdicts.filter((one) => one === verdict).length} ${verdict}`;
  const lines = [
    `${TITLES.map(([verdict]) => count(verdict)).join(', ')}; ` +
      `${counted(named.events.length, 'change')} of access in ${counted(events, 'event')}`,
  ];
  if (undecodable > 0) lines.push(`NOT READ: ${counted(undecodable, 'record')} undecodable`);
  if (gaps > 0) lines.push(`NOT READ: ${counted(gaps, 'gap')} in the archive`);
  lines.push(...readText(material));
  if (firstMs === null) lines.push('there is no event to compare');
  else lines.push(`What held before the first event, of ${iso(firstMs)}, is not known.`);
  return lines.join('\n');
}

function readText({ segments, start }: Material): string[] {
  if (segments === null) return [];
  const { read, all } = segments;
  const before =
    start === null
      ? []
      : [`What held before: the snapshot of ${start.day} (leaf ${start.sequence}).`];
  return [...before, `Read: ${read} of ${counted(all, 'segment')}.`];
}

const iso = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z');

export function diffAsJson(report: DiffReport): string {
  const { range, material, named, diff, judged, exitCode } = report;
  const { source, events, undecodable, gaps, firstMs, segments, start } = material;
  const told = {
    source,
    from: iso(range.fromMs),
    to: iso(range.toMs),
    exitCode,
    events,
    changes: named.events.length,
    undecodable,
    gaps,
    segments,
    snapshot: start,
    firstEvent: firstMs === null ? null : iso(firstMs),
    differences: listed(diff).map(({ verdict, difference }) => ({
      verdict,
      ...plain(difference.fact),
      from: difference.from,
      to: difference.to,
      steps: difference.steps.map(({ event, effect, direction, isNews }) => ({
        ...placed(event),
        op: effect.op,
        toldAs: effect.toldAs ?? null,
        direction,
        isNews,
      })),
    })),
    principals: named.principals,
    doubtfulNames: named.doubtful,
    approvals:
      judged === null
        ? null
        : {
            unapproved: judged.unapproved.map(({ event, effect, expired }) => ({
              ...plain(effect),
              direction: effect.direction,
              ...placed(event),
              expired,
            })),
            uses: Object.fromEntries(judged.uses),
            expired: judged.expired.map(({ id }) => id),
          },
  };
  return JSON.stringify(told, null, 2);
}

function plain({ kind, subject, privilege, object, scope }: Fact): Omit<Fact, 'sense'> {
  return { kind, subject, privilege, object, scope };
}

function placed({ timeMs, eventId, action, by, at }: AccessEvent) {
  return { time: iso(timeMs), event: eventId, action, by, place: placeText(at) };
}
