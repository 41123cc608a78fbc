import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import type { CollectProgress, CollectReport } from '../../services/collector/collect-types.ts';
import { describeReport, exitCodeOf } from '../../services/collector/report.ts';
import { createTerminalUi, progressText } from '../../services/collector/terminal.ts';

const REPORT: CollectReport = {
  dryRun: false,
  follow: false,
  sources: 2,
  broken: [],
  objectsKnown: 0,
  objectsIgnored: 0,
  linesKnown: 0,
  bytes: 1_234_567,
  lines: 20_001,
  events: 20_000,
  records: 20_000,
  deadLetters: {},
  keys: { '5': 19_000, acc: 1_000 },
  elapsedMs: 2_000,
  stoppedAt: null,
};

test('the exit code says whether everything was collected', () => {
  assert.equal(exitCodeOf(REPORT), 0);
  assert.equal(exitCodeOf({ ...REPORT, deadLetters: { not_json: 1 } }), 2);
  const broken = [{ name: 'a', lines: 3, reason: 'cut' }];
  assert.equal(exitCodeOf({ ...REPORT, broken }), 2);
  assert.equal(exitCodeOf({ ...REPORT, stoppedAt: 'a:7' }), 130);
  assert.equal(exitCodeOf({ ...REPORT, stoppedAt: 'a:7', follow: true }), 0);
});

test('the report says what was read, sent, refused and left', () => {
  assert.deepEqual(describeReport(REPORT, 'audit'), [
    'read 20,001 lines (1.2 MB as stored) from 2 files in 2.0 s, 10,000 events/s',
    'sent 20,000 events to audit',
  ]);
  const text = describeReport(
    {
      ...REPORT,
      deadLetters: { not_json: 1, no_time: 2 },
      broken: [{ name: 'b.gz', lines: 1, reason: 'damaged gzip data: x' }],
      objectsKnown: 3,
      objectsIgnored: 1,
      linesKnown: 10,
      stoppedAt: 'c.json:12',
    },
    'audit',
  ).join('\n');
  for (const part of [
    'dead-lettered 1 line: not_json',
    'dead-lettered 2 lines: no_time',
    'not read to its end: b.gz after 1 line: damaged gzip data: x',
    '3 objects collected before, unchanged',
    '1 object ignored',
    '10 lines of overwritten objects collected before',
    'stopped at c.json:12',
  ]) {
    assert.ok(text.includes(part), `${part} in\n${text}`);
  }
});

test('a dry run says what would be sent, by key', () => {
  const text = describeReport({ ...REPORT, dryRun: true, records: 0 }, 'audit');
  assert.equal(text[1], 'would send 20,000 events to audit');
  assert.deepEqual(text.slice(2), ['  key 5: 19,000', '  key acc: 1,000']);
});

const NOW: CollectProgress = {
  source: 's3://b/workspaceId=1/auditlogs_1.json.gz',
  sourcesDone: 1,
  sourcesTotal: 4,
  bytesRead: 2_000_000,
  bytesTotal: 8_000_000,
  lines: 40_000,
  events: 40_000,
  deadLetters: 0,
  elapsedMs: 4_000,
};

test('progress tells amount, rate and time left', () => {
  assert.equal(
    progressText(NOW),
    '2.0 MB of 8.0 MB, 40,000 events, 10,000/s, 12 s left, auditlogs_1.json.gz',
  );
  assert.equal(
    progressText({ ...NOW, bytesTotal: null, deadLetters: 3, source: 'stdin' }),
    '2.0 MB, 40,000 events, 10,000/s, 3 dead-lettered, stdin',
  );
  assert.match(progressText({ ...NOW, bytesTotal: 2_000_000_000 }), /, 1 h 6 min left,/);
});

function sink(isTTY: boolean) {
  const written: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      written.push(String(chunk));
      done();
    },
  });
  return { written, stream: Object.assign(stream, { isTTY, columns: 120 }) };
}

test('without a terminal: a line every few seconds, and problems at once', () => {
  const { written, stream } = sink(false);
  const ui = createTerminalUi(stream);
  for (let ms = 0; ms <= 12_000; ms += 100) ui.progress({ ...NOW, elapsedMs: ms });
  ui.problem('a.json:3: not_json: not valid JSON');
  ui.done();
  assert.equal(written.length, 3);
  assert.match(written[0]!, /^collect: 2\.0 MB of 8\.0 MB/);
  assert.equal(written[2], 'a.json:3: not_json: not valid JSON\n');
});

test('on a terminal: a bar, with problems on lines of their own', () => {
  const { written, stream } = sink(true);
  // What cli-progress asks of a terminal.
  Object.assign(stream, {
    cursorTo: () => true,
    clearLine: () => true,
    moveCursor: () => true,
    clearScreenDown: () => true,
  });
  const ui = createTerminalUi(stream);
  ui.progress(NOW);
  ui.problem('a.json:3: not_json: not valid JSON');
  ui.progress(NOW);
  ui.done();
  const text = written.join('');
  assert.match(text, /25% 2\.0 MB of 8\.0 MB/);
  assert.ok(written.includes('a.json:3: not_json: not valid JSON\n'));
});
