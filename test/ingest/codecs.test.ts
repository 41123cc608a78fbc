/** Codecs: what goes in comes out, the frames are Kafka's, and a bomb is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import kafkajs from 'kafkajs';
import { compressSync } from 'snappy';
import {
  type CodecName,
  createCodecs,
  lz4LengthMax,
  snappyLength,
  UNPACKED_BYTES_MAX,
} from '../../services/ingest/codecs.ts';

const codecs = createCodecs(UNPACKED_BYTES_MAX);
const names = Object.keys(codecs) as CodecName[];

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 2_000 }),
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 50 }), fc.integer({ min: 1, max: 200_000 }))
    .map(([unit, length]) => Buffer.alloc(length, unit)),
);

for (const name of names) {
  test(`${name}: round trip of any bytes`, async () => {
    await fc.assert(
      fc.asyncProperty(bytes, async (input) => {
        const plain = Buffer.from(input);
        const packed = await codecs[name].compress(plain);
        assert.ok((await codecs[name].decompress(packed)).equals(plain));
      }),
      { numRuns: 60, seed: 20261124 },
    );
  });

  test(`${name}: bytes cut off or altered are an error, not an answer`, async () => {
    const plain = Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * 7919) % 251));
    const packed = await codecs[name].compress(plain);
    await assert.rejects(codecs[name].decompress(packed.subarray(0, packed.length - 9)), {
      name: 'UnpackError',
    });
    await assert.rejects(codecs[name].decompress(Buffer.from('not compressed at all')), {
      name: 'UnpackError',
    });
  });

  test(`${name}: more than the limit is refused`, async () => {
    const bomb = await codecs[name].compress(Buffer.alloc(4 * 1024 * 1024));
    const small = createCodecs(1024 * 1024);
    await assert.rejects(small[name].decompress(bomb), { name: 'UnpackError' });
    const roomy = createCodecs(5 * 1024 * 1024);
    assert.equal((await roomy[name].decompress(bomb)).length, 4 * 1024 * 1024);
  });
}

test('all four are registered with kafkajs', async () => {
  const { CompressionCodecs, CompressionTypes } = kafkajs;
  for (const type of ['GZIP', 'Snappy', 'LZ4', 'ZSTD'] as const) {
    const codec = CompressionCodecs[CompressionTypes[type] as 1]() as unknown as {
      compress(encoder: { buffer: Buffer }): Promise<Buffer>;
      decompress(bytes: Buffer): Promise<Buffer>;
    };
    const packed = await codec.compress({ buffer: Buffer.from('a record') });
    assert.equal(String(await codec.decompress(packed)), 'a record', type);
  }
});

test('gzip is gzip', async () => {
  assert.equal(String(gunzipSync(await codecs.gzip.compress(Buffer.from('abc')))), 'abc');
});

test('snappy: written in the frame that snappy-java reads', async () => {
  const packed = await codecs.snappy.compress(Buffer.from('abc'));
  assert.equal(packed.subarray(0, 16).toString('hex'), '82534e41505059000000000100000001');
  assert.equal(packed.readUInt32BE(16), packed.length - 20);
});

test('snappy: one raw block without a frame, as librdkafka may write it', async () => {
  const plain = Buffer.alloc(100_000, 'audit');
  assert.ok((await codecs.snappy.decompress(compressSync(plain))).equals(plain));
});

test('snappy: a length that lies is refused before anything is unpacked', async () => {
  const lie = Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0x00]);
  assert.equal(snappyLength(lie), 2 ** 32 - 1);
  await assert.rejects(codecs.snappy.decompress(lie), /over the limit/);
});

test('lz4: the bound holds for real frames', async () => {
  for (const length of [0, 1, 65_536, 3_000_000]) {
    const frame = await codecs.lz4.compress(Buffer.alloc(length, 'x'));
    assert.ok(lz4LengthMax(frame) >= length, `${length}`);
  }
});
