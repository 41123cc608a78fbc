/** Streams in memory for scan: what goes in, and what came out. */
import { Readable, Writable } from 'node:stream';
import type { ScanIo } from '../../services/detector/scan.ts';

export function memoryIo(input: string | Buffer = ''): {
  io: ScanIo;
  out: () => string;
  err: () => string;
} {
  const chunks: { out: string[]; err: string[] } = { out: [], err: [] };
  const sink = (into: string[]): Writable =>
    new Writable({
      write(chunk, _, done) {
        into.push(String(chunk));
        done();
      },
    });
  let time = 0;
  return {
    io: {
      stdin: Readable.from([Buffer.from(input)], { objectMode: false }),
      stdout: sink(chunks.out),
      stderr: sink(chunks.err),
      now: () => (time += 1),
    },
    out: () => chunks.out.join(''),
    err: () => chunks.err.join(''),
  };
}
