/**
 * What splicing and framing cost without compression: walk each datum, put it into an envelope,
 * cut blocks, assemble, and read back, in records per second of CPU time, which a busy machine does
 * not distort as much. Then filling whole segments with compression, with and without the trees and
 * event times of evidence, and encrypted too, in turns, in records per second of wall time and of CPU
 * time: the ratios are what evidence and encryption cost. An encrypted segment is also held against
 * AES-256-GCM alone over the same bytes. Prints one line of JSON; nothing is asserted about speed.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import avsc from 'avsc';
import type { WriterSchema } from '../../schemas/datum.ts';
import { encrypt } from '../../schemas/envelope.ts';
import { parseSpliceSchema, readSegment } from '../../schemas/segment.ts';
import { assembleSegment, BlockBuilder, type RawBlock } from '../../schemas/segment-writer.ts';
import { wrappingKey } from '../../schemas/wrapping-key.ts';
import { type BlockFinisher, finishHere } from '../../services/archiver/block-finisher.ts';
import { startBlockThreads } from '../../services/archiver/block-threads.ts';
import { blockCompressor } from '../../services/archiver/compress.ts';
import { OpenSegment } from '../../services/archiver/open-segment.ts';
import { NO_RECORDS } from '../../services/archiver/segment-facts.ts';
import { digestOf } from '../../services/store/s3.ts';

const RECORDS = 200_000;
const BLOCK_BYTES = 256 * 1024;
const ROUNDS = 5;

const text = readFileSync(new URL('../../schemas/audit-event.avsc', import.meta.url), 'utf8');
const datum = avsc.Type.forSchema(JSON.parse(text)).toBuffer(event());
const value = Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), datum]);
const schema = parse(text);

function parse(writerSchema: string): WriterSchema {
  const parsed = parseSpliceSchema(writerSchema);
  if ('problem' in parsed) throw new Error(parsed.problem);
  return parsed;
}

/** CPU time of this process so far, milliseconds. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function event(index = 0): object {
  const pad = createHash('sha512').update(String(index)).digest('hex');
  const raw = JSON.stringify({ version: '2.0', pad, more: 'x'.repeat(372) });
  return {
    eventId: '0f3a9d1c-1f0e-4f0e-9d5e-3b8f2a1c4d5e',
    eventIdSource: 'event_id',
    eventTime: 1_790_000_000_000,
    shape: 'delivery',
    auditLevel: 'WORKSPACE_LEVEL',
    accountId: '3f1c9b7e-0000-4000-8000-00000000abcd',
    workspaceId: '1234567890123456',
    serviceName: 'clusters',
    actionName: 'create',
    requestId: 'ServiceMain-0123456789abcdef',
    sessionId: 'sess-0123456789',
    userAgent: 'Mozilla/5.0 (X11; Linux x86_64)',
    sourceIp: '192.0.2.17',
    actor: { name: 'ada@example.com', type: 'user', email: 'ada@example.com' },
    requestParams: { cluster_name: 'etl', node_type_id: 'm5.large', num_workers: '4' },
    response: { statusCode: 200 },
    outcome: 'success',
    raw,
  };
}

function build(): { blocks: RawBlock[]; walkedMs: number; builtMs: number } {
  const started = cpuMs();
  for (let index = 0; index < RECORDS; index++) {
    if (schema.walk(value, 5, value.length) !== value.length) throw new Error('not a datum');
  }
  const walked = cpuMs();
  const blocks: RawBlock[] = [];
  const builder = new BlockBuilder();
  for (let index = 0; index < RECORDS; index++) {
    const timestamp = 1_790_000_000_000n + BigInt(index);
    builder.add({ offset: BigInt(index), timestamp, key: null, value, headers: [] }, 7);
    if (builder.size >= BLOCK_BYTES) blocks.push(builder.take());
  }
  blocks.push(builder.take());
  return { blocks, walkedMs: walked - started, builtMs: cpuMs() - walked };
}

let best = { walkedMs: Number.POSITIVE_INFINITY, builtMs: Number.POSITIVE_INFINITY, readMs: 0 };
for (let round = 0; round < ROUNDS; round++) {
  const { blocks, walkedMs, builtMs } = build();
  const bytes = assembleSegment({
    header: {
      kind: 'data',
      clusterId: 'c',
      topic: 't',
      topicId: 'i',
      partition: 0,
      firstOffset: 0n,
      nextOffset: BigInt(RECORDS),
      recordCount: RECORDS,
      lastOffset: BigInt(RECORDS - 1),
      timestampMin: 1_790_000_000_000n,
      timestampMax: 1_790_000_000_000n + BigInt(RECORDS - 1),
      schemaId: 7,
    },
    codec: 'null',
    writerSchema: text,
    blocks,
  });
  const started = cpuMs();
  if (readSegment(bytes).records.length !== RECORDS) throw new Error('not all records came back');
  const readMs = cpuMs() - started;
  if (walkedMs + builtMs < best.walkedMs + best.builtMs) best = { walkedMs, builtMs, readMs };
}

// --- with and without evidence ---------------------------------------------------------------------

const SEAL_RECORDS = 60_000;
const SEAL_ROUNDS = 7;
const SEGMENT_RECORDS = 20_000;

const thread = startBlockThreads({
  codec: 'deflate',
  level: undefined,
  threads: 1,
  died: (error) => {
    throw error;
  },
});
const compress = blockCompressor('deflate', undefined);

/** Compresses, and hashes nothing. */
const onlyCompress: BlockFinisher = {
  segment: () => ({
    block: ({ bytes }) => compress(bytes),
    facts: () => NO_RECORDS,
    discard: () => {},
  }),
};
const KEY = wrappingKey(Buffer.alloc(32, 1));
const SLOT = 'data/c/t/i/00000/00000000000000000000.avro';
const VARIANTS = {
  without: { finisher: onlyCompress, key: null },
  here: { finisher: finishHere(compress), key: null },
  thread: { finisher: thread, key: null },
  encrypted: { finisher: thread, key: KEY },
};
type Variant = keyof typeof VARIANTS;

/** Values that compress as events do, not as copies of one do. */
const values = Array.from({ length: 512 }, (_, index) => {
  const bytes = avsc.Type.forSchema(JSON.parse(text)).toBuffer(event(index));
  return Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), bytes]);
});

/** The last segment that was finished, as it is before it is encrypted. */
let plain: Buffer = Buffer.alloc(0);

/** To the bytes that would be sent, and their hash. */
async function finish(segment: OpenSegment, key: typeof KEY | null): Promise<void> {
  const { bytes } = await segment.finish();
  plain = bytes;
  const digest = await digestOf(bytes);
  if (key !== null) await digestOf(await encrypt(bytes, digest, SLOT, key, () => setImmediate()));
}

async function seal({ finisher, key }: (typeof VARIANTS)[Variant]): Promise<number> {
  const options = { codec: 'deflate', blockBytes: BLOCK_BYTES, finisher } as const;
  const started = performance.now();
  let waiting: Promise<unknown> = Promise.resolve();
  for (let from = 0; from < SEAL_RECORDS; from += SEGMENT_RECORDS) {
    const at = { clusterId: 'c', topic: 't', topicId: 'i', partition: 0 };
    const segment = new OpenSegment({ ...at, firstOffset: BigInt(from) }, options);
    segment.adoptSchema(7, schema);
    for (let index = from; index < from + SEGMENT_RECORDS; index++) {
      const datum = values[index % values.length]!;
      if (schema.walk(datum, 5, datum.length) !== datum.length) throw new Error('not a datum');
      const timestamp = 1_790_000_000_000n + BigInt(index);
      const record = { offset: BigInt(index), timestamp, key: null, value: datum, headers: [] };
      segment.add(record, 7, 0);
      const { congestion } = segment;
      if (congestion !== null) await congestion;
    }
    // As in the archiver: the next one fills while this one is finished.
    await waiting;
    waiting = finish(segment, key);
  }
  await waiting;
  return performance.now() - started;
}

const seals: Record<Variant, { ms: number; cpuMs: number }> = {
  without: { ms: Number.POSITIVE_INFINITY, cpuMs: Number.POSITIVE_INFINITY },
  here: { ms: Number.POSITIVE_INFINITY, cpuMs: Number.POSITIVE_INFINITY },
  thread: { ms: Number.POSITIVE_INFINITY, cpuMs: Number.POSITIVE_INFINITY },
  encrypted: { ms: Number.POSITIVE_INFINITY, cpuMs: Number.POSITIVE_INFINITY },
};
for (let round = 0; round < SEAL_ROUNDS; round++) {
  for (const name of Object.keys(VARIANTS) as Variant[]) {
    const started = cpuMs();
    const ms = await seal(VARIANTS[name]);
    seals[name].ms = Math.min(seals[name].ms, ms);
    seals[name].cpuMs = Math.min(seals[name].cpuMs, cpuMs() - started);
  }
}
await thread.close();

// --- encryption alone -----------------------------------------------------------------------------

const ENCRYPT_ROUNDS = 20;
const plainHash = await digestOf(plain);
const alone = { envelopeMs: Number.POSITIVE_INFINITY, gcmMs: Number.POSITIVE_INFINITY };
for (let round = 0; round < ENCRYPT_ROUNDS; round++) {
  let started = cpuMs();
  await encrypt(plain, plainHash, SLOT, KEY, async () => {});
  alone.envelopeMs = Math.min(alone.envelopeMs, cpuMs() - started);
  started = cpuMs();
  const cipher = createCipheriv('aes-256-gcm', plainHash, Buffer.alloc(12));
  Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  alone.gcmMs = Math.min(alone.gcmMs, cpuMs() - started);
}
const megabytesPer = (ms: number): number => Math.round(plain.length / 1000 / ms);

const sealedPer = (ms: number): number => Math.round((SEAL_RECORDS / ms) * 1000);
const ratio = (part: number, whole: number): number => Math.round((part / whole) * 1000) / 1000;

const perSecond = (ms: number): number => Math.round((RECORDS / ms) * 1000);
const result = {
  records: RECORDS,
  valueBytes: value.length,
  walkedPerCpuSecond: perSecond(best.walkedMs),
  framedPerCpuSecond: perSecond(best.builtMs),
  walkedAndFramedPerCpuSecond: perSecond(best.walkedMs + best.builtMs),
  readPerCpuSecond: perSecond(best.readMs),
  sealedWithoutEvidencePerSecond: sealedPer(seals.without.ms),
  sealedPerSecond: sealedPer(seals.thread.ms),
  sealedHashedHerePerSecond: sealedPer(seals.here.ms),
  ratioWithEvidence: ratio(seals.without.ms, seals.thread.ms),
  ratioHashedHere: ratio(seals.without.ms, seals.here.ms),
  ratioOfCpu: ratio(seals.without.cpuMs, seals.thread.cpuMs),
  sealedEncryptedPerSecond: sealedPer(seals.encrypted.ms),
  ratioEncrypted: ratio(seals.thread.ms, seals.encrypted.ms),
  ratioEncryptedOfCpu: ratio(seals.thread.cpuMs, seals.encrypted.cpuMs),
  encryptedMegabytesPerCpuSecond: megabytesPer(alone.envelopeMs),
  aes256GcmMegabytesPerCpuSecond: megabytesPer(alone.gcmMs),
  ratioToAes256Gcm: ratio(alone.gcmMs, alone.envelopeMs),
};
console.log(JSON.stringify(result));
