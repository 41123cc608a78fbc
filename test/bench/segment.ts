/**
 * What splicing and framing cost without compression: walk each datum, put it into an envelope,
 * cut blocks, assemble, and read back. Prints one line of JSON, in records per second of CPU time,
 * which a busy machine does not distort as much; nothing is asserted about speed.
 */
import { readFileSync } from 'node:fs';
import avsc from 'avsc';
import type { WriterSchema } from '../../schemas/datum.ts';
import { parseSpliceSchema, readSegment } from '../../schemas/segment.ts';
import { assembleSegment, BlockBuilder, type RawBlock } from '../../schemas/segment-writer.ts';

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

function event(): object {
  const raw = JSON.stringify({ version: '2.0', pad: 'x'.repeat(500) });
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

const perSecond = (ms: number): number => Math.round((RECORDS / ms) * 1000);
const result = {
  records: RECORDS,
  valueBytes: value.length,
  walkedPerCpuSecond: perSecond(best.walkedMs),
  framedPerCpuSecond: perSecond(best.builtMs),
  walkedAndFramedPerCpuSecond: perSecond(best.walkedMs + best.builtMs),
  readPerCpuSecond: perSecond(best.readMs),
};
console.log(JSON.stringify(result));
