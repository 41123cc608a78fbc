/**
 * The command line: names, options, help, and what a failure looks like. What a command needs is
 * imported when it runs, so that `--help` does not wait for clients of servers.
 *
 * Exit codes: 0 done, 1 could not or failed a check; `scan` has 2 for input it could not read, and
 * `rules check --strict` for warnings.
 */
import { Command, type CommanderError, Option } from 'commander';
import { type Config, loadConfig, loadConfigWithPlaces } from '../runtime/config.ts';
import { describeFailure } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import type { ServiceContext } from '../runtime/service.ts';
import { version } from '../runtime/version.ts';
import { addAccess } from './access.ts';
import type { CollectFlags } from './collect.ts';
import type { CommandContext } from './command-context.ts';
import { printEffective, printReference } from './config-command.ts';
import { addEvidence } from './evidence.ts';
import { addHold } from './hold-command.ts';
import { jsonOption, repeatable, timeOption } from './options.ts';
import type { BaselineFlags } from './record-baseline.ts';
import { addRules } from './rules.ts';
import { processTerminal, type Terminal } from './terminal.ts';

/** Runs one command line and ends the process with its exit code. */
export async function main(argv: string[]): Promise<void> {
  // A reader that has seen enough (`| head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
  const code = await runCommandLine(argv, processTerminal());
  // Ended by hand once all is written: an idle connection must not keep a finished command.
  process.stdout.write('', () => process.exit(code));
}

/** Exit code of one command line; everything it says goes to `terminal`. */
export async function runCommandLine(argv: string[], terminal: Terminal): Promise<number> {
  let code = 0;
  const program = createProgram(terminal, (result) => {
    code = result;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof UsageError) return tellUsage(error, terminal);
    terminal.err(describeFailure(partOf(argv, program), error));
    return 1;
  }
}

function partOf(argv: string[], program: Command): string {
  let command = program;
  for (const word of argv) {
    command = command.commands.find((inner) => inner.name() === word) ?? command;
  }
  return fullName(command);
}

/** `lakeseal rules check` */
function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

class UsageError extends Error {
  readonly command: string;
  readonly source: CommanderError;
  /** Of the process. */
  readonly exitCode: number;

  constructor(command: string, source: CommanderError, exitCode: number) {
    super(source.message);
    this.command = command;
    this.source = source;
    this.exitCode = exitCode;
  }
}

function tellUsage({ command, source, exitCode }: UsageError, terminal: Terminal): number {
  if (source.exitCode === 0 || source.code === 'commander.help') return source.exitCode;
  const [what, ...more] = source.message.replace(/^error: /, '').split('\n');
  const guess = more.join(' ').replace(/^\((.*)\)$/, '$1');
  terminal.err(`${command}: error: ${what} (USAGE)`);
  terminal.err(`hint: ${guess === '' ? `${command} --help` : guess}`);
  return exitCode;
}

/** What a command whose exit code 1 is a verdict ends with where it could not run. */
const NO_VERDICT = 3;

type Finish = CommandContext['finish'];

function createProgram(terminal: Terminal, finish: Finish): Command {
  const program = new Command('lakeseal')
    .description(
      'Seals Databricks audit events into S3 Object Lock and judges them by Sigma rules as they arrive.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .option(
      '--config <file>',
      'configuration file (YAML); else LAKESEAL_CONFIG, else ./lakeseal.yaml',
    )
    .configureHelp({ showGlobalOptions: true });
  const judging = new Set<Command>();
  const context: CommandContext = {
    terminal,
    finish,
    config: () => loadConfig(program.opts<{ config?: string }>().config, terminal.env),
    examples,
    judges: (command) => void judging.add(command),
  };
  addSetup(program, context);
  addPreflight(program, context);
  addStatus(program, context);
  addCollect(program, context);
  addArchive(program, context);
  addDetect(program, context);
  addScan(program, context);
  addRules(program, context);
  addEvidence(program, context);
  addAccess(program, context);
  addHold(program, context);
  addConfig(program, context);
  harden(program, terminal, judging);
  return examples(program, [
    'lakeseal setup --dry-run',
    'lakeseal collect "delivery/**/*.json.gz"',
    'lakeseal scan events.json.gz',
  ]);
}

/**
 * Errors become `UsageError` with the command's name, and output goes to the terminal given; the
 * same for the commands below it.
 */
function harden(command: Command, terminal: Terminal, judging: ReadonlySet<Command>): void {
  const name = fullName(command);
  for (const inner of command.commands) harden(inner, terminal, judging);
  command
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.err(text.trimEnd()),
      outputError: () => {},
      getOutHasColors: () => terminal.colour.out,
      getErrHasColors: () => terminal.colour.err,
    })
    .exitOverride((error) => {
      throw new UsageError(name, error, judging.has(command) ? NO_VERDICT : 1);
    });
}

function examples(command: Command, lines: string[]): Command {
  return command.addHelpText(
    'after',
    `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`,
  );
}

/** For commands that ask servers and end: a client library's own chatter only when debugging. */
async function commandLog(name: string, config: Config): Promise<Log> {
  const { createLog } = await import('../runtime/log.ts');
  return createLog(name, config.log.level === 'debug' ? 'debug' : 'silent');
}

function addSetup(program: Command, { terminal, finish, config }: CommandContext): void {
  const command = program
    .command('setup')
    .description('make topics, schemas, bucket and index template, or say what is there')
    .option('--dry-run', 'only say what would be made or changed')
    .addOption(jsonOption())
    .addHelpText('after', SETUP_HELP)
    .action(async (options: { dryRun?: true; json?: true }) => {
      const settings = config();
      const { runSetup, tellItems } = await import('./setup.ts');
      const dryRun = options.dryRun === true;
      const items = await runSetup(settings, await commandLog('setup', settings), dryRun);
      finish(tellItems(terminal, items, { dryRun, json: options.json === true }));
    });
  examples(command, ['lakeseal setup --dry-run', 'lakeseal setup --config lakeseal.yaml --json']);
}

const SETUP_HELP = `
The bucket is set up with the credential of an administrator: setup.accessKeyId and
setup.secretAccessKey (LAKESEAL_SETUP_ACCESS_KEY_ID, LAKESEAL_SETUP_SECRET_ACCESS_KEY or …_FILE),
else what the AWS environment gives. The archiver's credential (storage.*) is never used here, and
needs s3:PutObject, GetObject, GetObjectVersion, GetObjectRetention, ListBucket and
ListBucketVersions only.`;

interface PreflightFlags extends BaselineFlags {
  json?: true;
}

function addPreflight(program: Command, { terminal, finish, config }: CommandContext): void {
  const command = program
    .command('preflight')
    .description('try each behaviour of the servers that lakeseal relies on')
    .option('--record-baseline', 'then sign what protects the bucket: `posture` compares with it')
    .option('--reason <text>', 'why the baseline is recorded')
    .option('--approved-by <name>', 'who answers for it')
    .addOption(jsonOption())
    .addHelpText('after', PREFLIGHT_HELP)
    .action(async (options: PreflightFlags) => {
      const settings = config();
      const { baselineWords } = await import('./record-baseline.ts');
      const { runPreflight, tellChecks } = await import('./preflight.ts');
      const words = baselineWords(options);
      const checks = await runPreflight(settings, await commandLog('preflight', settings), words);
      finish(tellChecks(terminal, checks, settings, options.json === true));
    });
  examples(command, [
    'lakeseal preflight',
    'lakeseal preflight --record-baseline --reason "bucket made" --approved-by ada@example.com',
  ]);
}

const PREFLIGHT_HELP = `
Writes a few bytes under PREFIX/preflight/ in the bucket, which stay until their retention ends, and
an index in OpenSearch that it deletes. What anchors.* names is tried too: a stamp over nothing is asked
for, a file is put where copies go and taken away where that may be, and witnesses are asked what they
have seen. Exit code 0 when nothing failed, else 1. What the archiver's
credential cannot see is checked with the administrator's (setup.*) where it is given.
--record-baseline needs evidence.keyFile, and writes nothing while a check of the store fails. Record
anew, with another --reason, after every intended change: earlier baselines stay.`;

function addStatus(program: Command, { terminal, finish, config }: CommandContext): void {
  const command = program
    .command('status')
    .description('show topics, lag, what is sealed and signed, rules and alerts of the last day')
    .addOption(jsonOption())
    .action(async (options: { json?: true }) => {
      const settings = config();
      const { readStatus } = await import('./status.ts');
      const { tellStatus } = await import('./status-text.ts');
      const status = await readStatus(settings, await commandLog('status', settings), Date.now());
      finish(tellStatus(terminal, status, options.json === true));
    });
  examples(command, ['lakeseal status', 'lakeseal status --json']);
}

function addArchive(program: Command, { finish, config }: CommandContext): void {
  const command = program
    .command('archive')
    .description('seal the topics into the bucket, until told to stop')
    .action(async () => {
      const settings = config();
      const { archive } = await import('../archiver/run.ts');
      const { runService } = await import('../runtime/lifecycle.ts');
      finish(await runService('archive', settings, asService(archive), { http: true }));
    });
  examples(command, ['lakeseal archive --config lakeseal.yaml']);
}

function addDetect(program: Command, { finish, config }: CommandContext): void {
  const command = program
    .command('detect')
    .description('judge the events of the topic by the rules, until told to stop')
    .action(async () => {
      const settings = config();
      const { detect } = await import('../detector/run.ts');
      const { runService } = await import('../runtime/lifecycle.ts');
      finish(await runService('detect', settings, asService(detect), { http: true }));
    });
  examples(command, ['lakeseal detect --config lakeseal.yaml']);
}

function asService(run: (context: ServiceContext) => Promise<void>) {
  return async (context: ServiceContext): Promise<undefined> => {
    await run(context);
  };
}

interface ScanFlags {
  rules?: string[];
  lists?: string[];
  until?: number;
  shippedRules: boolean;
  format: 'table' | 'json';
}

function addScan(program: Command, { finish, config }: CommandContext): void {
  const command = program
    .command('scan')
    .description('judge files of audit events by the rules, without any server')
    .argument('<file...>', 'files of one event a line, plain, gzip or zstd; - for standard input')
    .addOption(repeatable('--rules <path>', 'rule folder or file above the shipped rules'))
    .option('--no-shipped-rules', 'leave out the rules that come with lakeseal')
    .addOption(repeatable('--lists <folder>', 'folder of list files beside the shipped ones'))
    .option('--until <time>', 'let event time go so far at the end (ISO 8601)', timeOption)
    .addOption(
      new Option('--format <format>', 'table for people, json for one alert a line')
        .choices(['table', 'json'])
        .default('table'),
    )
    .addHelpText('after', SCAN_HELP)
    .action(async (files: string[], flags: ScanFlags) => {
      const { detect, enrich } = config();
      const { DEFAULT_LIMITS } = await import('../detector/correlate/limits.ts');
      const { openEnrichment } = await import('../detector/enrich/enrichment.ts');
      const { scan } = await import('../detector/scan.ts');
      const { SHIPPED_RULES } = await import('../detector/sigma/rules.ts');
      const { lists = [], format, until } = flags;
      const { rules: own = [] } = flags;
      const rules = flags.shippedRules ? [SHIPPED_RULES, ...own] : own;
      const limits = { ...DEFAULT_LIMITS, groupEntriesMax: detect.groupEntriesMax };
      const places = openEnrichment(enrich);
      const options = { files, rules, lists, format, places, limits };
      const { stdin, stdout, stderr } = process;
      const io = { stdin, stdout, stderr, now: Date.now };
      finish(await scan(until === undefined ? options : { ...options, untilMs: until }, io));
    });
  examples(command, [
    'lakeseal scan events.json.gz',
    'zcat events.json.gz | lakeseal scan - --format json --rules my-rules',
    'lakeseal scan events.json.gz --until 2026-11-25T00:00:00Z',
  ]);
}

const SCAN_HELP = `
Alerts of rules over many events come at the end, each once, with all that it counted. Rules that
judge when time has passed are judged up to the newest event, or to --until.
Exit code 0 done, 2 done but some lines could not be decoded (they are named on standard error),
1 could not run.`;

function addCollect(program: Command, { terminal, finish, config }: CommandContext): void {
  const command = program
    .command('collect')
    .description('send audit events of files or a delivery bucket to the topic')
    .argument('<source...>', 'files, globs, folders, - for standard input, s3://bucket/prefix')
    .option('--follow', 'keep listing the delivery bucket, until told to stop')
    .option('--dry-run', 'read and decode everything, send nothing')
    .option('--endpoint <url>', 'endpoint of an S3-compatible delivery store; else AWS')
    .option('--region <region>', 'region of the delivery bucket')
    .option('--path-style', 'address the delivery bucket by path (MinIO and others)')
    .option('--quiet', 'no progress, only problems')
    .addOption(jsonOption())
    .addHelpText('after', COLLECT_HELP)
    .action(async (inputs: string[], flags: CollectFlags) => {
      const settings = config();
      const { runCollect } = await import('./collect.ts');
      finish(await runCollect(settings, inputs, flags, terminal));
    });
  examples(command, [
    'lakeseal collect "delivery/**/*.json.gz"',
    'lakeseal collect --follow s3://audit-logs/databricks/',
    'lakeseal collect - < events.json',
  ]);
}

const COLLECT_HELP = `
The delivery bucket is read with the credential that the AWS environment gives (AWS_PROFILE,
AWS_ACCESS_KEY_ID, a role), never with the archive's.
Files of a bucket, folder or glob are read day by day (date=YYYY-MM-DD in their path) and within a day
in the order in which they were delivered, whichever workspace they are of; inputs in the order given.
Exit code 0 everything collected, 2 some lines went to the dead-letter topic or a file was damaged,
130 stopped half-way, 1 could not run.`;

function addConfig(program: Command, { terminal }: CommandContext): void {
  const command = program
    .command('config')
    .description('list every key of the configuration, or the values in force')
    .option('--effective', 'the values in force and where each comes from, secrets left out')
    .addOption(jsonOption())
    .action((options: { effective?: true; json?: true }) => {
      const json = options.json === true;
      if (options.effective !== true) return printReference(terminal, json);
      const { config: file } = program.opts<{ config?: string }>();
      printEffective(terminal, loadConfigWithPlaces(file, terminal.env), json);
    });
  examples(command, ['lakeseal config', 'lakeseal config --effective --config lakeseal.yaml']);
}
