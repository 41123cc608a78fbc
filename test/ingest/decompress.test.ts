import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { compressionOf, decompress } from '../../services/ingest/decompress.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { inPieces, readAll } from './chunks.ts';

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 });
const parts = fc.array(fc.string({ maxLength: 60 }), { minLength: 1, maxLength: 5 });

/** RFC 8878 3.1.2: a frame to be skipped. */
const SKIPPABLE = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 7, 7, 7]);

test('the first bytes say what the input is', () => {
  assert.equal(compressionOf(gzipSync('x')), 'gzip');
  assert.equal(compressionOf(zstdCompressSync('x')), 'zstd');
  assert.equal(compressionOf(SKIPPABLE), 'zstd');
  assert.equal(compressionOf(Buffer.from('{"a":1}')), 'none');
  assert.equal(compressionOf(Buffer.from([0x28])), 'none');
  assert.equal(compressionOf(Buffer.alloc(0)), 'none');
});

test('plain input passes through, however short and however cut', async () => {
  for (const text of ['', 'a', '{}\n', 'abcd', 'a longer line\n']) {
    assert.equal((await readAll(decompress(inPieces(Buffer.from(text), [1])))).toString(), text);
  }
});

test('any number of gzip members, cut anywhere', async () => {
  await fc.assert(
    fc.asyncProperty(parts, sizes, async (texts, cuts) => {
      const input = Buffer.concat(texts.map((text) => gzipSync(text)));
      const output = await readAll(decompress(inPieces(input, cuts)));
      assert.equal(output.toString(), texts.join(''));
    }),
    { numRuns: 60 },
  );
});

test('any number of zstd frames, skippable ones between, cut anywhere', async () => {
  await fc.assert(
    fc.asyncProperty(parts, sizes, fc.boolean(), async (texts, cuts, skippable) => {
      const between = skippable ? [SKIPPABLE] : [];
      const input = Buffer.concat(texts.flatMap((text) => [...between, zstdCompressSync(text)]));
      const output = await readAll(decompress(inPieces(input, cuts)));
      assert.equal(output.toString(), texts.join(''));
    }),
    { numRuns: 60 },
  );
});

test('much more output than input comes in bounded chunks', async () => {
  const size = 24 * 1024 * 1024;
  for (const compress of [gzipSync, zstdCompressSync]) {
    let total = 0;
    let largest = 0;
    for await (const chunk of decompress(inPieces(compress(Buffer.alloc(size)), [1_000]))) {
      total += chunk.length;
      largest = Math.max(largest, chunk.length);
    }
    assert.equal(total, size);
    assert.ok(largest <= 128 * 1024, `a chunk of ${largest} bytes`);
  }
});

test('zeros behind the last gzip member are padding, other bytes are damage', async () => {
  const member = gzipSync('whole\n');
  for (const cut of [1, 5, 1_000]) {
    const padded = Buffer.concat([member, Buffer.alloc(512)]);
    assert.equal((await readAll(decompress(inPieces(padded, [cut])))).toString(), 'whole\n');
    for (const tail of ['junk behind it', '\0\0\0junk']) {
      const junk = Buffer.concat([member, Buffer.from(tail)]);
      await assert.rejects(readAll(decompress(inPieces(junk, [cut]))), isDamage);
    }
  }
});

function isDamage(error: unknown): boolean {
  return error instanceof Failure && error.code === 'INPUT_DAMAGED';
}

test('cut or damaged input throws after what came before it', async () => {
  const text = Array.from({ length: 40_000 }, (_, at) => `line ${at * 7919}\n`).join('');
  const flushed = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };
  for (const whole of [gzipSync(text), zstdCompressSync(text, flushed)]) {
    const bent = Buffer.from(whole);
    bent[bent.length - 2]! ^= 0xff;
    for (const input of [whole.subarray(0, Math.floor(whole.length * 0.9)), bent]) {
      let read = '';
      const reading = (async () => {
        for await (const chunk of decompress(inPieces(input, [1_000]))) read += chunk;
      })();
      await assert.rejects(reading, isDamage);
      assert.ok(read.length > 0 && text.startsWith(read), `${read.length} characters before it`);
    }
  }
});

test('an error of the source is thrown as it is', async () => {
  async function* breaking(): AsyncGenerator<Buffer> {
    yield gzipSync('x'.repeat(100)).subarray(0, 12);
    throw new Failure('the disk is gone', { code: 'EIO' });
  }
  await assert.rejects(readAll(decompress(breaking())), { code: 'EIO' });
});

test('a reader that stops early closes the source', async () => {
  let closed = false;
  async function* source(): AsyncGenerator<Buffer> {
    try {
      for (;;) yield gzipSync('x'.repeat(1_000));
    } finally {
      closed = true;
    }
  }
  for await (const chunk of decompress(source())) {
    assert.ok(chunk.length > 0);
    break;
  }
  assert.ok(closed);
});
