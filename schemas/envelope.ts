/**
 * Encrypted segments (`schemas/segment.md`, "Encrypted"): a header in the clear, then the segment in
 * chunks of AES-256-GCM. The key of a segment comes out of the secret of the archive, the segment's
 * own digest and its place, so that the same segment in the same slot gives the same bytes, and no
 * two segments share a key. Pure but for `breathe`.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import { z } from 'zod';

const MAGIC = Buffer.from('LAKESEAL');
const LENGTH_BYTES = 4;
/** A key of a slot, and hashes: far more than a header takes. */
const HEADER_BYTES_MAX = 16 * 1024;
const CHUNK_BYTES = 64 * 1024;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
export const SECRET_BYTES = 32;
const KEY_BYTES = 32;
const ID_BYTES = 8;
/** RFC 3394, section 2.2.3.1. */
const WRAP_IV = Buffer.alloc(8, 0xa6);
/** Chunks between two looks at the event loop. */
const SLICE_CHUNKS = 16;

const headerSchema = z.strictObject({
  format: z.literal(1),
  slot: z.string(),
  wrap: z.literal('local'),
  key: z.string().regex(/^[0-9a-f]{16}$/),
  wrapped: z.base64(),
  plainSha256: z.string().regex(/^[0-9a-f]{64}$/),
  plainBytes: z.int().positive(),
});

/** `slot`: the key of the object without the archive's prefix. */
export type EnvelopeHeader = z.infer<typeof headerSchema>;

/** The bytes are no encrypted segment, or not what was encrypted. */
export class EnvelopeError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'EnvelopeError';
  }
}

/** A secret that wraps the keys of segments. */
export interface WrappingKey {
  /** 16 hex digits that tell it from others, and nothing of it. */
  readonly id: string;
  /** Of a segment with this digest, in this slot. */
  dataKey(plainSha256: Buffer, slot: string): Buffer;
  wrap(dataKey: Buffer): Buffer;
  /** @throws EnvelopeError where it was wrapped by another. */
  unwrap(wrapped: Buffer): Buffer;
}

/** `secret`: 32 random bytes. */
export function wrappingKey(secret: Buffer): WrappingKey {
  if (secret.length !== SECRET_BYTES) throw new RangeError('a secret has 32 bytes');
  const derive = (salt: Buffer, info: string, bytes: number): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, salt, info, bytes));
  const kek = derive(Buffer.alloc(0), 'lakeseal envelope wrap', KEY_BYTES);
  return {
    id: derive(Buffer.alloc(0), 'lakeseal envelope id', ID_BYTES).toString('hex'),
    dataKey: (plainSha256, slot) =>
      derive(plainSha256, `lakeseal envelope data\n${slot}`, KEY_BYTES),
    wrap: (dataKey) => {
      const cipher = createCipheriv('id-aes256-wrap', kek, WRAP_IV);
      return Buffer.concat([cipher.update(dataKey), cipher.final()]);
    },
    unwrap: (wrapped) => {
      try {
        const cipher = createDecipheriv('id-aes256-wrap', kek, WRAP_IV);
        const dataKey = Buffer.concat([cipher.update(wrapped), cipher.final()]);
        if (dataKey.length === KEY_BYTES) return dataKey;
      } catch {
        // Told below.
      }
      throw new EnvelopeError('the key of the segment was wrapped by another');
    },
  };
}

const KEY_TEXT = 'ENVELOPE+KEY+';

/** A secret as text: `ENVELOPE+KEY+ID+base64`. */
export function formatWrappingKey(secret: Buffer): string {
  return `${KEY_TEXT}${wrappingKey(secret).id}+${secret.toString('base64')}`;
}

/** @throws EnvelopeError that says what is wrong, and never shows the secret. */
export function parseWrappingKey(text: string): WrappingKey {
  const [, id, base64] =
    /^ENVELOPE\+KEY\+([0-9a-f]{16})\+([A-Za-z0-9+/]{43}=)$/.exec(text.trim()) ?? [];
  if (id === undefined) throw new EnvelopeError(`a key of envelopes looks like ${KEY_TEXT}ID+KEY`);
  const key = wrappingKey(Buffer.from(base64!, 'base64'));
  if (key.id !== id)
    throw new EnvelopeError('the id is not that of this key: was the file changed?');
  return key;
}

export function isEncrypted(stored: Buffer): boolean {
  return stored.subarray(0, MAGIC.length).equals(MAGIC);
}

export interface ParsedEnvelope {
  header: EnvelopeHeader;
  /** Where the chunks begin. */
  end: number;
}

/** @throws EnvelopeError where the bytes do not begin with a header, as far as they go. */
export function readEnvelopeHeader(stored: Buffer): ParsedEnvelope {
  const start = MAGIC.length + LENGTH_BYTES;
  if (!isEncrypted(stored) || stored.length < start) throw new EnvelopeError('not encrypted');
  const length = stored.readUInt32BE(MAGIC.length);
  const end = start + length;
  if (length > HEADER_BYTES_MAX || stored.length < end) throw new EnvelopeError('no whole header');
  const text = stored.toString('utf8', start, end);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new EnvelopeError('the header is not JSON');
  }
  const parsed = headerSchema.safeParse(value);
  if (!parsed.success || `${JSON.stringify(value)}\n` !== text) {
    throw new EnvelopeError('the header is not as it is written');
  }
  return { header: parsed.data, end };
}

/** Stored bytes of a segment of that many, behind a header of that many. */
export function storedBytes({ header, end }: ParsedEnvelope): number {
  return end + header.plainBytes + chunksOf(header.plainBytes) * TAG_BYTES;
}

function chunksOf(plainBytes: number): number {
  return Math.ceil(plainBytes / CHUNK_BYTES);
}

/** Bytes that hold the header and the chunks of the first `plainBytes`, wherever the header ends. */
export function storedPrefix(plainBytes: number): number {
  const before = MAGIC.length + LENGTH_BYTES + HEADER_BYTES_MAX;
  return before + chunksOf(plainBytes) * (CHUNK_BYTES + TAG_BYTES);
}

/** The number of a chunk, and whether it is the last: no chunk can be left out, moved or cut off. */
function nonceOf(chunk: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUInt32BE(chunk, NONCE_BYTES - 5);
  nonce[NONCE_BYTES - 1] = isLast ? 1 : 0;
  return nonce;
}

/** `plainSha256`: of `plain`. */
export async function encrypt(
  plain: Buffer,
  plainSha256: Buffer,
  slot: string,
  by: WrappingKey,
  breathe: () => Promise<void>,
): Promise<Buffer> {
  const dataKey = by.dataKey(plainSha256, slot);
  const header: EnvelopeHeader = {
    format: 1,
    slot,
    wrap: 'local',
    key: by.id,
    wrapped: by.wrap(dataKey).toString('base64'),
    plainSha256: plainSha256.toString('hex'),
    plainBytes: plain.length,
  };
  const text = Buffer.from(`${JSON.stringify(header)}\n`);
  const start = Buffer.alloc(MAGIC.length + LENGTH_BYTES);
  MAGIC.copy(start);
  start.writeUInt32BE(text.length, MAGIC.length);
  const clear = Buffer.concat([start, text]);
  const chunks = chunksOf(plain.length);
  const stored = Buffer.allocUnsafe(clear.length + plain.length + chunks * TAG_BYTES);
  let at = clear.copy(stored);
  for (let chunk = 0; chunk < chunks; chunk++) {
    if (chunk % SLICE_CHUNKS === SLICE_CHUNKS - 1) await breathe();
    const cipher = createCipheriv('aes-256-gcm', dataKey, nonceOf(chunk, chunk === chunks - 1));
    cipher.setAAD(clear);
    const part = plain.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
    at += cipher.update(part).copy(stored, at);
    cipher.final();
    at += cipher.getAuthTag().copy(stored, at);
  }
  return stored;
}

/** The segment is encrypted with a key that was not given. */
export class MissingKeyError extends Error {
  /** Of the key. */
  readonly id: string;

  constructor(slot: string, id: string) {
    super(`${slot} is encrypted with the key ${id}, which was not given`);
    this.name = 'MissingKeyError';
    this.id = id;
  }
}

/** A key of a segment that was wrapped again by another secret. */
export interface RewrappedKey {
  key: string;
  wrapped: string;
}

/** The key of the segment in a slot. @throws MissingKeyError, EnvelopeError */
export type Unwrap = (slot: string, header: Pick<EnvelopeHeader, 'key' | 'wrapped'>) => Buffer;

/** With whichever of the secrets wrapped it, first or later; `rewrapped`: by slot. */
export function unwrapWith(
  keys: readonly WrappingKey[],
  rewrapped: ReadonlyMap<string, readonly RewrappedKey[]> = new Map(),
): Unwrap {
  return (slot, header) => {
    for (const { key, wrapped } of [header, ...(rewrapped.get(slot) ?? [])]) {
      const by = keys.find(({ id }) => id === key);
      if (by !== undefined) return by.unwrap(Buffer.from(wrapped, 'base64'));
    }
    throw new MissingKeyError(slot, header.key);
  };
}

/** As `decrypt`, with the key that `unwrap` finds. @throws MissingKeyError, EnvelopeError */
export async function openEnvelope(
  stored: Buffer,
  slot: string,
  unwrap: Unwrap,
  breathe: () => Promise<void>,
  plainBytesMax?: number,
): Promise<Buffer> {
  const { header } = readEnvelopeHeader(stored);
  return decrypt(stored, slot, unwrap(slot, header), breathe, plainBytesMax);
}

/**
 * The first `plainBytesMax` bytes of the segment, or a few more; `stored` may end behind them. The
 * digest is checked where the segment is whole.
 * @throws EnvelopeError where the bytes are not what was encrypted with that key for that slot.
 */
export async function decrypt(
  stored: Buffer,
  slot: string,
  dataKey: Buffer,
  breathe: () => Promise<void>,
  plainBytesMax = Number.POSITIVE_INFINITY,
): Promise<Buffer> {
  const parsed = readEnvelopeHeader(stored);
  const { header, end } = parsed;
  if (header.slot !== slot) throw new EnvelopeError('it was encrypted for another slot');
  const isWhole = plainBytesMax >= header.plainBytes;
  if (isWhole && stored.length !== storedBytes(parsed)) throw new EnvelopeError('it was cut');
  const clear = stored.subarray(0, end);
  const all = chunksOf(header.plainBytes);
  const chunks = isWhole ? all : Math.min(all, chunksOf(plainBytesMax));
  const plain: Buffer[] = [];
  let at = end;
  for (let chunk = 0; chunk < chunks; chunk++) {
    if (chunk % SLICE_CHUNKS === SLICE_CHUNKS - 1) await breathe();
    const isLast = chunk === all - 1;
    const length = isLast ? header.plainBytes - chunk * CHUNK_BYTES : CHUNK_BYTES;
    const tagged = stored.subarray(at, at + length + TAG_BYTES);
    plain.push(openChunk(tagged, length, nonceOf(chunk, isLast), dataKey, clear));
    at += length + TAG_BYTES;
  }
  const opened = Buffer.concat(plain);
  if (isWhole && createHash('sha256').update(opened).digest('hex') !== header.plainSha256) {
    throw new EnvelopeError('it is not the segment that its header tells of');
  }
  return opened;
}

function openChunk(
  tagged: Buffer,
  length: number,
  nonce: Buffer,
  dataKey: Buffer,
  clear: Buffer,
): Buffer {
  if (tagged.length !== length + TAG_BYTES) throw new EnvelopeError('it was cut');
  const cipher = createDecipheriv('aes-256-gcm', dataKey, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(clear);
  cipher.setAuthTag(tagged.subarray(length));
  const part = cipher.update(tagged.subarray(0, length));
  try {
    cipher.final();
  } catch {
    throw new EnvelopeError('a chunk is not what was encrypted with this key');
  }
  return part;
}
