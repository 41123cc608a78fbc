import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  formatEntry,
  isCollected,
  type LedgerEntry,
  ledgerFile,
  openLedger,
  parseLedger,
} from '../../services/collector/ledger.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lakeseal-ledger-'));
});
after(() => rm(folder, { recursive: true, force: true }));

function entry(key: string, etag = 'e1'): LedgerEntry {
  return { key, etag, bytes: 10, doneBytes: 8, doneLines: 2, doneHash: 'ab'.repeat(32) };
}

let files = 0;
function path(): string {
  files += 1;
  return join(folder, String(files), 'ledger.log');
}

test('what was added is there when it is opened again, the newest of a key', async () => {
  const file = path();
  const first = await openLedger(file, false);
  await first.add([entry('a'), entry('schlüssel mit "anführung"\n')]);
  await first.add([entry('a', 'e2')]);
  assert.equal(first.get('a')?.etag, 'e2');
  await first.close();
  const again = await openLedger(file, false);
  assert.deepEqual(again.get('a'), entry('a', 'e2'));
  assert.deepEqual(again.get('schlüssel mit "anführung"\n'), entry('schlüssel mit "anführung"\n'));
  assert.equal(again.get('b'), undefined);
  assert.equal(again.damaged, 0);
  await again.close();
});

test('an object is collected only under the same etag and size', () => {
  assert.ok(isCollected(entry('a'), { etag: 'e1', bytes: 10 }));
  assert.ok(!isCollected(entry('a'), { etag: 'e2', bytes: 10 }));
  assert.ok(!isCollected(entry('a'), { etag: 'e1', bytes: 11 }));
  assert.ok(!isCollected(undefined, { etag: 'e1', bytes: 10 }));
});

test('cut at any byte, it forgets the cut entry only, and goes on', async () => {
  const whole = formatEntry(entry('a')) + formatEntry(entry('b')) + formatEntry(entry('c'));
  const firstTwo = Buffer.byteLength(formatEntry(entry('a')) + formatEntry(entry('b')));
  for (let length = firstTwo; length < whole.length; length += 1) {
    const file = path();
    const made = await openLedger(file, false);
    await made.close();
    await writeFile(file, whole);
    await truncate(file, length);
    const cut = await openLedger(file, false);
    assert.deepEqual(cut.get('a'), entry('a'));
    assert.deepEqual(cut.get('b'), entry('b'));
    // Without its last byte, the line end, an entry is whole.
    const lost = length < whole.length - 1;
    assert.equal(cut.get('c') === undefined, lost, `cut at ${length}`);
    await cut.add([entry('d')]);
    await cut.close();
    const again = await openLedger(file, true);
    assert.deepEqual(again.get('d'), entry('d'), `added behind a cut at ${length}`);
    assert.deepEqual(again.get('b'), entry('b'));
    await again.close();
  }
});

test('zeros at the end, as a power failure leaves them, cost nothing before or behind them', async () => {
  const file = path();
  const made = await openLedger(file, false);
  await made.add([entry('a')]);
  await made.close();
  await appendFile(file, Buffer.alloc(300));
  const opened = await openLedger(file, false);
  assert.equal(opened.damaged, 1);
  await opened.add([entry('b')]);
  await opened.close();
  const again = await openLedger(file, true);
  assert.deepEqual([again.get('a'), again.get('b')], [entry('a'), entry('b')]);
});

test('a line with a changed byte is no entry', () => {
  const line = formatEntry(entry('a'));
  for (let at = 0; at < line.length - 1; at += 1) {
    const bent = `${line.slice(0, at)}${line[at] === 'x' ? 'y' : 'x'}${line.slice(at + 1)}`;
    const { entries, damaged } = parseLedger(bent);
    assert.equal(entries.size, 0, `byte ${at}`);
    assert.equal(damaged, 1);
  }
});

test('mostly outdated, it is rewritten when opened, and says the same', async () => {
  const file = path();
  const first = await openLedger(file, false);
  for (let round = 0; round < 30; round += 1) {
    await first.add(Array.from({ length: 50 }, (_, at) => entry(`key-${at}`, `e${round}`)));
  }
  await first.close();
  const sizeBefore = (await stat(file)).size;
  const second = await openLedger(file, false);
  await second.add([entry('new')]);
  await second.close();
  assert.ok((await stat(file)).size < sizeBefore / 10);
  const third = await openLedger(file, true);
  assert.equal(third.get('key-49')?.etag, 'e29');
  assert.ok(third.get('new'));
  assert.equal(third.damaged, 0);
});

test('read only, it makes nothing and takes nothing', async () => {
  const file = path();
  const ledger = await openLedger(file, true);
  await ledger.add([entry('a')]);
  await ledger.close();
  await assert.rejects(stat(dirname(file)), { code: 'ENOENT' });
});

test('a folder that cannot be written is a failure with a hint', async () => {
  const file = join(folder, 'a-file');
  await writeFile(file, 'not a folder');
  await assert.rejects(openLedger(join(file, 'x', 'ledger.log'), false), {
    code: 'LEDGER_UNUSABLE',
  });
});

test('cluster, topic, bucket and store each have a ledger of their own, within the folder', () => {
  const subject = { clusterId: 'c1', topic: 't', bucket: 'b', storeHost: undefined };
  const names = [
    ledgerFile('/s', subject),
    ledgerFile('/s', { ...subject, clusterId: 'c2' }),
    ledgerFile('/s', { ...subject, topic: 'u' }),
    ledgerFile('/s', { ...subject, bucket: 'd' }),
    ledgerFile('/s', { ...subject, storeHost: '127.0.0.1:9000' }),
  ];
  assert.equal(new Set(names).size, names.length);
  assert.equal(names[0], '/s/collected/c1/t/b.log');
  const hostile = ledgerFile('/s', { ...subject, clusterId: '../../etc' });
  assert.ok(hostile.startsWith('/s/collected/'), hostile);
  assert.ok(!hostile.includes('/../'), hostile);
});

test('the file holds one line per entry and no event', async () => {
  const file = path();
  const ledger = await openLedger(file, false);
  await ledger.add([entry('a'), entry('b')]);
  await ledger.close();
  const lines = (await readFile(file, 'utf8')).split('\n');
  assert.equal(lines.length, 3);
  assert.match(lines[0]!, /^[0-9a-f]{8} \{"key":"a","etag":"e1","bytes":10,/);
});
