/**
 * Encrypted segments (`schemas/segment.md`, "Encrypted"): a header in the clear, then the segment in
 * chunks of AES-256-GCM. The key of a segment comes out of the secret of the archive, the segment's
 * own digest and its place, so that the same segment in the same slot gives the same bytes, and no
 * two segments share a key. Pure but for `breathe`.
 */
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import { z } from 'zod';
import {
  EnvelopeError,
  isKmsSecretName,
  kmsSecretText,
  SECRET_NAMES,
  secretId,
  type WrappingKey,
} from './wrapping-key.ts';

const MAGIC = Buffer.from('LAKESEAL');
const LENGTH_BYTES = 4;
/** A key of a slot, hashes, and what KMS made of a secret: far more than a header takes. */
const HEADER_BYTES_MAX = 16 * 1024;
const CHUNK_BYTES = 64 * 1024;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
/** Chunks between two looks at the event loop. */
const SLICE_CHUNKS = 16;

const headerSchema = z
  .strictObject({
    format: z.literal(1),
    slot: z.string(),
    wrap: z.enum(['local', 'kms']),
    key: z.string(),
    wrapped: z.base64(),
    plainSha256: z.string().regex(/^[0-9a-f]{64}$/),
    plainBytes: z.int().positive(),
  })
  .refine(({ wrap, key }) => SECRET_NAMES[wrap].test(key), 'not what is said of a secret');

/** `slot`: the key of the object without the archive's prefix; `key`: `WrappingKey.name`. */
export type EnvelopeHeader = z.infer<typeof headerSchema>;

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
    wrap: by.wrap,
    key: by.name,
    wrapped: by.wrapKey(dataKey).toString('base64'),
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

/** The segment is encrypted with a key that was not given; of one in KMS it says what its file holds. */
export class MissingKeyError extends Error {
  constructor(slot: string, key: string) {
    const line = isKmsSecretName(key) ? `; its file holds the line ${kmsSecretText(key)}` : '';
    super(`${slot} is encrypted with the key ${secretId(key)}, which was not given${line}`);
    this.name = 'MissingKeyError';
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
      const by = keys.find(({ id }) => id === secretId(key));
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
