/**
 * The four compression codecs of Kafka, registered with kafkajs when this module loads: a topic
 * whose codec is missing would otherwise put the consumer into a crash loop.
 *
 * Promises: what Java, librdkafka and lakeseal wrote is read; what is written here is read by them;
 * a batch that unpacks to more than `UNPACKED_BYTES_MAX` is refused instead of filling the memory.
 *
 * - gzip: RFC 1952.
 * - snappy: xerial framing (`snappy-java`): 8 magic bytes, two versions, then blocks of
 *   {length, raw snappy}. librdkafka may write one raw block without the frame; both are read.
 * - lz4: LZ4 frame format.
 * - zstd: RFC 8878, by node:zlib.
 */
import { promisify } from 'node:util';
import { gzip, unzip, constants as zlibConstants, zstdCompress, zstdDecompress } from 'node:zlib';
import kafkajs from 'kafkajs';
import { compressFrame, decompressFrame } from 'lz4-napi';
import { compress as snappyCompress, uncompress as snappyUncompress } from 'snappy';

const { CompressionCodecs, CompressionTypes } = kafkajs;

/** Most bytes that the records of one batch may have when unpacked. */
export const UNPACKED_BYTES_MAX = 512 * 1024 * 1024;

/** A batch that unpacks to more than the limit, or cannot be unpacked. */
export class UnpackError extends Error {
  constructor(codec: string, cause: unknown) {
    const what = cause instanceof Error ? cause.message : String(cause);
    super(`${codec} records cannot be unpacked: ${what}`, { cause });
    this.name = 'UnpackError';
  }
}

export interface Codec {
  compress(bytes: Buffer): Promise<Buffer>;
  decompress(bytes: Buffer): Promise<Buffer>;
}

const gzipAsync = promisify(gzip);
const unzipAsync = promisify(unzip);
const zstdCompressAsync = promisify(zstdCompress);
const zstdDecompressAsync = promisify(zstdDecompress);

async function unpack(codec: string, work: () => Promise<Buffer>): Promise<Buffer> {
  try {
    return await work();
  } catch (error) {
    throw new UnpackError(codec, error);
  }
}

export type CodecName = 'gzip' | 'snappy' | 'lz4' | 'zstd';

/** The codecs, each refusing to unpack more than `bytesMax`. */
export function createCodecs(bytesMax: number): Record<CodecName, Codec> {
  const limit = { maxOutputLength: bytesMax };
  const zstdParams = { params: { [zlibConstants.ZSTD_c_compressionLevel]: 3 } };
  return {
    gzip: {
      compress: (bytes) => gzipAsync(bytes),
      decompress: (bytes) => unpack('gzip', () => unzipAsync(bytes, limit)),
    },
    snappy: {
      compress: packSnappy,
      decompress: (bytes) => unpack('snappy', () => unpackSnappy(bytes, bytesMax)),
    },
    lz4: {
      compress: (bytes) => compressFrame(bytes),
      decompress: (bytes) => unpack('lz4', () => unpackLz4(bytes, bytesMax)),
    },
    zstd: {
      compress: (bytes) => zstdCompressAsync(bytes, zstdParams),
      decompress: (bytes) => unpack('zstd', () => zstdDecompressAsync(bytes, limit)),
    },
  };
}

// --- snappy -------------------------------------------------------------------------------------

const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const XERIAL_HEADER = Buffer.concat([XERIAL_MAGIC, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])]);
const XERIAL_BLOCK_BYTES = 32 * 1024;

/** The length that a raw snappy block says it unpacks to: a varint at its start. */
export function snappyLength(block: Buffer): number {
  let length = 0;
  for (let i = 0; i < 5; i++) {
    const byte = block[i];
    if (byte === undefined) break;
    length += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return length;
  }
  throw new Error('the snappy length is cut off');
}

function xerialBlocks(bytes: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = XERIAL_HEADER.length; at < bytes.length; ) {
    if (bytes.length - at < 4) throw new Error('a snappy block is cut off');
    const length = bytes.readUInt32BE(at);
    const end = at + 4 + length;
    if (end > bytes.length) throw new Error('a snappy block is longer than its batch');
    blocks.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return blocks;
}

async function unpackSnappy(bytes: Buffer, bytesMax: number): Promise<Buffer> {
  const framed = bytes.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC);
  const blocks = framed ? xerialBlocks(bytes) : [bytes];
  const total = blocks.reduce((sum, block) => sum + snappyLength(block), 0);
  if (total > bytesMax) throw new Error(`${total} bytes are over the limit`);
  const parts = await Promise.all(
    blocks.map(async (block) => (await snappyUncompress(block, { asBuffer: true })) as Buffer),
  );
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

async function packSnappy(bytes: Buffer): Promise<Buffer> {
  const parts: Buffer[] = [XERIAL_HEADER];
  for (let at = 0; at < bytes.length; at += XERIAL_BLOCK_BYTES) {
    const block = await snappyCompress(bytes.subarray(at, at + XERIAL_BLOCK_BYTES));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(block.length);
    parts.push(length, block);
  }
  return Buffer.concat(parts);
}

// --- lz4 ----------------------------------------------------------------------------------------

const LZ4_MAGIC = 0x184d2204;
const LZ4_BLOCK_BYTES = [0, 0, 0, 0, 64 * 1024, 256 * 1024, 1024 * 1024, 4 * 1024 * 1024];

/**
 * Most bytes that an LZ4 frame can unpack to: its block size times its number of blocks. The
 * library has no limit of its own, so the block headers are walked first.
 * https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
 */
export function lz4LengthMax(frame: Buffer): number {
  if (frame.length < 7 || frame.readUInt32LE(0) !== LZ4_MAGIC) throw new Error('not an LZ4 frame');
  const flags = frame[4]!;
  const blockBytes = LZ4_BLOCK_BYTES[(frame[5]! >>> 4) & 7]!;
  const hasBlockChecksum = (flags & 0x10) !== 0;
  const hasContentSize = (flags & 0x08) !== 0;
  const hasDictionary = (flags & 0x01) !== 0;
  let at = 7 + (hasContentSize ? 8 : 0) + (hasDictionary ? 4 : 0);
  let total = 0;
  while (at + 4 <= frame.length) {
    const size = frame.readUInt32LE(at) & 0x7fffffff;
    if (size === 0) return total;
    total += Math.min(blockBytes, (frame[at + 3]! & 0x80) !== 0 ? size : size * 255);
    at += 4 + size + (hasBlockChecksum ? 4 : 0);
  }
  throw new Error('the LZ4 frame is cut off');
}

async function unpackLz4(bytes: Buffer, bytesMax: number): Promise<Buffer> {
  const total = lz4LengthMax(bytes);
  if (total > bytesMax) throw new Error(`up to ${total} bytes are over the limit`);
  return decompressFrame(bytes);
}

// --- registration -------------------------------------------------------------------------------

/** The shape kafkajs asks for: `compress` takes its encoder. */
function register(type: number, codec: Codec): void {
  CompressionCodecs[type as 1] = () => ({
    compress: (encoder: { buffer: Buffer }) => codec.compress(encoder.buffer),
    decompress: (bytes: Buffer) => codec.decompress(bytes),
  });
}

const codecs = createCodecs(UNPACKED_BYTES_MAX);
register(CompressionTypes.GZIP, codecs.gzip);
register(CompressionTypes.Snappy, codecs.snappy);
register(CompressionTypes.LZ4, codecs.lz4);
register(CompressionTypes.ZSTD, codecs.zstd);
