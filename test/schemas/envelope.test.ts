/** Encrypted segments: the same bytes each time, nothing but the whole thing back, and known answers. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  decrypt,
  encrypt,
  isEncrypted,
  MissingKeyError,
  openEnvelope,
  readEnvelopeHeader,
  storedBytes,
  unwrapWith,
} from '../../schemas/envelope.ts';
import {
  EnvelopeError,
  formatWrappingKey,
  parseWrappingKey,
  wrappingKey,
} from '../../schemas/wrapping-key.ts';

const CHUNK_BYTES = 65_536;
const SLOT = 'data/c/t/i/00000/00000000000000000000.avro';
const KEY = wrappingKey(Buffer.alloc(32, 1));
const OTHER = wrappingKey(Buffer.alloc(32, 2));
const breathe = async (): Promise<void> => {};

const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();
const sealed = (plain: Buffer, slot = SLOT, key = KEY): Promise<Buffer> =>
  encrypt(plain, sha256(plain), slot, key, breathe);
const opened = (stored: Buffer, slot = SLOT): Promise<Buffer> =>
  openEnvelope(stored, slot, unwrapWith([OTHER, KEY]), breathe);

/** Lengths around the borders of chunks. */
const plains = fc
  .tuple(fc.constantFrom(0, 1, 2), fc.integer({ min: -2, max: 2 }), fc.integer())
  .filter(([chunks, more]) => chunks * CHUNK_BYTES + more > 0)
  .map(([chunks, more, seed]) => {
    const length = chunks * CHUNK_BYTES + more;
    return Buffer.alloc(length, sha256(Buffer.from(String(seed))));
  });

describe('an encrypted segment', () => {
  test('comes back whole, is the same each time, and shows nothing of what is inside', () =>
    fc.assert(
      fc.asyncProperty(plains, async (plain) => {
        const stored = await sealed(plain);
        assert.ok(isEncrypted(stored));
        assert.deepEqual(await sealed(plain), stored);
        assert.ok((await opened(stored)).equals(plain));
        const parsed = readEnvelopeHeader(stored);
        assert.equal(storedBytes(parsed), stored.length);
        assert.equal(parsed.header.key, KEY.id);
        if (plain.length > 32) assert.ok(!stored.includes(plain.subarray(0, 32)));
      }),
      { numRuns: 60 },
    ));

  test('is another in another slot, with another key, and where one byte differs', async () => {
    const plain = Buffer.alloc(3 * CHUNK_BYTES, 7);
    const body = (stored: Buffer): string =>
      stored.subarray(readEnvelopeHeader(stored).end).subarray(0, 64).toString('hex');
    const changed = Buffer.from(plain);
    changed[plain.length - 1] = 8;
    const all = await Promise.all([
      sealed(plain),
      sealed(plain, SLOT.replace('/i/', '/j/')),
      sealed(plain, SLOT, OTHER),
      sealed(changed),
    ]);
    // The first chunk of the last is the same text: its key is not.
    assert.equal(new Set(all.map(body)).size, 4);
  });

  test('any bit that is flipped, and any chunk that is moved, dropped or cut, is found', async () => {
    const plain = Buffer.alloc(2 * CHUNK_BYTES + 100, 'segment');
    const stored = await sealed(plain);
    const { end } = readEnvelopeHeader(stored);
    const chunk = CHUNK_BYTES + 16;
    const part = (at: number): Buffer => stored.subarray(end + at * chunk, end + (at + 1) * chunk);
    const clear = stored.subarray(0, end);
    const forgeries = [
      Buffer.concat([clear, part(1), part(0), part(2)]),
      Buffer.concat([clear, part(0), part(2)]),
      Buffer.concat([clear, part(0), part(1)]),
      Buffer.concat([stored, part(2)]),
      stored.subarray(0, -1),
    ];
    for (const forged of forgeries) await assert.rejects(opened(forged), EnvelopeError);
    await fc.assert(
      fc.asyncProperty(fc.nat(stored.length * 8 - 1), async (bit) => {
        const forged = Buffer.from(stored);
        forged[bit >> 3]! ^= 1 << (bit & 7);
        await assert.rejects(
          opened(forged),
          (error) => error instanceof EnvelopeError || error instanceof MissingKeyError,
        );
      }),
      { numRuns: 200 },
    );
    await assert.rejects(opened(stored, SLOT.replace('/i/', '/j/')), /another slot/);
    await assert.rejects(openEnvelope(stored, SLOT, unwrapWith([OTHER]), breathe), MissingKeyError);
    const { wrapped } = readEnvelopeHeader(stored).header;
    assert.throws(() => OTHER.unwrap(Buffer.from(wrapped, 'base64')), EnvelopeError);
  });

  test('its beginning opens from its beginning', async () => {
    const plain = Buffer.alloc(3 * CHUNK_BYTES, 'segment');
    const stored = await sealed(plain);
    const { header, end } = readEnvelopeHeader(stored);
    const dataKey = KEY.unwrap(Buffer.from(header.wrapped, 'base64'));
    const start = stored.subarray(0, end + CHUNK_BYTES + 16);
    const opened = await decrypt(start, SLOT, dataKey, breathe, 1_000);
    assert.ok(opened.equals(plain.subarray(0, CHUNK_BYTES)));
    await assert.rejects(decrypt(start, SLOT, dataKey, breathe), /cut/);
  });

  /** As Python's `cryptography` makes them from the page of the format. */
  const KNOWN: Array<[text: string, wrapped: string, digest: string]> = [
    [
      'lakeseal',
      'eOwixFJiAa09l+Hl/uWAGrQ4ieKjm5W7K+v7NAvxmU8jw19QTWLyMQ==',
      'cacac9c4c6abcbcb66ba1d083968e4076280d408bb56712fb5c7a38eed8f6f08',
    ],
    [
      'lakeseal'.repeat(10_000),
      'wSmj/6pkO+ZYckwUgI3i/StiNeZij3XsNzflYoNXqpB29/sYd/5sTA==',
      '2245c6e52dc6b6daa663878ae590070d9c63a6af012e571e79a9cb8d266db863',
    ],
  ];
  for (const [text, wrapped, digest] of KNOWN) {
    test(`is what other code makes: ${text.length} bytes`, async () => {
      const stored = await sealed(Buffer.from(text));
      assert.equal(readEnvelopeHeader(stored).header.wrapped, wrapped);
      assert.equal(sha256(stored).toString('hex'), digest);
    });
  }
});

describe('its key', () => {
  test('is text that tells a mistyped one, and never shows itself', () => {
    const text = formatWrappingKey(Buffer.alloc(32, 1));
    assert.equal(parseWrappingKey(`${text}\n`).id, KEY.id);
    for (const wrong of ['', text.slice(1), text.replace(KEY.id, OTHER.id), `${text}x`]) {
      assert.throws(
        () => parseWrappingKey(wrong),
        (error: Error) =>
          error instanceof EnvelopeError && !error.message.includes(text.slice(-20)),
      );
    }
  });
});
