import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { scan } from '../../services/detector/scan.ts';
import { SHIPPED_RULES } from '../../services/detector/sigma/rules.ts';
import { DECODE_LIMITS } from '../../services/ingest/decode.ts';
import { ruleText } from './events.ts';
import { memoryIo } from './scan-io.ts';

const root = mkdtempSync(join(tmpdir(), 'lakeseal-scan-'));
after(() => rmSync(root, { recursive: true }));

function file(name: string, contents: string | Buffer): string {
  const path = join(root, name);
  writeFileSync(path, contents);
  return path;
}

const rules = [file('rule.yml', ruleText('sel:\n  actionName: setAdmin\ncondition: sel'))];

function line(requestId: string, actionName = 'setAdmin'): string {
  return JSON.stringify({
    timestamp: 1_795_512_600_123,
    serviceName: 'accounts',
    actionName,
    requestId,
    userIdentity: { email: 'alice@example.com' },
    sourceIPAddress: '203.0.113.10',
    response: { statusCode: 200 },
  });
}

const THREE = `${line('a')}\n\n${line('b', 'login')}\r\n${line('c')}`;

function evidenceLines(out: string): number[] {
  const alerts = out.trimEnd().split('\n');
  return alerts.map((alert) => JSON.parse(alert).evidence[0].line);
}

describe('scan', () => {
  it('prints one alert a line, exactly these keys, lines counted from 1', async () => {
    const path = file('three.ndjson', THREE);
    const { io, out, err } = memoryIo();
    assert.equal(await scan({ files: [path], rules, format: 'json' }, io), 0);
    const alerts = out()
      .trimEnd()
      .split('\n')
      .map((one) => JSON.parse(one));
    assert.equal(alerts.length, 2);
    assert.deepEqual(alerts[1], {
      id: alerts[1].id,
      rule: { id: '00000000-0000-4000-8000-000000000001', title: 'test rule', level: 'low' },
      group: {},
      actor: 'alice@example.com',
      first: '2026-11-24T09:30:00.123Z',
      last: '2026-11-24T09:30:00.123Z',
      count: 1,
      evidence: [{ file: path, line: 4, eventId: alerts[1].evidence[0].eventId }],
    });
    assert.deepEqual(Object.keys(alerts[1]), [
      ...['id', 'rule', 'group', 'actor', 'first', 'last', 'count', 'evidence'],
    ]);
    assert.match(alerts[1].id, /^[\w-]{43}$/);
    assert.equal(alerts[0].evidence[0].line, 1);
    assert.equal(err(), '');
  });

  it('raises one alert for an event that is there twice', async () => {
    const { io, out } = memoryIo(`${line('a')}\n${line('a')}\n${line('b')}\n`);
    assert.equal(await scan({ files: ['-'], rules, format: 'json' }, io), 0);
    assert.deepEqual(evidenceLines(out()), [1, 3]);
  });

  it('reads gzip, several gzip members, zstd and standard input alike', async () => {
    const files = [
      file('plain', THREE),
      file('one.gz', gzipSync(THREE)),
      file('two.gz', Buffer.concat([gzipSync(`${line('a')}\n\n`), gzipSync(`{}\n${line('c')}`)])),
      file('three.zst', zstdCompressSync(THREE)),
      file('compressed-without-a-name', gzipSync(THREE)),
    ];
    for (const path of files) {
      const { io, out } = memoryIo();
      await scan({ files: [path], rules, format: 'json' }, io);
      assert.equal(out().trimEnd().split('\n').length, 2, path);
    }
    const { io, out } = memoryIo(gzipSync(THREE));
    assert.equal(await scan({ files: ['-'], rules, format: 'json' }, io), 0);
    assert.equal(out().trimEnd().split('\n').length, 2);
  });

  it('reads every gzip member and every zstd frame, and counts lines on through them', async () => {
    const parts = [`${line('a')}\n\n${line('b', 'login').slice(0, 20)}`];
    parts.push(`${line('b', 'login').slice(20)}\n${line('c')}\n`, '', 'no json\n', `${line('d')}`);
    for (const compress of [gzipSync, zstdCompressSync]) {
      const path = file(
        `${compress.name}-parts`,
        Buffer.concat(parts.map((part) => compress(part))),
      );
      const piped = memoryIo(readFileSync(path));
      const named = memoryIo();
      for (const [name, { io, out, err }] of [['-', piped] as const, [path, named] as const]) {
        assert.equal(await scan({ files: [name], rules, format: 'json' }, io), 2);
        assert.deepEqual(evidenceLines(out()), [1, 4, 6], name);
        assert.equal(err().split(': ')[0], `${name}:5`);
      }
    }
  });

  it('tells of a line that is too long with its length, and goes on', async () => {
    const long = 'x'.repeat(DECODE_LIMITS.bytesMax + 1);
    for (const rest of [`${long}\n${line('b')}`, `${long}`]) {
      const { io, out, err } = memoryIo(`${line('a')}\n${rest}`);
      assert.equal(await scan({ files: ['-'], rules, format: 'json' }, io), 2);
      assert.deepEqual(evidenceLines(out()), rest === long ? [1] : [1, 3]);
      assert.equal(
        err(),
        `-:2: oversized: ${long.length} bytes, the limit is ${long.length - 1}\n`,
      );
    }
  });

  it('tells of lines it cannot read, goes on, and exits with 2', async () => {
    const path = file(
      'bad.ndjson',
      Buffer.concat([
        Buffer.from(`not json\n${line('a')}\n{}\n`),
        Buffer.from([0xff, 0x0a]),
        Buffer.from(`[${line('b')},{"serviceName":1}]\n`),
      ]),
    );
    const { io, out, err } = memoryIo();
    assert.equal(await scan({ files: [path], rules, format: 'json' }, io), 2);
    assert.equal(out().trimEnd().split('\n').length, 2);
    const told = err().trimEnd().split('\n');
    assert.deepEqual(
      told.map((one) => one.slice(path.length).split(': ').slice(0, 2).join(' ')),
      [':1 not_json', ':3 no_event', ':4 not_utf8', ':5 event 2'],
    );
  });

  it('exits with 1 when a file is missing or is a folder, before it prints anything', async () => {
    const { io, out, err } = memoryIo();
    const good = file('good.ndjson', THREE);
    const files = [good, join(root, 'absent'), root];
    assert.equal(await scan({ files, rules, format: 'json' }, io), 1);
    assert.equal(out(), '');
    assert.match(err(), /absent: no such file\n.*is a folder/);
  });

  it('exits with 1 when no file is named', async () => {
    const { io } = memoryIo();
    assert.equal(await scan({ files: [], rules, format: 'json' }, io), 1);
  });

  it('exits with 1 and all problems when the rules do not load', async () => {
    const bad = file('bad.yml', 'title: x\n');
    const { io, out, err } = memoryIo(THREE);
    assert.equal(await scan({ files: ['-'], rules: [...rules, bad], format: 'json' }, io), 1);
    assert.equal(out(), '');
    assert.match(err(), /bad\.yml:1:1: error: "id" is missing/);
    assert.match(err(), /no rule was loaded/);
  });

  it('exits with 1 on damaged compression, with the place, after what could be read', async () => {
    const text = Array.from({ length: 10_000 }, (_, at) => `${line(`${at * 7919}`)}\n`).join('');
    for (const compress of [gzipSync, zstdCompressSync]) {
      const whole = compress(text);
      const cut = file('cut', whole.subarray(0, Math.floor(whole.length * 0.9)));
      const { io, out, err } = memoryIo();
      assert.equal(await scan({ files: [cut], rules, format: 'json' }, io), 1);
      const lines = evidenceLines(out());
      assert.ok(lines.length > 5_000, `${lines.length} lines before the damage`);
      const place = `${cut}:${lines.length + 1}: `;
      assert.ok(err().startsWith(`scan: error: ${place}cannot be read from here on: `), err());
      assert.match(err(), /: damaged (gzip|zstd) data: .+\nhint: fetch the file again/);
    }
  });

  it('prints a table with a summary', async () => {
    const { io, out } = memoryIo(`${THREE}\nnonsense\n`);
    assert.equal(await scan({ files: ['-'], rules, format: 'table' }, io), 2);
    const rows = out().split('\n');
    assert.match(rows[0]!, /^TIME +LEVEL +RULE +ACTOR +SOURCE +EVENT$/);
    assert.match(
      rows[1]!,
      /^2026-11-24T09:30:00\.123Z +low +test rule +alice@example\.com +203\.0\.113\.10 +-:1$/,
    );
    assert.match(out(), /\n5 lines, 3 events, 2 alerts \(2 low\), 1 undecodable, 1 rule, /);
  });

  it('lets no control character of an event reach the terminal', async () => {
    const hostile = line('a').replace('alice@example.com', '\\u001b[2Jalice\\u0007');
    const { io, out } = memoryIo(hostile);
    await scan({ files: ['-'], rules, format: 'table' }, io);
    assert.ok(out().includes('?[2Jalice?'));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    assert.doesNotMatch(out().replaceAll('\n', ''), /[\u0000-\u001f]/);
  });

  it('ends in peace when its reader goes away', async () => {
    const { io } = memoryIo(`${line('a')}\n${line('b')}\n`);
    const gone = new Writable({
      write: (_, __, done) => done(Object.assign(new Error('gone'), { code: 'EPIPE' })),
    });
    assert.equal(await scan({ files: ['-'], rules, format: 'json' }, { ...io, stdout: gone }), 0);
  });

  const MANY = file(
    'many.yml',
    `title: many admins
id: 00000000-0000-4000-8000-000000000002
level: critical
correlation:
  type: event_count
  rules: [00000000-0000-4000-8000-000000000001]
  group-by: [actor.name]
  timespan: 1h
  condition: { gte: 3 }
  generate: true
`,
  );
  const many = [...rules, MANY];

  it('prints an alert over many events once, at the end, with all that it counted', async () => {
    const path = file('first.ndjson', `${line('a')}\n${line('b')}\n`);
    const { io, out, err } = memoryIo(`\n${line('c')}\n${line('a')}\n${line('d')}\n`);
    assert.equal(await scan({ files: [path, '-'], rules: many, format: 'json' }, io), 0);
    assert.equal(err(), '');
    const alerts = out()
      .trimEnd()
      .split('\n')
      .map((one) => JSON.parse(one));
    assert.deepEqual(
      alerts.map(({ rule }) => rule.level),
      ['low', 'low', 'low', 'low', 'critical'],
    );
    const [last] = alerts.slice(-1);
    assert.deepEqual(last, {
      id: last.id,
      rule: { id: '00000000-0000-4000-8000-000000000002', title: 'many admins', level: 'critical' },
      group: { 'actor.name': 'alice@example.com' },
      actor: 'alice@example.com',
      first: '2026-11-24T09:30:00.123Z',
      last: '2026-11-24T09:30:00.123Z',
      count: 4,
      evidence: last.evidence,
    });
    assert.deepEqual(
      last.evidence.map((one: { file: string; line: number }) => [one.file, one.line]).sort(),
      [
        ['-', 2],
        ['-', 4],
        [path, 1],
        [path, 2],
      ],
    );
  });

  it('has it in the table and in the summary too', async () => {
    const { io, out } = memoryIo(`${line('a')}\n${line('b')}\n${line('c')}\n`);
    assert.equal(await scan({ files: ['-'], rules: many, format: 'table' }, io), 0);
    assert.match(
      out(),
      /critical +many admins +alice@example\.com +203\.0\.113\.10 +-:\d and 2 more\n/,
    );
    assert.match(out(), /4 alerts \(1 critical, 3 low\), 0 undecodable, 2 rules, /);
  });

  it('gives an alert the level that its event has', async () => {
    const levels = file(
      'levels.yml',
      `${ruleText('sel:\n  actionName: setAdmin\nfailed:\n  response.statusCode: 403\ncondition: sel')}
lakeseal: { levels: [{ level: high, when: failed }] }
`,
    );
    const failed = line('b').replace('200', '403');
    const { io, out } = memoryIo(`${line('a')}\n${failed}\n`);
    assert.equal(await scan({ files: ['-'], rules: [levels], format: 'json' }, io), 0);
    const lines = out().trimEnd().split('\n');
    assert.deepEqual(
      lines.map((one) => JSON.parse(one).rule.level),
      ['low', 'high'],
    );
  });

  it('judges what is absent up to the newest event, or as far as it is told', async () => {
    const absence = file(
      'absence.yml',
      `${ruleText('sel:\n  actionName: setAdmin\ncondition: sel')}
name: made
lakeseal: { absence: { followed_by: undone, group-by: [actor.name], within: 1h } }
---
${ruleText('sel:\n  actionName: removeAdmin\ncondition: sel').replace('000000000001', '000000000009')}
name: undone
`,
    );
    const options = { files: ['-'], rules: [absence], format: 'json' as const };
    const silent = memoryIo(line('a'));
    assert.equal(await scan(options, silent.io), 0);
    assert.equal(silent.out(), '');
    const late = memoryIo(line('a'));
    const untilMs = Date.parse('2026-11-24T10:31:00Z');
    assert.equal(await scan({ ...options, untilMs }, late.io), 0);
    assert.equal(JSON.parse(late.out()).rule.title, 'test rule');
  });

  it('takes lists and places from where it is told', async () => {
    const folder = mkdtempSync(join(root, 'lists-'));
    writeFileSync(join(folder, 'robots.txt'), '# ours\nalice@example.com\n');
    const listed = file(
      'listed.yml',
      ruleText(
        "sel:\n  userIdentity.email|expand: '%robots%'\n  lakeseal.source.country: FR\ncondition: sel",
      ),
    );
    const places = {
      place: () => ({
        ...{ country: 'FR', city: null, latitude: null, longitude: null },
        ...{ asn: null, asOrganisation: null },
      }),
    };
    const options = { files: ['-'], rules: [listed], format: 'json' as const };
    const without = memoryIo(line('a'));
    assert.equal(await scan(options, without.io), 1);
    assert.match(without.err(), /robots/);
    const nowhere = memoryIo(line('a'));
    assert.equal(await scan({ ...options, lists: [folder] }, nowhere.io), 0);
    assert.equal(nowhere.out(), '');
    const { io, out } = memoryIo(line('a'));
    assert.equal(await scan({ ...options, lists: [folder], places }, io), 0);
    assert.equal(JSON.parse(out()).count, 1);
  });

  it('judges by the shipped rules', async () => {
    const { io, out } = memoryIo(line('a'));
    assert.equal(await scan({ files: ['-'], rules: [SHIPPED_RULES], format: 'json' }, io), 0);
    assert.equal(JSON.parse(out()).rule.title, 'Workspace administrator granted');
  });
});
