/**
 * Bytes in, decompressed bytes out. What the input is, its first bytes say and not its name: gzip
 * (any number of members, zero padding behind them), zstd (any number of frames, skippable ones
 * too), else it passes through. Cut or damaged input throws after everything before it came out.
 */
import { once } from 'node:events';
import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib';
import { Failure } from '../runtime/errors.ts';

export type Compression = 'gzip' | 'zstd' | 'none';

/** Bytes of output at a time: large enough to be cheap, small enough to let the loop breathe. */
const OUTPUT_CHUNK_BYTES = 128 * 1024;
/** The longest signature looked for. */
const SIGNATURE_BYTES = 4;

/** RFC 1952 2.3.1; RFC 8878 3.1.1 and 3.1.2. */
export function compressionOf(head: Buffer): Compression {
  if (head.length >= 2 && head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  if (head.length < SIGNATURE_BYTES) return 'none';
  const magic = head.readUInt32LE(0);
  if (magic === 0xfd2fb528) return 'zstd';
  if (magic >>> 4 === 0x184d2a5) return 'zstd';
  return 'none';
}

/** Throws `Failure` INPUT_DAMAGED where compressed input is cut or wrong. */
export async function* decompress(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const input = chunks[Symbol.asyncIterator]();
  try {
    let head = await nextChunk(input);
    while (head !== null && head.length < SIGNATURE_BYTES) {
      const more = await nextChunk(input);
      if (more === null) break;
      head = Buffer.concat([head, more]);
    }
    if (head === null) return;
    const compression = compressionOf(head);
    if (compression === 'none') {
      for (let chunk: Buffer | null = head; chunk !== null; chunk = await nextChunk(input)) {
        yield chunk;
      }
    } else {
      yield* inflate(head, input, compression);
    }
  } finally {
    await input.return?.();
  }
}

async function nextChunk(input: AsyncIterator<Buffer>): Promise<Buffer | null> {
  const next = await input.next();
  return next.done === true ? null : next.value;
}

/**
 * Node's zstd stream stops at the end of a frame when the next one begins in the same chunk, and
 * drops what it was given; so each such rest goes to a new stream here. Gunzip goes on by itself
 * and stops only where zeros follow.
 */
async function* inflate(
  head: Buffer,
  input: AsyncIterator<Buffer>,
  compression: 'gzip' | 'zstd',
): AsyncGenerator<Buffer> {
  let rest: Buffer | null = head;
  while (rest !== null) {
    if (compression === 'gzip' && rest !== head) {
      await expectZeros(rest, input);
      return;
    }
    const stream = openStream(compression);
    const feeding = feed(stream, rest, input);
    // A failure of the feed ends the stream, which is where it is thrown.
    feeding.catch(() => {});
    try {
      yield* stream as AsyncIterable<Buffer>;
    } catch (error) {
      throw isZlibError(error) ? damaged(compression, error) : error;
    }
    rest = await feeding;
  }
}

function openStream(compression: 'gzip' | 'zstd'): Gunzip | ZstdDecompress {
  return compression === 'gzip'
    ? createGunzip({ chunkSize: OUTPUT_CHUNK_BYTES })
    : createZstdDecompress({ chunkSize: OUTPUT_CHUNK_BYTES });
}

/**
 * Writes chunk by chunk until the input or the frame ends. Resolves with the bytes behind the
 * frame's end, or null at the end of the input.
 */
async function feed(
  stream: Gunzip | ZstdDecompress,
  first: Buffer,
  input: AsyncIterator<Buffer>,
): Promise<Buffer | null> {
  const closed = once(stream, 'close').then(
    () => 'closed' as const,
    () => 'closed' as const,
  );
  let written = 0;
  try {
    for (let chunk: Buffer | null = first; chunk !== null; chunk = await nextChunk(input)) {
      written += chunk.length;
      const taken = new Promise<'taken'>((resolve) => {
        stream.write(chunk, () => resolve('taken'));
      });
      await Promise.race([taken, closed]);
      const left = written - stream.bytesWritten;
      if (left > 0) return chunk.subarray(chunk.length - left);
      if (stream.destroyed) return null;
    }
    stream.end();
    return null;
  } catch (error) {
    stream.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

async function expectZeros(rest: Buffer, input: AsyncIterator<Buffer>): Promise<void> {
  for (let chunk: Buffer | null = rest; chunk !== null; chunk = await nextChunk(input)) {
    if (chunk.some((byte) => byte !== 0)) throw damaged('gzip', 'bytes after the last member');
  }
}

function isZlibError(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return code.startsWith('Z_') || code.startsWith('ZSTD_') || code.startsWith('ERR_TRAILING');
}

function damaged(compression: string, cause: unknown): Failure {
  const what = cause instanceof Error ? cause.message : String(cause);
  return new Failure(`damaged ${compression} data: ${what}`, {
    code: 'INPUT_DAMAGED',
    hint: 'fetch the file again; it may have been cut while it was copied',
    cause,
  });
}
