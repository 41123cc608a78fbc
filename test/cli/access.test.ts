/** `lakeseal access diff` on files, as an auditor uses it: tables, JSON, approvals, exit codes. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { runCommandLine } from '../../services/cli/program.ts';
import { line } from '../access/events.ts';
import { createScreen } from './screen.ts';

const root = mkdtempSync(join(tmpdir(), 'lakeseal-access-'));
after(() => rmSync(root, { recursive: true }));

function write(name: string, text: string | Buffer): string {
  const path = join(root, name);
  writeFileSync(path, text);
  return path;
}

async function run(...argv: string[]) {
  const screen = createScreen();
  const code = await runCommandLine(['access', ...argv], screen);
  return { code, out: screen.output(), err: screen.errors() };
}

const changes = (...rows: object[]): object => ({
  securable_type: 'TABLE',
  securable_full_name: 'main.hr.pay',
  changes: JSON.stringify(rows),
});
const LINES = [
  line(-60, 'accounts.setAdmin', { targetUserName: 'old@example.com' }),
  line(1, 'unityCatalog.updatePermissions', changes({ principal: 'analysts', add: ['SELECT'] })),
  line(2, 'accounts.addPrincipalToGroup', {
    targetGroupName: 'admins',
    targetUserName: 'mallory@example.com',
  }),
  line(3, 'accounts.removeAdmin', { targetUserName: 'old@example.com' }),
  line(4, 'sqlPermissions.grantPermission', { permission: 'x' }),
  line(5, 'accounts.tokenLogin', { user: 'u' }),
  line(
    6,
    'secrets.putAcl',
    { scope: 's', principal: 'users', permission: 'READ' },
    {
      response: { statusCode: 403 },
    },
  ),
  line(3_000, 'accounts.setAdmin', { targetUserName: 'later@example.com' }),
];
const file = write('events.json.gz', gzipSync(`${LINES.join('\n')}\n`));
const DAY = ['2026-11-24', '2026-11-25'];

const APPROVALS = `approvals:
  - id: CHG-1
    owner: dana@example.com
    reason: analysts read pay
    match: { kind: grant, subject: analysts }
  - id: CHG-2
    owner: dana@example.com
    reason: once
    expires: 2026-11-20
    match: { kind: group }
`;

describe('lakeseal access diff', () => {
  test('says who may do more, who less, and by which event', async () => {
    const { code, out, err } = await run('diff', ...DAY, file);
    assert.equal(err, '');
    assert.equal(code, 0);
    const [, wider, changed, narrower] = out.split(/^(?:WIDER|CHANGED.*|NARROWER)$/m);
    assert.match(wider!, /analysts +SELECT +TABLE main\.hr\.pay +account a1 +alice@example\.com/);
    assert.match(wider!, /mallory@example\.com +MEMBER +group admins +workspace 77/);
    assert.ok(wider!.includes(`accounts.addPrincipalToGroup ${file}:3`));
    assert.match(
      changed!,
      /unknown +- +an action that is not known +sqlPermissions\.grantPermission/,
    );
    assert.match(narrower!, /old@example\.com +no longer ADMIN/);
    assert.match(
      out,
      /^2 wider, 1 changed, 1 narrower, 0 passing; 5 changes of access in 8 events$/m,
    );
    assert.match(out, /before the first event, of 2026-11-23T23:00:00Z, is not known/);
    assert.doesNotMatch(out, /later@example|users/);
  });

  test('finds what nobody approved, and what an expired approval would have covered', async () => {
    const approvals = write('approvals.yaml', APPROVALS);
    const { code, out } = await run('diff', ...DAY, file, '--approvals', approvals);
    assert.equal(code, 1);
    const found = out.slice(out.indexOf('NOT APPROVED'));
    assert.match(found, /mallory@example\.com .* CHG-2$/m);
    assert.match(found, /unknown .* -$/m);
    assert.doesNotMatch(found, /analysts/);
    assert.match(found, /^approval CHG-2 of dana@example\.com expired 2026-11-20T00:00:00Z/m);
    assert.match(found, /^1 expansion approved, 2 not$/m);
    const all = write(
      'all.yaml',
      APPROVALS.replace(/ +expires.*\n/, '').replace('{ kind: group }', '{ by: "*" }'),
    );
    assert.equal((await run('diff', ...DAY, file, '--approvals', all)).code, 0);
  });

  test('tells the same as JSON', async () => {
    const approvals = write('json.yaml', APPROVALS);
    const { code, out } = await run('diff', ...DAY, file, '--json', '--approvals', approvals);
    const report = JSON.parse(out) as {
      exitCode: number;
      differences: Array<{ verdict: string; subject: string; steps: Array<{ place: string }> }>;
      approvals: { unapproved: Array<{ subject: string; expired: string[] }>; uses: object };
    };
    assert.equal(report.exitCode, code);
    assert.deepEqual(
      report.differences.map(({ verdict, subject }) => `${verdict} ${subject}`.trim()),
      ['wider analysts', 'wider mallory@example.com', 'changed', 'narrower old@example.com'],
    );
    assert.equal(report.differences[1]!.steps[0]!.place, `${file}:3`);
    assert.deepEqual(report.approvals.uses, { 'CHG-1': 1, 'CHG-2': 0 });
    assert.deepEqual(report.approvals.unapproved[0]!.expired, ['CHG-2']);
  });

  test('what could not be read makes it incomplete, and is told', async () => {
    const broken = write('broken.json', `${LINES[1]}\nnot json\n`);
    const { code, out, err } = await run('diff', ...DAY, broken);
    assert.equal(code, 2);
    assert.match(err, /broken\.json:2: undecodable: not_json/);
    assert.match(out, /NOT READ: 1 record undecodable/);
    const nothing = await run('diff', ...DAY, write('empty.json', '\n'));
    assert.equal(nothing.code, 2);
    assert.match(nothing.out, /no event to compare/);
  });

  test('names of others cannot move the cursor', async () => {
    const evil = write('evil.json', line(1, 'accounts.setAdmin', { targetUserName: '\u001b[2Jx' }));
    const { out } = await run('diff', ...DAY, evil);
    assert.ok(!out.includes('\u001b'));
    assert.ok(out.includes('\\u001b[2Jx'));
  });

  test('says what is wrong with what it was asked', async () => {
    const bad = write('bad.yaml', 'approvals:\n  - id: x\n');
    for (const [argv, expected] of [
      [['diff', '2026-11-25', '2026-11-24', file], /FROM is not before TO/],
      [['diff', ...DAY, join(root, 'none.json')], /none\.json: no such file/],
      [['diff', ...DAY, file, '--archive', root], /files or --archive, not both/],
      [['diff', ...DAY, '--archive', join(root, 'none')], /is not a folder/],
      [['diff', ...DAY, file, '--approvals', join(root, 'none')], /approvals .* cannot be read/],
      [['diff', ...DAY, file, '--approvals', bad], /bad\.yaml:2:5: "owner": is missing/],
      [['check', join(root, 'none')], /is not a folder/],
    ] as Array<[string[], RegExp]>) {
      const { code, err } = await run(...argv);
      assert.equal(code, 3, argv.join(' '));
      assert.match(err, expected);
    }
    const day = await run('snapshot', '--until', '2026-13-01');
    assert.match(day.err, /write it as 2026-11-24/);
    const future = await run('snapshot', '--until', '2999-01-01');
    assert.match(future.err, /2999-01-01 is not over yet/);
    const unsigned = await run('snapshot');
    assert.deepEqual([unsigned.code, /no signing key/.test(unsigned.err)], [1, true]);
    assert.equal((await run('check', root)).code, 2);
  });
});
