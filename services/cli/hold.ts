/**
 * `lakeseal hold`: legal holds on the segments of a case, with the credential of `holds.*`, each
 * addition and release a signed leaf of the log `holds`.
 *
 * Exit codes: 0 done, or all is as the log says; 2 not all of it; 1 could not run.
 */
import { setImmediate } from 'node:timers/promises';
import { type HoldAsked, isCaseName, isReason } from '../../schemas/evidence/hold-leaf.ts';
import { timeOf } from '../../schemas/evidence/leaf.ts';
import { neededSigner } from '../evidence/signer.ts';
import { parseFilter } from '../holds/filter.ts';
import {
  type AddPlan,
  type AddRequest,
  add,
  type Done,
  planAddition,
  planRelease,
  release,
} from '../holds/holds.ts';
import type { KeepOptions } from '../holds/keeper.ts';
import { type HoldFinding, type ListedCase, list } from '../holds/list.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import { counted, grouped } from '../runtime/wording.ts';
import { createHoldStore, holdFailure } from '../store/legal-hold.ts';
import { patientStore } from '../store/patient-store.ts';
import { unwrapping } from './archive-place.ts';
import { progressBar } from './progress-bar.ts';
import { formatTable, paint, type Terminal } from './terminal.ts';

export const EXIT_PARTLY = 2;
/** Tries of one request to the store. */
const ATTEMPTS_MAX = 5;
/** Findings printed one by one. */
const SHOWN_MAX = 50;

interface Flags {
  quiet?: true;
  json?: true;
}

export interface HoldAddFlags extends Flags {
  reason: string;
  from?: number;
  to?: number;
  topic?: string[];
  partition?: string[];
  filter?: string[];
  dryRun?: true;
}

export interface HoldReleaseFlags extends Flags {
  reason: string;
  dryRun?: true;
}

export async function runHoldAdd(
  name: string,
  flags: HoldAddFlags,
  config: Config,
  nowMs: number,
  terminal: Terminal,
): Promise<number> {
  const request = requestOf(name, flags);
  const signer =
    flags.dryRun === true ? null : await neededSigner(config, 'a hold is a signed statement');
  return atStore(config, flags, terminal, async (options, say) => {
    const plan = await planAddition(request, options);
    if (signer === null) return tellPlan(terminal, plan, flags);
    if (flags.json !== true) say(describePlan(plan));
    const done = await add(request, plan, { ...options, signer, nowMs });
    return tellDone(terminal, done, 'held', flags);
  });
}

export async function runHoldRelease(
  name: string,
  flags: HoldReleaseFlags,
  config: Config,
  nowMs: number,
  terminal: Terminal,
): Promise<number> {
  checkNamed(name, flags.reason);
  const signer =
    flags.dryRun === true ? null : await neededSigner(config, 'a hold is a signed statement');
  return atStore(config, flags, terminal, async (options, say) => {
    const plan = await planRelease(name, options);
    const kept = plan.segments - plan.let;
    const others = kept === 0 ? '' : `; ${counted(kept, 'segment')} stay held for other cases`;
    if (flags.json !== true) say(`${counted(plan.let, 'segment')} to let go${others}`);
    if (signer === null) {
      if (flags.json === true) terminal.out(JSON.stringify({ dryRun: true, ...plan }, null, 2));
      else terminal.err('dry run: nothing was written');
      return 0;
    }
    const done = await release(name, flags.reason, { ...options, signer, nowMs });
    return tellDone(terminal, done, 'let go', flags);
  });
}

export async function runHoldList(
  only: string | undefined,
  flags: Flags,
  config: Config,
  terminal: Terminal,
): Promise<number> {
  return atStore(config, flags, terminal, async (options) => {
    const { cases, findings } = await list(only, options);
    if (flags.json === true) terminal.out(JSON.stringify({ cases, findings }, null, 2));
    else tellList(terminal, cases, findings);
    return findings.length === 0 ? 0 : EXIT_PARTLY;
  });
}

// --- what is asked -------------------------------------------------------------------------------

function usage(message: string, hint: string): Failure {
  return new Failure(message, { code: 'USAGE', hint });
}

function checkNamed(name: string, reason: string): void {
  if (!isCaseName(name)) {
    const hint = 'Letters, digits and . _ / # - only, at most 100, a letter or digit first.';
    throw usage(`not the name of a case: ${name}`, hint);
  }
  if (!isReason(reason)) throw usage('the reason is not one line of text', 'Say why, in a line.');
}

function requestOf(name: string, flags: HoldAddFlags): AddRequest {
  const { reason, from, to, topic = [], partition = [], filter = [] } = flags;
  checkNamed(name, reason);
  if (from !== undefined && to !== undefined && from > to) {
    throw usage('--from is later than --to', 'Both are event times, in UTC, and included.');
  }
  const filters = filter.map((text) => {
    const parsed = parseFilter(text);
    if ('problem' in parsed) {
      throw usage(`--filter ${text}: ${parsed.problem}`, 'For example actor.email=ada@example.com');
    }
    return parsed;
  });
  const partitions = partition.map((text) => {
    if (/^\d{1,5}$/.test(text)) return Number(text);
    throw usage(`--partition ${text}: not a number of a partition`, 'For example --partition 3');
  });
  const asked: HoldAsked = {
    from: from === undefined ? null : timeOf(from),
    to: to === undefined ? null : timeOf(to),
    topics: topic,
    partitions,
    filters: filter,
  };
  return { name, reason, asked, filters };
}

async function atStore(
  config: Config,
  flags: Flags,
  terminal: Terminal,
  run: (options: KeepOptions, say: (text: string) => void) => Promise<number>,
): Promise<number> {
  const store = createHoldStore(config);
  const { legalHold, setLegalHold } = store;
  const persistent = patientStore(store, {
    clock: systemClock,
    random: Math.random,
    signal: new AbortController().signal,
    // A person waits: what does not help soon is told.
    troubled: (_, failure, attempt) => {
      if (!failure.retryable || attempt >= ATTEMPTS_MAX) throw failure;
    },
    answered: () => {},
  });
  const bar = objectsBar(flags);
  try {
    const { prefix } = config.storage;
    const breathe = (): Promise<void> => setImmediate();
    const holdStore = { ...persistent, legalHold, setLegalHold };
    const unwrap = await unwrapping({ store: persistent, prefix }, undefined, config);
    const options = { store: holdStore, prefix, unwrap, breathe, progress: bar.update };
    return await run(options, (text) => {
      bar.stop();
      terminal.err(text);
    });
  } catch (error) {
    throw holdFailure(error);
  } finally {
    bar.stop();
    store.close();
  }
}

function objectsBar(flags: Flags) {
  const bar = progressBar(flags, '{bar} {value} of {total} {what}');
  return {
    update: (what: string, done: number, all: number | null): void => {
      if (bar === null) return;
      if (!bar.isActive) bar.start(1, 0, { what });
      bar.setTotal(all ?? done);
      bar.update(done, { what });
    },
    stop: () => bar?.stop(),
  };
}

// --- what is told --------------------------------------------------------------------------------

function describePlan({ selection, fresh }: AddPlan): string {
  const { chosen, manifests, behind } = selection;
  const by = (ground: string): number => chosen.filter((one) => one.ground === ground).length;
  const lines = [
    `${counted(chosen.length, 'segment')} of ${grouped(manifests)}, ${grouped(fresh.length)} new to the case`,
  ];
  const arrived = by('arrival');
  if (arrived > 0) {
    lines.push(
      `  ${counted(arrived, 'segment')} by arrival: not all records there tell their event time, and Kafka got them in this range`,
    );
  }
  const timeless = by('no_time');
  if (timeless > 0) lines.push(`  ${counted(timeless, 'gap')}, which have no times`);
  const doubtful = chosen.filter((one) => one.doubtful).length;
  if (doubtful > 0) {
    lines.push(`  ${counted(doubtful, 'segment')} in doubt: records there could not be read`);
  }
  if (behind > 0) {
    lines.push(
      `not looked at: ${counted(behind, 'segment')} without a manifest yet; run it again later`,
    );
  }
  return lines.join('\n');
}

function tellPlan(terminal: Terminal, plan: AddPlan, { json }: Flags): number {
  const { selection, fresh } = plan;
  if (json === true) {
    const segments = selection.chosen.map(({ manifest: _, ...one }) => one);
    const { behind, manifests } = selection;
    const report = { dryRun: true, manifests, behind, new: fresh.length, segments };
    terminal.out(JSON.stringify(report, null, 2));
    return 0;
  }
  terminal.err(describePlan(plan));
  for (const { segmentKey, ground } of selection.chosen) {
    terminal.out(`${segmentKey}  ${ground.replace('_', ' ')}`);
  }
  terminal.err('dry run: nothing was written');
  return 0;
}

function tellDone(terminal: Terminal, done: Done, verb: string, { json }: Flags): number {
  const code = done.failed.length + done.missing.length > 0 || done.unsigned !== null;
  if (json === true) {
    terminal.out(JSON.stringify(done, null, 2));
    return code ? EXIT_PARTLY : 0;
  }
  const said = done.leaf === null ? 'the log said so already' : `leaf ${done.leaf} of the log`;
  terminal.out(
    `${counted(done.changed, 'object')} ${verb}, ${grouped(done.already)} already, ` +
      `of ${counted(done.segments, 'segment')} and their manifests; ${said}`,
  );
  for (const { key, versionId, reason } of done.failed.slice(0, SHOWN_MAX)) {
    terminal.err(`not ${verb}: ${key} (version ${versionId}): ${reason}`);
  }
  for (const key of done.missing.slice(0, SHOWN_MAX)) terminal.err(`not there: ${key}`);
  if (done.unsigned !== null) terminal.err(`the log is not signed: ${done.unsigned}`);
  if (code) terminal.err('Not everything was done. Run the same command again for the rest.');
  return code ? EXIT_PARTLY : 0;
}

function tellList(
  terminal: Terminal,
  cases: readonly ListedCase[],
  findings: readonly HoldFinding[],
): void {
  if (cases.length === 0) terminal.out('no hold was ever set');
  else {
    const rows = cases.map((one) => [
      one.name,
      one.open ? 'open' : 'released',
      one.since,
      grouped(one.segments),
      `${grouped(one.held)} of ${grouped(one.objects)}`,
      one.reason,
    ]);
    const head = ['case', 'state', 'since', 'segments', 'objects held', 'reason'];
    terminal.out(formatTable(terminal, head, rows));
  }
  for (const { code, case: name, key, versionId, detail } of findings.slice(0, SHOWN_MAX)) {
    const version = versionId === '' ? '' : ` (version ${versionId})`;
    terminal.out(
      `${paint(terminal, 'bad', code)}: ${[name, `${key}${version}`, detail].join('  ')}`,
    );
  }
  const more = findings.length - SHOWN_MAX;
  if (more > 0) terminal.out(`and ${counted(more, 'finding')} more: --json`);
}
