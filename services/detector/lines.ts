/**
 * Lines of a byte stream that may be compressed, in constant memory. gzip and zstd are recognised
 * by their first bytes, not by the file's name. A line longer than the limit is not kept: it comes
 * out as `null`, so that it is reported and counted like any other unreadable line.
 */
import { pipeline, Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';

export interface Line {
  /** From 1. */
  number: number;
  /** Without its line end; null where it is longer than the limit. */
  bytes: Buffer | null;
}

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);
const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/** Throws what the stream throws: unreadable files, damaged compression. */
export async function* linesOf(
  stream: AsyncIterable<Buffer>,
  lineBytesMax: number,
): AsyncGenerator<Line[]> {
  let number = 0;
  let pieces: Buffer[] = [];
  let lineBytes = 0;
  const take = (piece: Buffer): void => {
    lineBytes += piece.length;
    if (lineBytes <= lineBytesMax) pieces.push(piece);
    else pieces = [];
  };
  const finish = (): Line => {
    number += 1;
    const whole = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    const end = whole.at(-1) === CARRIAGE_RETURN ? whole.length - 1 : whole.length;
    const bytes = lineBytes > lineBytesMax ? null : whole.subarray(0, end);
    pieces = [];
    lineBytes = 0;
    return { number, bytes };
  };
  for await (const bytes of decompressed(stream)) {
    const lines: Line[] = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      take(bytes.subarray(start, end));
      lines.push(finish());
      start = end + 1;
    }
    if (start < bytes.length) take(bytes.subarray(start));
    if (lines.length > 0) yield lines;
  }
  if (lineBytes > 0) yield [finish()];
}

async function* decompressed(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const chunks = stream[Symbol.asyncIterator]();
  const head = await firstBytes(chunks);
  const whole = withHead(head, chunks);
  const gzip = head.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC);
  const zstd = head.subarray(0, ZSTD_MAGIC.length).equals(ZSTD_MAGIC);
  if (!gzip && !zstd) {
    yield* whole;
    return;
  }
  const inner = gzip ? createGunzip() : createZstdDecompress();
  // An error of the source destroys `inner` with it, so the loop that reads `inner` throws it.
  pipeline(Readable.from(whole, { objectMode: false }), inner, () => {});
  yield* inner as AsyncIterable<Buffer>;
}

async function* withHead(head: Buffer, chunks: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  try {
    if (head.length > 0) yield head;
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
  } finally {
    await chunks.return?.();
  }
}

/** At least four bytes, unless there are fewer. */
async function firstBytes(chunks: AsyncIterator<Buffer>): Promise<Buffer> {
  let head = Buffer.alloc(0);
  while (head.length < ZSTD_MAGIC.length) {
    const next = await chunks.next();
    if (next.done) break;
    head = head.length === 0 ? Buffer.from(next.value) : Buffer.concat([head, next.value]);
  }
  return head;
}
