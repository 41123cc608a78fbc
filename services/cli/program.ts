/**
 * The command line: names, options, help, and what a failure looks like. What a command needs is
 * imported when it runs, so that `--help` does not wait for clients of servers.
 *
 * Exit codes: 0 done, 1 could not or failed a check; `scan` has 2 for input it could not read.
 */
import { Command, type CommanderError, Option } from 'commander';
import { type Config, loadConfig, loadConfigWithPlaces } from '../runtime/config.ts';
import { describeFailure } from '../runtime/errors.ts';
import { version } from '../runtime/version.ts';
import { printEffective, printReference } from './config-command.ts';
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
  const name = argv.find((word) => program.commands.some((command) => command.name() === word));
  return name === undefined ? 'lakeseal' : `lakeseal ${name}`;
}

class UsageError extends Error {
  readonly command: string;
  readonly source: CommanderError;

  constructor(command: string, source: CommanderError) {
    super(source.message);
    this.command = command;
    this.source = source;
  }
}

function tellUsage({ command, source }: UsageError, terminal: Terminal): number {
  if (source.exitCode === 0 || source.code === 'commander.help') return source.exitCode;
  const [what, ...more] = source.message.replace(/^error: /, '').split('\n');
  const guess = more.join(' ').replace(/^\((.*)\)$/, '$1');
  terminal.err(`${command}: error: ${what} (USAGE)`);
  terminal.err(`hint: ${guess === '' ? `${command} --help` : guess}`);
  return 1;
}

type Finish = (code: number) => void;

function createProgram(terminal: Terminal, finish: Finish): Command {
  const program = new Command('lakeseal')
    .description(
      'Seals Databricks audit events into S3 Object Lock and judges them by Sigma rules as they arrive.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .option(
      '--config <file>',
      'configuration file (YAML); else LAKESEAL_CONFIG, else ./lakeseal.yaml',
    )
    .configureHelp({ showGlobalOptions: true });
  const context: CommandContext = {
    terminal,
    finish,
    config: () => loadConfig(program.opts<{ config?: string }>().config, terminal.env),
  };
  addConfig(program, context);
  for (const command of [program, ...program.commands]) harden(command, terminal);
  examples(program, [
    'lakeseal setup --dry-run',
    'lakeseal collect "delivery/**/*.json.gz"',
    'lakeseal archive',
  ]);
  return program;
}

interface CommandContext {
  terminal: Terminal;
  finish: Finish;
  /** Loads the configuration; throws `Failure`. */
  config(): Config;
}

/** Errors become `UsageError` with the command's name, and output goes to the terminal given. */
function harden(command: Command, terminal: Terminal): void {
  const name = command.parent === null ? 'lakeseal' : `lakeseal ${command.name()}`;
  command
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.err(text.trimEnd()),
      outputError: () => {},
      getOutHasColors: () => terminal.colour.out,
      getErrHasColors: () => terminal.colour.err,
    })
    .exitOverride((error) => {
      throw new UsageError(name, error);
    });
}

function examples(command: Command, lines: string[]): Command {
  return command.addHelpText(
    'after',
    `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`,
  );
}

const jsonOption = (): Option => new Option('--json', 'print JSON instead of text');

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
