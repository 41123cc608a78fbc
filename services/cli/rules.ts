/**
 * The commands of the people who write and look after rules: names, options and help. None of them
 * needs a server. What a command does is imported when it runs.
 *
 * Exit codes: 0 done and clean; 1 could not, or found errors or failed tests; `check --strict` has
 * 2 for warnings only.
 */
import { type Command, Option } from 'commander';
import { LEVELS, type Level } from '../detector/sigma/rule.ts';
import { type RuleSource, SOURCES } from '../detector/workbench/list.ts';
import { SKELETON_KINDS, type SkeletonKind } from '../detector/workbench/skeleton.ts';
import type { CommandContext } from './command-context.ts';
import { jsonOption, repeatable } from './options.ts';
import type { LayerFlags } from './rules-load.ts';

export function addRules(program: Command, context: CommandContext): void {
  const rules = program
    .command('rules')
    .description('check, test, list, explain and begin rules, without any server')
    .addHelpText('after', RULES_HELP);
  addCheck(rules, context);
  addTest(rules, context);
  addList(rules, context);
  addExplain(rules, context);
  addNew(rules, context);
  context.examples(rules, [
    'lakeseal rules check my-rules',
    'lakeseal rules test my-rules --filter secret',
    'lakeseal rules list --level high',
  ]);
}

const RULES_HELP = `
Rules come in layers: those that lakeseal ships, then each path in order; a later layer replaces,
changes or switches off rules of an earlier one. Where no path is given, the layers are those of the
configuration (detect.rules, detect.lists, detect.shippedRules).`;

function withLayers(command: Command): Command {
  return command
    .option('--no-shipped-rules', 'leave out the rules that come with lakeseal')
    .addOption(repeatable('--lists <folder>', 'folder of list files beside the shipped ones'));
}

function addCheck(rules: Command, { terminal, finish, config, examples }: CommandContext): void {
  const command = withLayers(
    rules
      .command('check')
      .description('find every problem of rule files, with its place and how to mend it')
      .argument('[path...]', 'rule folders or files, each a layer above the one before'),
  )
    .option('--strict', 'exit with 2 where there are warnings')
    .addOption(jsonOption())
    .addHelpText('after', CHECK_HELP)
    .action(async (paths: string[], flags: LayerFlags & { strict?: true; json?: true }) => {
      const { checkRules } = await import('./rules-check.ts');
      finish(checkRules(terminal, paths, flags, config, Date.now()));
    });
  examples(command, ['lakeseal rules check my-rules', 'lakeseal rules check --strict --json']);
}

const CHECK_HELP = `
Errors keep the whole rule set from being loaded. Warnings are told beside it: a field that no event
has, a rule that can never match or matches everything, an exception that has expired. Notes are for
knowing: rules of these files that need enrichment which is not configured.
Exit code 0 clean, 1 errors, 2 only warnings (with --strict).`;

function addTest(rules: Command, { terminal, finish, config, examples }: CommandContext): void {
  const command = withLayers(
    rules
      .command('test')
      .description('run the tests inside rule files, and say why a test failed')
      .argument('[path...]', 'rule folders or files, each a layer; only their rules are tested'),
  )
    .option('--filter <text>', 'only rules whose title, name, id or file has this text')
    .addOption(jsonOption())
    .addHelpText('after', TEST_HELP)
    .action(async (paths: string[], flags: LayerFlags & { filter?: string; json?: true }) => {
      const { testRules } = await import('./rules-test.ts');
      finish(testRules(terminal, paths, flags, config, Date.now()));
    });
  examples(command, ['lakeseal rules test', 'lakeseal rules test my-rules --filter secret']);
}

const TEST_HELP = `
Exit code 0 every test passed, 1 a test failed or the rules do not load.`;

interface ListFlags extends LayerFlags {
  attack?: string;
  level?: Level;
  source?: RuleSource;
  coverage?: true;
  json?: true;
}

function addList(rules: Command, { terminal, finish, config, examples }: CommandContext): void {
  const command = withLayers(
    rules
      .command('list')
      .description('list the rules in force, those switched off, and where each comes from')
      .argument('[path...]', 'rule folders or files, each a layer above the one before'),
  )
    .option('--attack <id>', 'only rules of an ATT&CK technique (T1078) or tactic (persistence)')
    .addOption(new Option('--level <level>', 'only rules of this level').choices(LEVELS))
    .addOption(new Option('--source <source>', 'only rules that came so').choices(SOURCES))
    .option('--coverage', 'print an ATT&CK Navigator layer (format 4.5) of the rules listed')
    .addOption(jsonOption())
    .addHelpText('after', LIST_HELP)
    .action(async (paths: string[], flags: ListFlags) => {
      const { listAllRules } = await import('./rules-list.ts');
      finish(listAllRules(terminal, paths, flags, config, Date.now()));
    });
  examples(command, [
    'lakeseal rules list --attack T1078 --level high',
    'lakeseal rules list --coverage > layer.json',
  ]);
}

const LIST_HELP = `
NEEDS names what a rule reads beside the event: files of places (enrich.city, enrich.country,
enrich.asn; without one the rule says nothing), and list files, which are there or nothing loads.`;

function addExplain(rules: Command, { terminal, finish, config, examples }: CommandContext): void {
  const command = withLayers(
    rules
      .command('explain')
      .description('show why a rule fires on an event, or why it does not')
      .argument('<rule>', 'its id, name or title, or the name of its file')
      .argument('<events>', 'a file of events, plain, gzip or zstd; FILE:LINE for one line of it')
      .addOption(repeatable('--rules <path>', 'rule folder or file above those before')),
  )
    .addOption(jsonOption())
    .addHelpText('after', EXPLAIN_HELP)
    .action(
      async (
        rule: string,
        events: string,
        { rules: paths = [], ...flags }: LayerFlags & { rules?: string[]; json?: true },
      ) => {
        const { explainRule } = await import('./rules-explain.ts');
        finish(await explainRule(terminal, { rule, events, paths }, flags, config, Date.now()));
      },
    );
  examples(command, [
    'lakeseal rules explain workspace_admin_granted events.json.gz:17',
    'lakeseal rules explain "Secrets read in bulk" events.json --rules my-rules',
  ]);
}

const EXPLAIN_HELP = `
A file without a line: for a rule of single events the first event is explained, for a rule over
many the whole file is judged, and what each group reached is shown beside the limit.
Values that may hold secrets are left out, as they are in alerts.`;

function addNew(rules: Command, { terminal, finish, examples }: CommandContext): void {
  const command = rules
    .command('new')
    .description('print a new rule with tests that pass, to be changed into what is wanted')
    .argument('<name>', 'title of the rule')
    .addOption(
      new Option('--stateful <kind>', 'a rule over many events').choices([...SKELETON_KINDS]),
    )
    .option('--out <file>', 'write it to this file, which must not be there yet')
    .action(async (name: string, { stateful, out }: { stateful?: SkeletonKind; out?: string }) => {
      const { newRule } = await import('./rules-new.ts');
      finish(newRule(terminal, { title: name, kind: stateful ?? null, out }, Date.now()));
    });
  examples(command, [
    'lakeseal rules new "Secrets read at night"',
    'lakeseal rules new "Many secrets read" --stateful value_count --out my-rules/many_secrets.yml',
  ]);
}
