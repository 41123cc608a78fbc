/**
 * The commands about who may do what in Databricks, as audit events tell it: names, options and
 * help. What a command does is imported when it runs.
 */
import type { Command } from 'commander';
import type { AccessDiffFlags } from './access-diff.ts';
import type { AccessSnapshotFlags } from './access-snapshot.ts';
import type { CommandContext } from './command-context.ts';
import { countOption, dayOption, jsonOption, timeOption, trustedKeyOptions } from './options.ts';

export function addAccess(program: Command, context: CommandContext): void {
  const access = program
    .command('access')
    .description('who may do what in Databricks over time, from the audit events themselves')
    .addHelpText('after', ACCESS_HELP);
  addDiff(access, context);
  addSnapshot(access, context);
  addCheck(access, context);
  context.examples(access, [
    'lakeseal access diff 2026-11-01 2026-12-01 --approvals approvals.yaml',
    'lakeseal access snapshot --dry-run',
    'lakeseal access check /mnt/copy',
  ]);
}

const ACCESS_HELP = `
Grants, group members, administrators, roles, tokens, shares, address lists and settings, from events
that succeeded. What held before the first event cannot be known. Where events tell that an id and a
name are of one principal, it is one subject, under its newest name; else each stays as it was told.`;

function addDiff(
  access: Command,
  { terminal, finish, config, examples, judges }: CommandContext,
): void {
  const command = access
    .command('diff')
    .description('what became wider or narrower between two times, and by which events')
    .argument('<from>', 'a day or time in UTC', timeOption)
    .argument('<to>', 'changes before this one count', timeOption)
    .argument('[file...]', 'files of events, globs, folders, or -; else an archive is read')
    .option('--archive <place>', 's3://BUCKET/PREFIX or a copy in a folder; else the bucket')
    .option('--approvals <file>', 'YAML file of approved changes: others are findings')
    .option('--whole', 'read every segment, and take nothing from snapshots')
    .option('--max-rows <n>', 'rows of each table to print', countOption, 200)
    .addOption(jsonOption())
    .addHelpText('after', DIFF_HELP)
    .action(async (from: number, to: number, files: string[], flags: AccessDiffFlags) => {
      const { runAccessDiff } = await import('./access-diff.ts');
      const range = { fromMs: from, toMs: to };
      finish(await runAccessDiff(range, files, flags, config, Date.now(), terminal));
    });
  trustedKeyOptions(command);
  judges(command);
  examples(command, [
    'lakeseal access diff 2026-11-24 2026-11-25',
    'lakeseal access diff 2026-11-01 2026-12-01 --archive /mnt/copy --approvals approvals.yaml',
    'lakeseal access diff 2026-11-24 2026-11-25 "delivery/**/*.json.gz" --json',
  ]);
}

const DIFF_HELP = `
What held before FROM is taken from the newest signed snapshot that closes a day by then, and only
segments that may hold more are read, late events included; without a snapshot all before TO is read.
Each segment is held to the SHA-256 of its manifest; whether the archive is whole, \`lakeseal verify\`
says. Files are always read whole.
Exit code 0 done, 1 something was widened that no approval covers, 2 nothing to compare or not all
could be read, 3 could not run.`;

function addSnapshot(
  access: Command,
  { terminal, finish, config, examples }: CommandContext,
): void {
  const command = access
    .command('snapshot')
    .description('seal what changed each day as signed leaves of the log `access`')
    .option('--until <day>', 'last day to close, over in UTC; else yesterday', dayOption)
    .option('--dry-run', 'only say what would be written')
    .addOption(jsonOption())
    .addHelpText('after', SNAPSHOT_HELP)
    .action(async (flags: AccessSnapshotFlags) => {
      const { runAccessSnapshot } = await import('./access-snapshot.ts');
      finish(await runAccessSnapshot(flags, config(), Date.now(), terminal));
    });
  examples(command, [
    'lakeseal access snapshot',
    'lakeseal access snapshot --until 2026-11-24 --dry-run',
  ]);
}

const SNAPSHOT_HELP = `
Run it once a day, some hours after midnight UTC, with the archiver's configuration. The first
snapshot closes its day with all that happened before; each day after it has one of its own. What
arrives late is in the next one. A day is never closed twice.
Exit code 0 done or nothing to do, 1 could not.`;

function addCheck(
  access: Command,
  { terminal, finish, config, examples, judges }: CommandContext,
): void {
  const command = access
    .command('check')
    .description('make every snapshot again from the segments, and compare')
    .argument('[place]', 's3://BUCKET/PREFIX or a copy in a folder; else the configured bucket')
    .addOption(jsonOption())
    .addHelpText('after', CHECK_HELP)
    .action(async (place: string | undefined, flags: { json?: true }) => {
      const { runAccessCheck } = await import('./access-snapshot.ts');
      finish(await runAccessCheck(place, flags, config, terminal));
    });
  judges(command);
  examples(command, ['lakeseal access check', 'lakeseal access check /mnt/copy --json']);
}

const CHECK_HELP = `
Signatures and chains are for \`lakeseal verify\`, which checks this log like the others.
Exit code 0 all borne out by the segments, 1 some are not, 2 there is no snapshot, 3 could not run.`;
