/**
 * `lakeseal access diff`: what became wider or narrower between two times, from an archive or from
 * files of events, and what of it nobody approved. Reads only.
 *
 * Exit codes: 0 done; 1 something was widened that no approval covers; 2 nothing to compare, or not
 * everything could be read; 3 could not run.
 */
import { readFileSync } from 'node:fs';
import { type Judged, judge, readApprovals } from '../access/approvals.ts';
import { type Diff, diffBetween } from '../access/diff.ts';
import { type Resolved, resolveNames } from '../access/names.ts';
import { inOrder } from '../access/state.ts';
import type { Config } from '../runtime/config.ts';
import { describeFailure, Failure, reasonOf } from '../runtime/errors.ts';
import { counted } from '../runtime/wording.ts';
import {
  type Material,
  type PlaceFlags,
  type Range,
  readFiles,
  readPlace,
} from './access-material.ts';
import { diffAsJson, diffAsText } from './access-text.ts';
import type { Terminal } from './terminal.ts';

export interface AccessDiffFlags extends PlaceFlags {
  approvals?: string;
  maxRows: number;
  json?: true;
}

export interface DiffReport {
  range: Range;
  material: Material;
  /** Changes before the second time, with one name for each principal. */
  named: Resolved;
  diff: Diff;
  /** Null where no approvals were given. */
  judged: Judged | null;
  exitCode: number;
}

const EXIT = { done: 0, unapproved: 1, incomplete: 2, failed: 3 };

export async function runAccessDiff(
  range: Range,
  files: readonly string[],
  flags: AccessDiffFlags,
  config: () => Config,
  nowMs: number,
  terminal: Terminal,
): Promise<number> {
  try {
    const report = await makeReport(range, files, flags, config, nowMs, terminal);
    const text = flags.json === true ? diffAsJson(report) : diffAsText(terminal, report, flags);
    terminal.out(text);
    return report.exitCode;
  } catch (error) {
    terminal.err(describeFailure('lakeseal access diff', error));
    return EXIT.failed;
  }
}

async function makeReport(
  range: Range,
  files: readonly string[],
  flags: AccessDiffFlags,
  config: () => Config,
  nowMs: number,
  terminal: Terminal,
): Promise<DiffReport> {
  if (range.fromMs >= range.toMs) {
    throw new Failure('FROM is not before TO', {
      code: 'USAGE',
      hint: 'A day alone is its beginning: of one day write 2026-11-24 2026-11-25.',
    });
  }
  if (files.length > 0 && flags.archive !== undefined) {
    throw new Failure('name files or --archive, not both', { code: 'USAGE' });
  }
  // A mistake in the file should be told before an hour of reading.
  const approvals = flags.approvals === undefined ? null : approvalsOf(flags.approvals);
  const material =
    files.length > 0
      ? await readFiles(files, terminal)
      : await readPlace(range, flags, config(), terminal);
  const before = material.changes.filter(({ timeMs }) => timeMs < range.toMs);
  const named = resolveNames(inOrder(before));
  const diff = diffBetween(named.events, range.fromMs, range.toMs);
  const judged = approvals === null ? null : judge(diff, approvals, nowMs);
  return { range, material, named, diff, judged, exitCode: exitCodeOf(material, judged) };
}

function exitCodeOf({ events, undecodable, gaps }: Material, judged: Judged | null): number {
  if (judged !== null && judged.unapproved.length > 0) return EXIT.unapproved;
  return events === 0 || undecodable > 0 || gaps > 0 ? EXIT.incomplete : EXIT.done;
}

function approvalsOf(path: string) {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Failure(`the approvals ${path} cannot be read: ${reasonOf(error)}`, {
      code: 'NO_FILE',
    });
  }
  const read = readApprovals(path, text);
  if (read.ok) return read.approvals;
  const lines = read.problems.map(({ place, what, hint }) => `  ${place}: ${what}; ${hint}`);
  throw new Failure(
    `the approvals have ${counted(lines.length, 'problem')}:\n${lines.join('\n')}\n`,
    {
      code: 'APPROVALS_INVALID',
    },
  );
}
