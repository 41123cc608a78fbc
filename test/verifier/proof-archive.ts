/** A small archive on the store's double, as two partitions of an archiver would leave it. */
import { setImmediate } from 'node:timers/promises';
import { auditEventSchema, unframe } from '../../schemas/audit-event.ts';
import { leafBytes, timeOf } from '../../schemas/evidence/leaf.ts';
import { partitionLog } from '../../schemas/evidence/log-layout.ts';
import { manifestBytes, manifestOf } from '../../schemas/evidence/manifest.ts';
import { sha256 } from '../../schemas/evidence/merkle.ts';
import { ed25519Signer, type Signer } from '../../schemas/evidence/note.ts';
import { HOUR_MS, type LogState, ROOT_LOG, rootBody } from '../../schemas/evidence/root-leaf.ts';
import { digestSegment } from '../../schemas/evidence/segment-digest.ts';
import { type PartitionAddress, slotKey } from '../../schemas/layout.ts';
import { assembleSegment, BlockBuilder } from '../../schemas/segment-writer.ts';
import type { WrappingKey } from '../../schemas/wrapping-key.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { envelopeStore } from '../../services/store/envelope-store.ts';
import type { ObjectStore } from '../../services/store/store.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';

export const NAME = 'audit.example.com/lakeseal';
export const PREFIX = 'sealed/';
export const START_MS = Date.UTC(2026, 10, 24);
export const signer = ed25519Signer(NAME, Buffer.alloc(32, 11));

export const ADDRESSES: PartitionAddress[] = [0, 1].map((partition) => ({
  clusterId: 'cluster',
  topic: 'databricks.audit',
  topicId: 'topic-id',
  partition,
}));

export interface SmallArchive {
  bucket: Bucket;
  store: ObjectStore;
  /** Signs what every log has, then writes a root of that hour. */
  root(hour: number, by?: Signer, more?: readonly LogState[]): Promise<void>;
  /** Seals a segment of JSON records into each partition. */
  seal(records: number, sign?: boolean): Promise<void>;
  /** Seals a segment of these values, each with its record time; framed events are spliced. */
  sealValues(
    partition: number,
    values: ReadonlyArray<[timeMs: number, value: string | Buffer]>,
  ): Promise<void>;
}

/** `key`: encrypts its segments. `elsewhere`: a store that takes it instead of the bucket. */
export function smallArchive({
  key,
  elsewhere,
}: {
  key?: WrappingKey;
  elsewhere?: ObjectStore;
} = {}): SmallArchive {
  const bucket = new Bucket({
    nowMs: () => START_MS,
    defaultRetention: { mode: 'COMPLIANCE', days: 365 },
  });
  const plain = elsewhere ?? doubleStore(bucket, new FaultPlan());
  const hash = async (bytes: Buffer): Promise<Buffer> => sha256(bytes);
  const options = { prefix: PREFIX, sha256: hash, breathe: () => setImmediate() };
  const store = key === undefined ? plain : envelopeStore(plain, { ...options, keys: [key] });
  const next = new Map(ADDRESSES.map((address) => [address.partition, 0n]));
  const sealRecords = async (
    address: PartitionAddress,
    records: SegmentRecord[],
    sign: boolean,
  ): Promise<void> => {
    const firstOffset = records[0]!.offset;
    const bytes = segmentOf(address, records);
    next.set(address.partition, firstOffset + BigInt(records.length));
    const key = slotKey(PREFIX, { ...address, firstOffset });
    await store.putIfAbsent(key, bytes);
    const log = await LogWriter.open(store, PREFIX, partitionLog(address));
    const digest = await digestSegment(bytes, () => setImmediate());
    const protection = (await store.protection(key))!;
    await log.append((end) => manifestBytes(end, manifestOf(digest, protection)));
    if (sign) await log.sign(signer);
  };
  const seal = async (records: number, sign = true): Promise<void> => {
    for (const address of ADDRESSES) {
      const firstOffset = next.get(address.partition)!;
      await sealRecords(address, madeRecords(address, firstOffset, records), sign);
    }
  };
  const sealValues: SmallArchive['sealValues'] = async (partition, values) => {
    const firstOffset = next.get(partition)!;
    const records = values.map(([timeMs, value], at) => ({
      offset: firstOffset + BigInt(at),
      timestamp: BigInt(timeMs),
      key: null,
      value: typeof value === 'string' ? Buffer.from(value) : value,
      headers: [],
    }));
    await sealRecords(ADDRESSES[partition]!, records, true);
  };
  const root = async (
    hour: number,
    by: Signer = signer,
    more: readonly LogState[] = [],
  ): Promise<void> => {
    const states: LogState[] = [...more];
    for (const address of ADDRESSES) {
      const log = await LogWriter.open(store, PREFIX, partitionLog(address));
      await log.sign(by);
      states.push([log.log, log.size, log.end.frontier.root().toString('base64')]);
    }
    const log = await LogWriter.open(store, PREFIX, ROOT_LOG);
    const time = timeOf(START_MS + hour * HOUR_MS);
    await log.append((end) => leafBytes(end, rootBody(time, states)));
    await log.sign(by);
  };
  return { bucket, store, root, seal, sealValues };
}

/** The event id of a record of `segmentOf`. */
export function eventIdOf(partition: number, offset: bigint): string {
  return `event-${partition}-${offset}`;
}

/** Of the schema of events. */
export const SCHEMA_ID = 4;

type SegmentRecord = Parameters<BlockBuilder['add']>[0];

function madeRecords(
  address: PartitionAddress,
  firstOffset: bigint,
  records: number,
): SegmentRecord[] {
  return Array.from({ length: records }, (_, at) => {
    const offset = firstOffset + BigInt(at);
    const timestamp = BigInt(START_MS) + offset * 1000n;
    const value = Buffer.from(
      JSON.stringify({
        event_id: eventIdOf(address.partition, offset),
        event_time: new Date(Number(timestamp)).toISOString(),
        service_name: 'unityCatalog',
        action_name: 'getTable',
        user_identity: { email: 'ada@example.com' },
        source_ip_address: '192.0.2.7',
        request_params: { full_name_arg: `main.sales.t${at}` },
        version: '2.0',
        workspace_id: '1234',
        audit_level: 'WORKSPACE_LEVEL',
      }),
    );
    const headers = at % 2 === 0 ? [] : [{ key: 'source', value: at % 3 === 0 ? null : value }];
    const key = at % 5 === 0 ? null : Buffer.from(`key ${at}`);
    return { offset, timestamp, key, value, headers };
  });
}

function segmentOf(address: PartitionAddress, records: readonly SegmentRecord[]): Buffer {
  const block = new BlockBuilder();
  const framed = records.filter(
    ({ value }) => value !== null && unframe(value)?.schemaId === SCHEMA_ID,
  );
  for (const record of records) block.add(record, framed.includes(record) ? SCHEMA_ID : null);
  const times = records.map(({ timestamp }) => timestamp).sort((a, b) => (a < b ? -1 : 1));
  const lastOffset = records.at(-1)!.offset;
  return assembleSegment({
    header: {
      ...address,
      kind: 'data',
      firstOffset: records[0]!.offset,
      nextOffset: lastOffset + 1n,
      recordCount: records.length,
      lastOffset,
      timestampMin: times[0]!,
      timestampMax: times.at(-1)!,
      schemaId: framed.length > 0 ? SCHEMA_ID : null,
    },
    codec: 'null',
    writerSchema: framed.length > 0 ? JSON.stringify(auditEventSchema) : null,
    blocks: [block.take()],
  });
}
