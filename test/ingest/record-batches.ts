/** Makes record batches with kafkajs' own encoder, so that our reader is held to another's writer. */
import { createRequire } from 'node:module';

const load = createRequire(import.meta.url);

export interface PlainMessage {
  key: Buffer | null;
  value: Buffer | null;
  timestamp: number;
  headers: Record<string, Buffer | Buffer[]>;
}

interface Encoded {
  buffer: Buffer;
}

const encodeBatch = load('kafkajs/src/protocol/recordBatch/v0').RecordBatch as (
  options: object,
) => Promise<Encoded>;
const encodeRecord = load('kafkajs/src/protocol/recordBatch/record/v0') as (
  options: object,
) => Encoded;

export async function recordBatch(
  messages: PlainMessage[],
  options: { baseOffset?: bigint; compression?: number; lastOffsetDelta?: number } = {},
): Promise<Buffer> {
  const first = messages[0]?.timestamp ?? 0;
  const records = messages.map((message, offsetDelta) =>
    encodeRecord({ ...message, offsetDelta, timestampDelta: message.timestamp - first }),
  );
  const { buffer } = await encodeBatch({
    compression: options.compression ?? 0,
    firstTimestamp: first,
    maxTimestamp: Math.max(first, ...messages.slice(0, 1_000).map(({ timestamp }) => timestamp)),
    partitionLeaderEpoch: 0,
    lastOffsetDelta: options.lastOffsetDelta ?? Math.max(0, messages.length - 1),
    records,
  });
  const batch = Buffer.from(buffer);
  // The base offset is not part of what the checksum covers.
  batch.writeBigInt64BE(options.baseOffset ?? 0n, 0);
  return batch;
}
