import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { runCommandLine } from '../../services/cli/program.ts';
import { SKELETON_KINDS } from '../../services/detector/workbench/skeleton.ts';
import { createScreen } from './screen.ts';

const root = mkdtempSync(join(tmpdir(), 'lakeseal-rules-'));
after(() => rmSync(root, { recursive: true }));

function file(name: string, text: string | Buffer): string {
  const path = join(root, name);
  writeFileSync(path, text);
  return path;
}

async function run(...argv: string[]) {
  const screen = createScreen();
  const code = await runCommandLine(['rules', ...argv], screen);
  return { code, out: screen.output(), err: screen.errors() };
}

/** Without the shipped rules, which are another test's. */
const ALONE = '--no-shipped-rules';

const ADMIN = `\
title: Admin made
id: 00000000-0000-4000-8000-00000000000a
name: admin_made
level: high
tags: [attack.persistence, attack.t1098]
logsource: { product: databricks, service: accounts }
detection:
  selection: { actionName: setAdmin }
  refused: { outcome: failure }
  condition: selection and not refused
lakeseal:
  base:
    timestamp: 1795512600000
    serviceName: accounts
    actionName: setAdmin
    requestId: example
    userIdentity: { email: alice@example.com }
    response: { statusCode: 200 }
  tests:
    - { name: an admin is made, hit: true, event: {} }
    - { name: refused, hit: false, event: { response: { statusCode: 403 } } }
`;
const admin = file('admin_made.yml', ADMIN);

const MANY = `\
title: Many admins
id: 00000000-0000-4000-8000-00000000000b
name: many_admins
level: critical
tags: [attack.t1098.003]
correlation:
  type: event_count
  rules: [admin]
  group-by: [actor.name]
  timespan: 1h
  condition: { gte: 3 }
lakeseal:
  base:
    timestamp: 1795512600000
    serviceName: accounts
    actionName: setAdmin
    requestId: example
    userIdentity: { email: alice@example.com }
    response: { statusCode: 200 }
  tests:
    - { name: three, hit: true, events: [{ repeat: 3, every: 1m }] }
    - { name: two, hit: false, events: [{ repeat: 2, every: 1m }] }
---
title: An admin
id: 00000000-0000-4000-8000-00000000000c
name: admin
level: informational
logsource: { product: databricks }
detection:
  selection: { actionName: setAdmin }
  condition: selection
`;
const many = file('many_admins.yml', MANY);

function line(requestId: string, actionName = 'setAdmin', minute = 0): string {
  return JSON.stringify({
    timestamp: 1_795_512_600_000 + minute * 60_000,
    serviceName: 'accounts',
    actionName,
    requestId,
    userIdentity: { email: 'alice@example.com' },
    requestParams: { token: 'hunter2', targetUserName: 'bob@example.com' },
    response: { statusCode: 200 },
  });
}

describe('help', () => {
  for (const command of ['check', 'test', 'list', 'explain', 'new']) {
    test(`rules ${command} has a description and an example`, async () => {
      const { code, out, err } = await run(command, '--help');
      assert.deepEqual([code, err], [0, '']);
      assert.match(out, new RegExp(`^Usage: lakeseal rules ${command}`));
      assert.match(out, new RegExp(`Examples:\n  \\$ lakeseal rules ${command}`));
    });
  }

  test('a wrong word is told with the name of the command and a guess', async () => {
    const { code, err } = await run('lst');
    assert.equal(code, 1);
    assert.match(err, /^lakeseal rules: error: unknown command 'lst' \(USAGE\)\nhint: .*list/);
    const wrong = await run('list', '--level', 'worst');
    assert.match(wrong.err, /^lakeseal rules list: error: .*'worst' is invalid.*\(USAGE\)/);
  });
});

describe('rules check', () => {
  test('a clean set: 0, and what there is', async () => {
    const { code, out, err } = await run('check', ALONE, '--strict', admin, many);
    assert.deepEqual([code, err], [0, '']);
    assert.equal(
      out,
      '0 errors, 0 warnings: 1 rule of single events, 1 rule over many, 0 exceptions\n',
    );
  });

  test('errors: 1, each with file, line, column and what to do', async () => {
    const bad = file('bad.yml', ADMIN.replace('level: high', 'level: hihg').replace('Admin', ''));
    const { code, out } = await run('check', ALONE, bad);
    assert.equal(code, 1);
    const place = `${bad}:4:8: error: "hihg" is not a level; did you mean "high"?`;
    assert.ok(out.includes(place), out);
    assert.match(out, /1 error, 0 warnings: no rule is loaded until the errors are mended/);
    const json = JSON.parse((await run('check', ALONE, bad, '--json')).out);
    assert.equal(json.ok, false);
    assert.deepEqual(
      json.findings.map(({ severity, line, column }: Record<string, unknown>) => [
        severity,
        line,
        column,
      ]),
      [['error', 4, 8]],
    );
  });

  test('warnings: 0, but 2 where they count; a rule that matches nothing is one', async () => {
    const never = ADMIN.replace(
      'condition: selection and not',
      'condition: selection and not selection and not',
    );
    const path = file('never.yml', never);
    assert.equal((await run('check', ALONE, path)).code, 0);
    const { code, out } = await run('check', ALONE, path, '--strict');
    assert.equal(code, 2);
    assert.match(out, /never\.yml:1:1: warning: .*no event can match this rule/);
    assert.match(out, /0 errors, 1 warning: /);
  });

  test('a rule that needs a database says so, and that is no warning', async () => {
    const path = file(
      'abroad.yml',
      ADMIN.replace(
        '{ actionName: setAdmin }',
        '{ actionName: setAdmin, lakeseal.source.country: FR }',
      ),
    );
    const { code, out } = await run('check', ALONE, path, '--strict');
    assert.equal(code, 0);
    assert.match(out, /note: "Admin made" reads lakeseal\.source\.country, .*enrich\./);
  });

  test('what shipped rules need is no note of whoever checks his own', async () => {
    const { out } = await run('check', admin);
    assert.doesNotMatch(out, /note:/);
    const all = (await run('check')).out.split('\n').filter((line) => line.includes(': note: '));
    assert.equal(all.length, 1);
    assert.match(
      all[0]!,
      /rules: note: \d+ of these rules read .*; configure enrich\.\S+ or .*; lakeseal rules list tells/,
    );
  });

  test('a path that is not there is an error', async () => {
    const { code, out } = await run('check', ALONE, join(root, 'none'));
    assert.equal(code, 1);
    assert.match(out, /none: error: no such file or folder; check the path/);
  });
});

describe('rules test', () => {
  test('a table of what passed', async () => {
    const { code, out, err } = await run('test', ALONE, admin, many);
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /✔ {2}Admin made +event +1 +1 +[\d.]+ ms\n/);
    assert.match(out, /✔ {2}Many admins +event_count +1 +1 +[\d.]+ ms\n/);
    assert.match(out, /\n2 rules, 4 tests, all passed, [\d.]+ s\n$/);
  });

  test('a failed test says why: which item did not hold, and what the event has', async () => {
    const wrong = file(
      'wrong.yml',
      ADMIN.replace('{ actionName: setAdmin }', '{ actionName: setAdmn }'),
    );
    const { code, out } = await run('test', ALONE, wrong);
    assert.equal(code, 1);
    assert.match(out, /✘ {2}Admin made +event +0 of 1 +1 /);
    assert.match(out, /✘ .*wrong\.yml:20: hit: an admin is made\n/);
    assert.match(out, /the rule should fire and does not\n/);
    assert.match(out, /event 1 \(2026-11-24T09:30:00\.000Z accounts\/setAdmin\) does not fire:\n/);
    assert.match(out, /selection: actionName is "setAdmin", not "setAdmn"\n/);
    assert.match(out, /1 failed/);
  });

  test('a miss that fires shows the whole condition', async () => {
    const wrong = file('wrong-miss.yml', ADMIN.replace(' and not refused', ''));
    const { code, out } = await run('test', ALONE, wrong);
    assert.equal(code, 1);
    assert.match(out, /miss: refused\n +the rule fires and should not\n/);
    assert.match(out, /✔ selection\n +✔ actionName = "setAdmin", is "setAdmin"\n/);
  });

  test('a failed sequence shows what each group reached beside the limit', async () => {
    const wrong = file('wrong-many.yml', MANY.replace('gte: 3', 'gte: 4'));
    const { code, out } = await run('test', ALONE, wrong);
    assert.equal(code, 1);
    assert.match(out, /hit: three\n +the rule should fire and does not\n +3 of 3 events count\n/);
    assert.match(
      out,
      /group actor\.name = "alice@example\.com": 3 events, event_count from 1 to 3 within 1h; the limit is ≥ 4\n/,
    );
  });

  test('as JSON, and only what is asked for', async () => {
    const { code, out } = await run('test', ALONE, admin, many, '--filter', 'MANY', '--json');
    assert.equal(code, 0);
    const { ok, tests, failed, rules } = JSON.parse(out);
    assert.deepEqual([ok, tests, failed, rules.length], [true, 2, 0, 1]);
    assert.deepEqual(
      rules[0].tests.map(({ name, hit, alerts }: Record<string, unknown>) => [name, hit, alerts]),
      [
        ['three', true, 1],
        ['two', false, 0],
      ],
    );
  });

  test('rules that do not load: 1, with every problem', async () => {
    const bad = file('bad-again.yml', 'title: no\n');
    const { code, out, err } = await run('test', ALONE, bad);
    assert.deepEqual([code, out], [1, '']);
    assert.match(err, /bad-again\.yml:1:1: error: /);
    assert.match(err, /\(RULES_INVALID\)\nhint: /);
  });
});

describe('rules list', () => {
  test('a table, the worst first', async () => {
    const { code, out } = await run('list', ALONE, admin, many);
    assert.equal(code, 0);
    const rows = out.split('\n');
    assert.match(rows[0]!, /^ID +LEVEL +TITLE +KIND +ATT&CK +SOURCE +NEEDS$/);
    assert.match(rows[1]!, /00b +critical +Many admins +event_count +T1098\.003 +own +-$/);
    assert.match(rows[2]!, /00a +high +Admin made +event +T1098 +own +-$/);
    assert.match(rows[3]!, /00c +informational +An admin +event, serves others +- +own +-$/);
    assert.match(out, /\n3 rules\n$/);
  });

  test('filters, JSON and coverage', async () => {
    const json = JSON.parse(
      (await run('list', ALONE, admin, many, '--attack', 'T1098', '--level', 'high', '--json')).out,
    );
    assert.deepEqual(
      json.map(({ name }: { name: string }) => name),
      ['admin_made'],
    );
    const layer = JSON.parse((await run('list', ALONE, admin, many, '--coverage')).out);
    assert.equal(layer.versions.layer, '4.5');
    assert.deepEqual(
      layer.techniques.map(({ techniqueID }: { techniqueID: string }) => techniqueID),
      ['T1098', 'T1098.003'],
    );
    assert.match((await run('list', ALONE, admin, '--source', 'shipped')).out, /^no rule is like/);
  });

  test('what a rule needs beside the event: files of places, and lists', async () => {
    const lists = join(root, 'needed-lists');
    mkdirSync(lists, { recursive: true });
    writeFileSync(join(lists, 'made.txt'), 'setAdmin\n');
    const path = file(
      'needy.yml',
      ADMIN.replace(
        '{ actionName: setAdmin }',
        '{ actionName|expand: "%made%", lakeseal.source.country: FR }',
      ),
    );
    const listed = ['list', ALONE, '--lists', lists, path];
    assert.match((await run(...listed)).out, / own +city\/country made\.txt\n/);
    const [rule] = JSON.parse((await run(...listed, '--json')).out);
    assert.deepEqual(rule.needs, {
      fields: [{ field: 'lakeseal.source.country', anyOf: ['city', 'country'] }],
      lists: ['made'],
    });
  });

  test('an override shows where the rule comes from', async () => {
    const override = file(
      'override.yml',
      'title: off\nlakeseal: { override: { rule: admin_made, enabled: false } }\n',
    );
    const { out } = await run('list', ALONE, admin, override, '--json');
    const [rule] = JSON.parse(out);
    assert.equal(rule.source, 'disabled');
  });
});

describe('rules explain', () => {
  const events = file(
    'events.json.gz',
    gzipSync(
      [
        line('1'),
        line('2', 'removeAdmin', 1),
        line('3', 'setAdmin', 2),
        line('4', 'setAdmin', 3),
      ].join('\n'),
    ),
  );

  test('shows what held and what the event has, and no secret', async () => {
    const { code, out, err } = await run(
      'explain',
      'admin_made',
      `${events}:2`,
      ALONE,
      '--rules',
      admin,
    );
    assert.deepEqual([code, err], [0, '']);
    assert.match(
      out,
      /^✘ Admin made does not fire\n {2}on .*events\.json\.gz:2 {2}2026-11-24T09:31/,
    );
    assert.match(out, /✘ selection\n +✘ actionName = "setAdmin", is "removeAdmin"\n/);
    assert.match(out, /✔ log source: service accounts, is "accounts"\n/);
  });

  test('takes id, title and file name, and guesses a wrong one', async () => {
    for (const rule of ['00000000-0000-4000-8000-00000000000a', 'admin MADE', 'admin_made.yml']) {
      const { code, out } = await run('explain', rule, events, ALONE, '--rules', admin);
      assert.equal(code, 0, rule);
      assert.match(out, /^✔ Admin made fires\n/);
    }
    const { code, err } = await run('explain', 'admin_mad', events, ALONE, '--rules', admin);
    assert.equal(code, 1);
    assert.match(
      err,
      /^lakeseal rules explain: error: no rule .*\(RULE_UNKNOWN\)\nhint: did you mean "admin_made"\?/,
    );
  });

  test('a rule over many: each group beside the limit', async () => {
    const { code, out } = await run('explain', 'many_admins', events, ALONE, '--rules', many);
    assert.equal(code, 0);
    assert.match(out, /^✔ Many admins \(event_count\) raises 1 alert\n {2}4 events of /);
    assert.match(out, /group actor\.name = "alice@example\.com": 3 events, /);
    const one = await run('explain', 'many_admins', `${events}:2`, ALONE, '--rules', many);
    assert.match(one.out, /raises 0 alerts\n/);
    assert.match(one.out, /✘ An admin\n +✘ condition:\n +✘ selection\n/);
  });

  test('JSON holds no secret either', async () => {
    const asking = ADMIN.replace('{ actionName: setAdmin }', '{ requestParams.token: x }');
    const rules = file('asking.yml', asking);
    const { out } = await run('explain', 'admin_made', events, ALONE, '--rules', rules, '--json');
    const explained = JSON.parse(out);
    assert.equal(explained.holds, false);
    assert.doesNotMatch(out, /hunter2/);
    assert.match(out, /left out: 7 characters/);
  });

  test('a place that holds no event is an error that says what to do', async () => {
    for (const place of [`${events}:9`, file('empty', ''), join(root, 'absent')]) {
      const { code, err } = await run('explain', 'admin_made', place, ALONE, '--rules', admin);
      assert.equal(code, 1, place);
      assert.match(
        err,
        /^lakeseal rules explain: error: .*\((EVENTS_NONE|EVENTS_UNREADABLE)\)\nhint: /,
      );
    }
  });

  test('an event over many lines of a file is one event', async () => {
    const pretty = file('pretty.json', JSON.stringify(JSON.parse(line('1')), null, 2));
    const { code, out } = await run('explain', 'admin_made', pretty, ALONE, '--rules', admin);
    assert.equal(code, 0);
    assert.match(out, /^✔ Admin made fires/);
  });
});

describe('scan', () => {
  test('a time that is none is an error that shows one', async () => {
    for (const time of ['yesterday', '7', '2026-13-01']) {
      const screen = createScreen();
      assert.equal(await runCommandLine(['scan', 'x', '--until', time], screen), 1);
      assert.match(
        screen.errors(),
        /^lakeseal scan: error: .*'--until <time>' .*2026-11-24T10:00:00Z.*\(USAGE\)\nhint: /,
      );
    }
  });
});

describe('rules new', () => {
  for (const kind of [null, ...SKELETON_KINDS]) {
    test(`${kind ?? 'single events'}: loads without a warning, and its tests pass`, async () => {
      const path = join(root, `new-${kind}.yml`);
      const stateful = kind === null ? [] : ['--stateful', kind];
      const made = await run('new', `A rule: "${kind}" #1`, ...stateful, '--out', path);
      assert.deepEqual([made.code, made.err], [0, '']);
      const checked = await run('check', ALONE, path, '--strict');
      assert.equal(checked.code, 0, checked.out);
      const tested = await run('test', ALONE, path);
      assert.equal(tested.code, 0, tested.out);
      assert.match(tested.out, /all passed/);
    });
  }

  test('goes to standard output, with new ids each time', async () => {
    const [first, second] = [await run('new', 'Night'), await run('new', 'Night')];
    const id = (text: string): string => /^id: (.+)$/m.exec(text)![1]!;
    assert.notEqual(id(first.out), id(second.out));
    assert.match(first.out, /^title: Night\n/);
  });

  test('never overwrites', async () => {
    const path = file('mine.yml', 'mine');
    const { code, err } = await run('new', 'Night', '--out', path);
    assert.equal(code, 1);
    assert.match(err, /mine\.yml is there already \(RULE_FILE_EXISTS\)\nhint: /);
    assert.equal(readFileSync(path, 'utf8'), 'mine');
    const folder = await run('new', 'At Night!', '--out', root);
    assert.match(folder.err, /is a folder .*\nhint: .*at_night\.yml/);
    const below = join(path, 'deep', 'x.yml');
    assert.match((await run('new', 'Night', '--out', below)).err, /RULE_FILE_UNWRITABLE/);
  });

  test('makes the folders of its file', async () => {
    const absent = join(root, 'absent', 'deep', 'x.yml');
    assert.equal((await run('new', 'Night', '--out', absent)).code, 0);
    assert.match(readFileSync(absent, 'utf8'), /^title: Night\n/);
  });
});
