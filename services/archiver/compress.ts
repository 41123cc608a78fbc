/** Compression of one block by the codec of its segment. */
import { constants, deflateRawSync, zstdCompressSync } from 'node:zlib';
import type { SegmentCodec } from '../../schemas/segment.ts';

/** The bytes as they are stored; for the codec `null`, the same. */
export type BlockCompressor = (bytes: Buffer) => Buffer;

const DEFLATE_LEVEL = 6;
const ZSTD_LEVEL = 3;
const CHUNK_BYTES_MIN = 1024;

/** Deflate takes levels 1 to 9, zstandard 1 to 19; a level beyond the codec's is its highest. */
export function blockCompressor(codec: SegmentCodec, level: number | undefined): BlockCompressor {
  if (codec === 'null') return (bytes) => bytes;
  if (codec === 'deflate') {
    const options = { level: Math.min(level ?? DEFLATE_LEVEL, 9), memLevel: 9 };
    return (bytes) => {
      // Most blocks come in one piece, where the default makes one for each 16 KiB.
      const chunkSize = Math.max(CHUNK_BYTES_MIN, bytes.length >>> 2);
      return deflateRawSync(bytes, { ...options, chunkSize });
    };
  }
  const params = { [constants.ZSTD_c_compressionLevel]: level ?? ZSTD_LEVEL };
  return (bytes) => zstdCompressSync(bytes, { params });
}
