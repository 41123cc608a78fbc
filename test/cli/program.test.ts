import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { parse } from 'yaml';
import { runCommandLine } from '../../services/cli/program.ts';
import { configKeys, configSchema, loadConfig } from '../../services/runtime/config.ts';
import { version } from '../../services/runtime/version.ts';
import { createScreen } from './screen.ts';

const COMMANDS = [
  'setup',
  'preflight',
  'status',
  'collect',
  'archive',
  'detect',
  'scan',
  'rules',
  'posture',
  'access',
  'hold',
  'config',
];

async function run(argv: string[], env: NodeJS.ProcessEnv = {}) {
  const screen = createScreen(env);
  const code = await runCommandLine(argv, screen);
  return { code, out: screen.output(), err: screen.errors() };
}

function configFile(context: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-cli-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'lakeseal.yaml');
  writeFileSync(file, text);
  return file;
}

describe('help', () => {
  test('names every command', async () => {
    const { code, out } = await run(['--help']);
    assert.equal(code, 0);
    for (const command of COMMANDS) assert.match(out, new RegExp(`^  ${command} `, 'm'));
  });

  for (const command of COMMANDS) {
    test(`${command} has a description, an example and the global options`, async () => {
      const { code, out, err } = await run([command, '--help']);
      assert.equal(code, 0);
      assert.equal(err, '');
      assert.match(out, new RegExp(`^Usage: lakeseal ${command}`));
      assert.match(out, new RegExp(`Examples:\n  \\$ .*lakeseal ${command}`));
      assert.match(out, /--config <file>/);
    });
  }

  test('without a command help is what it says, and it is an error', async () => {
    const { code, err } = await run([]);
    assert.equal(code, 1);
    assert.match(err, /^Usage: lakeseal/);
  });

  test('--version', async () => {
    assert.deepEqual(await run(['--version']), { code: 0, out: `${version}\n`, err: '' });
  });
});

describe('a wrong command line', () => {
  const cases: Array<[string[], RegExp]> = [
    [['confg'], /^lakeseal: error: unknown command 'confg' \(USAGE\)\nhint: .*config/],
    [
      ['config', '--efective'],
      /^lakeseal config: error: unknown option '--efective' \(USAGE\)\nhint: .*--effective/,
    ],
    [
      ['config', 'more'],
      /^lakeseal config: error: too many arguments.*\(USAGE\)\nhint: lakeseal config --help/,
    ],
    [['scan'], /^lakeseal scan: error: missing required argument 'file' \(USAGE\)/],
    [['scan', 'x', '--format', 'xml'], /^lakeseal scan: error: .*'xml' is invalid.*\(USAGE\)/],
    [
      ['collect', '--config'],
      /^lakeseal: error: option '--config <file>' argument missing \(USAGE\)/,
    ],
    [
      ['preflight', '--record-baseline'],
      /^lakeseal preflight: error: a baseline says why it is recorded \(USAGE\)\nhint: .*--reason/,
    ],
    [
      ['preflight', '--reason', 'x'],
      /^lakeseal preflight: error: --reason .* \(USAGE\)\nhint: Add --record-baseline/,
    ],
  ];
  for (const [argv, expected] of cases) {
    test(argv.join(' '), async () => {
      const { code, out, err } = await run(argv);
      assert.equal(code, 1);
      assert.equal(out, '');
      assert.match(err, expected);
    });
  }

  for (const command of [
    'verify',
    'posture',
    'access diff',
    'access check',
    'prove',
    'hold list',
  ]) {
    test(`${command} ends with what its help calls "could not run"`, async () => {
      const words = command.split(' ');
      const help = (await run([...words, '--help'])).out.replace(/\s+/g, ' ');
      const told = /(\d) could not run/.exec(help)?.[1] ?? '1';
      const { code, err } = await run([...words, '--nonsense']);
      assert.match(err, /unknown option '--nonsense' \(USAGE\)/);
      assert.equal(code, Number(told));
    });
  }

  test('a wrong configuration is told under the name of the command', async () => {
    const { code, err } = await run(['status'], { LAKESEAL_HTTP_PORT: 'x', LAKESEAL_NO: '1' });
    assert.equal(code, 1);
    assert.match(err, /^lakeseal status: error: the configuration has 2 problems:\n {2}LAKESEAL_/);
    assert.match(err, /\(CONFIG_INVALID\)\nhint: lakeseal config /);
  });

  test('--config is taken before and after the command', async (context) => {
    const file = configFile(context, 'log: {level: loud}');
    for (const argv of [
      ['--config', file, 'setup'],
      ['setup', '--config', file],
    ]) {
      const { code, err } = await run(argv);
      assert.equal(code, 1);
      assert.ok(err.includes(`${file}:1:14: log.level`), err);
    }
  });
});

describe('config', () => {
  test('lists every key with environment name and description', async () => {
    const { out } = await run(['config']);
    for (const key of configKeys) {
      assert.ok(out.includes(key.env), key.env);
      assert.ok(out.includes(key.description), key.path);
    }
    const json = JSON.parse((await run(['config', '--json'])).out) as Array<{ path: string }>;
    assert.deepEqual(
      json.map(({ path }) => path),
      configKeys.map(({ path }) => path),
    );
  });

  test('--effective is itself a configuration that gives the same values', async (context) => {
    const env = { LAKESEAL_KAFKA_BROKERS: 'a:1,b:2', LAKESEAL_ARCHIVE_CODEC: 'null' };
    const { out } = await run(['config', '--effective'], env);
    const again = loadConfig(configFile(context, out), {});
    assert.deepEqual(again, loadConfig(undefined, env));
    assert.match(out, /brokers: \[ a:1, b:2 \] {2}# LAKESEAL_KAFKA_BROKERS/);
  });

  test('--effective shows no secret, neither in keys nor in URLs', async () => {
    const env: NodeJS.ProcessEnv = {
      LAKESEAL_KAFKA_SASL_MECHANISM: 'plain',
      LAKESEAL_KAFKA_SASL_USERNAME: 'user',
      LAKESEAL_REGISTRY_USERNAME: 'user',
      LAKESEAL_OPENSEARCH_USERNAME: 'user',
      LAKESEAL_STORAGE_ACCESS_KEY_ID: 'id',
      LAKESEAL_SETUP_ACCESS_KEY_ID: 'id',
      LAKESEAL_HOLDS_ACCESS_KEY_ID: 'other',
      LAKESEAL_OPENSEARCH_NODES: 'http://me:hunter2@search:9200',
    };
    for (const key of configKeys) if (key.secret) env[key.env] = 'hunter2';
    for (const argv of [
      ['config', '--effective'],
      ['config', '--effective', '--json'],
    ]) {
      const { code, out } = await run(argv, env);
      assert.equal(code, 0);
      assert.doesNotMatch(out, /hunter2/);
      assert.match(out, /saslPassword"?: "?\[set\]"?/);
    }
    const { out } = await run(['config', '--effective'], env);
    const shown = parse(out) as Record<string, Record<string, unknown>>;
    assert.deepEqual(Object.keys(shown), Object.keys(configSchema.shape));
    assert.equal(shown.opensearch?.username, 'user');
  });
});

describe('the process', () => {
  const main = join(import.meta.dirname, '..', '..', 'services', 'main.ts');

  test('keeps output and errors apart, colours neither, and gives the exit code', () => {
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [main, ...args], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH },
      });
    const good = run('config');
    assert.equal(good.status, 0);
    assert.equal(good.stderr, '');
    assert.ok(good.stdout.length > 1_000);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the start of a colour
    assert.doesNotMatch(good.stdout, /\u001b/);
    const bad = run('nonsense');
    assert.equal(bad.status, 1);
    assert.equal(bad.stdout, '');
    assert.match(bad.stderr, /^lakeseal: error: /);
  });

  test('collect --dry-run reads files without any server: 0, or 2 with what it could not read', (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'lakeseal-cli-'));
    context.after(() => rmSync(folder, { recursive: true }));
    const good = join(folder, 'good.json');
    const bad = join(folder, 'bad.json');
    const event = { timestamp: 1_772_438_400_000, serviceName: 'jobs', actionName: 'runNow' };
    writeFileSync(good, `${JSON.stringify(event)}\n`);
    writeFileSync(bad, 'nonsense\n');
    const collect = (...files: string[]) =>
      spawnSync(process.execPath, [main, 'collect', '--dry-run', '--json', ...files], {
        encoding: 'utf8',
      });
    const fine = collect(good);
    assert.equal(fine.status, 0, fine.stderr);
    assert.equal(JSON.parse(fine.stdout).events, 1);
    const broken = collect(good, bad);
    assert.equal(broken.status, 2, broken.stderr);
    assert.deepEqual(JSON.parse(broken.stdout).deadLetters, { not_json: 1 });
    assert.ok(broken.stderr.includes(`${bad}:1: not_json`), broken.stderr);
    const missing = collect(join(folder, 'none.json'));
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /^lakeseal collect: error: .*\(COLLECT_INPUT_MISSING\)\nhint: /);
  });

  test('scan: 0 done, 2 with lines it could not read, 1 without rules', (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'lakeseal-cli-'));
    context.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'events.json');
    const scan = (...args: string[]) =>
      spawnSync(process.execPath, [main, 'scan', file, ...args], { encoding: 'utf8' });
    writeFileSync(file, '');
    assert.equal(scan().status, 0);
    writeFileSync(file, 'nonsense\n');
    assert.equal(scan('--format', 'json').status, 2);
    assert.equal(scan('--no-shipped-rules', '--rules', join(folder, 'none')).status, 1);
  });

  test('an old Node is told what is needed, before anything else is loaded', () => {
    const older =
      "Object.defineProperty(process,'versions',{value:{...process.versions,node:'22.14.0'}})";
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', `data:text/javascript,${older}`, main, '--version'],
      { encoding: 'utf8' },
    );
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(
      stderr,
      /^lakeseal: error: needs Node 22\.15 or later, this is 22\.14\.0 \(NODE_TOO_OLD\)\nhint: /,
    );
  });

  test('a reader that has seen enough is no failure', () => {
    const script = `"${process.execPath}" "${main}" config | head -1; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
    assert.match(stdout, /^Every key.*\n0\n$/);
    assert.equal(stderr, '');
  });
});
