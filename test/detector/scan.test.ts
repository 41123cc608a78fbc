import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { after, describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { linesOf } from '../../services/detector/lines.ts';
import { SHIPPED_RULES } from '../../services/detector/rules.ts';
import { scan } from '../../services/detector/scan.ts';
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
    assert.deepEqual(
      out()
        .trimEnd()
        .split('\n')
        .map((one) => JSON.parse(one).evidence[0].line),
      [1, 3],
    );
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

  it('exits with 1 on damaged compression, after what could be read', async () => {
    const whole = gzipSync(`${line('a')}\n`.repeat(10_000));
    const cut = file('cut.gz', whole.subarray(0, whole.length - 20));
    const { io, err } = memoryIo();
    assert.equal(await scan({ files: [cut], rules, format: 'json' }, io), 1);
    assert.match(err(), /cut\.gz cannot be read/);
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

describe('lines', () => {
  async function all(chunks: Buffer[], max = 100): Promise<Array<[number, string | null]>> {
    const found: Array<[number, string | null]> = [];
    const stream = Readable.from(chunks, { objectMode: false });
    for await (const lines of linesOf(stream, max)) {
      for (const { number, bytes } of lines) found.push([number, bytes?.toString() ?? null]);
    }
    return found;
  }

  it('are the same however the bytes are cut', async () => {
    const text = Buffer.from('one\ntwé\r\n\nlast');
    const whole = await all([text]);
    assert.deepEqual(whole, [
      [1, 'one'],
      [2, 'twé'],
      [3, ''],
      [4, 'last'],
    ]);
    for (let at = 1; at < text.length; at += 1) {
      assert.deepEqual(await all([text.subarray(0, at), text.subarray(at)]), whole);
    }
    assert.deepEqual(await all([...text].map((byte) => Buffer.from([byte]))), whole);
  });

  it('are null where they are too long, without being kept', async () => {
    const long = Buffer.alloc(10_000, 'x');
    assert.deepEqual(await all([Buffer.from('a\n'), long, long, Buffer.from('\nb\n')]), [
      [1, 'a'],
      [2, null],
      [3, 'b'],
    ]);
  });

  it('are none in an empty stream', async () => assert.deepEqual(await all([]), []));
});
