/** Block compression in the thread pool, so that the event loop keeps reading and heart-beating. */
import { promisify } from 'node:util';
import { constants, deflateRaw, type ZlibOptions, zstdCompress } from 'node:zlib';
import type { SegmentCodec } from '../../schemas/segment.ts';
import type { BlockOptions } from './open-segment.ts';

const deflateRawAsync = promisify<Buffer, ZlibOptions, Buffer>(deflateRaw);
const zstdCompressAsync = promisify<Buffer, { params: Record<number, number> }, Buffer>(
  zstdCompress,
);

const DEFLATE_LEVEL = 6;
const ZSTD_LEVEL = 3;
const CHUNK_BYTES_MIN = 1024;

/** Deflate takes levels 1 to 9, zstandard 1 to 19; a level beyond the codec's is its highest. */
export function blockCompressor(
  codec: SegmentCodec,
  level: number | undefined,
): BlockOptions['compress'] {
  if (codec === 'null') return (bytes) => bytes;
  if (codec === 'deflate') {
    const options = { level: Math.min(level ?? DEFLATE_LEVEL, 9), memLevel: 9 };
    return async (bytes) => {
      // One trip through the thread pool for most blocks, where the default makes one per 16 KiB.
      const chunkSize = Math.max(CHUNK_BYTES_MIN, bytes.length >>> 2);
      return exact(await deflateRawAsync(bytes, { ...options, chunkSize }));
    };
  }
  const params = { [constants.ZSTD_c_compressionLevel]: level ?? ZSTD_LEVEL };
  return async (bytes) => exact(await zstdCompressAsync(bytes, { params }));
}

/** The output of zlib can be a small view on a large chunk, which would stay in memory with it. */
function exact(bytes: Buffer): Buffer {
  return bytes.buffer.byteLength > bytes.length * 2 ? Buffer.from(bytes) : bytes;
}
