import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isBlank, type Line, LineSplitter } from '../../services/ingest/lines.ts';

const WIDE = { lineBytesMax: 1_000_000, firstPartBytes: 1_000 };

function split(pieces: Buffer[], limits = WIDE, linesBefore = 0): Line[] {
  const splitter = new LineSplitter(limits, linesBefore);
  const lines = pieces.flatMap((piece) =>
    [...splitter.push(piece)].map((line) => ({ ...line, bytes: Buffer.from(line.bytes) })),
  );
  return [...lines, ...splitter.end()];
}

const texts = (lines: Line[]): string[] => lines.map((line) => line.bytes.toString('latin1'));

function cut(bytes: Buffer, sizes: number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length]!;
    // A copy, overwritten afterwards by the caller's next read in real life.
    pieces.push(Buffer.from(bytes.subarray(at, at + size)));
    at += size;
  }
  return pieces;
}

test('lines end at LF, CR LF and the end of the input', () => {
  const lines = split([Buffer.from('one\ntwo\r\n\nfour\r\r\nlast')]);
  assert.deepEqual(texts(lines), ['one', 'two', '', 'four\r', 'last']);
  assert.deepEqual(
    lines.map((line) => line.number),
    [1, 2, 3, 4, 5],
  );
  assert.deepEqual(split([]), []);
  assert.deepEqual(texts(split([Buffer.from('x\n')])), ['x'], 'no empty line behind the last LF');
});

test('a byte order mark is dropped at the start only', () => {
  const bom = '\u{feff}';
  const input = Buffer.from(`${bom}a\n${bom}b\n`);
  for (const size of [1, 2, 3, 4, 100]) {
    const lines = split(cut(input, [size]));
    assert.deepEqual(
      lines.map((line) => line.bytes.toString()),
      ['a', `${bom}b`],
    );
  }
});

test('bytes are not interpreted: NUL and invalid UTF-8 come through', () => {
  const lines = split([Buffer.from([0, 0xff, 0x0a, 0xc3, 0x28, 0x0a])]);
  assert.deepEqual(
    lines.map((line) => [...line.bytes]),
    [
      [0, 0xff],
      [0xc3, 0x28],
    ],
  );
});

test('any cut of the input gives the lines of the whole', () => {
  const alphabet = fc.constantFrom(0x0a, 0x0a, 0x0d, 0x61, 0x62, 0x00, 0xef, 0xbb, 0xbf);
  fc.assert(
    fc.property(
      fc.array(alphabet, { maxLength: 120 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 12 }),
      fc.constantFrom(0, 4),
      (bytes, sizes, lineBytesMax, firstPartBytes) => {
        const input = Buffer.from(bytes);
        const limits = { lineBytesMax, firstPartBytes };
        assert.deepEqual(split(cut(input, sizes), limits), split([input], limits));
        const whole = split([input]);
        const rejoined = whole.map((line) => line.bytes.length).reduce((a, b) => a + b, 0);
        assert.ok(rejoined <= input.length);
        assert.equal(
          whole.length,
          input.toString('latin1').replace(/\n$/, '').split('\n').length -
            (input.length === 0 ? 1 : 0),
        );
      },
    ),
  );
});

test('a line over the limit is counted to its end and kept by its first part', () => {
  const limits = { lineBytesMax: 10, firstPartBytes: 4 };
  const input = Buffer.from(`${'x'.repeat(10)}\n${'abcdefghijk'}\nok\n${'y'.repeat(35)}`);
  for (const size of [1, 3, 7, 11, 100]) {
    const lines = split(cut(input, [size]), limits);
    assert.deepEqual(texts(lines), ['x'.repeat(10), 'abcd', 'ok', 'yyyy'], `pieces of ${size}`);
    assert.deepEqual(
      lines.map((line) => line.oversizedBytes),
      [null, 11, null, 35],
    );
  }
});

test('memory stays bounded in a line that never ends', () => {
  const limits = { lineBytesMax: 1024 * 1024, firstPartBytes: 64 * 1024 };
  const splitter = new LineSplitter(limits);
  const piece = Buffer.alloc(1024 * 1024, 0x61);
  globalThis.gc?.();
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for (let turn = 0; turn < 512; turn += 1) {
    assert.equal([...splitter.push(piece)].length, 0);
    if (turn % 64 === 0) most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  const [line] = [...splitter.end()];
  assert.equal(line?.oversizedBytes, 512 * 1024 * 1024);
  assert.equal(line?.bytes.length, limits.firstPartBytes);
  assert.ok(most < 128 * 1024 * 1024, `${most} bytes held at a time`);
});

test('numbers go on behind lines that were split elsewhere', () => {
  const lines = split([Buffer.from('c\nd')], WIDE, 2);
  assert.deepEqual(
    lines.map((line) => line.number),
    [3, 4],
  );
});

test('blank is white space only, a lone CR too', () => {
  for (const text of ['', ' ', '\t \t', '\r']) assert.ok(isBlank(Buffer.from(text)), text);
  for (const text of ['x', ' {}', '\0', '\u{a0}']) assert.ok(!isBlank(Buffer.from(text)), text);
});
