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

  it('judges by the shipped rules', async () => {
    const { io, out } = memoryIo(line('a'));
    assert.equal(await scan({ files: ['-'], rules: [SHIPPED_RULES], format: 'json' }, io), 0);
    assert.equal(JSON.parse(out()).rule.title, 'Workspace administrator granted');
  });
});
