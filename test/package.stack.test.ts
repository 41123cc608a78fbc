/**
 * The package as a user gets it: packed, installed globally into a folder of its own, and run from
 * there, with nothing of the checkout in reach.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { assetsOf } from './build.ts';
import { createInstallation } from './cli/installation.ts';
import { useStack } from './stack/use.ts';

const ROOT = join(import.meta.dirname, '..');
const INSTALL_MS_MAX = 10 * 60_000;
/** Node of the checkout first: the package is tried with the version it is tested with. */
const PATH = [dirname(process.execPath), process.env.PATH].join(delimiter);

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
};
const stack = await useStack();

let folder: string;
let packed: string[];

function run(command: string, args: string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: folder,
    encoding: 'utf8',
    timeout: INSTALL_MS_MAX,
    env: { HOME: process.env.HOME, PATH, ...env },
  });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}

function lakeseal(args: string[], env?: NodeJS.ProcessEnv) {
  return run(join(folder, 'installed', 'bin', 'lakeseal'), args, env);
}

/**
 * npm is the machine's, and reaches its registry by the machine's settings (certificates, a proxy),
 * which may be in the environment; what an npm around this test sets there is none of its business.
 */
function npm(args: string[]) {
  const settings = Object.entries(process.env).filter(([name]) => !name.startsWith('npm_'));
  return run('npm', args, { ...Object.fromEntries(settings), PATH });
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'lakeseal-package-'));
  const pack = npm(['pack', '--json', '--pack-destination', folder, ROOT]);
  assert.equal(pack.status, 0, pack.stderr);
  const [archive] = JSON.parse(pack.stdout) as [
    { filename: string; files: Array<{ path: string }> },
  ];
  packed = archive.files.map(({ path }) => path);
  const prefix = join(folder, 'installed');
  const install = npm([
    ...['install', '--global', '--prefix', prefix, '--prefer-offline'],
    ...['--no-audit', '--no-fund', join(folder, archive.filename)],
  ]);
  assert.equal(install.status, 0, install.stderr);
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe('the package', () => {
  test('holds the program, all that it reads, and its papers; no sources and no tests', () => {
    for (const file of ['LICENSE', 'CHANGELOG.md', 'package.json', 'dist/services/main.js']) {
      assert.ok(packed.includes(file), file);
    }
    for (const asset of assetsOf(ROOT)) assert.ok(packed.includes(`dist/${asset}`), asset);
    assert.deepEqual(
      packed.filter((file) => /(^|\/)test\/|(?<!\.d)\.ts$/.test(file)),
      [],
    );
  });

  test('runs as lakeseal: version, help, configuration', () => {
    assert.deepEqual(lakeseal(['--version']), {
      status: 0,
      stdout: `${manifest.version}\n`,
      stderr: '',
    });
    assert.equal(lakeseal(['--help']).status, 0);
    assert.equal(lakeseal(['config', '--effective']).status, 0);
  });

  test('scans a file with the shipped rules', () => {
    const file = join(folder, 'events.json');
    const event = {
      version: '2.0',
      timestamp: 1_772_438_400_000,
      workspaceId: '0',
      serviceName: 'accounts',
      actionName: 'mfaDeleteKey',
      userIdentity: { email: 'someone@example.com' },
      sourceIPAddress: '192.0.2.1',
      requestId: 'request-1',
      requestParams: {},
      response: { statusCode: 200 },
    };
    writeFileSync(file, `${JSON.stringify(event)}\n`);
    const { status, stdout, stderr } = lakeseal(['scan', file, '--format', 'json']);
    assert.equal(status, 0, stderr);
    const alerts = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.equal(alerts.length, 1, stdout);
    assert.equal(alerts[0].actor, 'someone@example.com');
    assert.deepEqual(alerts[0].evidence[0].line, 1);
  });

  test('asks the real servers', async () => {
    const installation = createInstallation(stack, 'package');
    const { status, stdout, stderr } = lakeseal(
      ['setup', '--dry-run', '--json'],
      installation.env(),
    );
    await installation.close();
    assert.equal(status, 0, stderr + stdout);
    const { items } = JSON.parse(stdout) as { items: Array<{ part: string }> };
    assert.deepEqual(
      [...new Set(items.map(({ part }) => part))],
      ['kafka', 'registry', 'store', 'opensearch'],
    );
  });
});
