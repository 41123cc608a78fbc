/**
 * `lakeseal preflight`: tries each behaviour of each server that lakeseal relies on, before evidence
 * depends on it. Exit code 0 when nothing failed; what could not be told is said and is no failure.
 */
import { randomBytes } from 'node:crypto';
import { exchange } from '../archiver/anchors/http.ts';
import { registerSchemas } from '../ingest/registry.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import type { Log } from '../runtime/log.ts';
import { createS3Store } from '../store/s3.ts';
import { type Check, check, type Finding, failed, ok } from './checks.ts';
import { checkAnchors } from './preflight-anchors.ts';
import { checkKafka } from './preflight-kafka.ts';
import { checkOpenSearch } from './preflight-opensearch.ts';
import { checkStore, WRITE_ONCE } from './preflight-store.ts';
import { type BaselineWords, recordChecked } from './record-baseline.ts';
import { topicSchemas } from './schemas.ts';
import { type Cell, formatTable, paint, type Terminal, toJson } from './terminal.ts';

/**
 * All checks, by part; the parts run side by side. Then, where that is asked for and the store
 * failed none, the baseline is recorded, which is a check too. Never rejects.
 */
export async function runPreflight(
  config: Config,
  log: Log,
  record: BaselineWords | null = null,
): Promise<Check[]> {
  const random = randomBytes(6).toString('hex');
  const parts = await Promise.all([
    guard('kafka', checkKafka(config, log, random)),
    check('registry', 'schemas are registered', () => checkSchemas(config)).then((one) => [one]),
    guard('store', checkStore(config, systemClock, random)),
    guard('anchors', tryAnchors(config, random)),
    guard('opensearch', checkOpenSearch(config, random)),
  ]);
  const checks = parts.flat();
  if (record === null) return checks;
  return [...checks, await recordChecked(config, checks, record, systemClock.now())];
}

async function tryAnchors(config: Config, random: string): Promise<Check[]> {
  const store = createS3Store(config.storage, config.archive);
  try {
    const options = { http: exchange, clock: systemClock, randomBytes, store, random };
    return await checkAnchors(config, options);
  } finally {
    store.close();
  }
}

/** A part that cannot even start (a certificate that cannot be read) is one failed check. */
async function guard(part: Check['part'], checks: Promise<Check[]>): Promise<Check[]> {
  try {
    return await checks;
  } catch (error) {
    return [await check(part, 'it can be checked', () => Promise.reject(error))];
  }
}

async function checkSchemas(config: Config): Promise<Finding> {
  const reports = await registerSchemas(config.registry, topicSchemas(config), { dryRun: true });
  const missing = reports.filter(({ schema }) => schema !== 'found');
  const loose = reports.filter(({ compatibility }) => compatibility !== 'found');
  const names = (some: typeof reports): string => some.map(({ subject }) => subject).join(', ');
  if (missing.length > 0) return failed(`not there: ${names(missing)}`, 'run lakeseal setup');
  if (loose.length > 0) {
    const detail = `incompatible schemas would be accepted for ${names(loose)}`;
    return failed(detail, 'run lakeseal setup: it sets the compatibility BACKWARD');
  }
  return ok(reports.map(({ subject, id }) => `${subject} is ${id}`).join(', '));
}

/** Prints the checks and gives the exit code. */
export function tellChecks(
  terminal: Terminal,
  checks: Check[],
  config: Config,
  json: boolean,
): number {
  const count = (outcome: Check['outcome']): number =>
    checks.filter((one) => one.outcome === outcome).length;
  const code = count('failed') === 0 ? 0 : 1;
  if (json) {
    terminal.out(toJson({ ok: code === 0, checks }));
    return code;
  }
  const rows = checks.map(({ part, check: name, outcome, detail }): Cell[] => [
    SYMBOLS[outcome],
    part,
    name,
    detail,
  ]);
  terminal.out(formatTable(terminal, ['', 'PART', 'CHECK', 'FOUND'], rows));
  for (const { part, check: name, outcome, hint } of checks) {
    if (hint === undefined) continue;
    const tone = outcome === 'failed' ? 'bad' : 'attention';
    terminal.out(`${paint(terminal, tone, `${part}: ${name}:`)} ${hint}`);
  }
  const sum = `${count('ok')} ok, ${count('failed')} failed, ${count('unknown')} cannot be checked here.`;
  terminal.out(`\n${sum}${leftovers(checks, config)}`);
  return code;
}

function leftovers(checks: Check[], { storage }: Config): string {
  if (!checks.some(({ check: name }) => name === WRITE_ONCE)) return '';
  const where = `${storage.bucket}/${storage.prefix}preflight/`;
  return ` The objects under ${where} are a few bytes each and stay until their retention ends.`;
}

const SYMBOLS: Record<Check['outcome'], Cell> = {
  ok: ['good', 'ok'],
  failed: ['bad', 'FAILED'],
  unknown: ['attention', 'unknown'],
};
