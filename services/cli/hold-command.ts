/** `lakeseal hold`: names, options and help. What a command does is imported when it runs. */
import type { Command } from 'commander';
import type { CommandContext } from './command-context.ts';
import type { HoldAddFlags, HoldReleaseFlags } from './hold.ts';
import { jsonOption, repeatable, timeOption } from './options.ts';

export function addHold(program: Command, context: CommandContext): void {
  const { examples } = context;
  const hold = program.command('hold').description('legal holds on the segments of a case');
  addAdd(hold, context);
  addList(hold, context);
  addRelease(hold, context);
  examples(hold, ['lakeseal hold add CASE-7 --reason "…" --from 2026-11-01', 'lakeseal hold list']);
}

function addAdd(hold: Command, { terminal, finish, config, examples }: CommandContext): void {
  const command = hold
    .command('add')
    .description('keep segments for a case until it is released, whatever their retention')
    .argument('<case>', 'name of the case; again, to take in what came since')
    .requiredOption('--reason <text>', 'why; it goes into the signed log')
    .option('--from <time>', 'event times from this one on', timeOption)
    .option('--to <time>', '… up to this second, included', timeOption)
    .addOption(repeatable('--topic <topic>', 'only of this topic'))
    .addOption(repeatable('--partition <number>', 'only of this partition'))
    .addOption(repeatable('--filter <field=value>', 'only where one event has all of these'))
    .option('--dry-run', 'only say which segments')
    .option('--quiet', 'no progress')
    .addOption(jsonOption())
    .addHelpText('after', ADD_HELP)
    .action(async (name: string, flags: HoldAddFlags) => {
      const { runHoldAdd } = await import('./hold.ts');
      finish(await runHoldAdd(name, flags, config(), Date.now(), terminal));
    });
  examples(command, [
    'lakeseal hold add CASE-7 --reason "Leaver of 3 November" --from 2026-11-01 --to 2026-11-04 --dry-run',
    'lakeseal hold add CASE-7 --reason "Leaver of 3 November" --filter actor.email=ada@example.com',
  ]);
}

const ADD_HELP = `
A segment is kept where its event times meet the range. Where not all of its records tell an event time
without being decoded (JSON, dead letters), it is also kept where Kafka got them in the range; what
arrived late is then missed, so choose --to with room. A gap has no times and is kept always. A filter
reads the segments in the range; what cannot be read is kept. FIELD is a field of the audit event, like
actor.email, serviceName, actionName, workspaceId, sourceIp or requestParams.NAME.
The hold is set on every version of the segment and its manifest with the credential of holds.*
(LAKESEAL_HOLDS_…), else what the AWS environment gives; never with the archiver's.
Exit code 0 all is held, 2 not all of it (run it again), 1 could not run.`;

function addList(hold: Command, { terminal, finish, config, examples }: CommandContext): void {
  const command = hold
    .command('list')
    .description('the cases, and whether the store holds what the log says')
    .argument('[case]', 'only this one')
    .option('--quiet', 'no progress')
    .addOption(jsonOption())
    .addHelpText('after', LIST_HELP)
    .action(async (name: string | undefined, flags: { quiet?: true; json?: true }) => {
      const { runHoldList } = await import('./hold.ts');
      finish(await runHoldList(name, flags, config(), terminal));
    });
  examples(command, ['lakeseal hold list', 'lakeseal hold list CASE-7 --json']);
}

const LIST_HELP = `
Findings: not_held, missing, versions_differ (other versions than when it was added), still_held (a
release that was not finished), unsigned. Whether the log itself is whole is for \`lakeseal verify\`.
Exit code 0 all is as the log says, 2 findings, 1 could not run.`;

function addRelease(hold: Command, { terminal, finish, config, examples }: CommandContext): void {
  const command = hold
    .command('release')
    .description('end a case: what no other open case keeps is let go')
    .argument('<case>', 'name of the case')
    .requiredOption('--reason <text>', 'why; it goes into the signed log')
    .option('--dry-run', 'only say how much')
    .option('--quiet', 'no progress')
    .addOption(jsonOption())
    .addHelpText('after', RELEASE_HELP)
    .action(async (name: string, flags: HoldReleaseFlags) => {
      const { runHoldRelease } = await import('./hold.ts');
      finish(await runHoldRelease(name, flags, config(), Date.now(), terminal));
    });
  examples(command, ['lakeseal hold release CASE-7 --reason "Settled on 24 November"']);
}

const RELEASE_HELP = `
Retention goes on as it was. A hold that another tool set on the same object is lifted too: S3 has one
hold for each version. Exit code 0 done, 2 not all of it (run it again), 1 could not run.`;
