/**
 * A company day as a delivery folder:
 * `OUT/workspaceId=<id>/date=<yyyy-mm-dd>/auditlogs_<workspace>_<number>.json.gz`, gzipped JSON
 * lines, and `OUT/told.json`, which tells the attacks with the rules that should raise. The same
 * options (and rules) give the same bytes.
 */
import { strict as assert } from 'node:assert';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describeProblem } from '../../services/detector/sigma/problem.ts';
import type { RuleHeader } from '../../services/detector/sigma/rule.ts';
import { loadRules, SHIPPED_LISTS, SHIPPED_RULES } from '../../services/detector/sigma/rules.ts';
import { companyDay, type DayLine, type DayOptions, type ToldAttack } from './day.ts';

export interface DeliveryFile {
  /** Below the delivery folder, `/`-separated: also the object key below a prefix. */
  path: string;
  bytes: Buffer;
  lines: number;
  /** Event time at which it is complete, as a delivery would be, ms. */
  deliveredMs: number;
}

/** A told attack beside the shipped rule that should raise on it. */
export interface ToldWithRule extends ToldAttack {
  ruleId: string | null;
  ruleTitle: string | null;
  /** The rule's own; an event may decide on another. */
  level: string | null;
}

export interface DeliverySummary {
  files: number;
  /** Of the files as stored. */
  bytes: number;
  /** Repeats included. */
  lines: number;
  /** Distinct events. */
  events: number;
  told: ToldWithRule[];
  /** The files, in the order in which they would be delivered. */
  paths: string[];
}

const LINES_PER_FILE = 2_000;
/** What has come in is delivered this often; Databricks does so within 15 minutes. */
const DELIVERY_MS = 15 * 60_000;
const GZIP_LEVEL = 6;

/** The files of a day, each as soon as it is full or its time has come. */
export function* deliveryFiles(
  lines: Iterable<DayLine>,
  linesPerFile = LINES_PER_FILE,
): Generator<DeliveryFile> {
  const open = new Map<string, { number: number; lines: string[] }>();
  let nowMs = 0;
  const close = (folder: string): DeliveryFile => {
    const file = open.get(folder)!;
    const id = /workspaceId=(\d+)/.exec(folder)![1];
    const path = `${folder}/auditlogs_${id}_${String(file.number).padStart(5, '0')}.json.gz`;
    const bytes = gzipSync(`${file.lines.join('\n')}\n`, { level: GZIP_LEVEL });
    const count = file.lines.length;
    open.set(folder, { number: file.number + 1, lines: [] });
    return { path, bytes, lines: count, deliveredMs: nowMs };
  };
  const closeAll = function* (): Generator<DeliveryFile> {
    for (const [folder, file] of open) if (file.lines.length > 0) yield close(folder);
  };
  for (const { workspaceId, date, line, atMs } of lines) {
    const due = Math.floor(atMs / DELIVERY_MS) > Math.floor(nowMs / DELIVERY_MS);
    if (due) yield* closeAll();
    nowMs = Math.max(nowMs, atMs);
    const folder = `workspaceId=${workspaceId}/date=${date}`;
    let file = open.get(folder);
    if (file === undefined) {
      file = { number: 0, lines: [] };
      open.set(folder, file);
    }
    file.lines.push(line);
    if (file.lines.length >= linesPerFile) yield close(folder);
  }
  yield* closeAll();
}

/** The alerting rules by the names of their files, without ending. */
function shippedRules(): Map<string, RuleHeader> {
  const folders = { layers: [SHIPPED_RULES], lists: [SHIPPED_LISTS], nowMs: 0 };
  const loaded = loadRules(folders);
  assert.ok(loaded.ok, loaded.ok ? '' : loaded.problems.map(describeProblem).join('\n'));
  const { rules, stateful } = loaded.set;
  const alerting = [...rules, ...stateful].filter(({ alerts }) => alerts);
  return new Map(alerting.map((rule) => [basename(rule.file, '.yml'), rule]));
}

function withRule(attack: ToldAttack, shipped: ReadonlyMap<string, RuleHeader>): ToldWithRule {
  if (attack.rule === null) return { ...attack, ruleId: null, ruleTitle: null, level: null };
  const rule = shipped.get(attack.rule);
  assert.ok(rule !== undefined, `there is no rule file ${attack.rule}.yml`);
  return { ...attack, ruleId: rule.id, ruleTitle: rule.title, level: rule.level };
}

/** Writes the day below `out`. */
export function writeDelivery(
  options: DayOptions & { out: string; linesPerFile?: number },
): DeliverySummary {
  const day = companyDay(options);
  const shipped = shippedRules();
  const summary: DeliverySummary = {
    files: 0,
    bytes: 0,
    lines: 0,
    events: 0,
    told: day.told.map((attack) => withRule(attack, shipped)),
    paths: [],
  };
  const counted = function* (): Generator<DayLine> {
    for (const line of day.lines()) {
      summary.lines += 1;
      if (line.repeat !== true) summary.events += 1;
      yield line;
    }
  };
  for (const file of deliveryFiles(counted(), options.linesPerFile)) {
    const path = join(options.out, file.path);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, file.bytes);
    utimesSync(path, file.deliveredMs / 1_000, file.deliveredMs / 1_000);
    summary.files += 1;
    summary.paths.push(path);
    summary.bytes += file.bytes.length;
  }
  const { seed, days = 1 } = options;
  const told = { seed, days, lines: summary.lines, events: summary.events, attacks: summary.told };
  mkdirSync(options.out, { recursive: true });
  writeFileSync(join(options.out, 'told.json'), `${JSON.stringify(told, null, 2)}\n`);
  return summary;
}
