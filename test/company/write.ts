/**
 * A company day as a delivery folder:
 * `OUT/workspaceId=<id>/date=<yyyy-mm-dd>/auditlogs_<workspace>_<number>.json.gz`, gzipped JSON
 * lines, and `OUT/told.json`, which tells the attacks with the rules that should raise. The same
 * options (and rules) give the same bytes.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parse } from 'yaml';
import { companyDay, type DayLine, type DayOptions, type ToldAttack } from './day.ts';

export interface DeliveryFile {
  /** Below the delivery folder, `/`-separated: also the object key below a prefix. */
  path: string;
  bytes: Buffer;
  lines: number;
}

/** A told attack beside the shipped rule that should raise on it. */
export interface ToldWithRule extends ToldAttack {
  ruleId: string | null;
  ruleTitle: string | null;
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
}

const RULES = new URL('../../services/detector/rules/', import.meta.url);
const LINES_PER_FILE = 2_000;
const GZIP_LEVEL = 6;

/** The files of a day, each as soon as it is full. */
export function* deliveryFiles(
  lines: Iterable<DayLine>,
  linesPerFile = LINES_PER_FILE,
): Generator<DeliveryFile> {
  const open = new Map<string, { number: number; lines: string[] }>();
  const close = (folder: string): DeliveryFile => {
    const file = open.get(folder)!;
    const id = /workspaceId=(\d+)/.exec(folder)![1];
    const path = `${folder}/auditlogs_${id}_${String(file.number).padStart(5, '0')}.json.gz`;
    const bytes = gzipSync(`${file.lines.join('\n')}\n`, { level: GZIP_LEVEL });
    const count = file.lines.length;
    open.set(folder, { number: file.number + 1, lines: [] });
    return { path, bytes, lines: count };
  };
  for (const { workspaceId, date, line } of lines) {
    const folder = `workspaceId=${workspaceId}/date=${date}`;
    let file = open.get(folder);
    if (file === undefined) {
      file = { number: 0, lines: [] };
      open.set(folder, file);
    }
    file.lines.push(line);
    if (file.lines.length >= linesPerFile) yield close(folder);
  }
  for (const [folder, file] of open) if (file.lines.length > 0) yield close(folder);
}

function withRule(attack: ToldAttack): ToldWithRule {
  if (attack.rule === null) return { ...attack, ruleId: null, ruleTitle: null, level: null };
  const rule = parse(readFileSync(new URL(`${attack.rule}.yml`, RULES), 'utf8'));
  return { ...attack, ruleId: rule.id, ruleTitle: rule.title, level: rule.level };
}

/** Writes the day below `out`. */
export function writeDelivery(
  options: DayOptions & { out: string; linesPerFile?: number },
): DeliverySummary {
  const day = companyDay(options);
  const summary: DeliverySummary = {
    files: 0,
    bytes: 0,
    lines: 0,
    events: 0,
    told: day.told.map(withRule),
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
    summary.files += 1;
    summary.bytes += file.bytes.length;
  }
  const { seed, days = 1 } = options;
  const told = { seed, days, lines: summary.lines, events: summary.events, attacks: summary.told };
  mkdirSync(options.out, { recursive: true });
  writeFileSync(join(options.out, 'told.json'), `${JSON.stringify(told, null, 2)}\n`);
  return summary;
}
