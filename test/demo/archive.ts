/** The demo's view of the archive: read back object by object and held against Kafka. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand, ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { unframe } from '../../schemas/audit-event.ts';
import { kafkaValue, readSegment, type SealedRecord } from '../../schemas/segment.ts';
import { decodeRecord } from '../../services/ingest/decode.ts';
import { connectKafka } from '../../services/ingest/kafka.ts';
import { SchemaCache } from '../../services/ingest/registry.ts';
import { type Config, loadConfig } from '../../services/runtime/config.ts';
import { silentLog } from '../../services/runtime/log.ts';
import type { Stack } from '../stack/stack.ts';
import type { Collected } from './day.ts';
import type { Pipeline } from './pipeline.ts';
import type { Story } from './story.ts';

const POLL_MS = 250;
const SEALED_MS_MAX = 300_000;

export interface ArchiveView {
  bucket: string;
  keys: string[];
  kafkaRecords: number;
  sealedRecords: number;
  exactlyOnce: boolean;
  bytesBefore: number;
  bytesStored: number;
  seconds: number;
  example: { key: string; record: SealedRecord; json: string } | null;
}

interface Partition {
  partition: number;
  low: bigint;
  high: bigint;
}

/** Waits until every record of the events topic is in a segment, then reads all of them. */
export async function sealedEverything(
  stack: Stack,
  env: Record<string, string>,
  pipeline: Pipeline,
): Promise<ArchiveView> {
  const config = loadConfig(undefined, env);
  const startedAt = Date.now();
  const client = stack.rootS3();
  try {
    const partitions = await topicEnds(config);
    const records = partitions.reduce((sum, { low, high }) => sum + Number(high - low), 0);
    const labels = { topic: config.topics.events };
    for (;;) {
      pipeline.assertRunning();
      const sealed = await pipeline.archiver.metric('lakeseal_archiver_records_total', labels);
      if (sealed >= records) break;
      if (Date.now() - startedAt > SEALED_MS_MAX) {
        throw new Error(`${sealed} of ${records} records sealed after ${SEALED_MS_MAX} ms`);
      }
      await sleep(POLL_MS);
    }
    return await readArchive(client, config, partitions, (Date.now() - startedAt) / 1000);
  } finally {
    client.destroy();
  }
}

async function topicEnds(config: Config): Promise<Partition[]> {
  const admin = connectKafka(config, silentLog).admin();
  await admin.connect();
  try {
    const offsets = await admin.fetchTopicOffsets(config.topics.events);
    return offsets.map(({ partition, low, high }) => ({
      partition,
      low: BigInt(low),
      high: BigInt(high),
    }));
  } finally {
    await admin.disconnect();
  }
}

async function readArchive(
  client: S3Client,
  config: Config,
  partitions: Partition[],
  seconds: number,
): Promise<ArchiveView> {
  const { bucket } = config.storage;
  const wanted = `/${config.topics.events}/`;
  const keys = (await allKeys(client, bucket)).filter((key) => key.includes(wanted));
  const next = new Map<number, bigint>();
  const view: ArchiveView = {
    bucket,
    keys,
    kafkaRecords: partitions.reduce((sum, { low, high }) => sum + Number(high - low), 0),
    sealedRecords: 0,
    exactlyOnce: true,
    bytesBefore: 0,
    bytesStored: 0,
    seconds,
    example: null,
  };
  // Keys sort by partition and offset, so neighbours in this list are neighbours in Kafka.
  for (const key of keys) {
    const bytes = await getBytes(client, bucket, key);
    const { header, records } = readSegment(bytes);
    if (header.firstOffset !== (next.get(header.partition) ?? 0n)) view.exactlyOnce = false;
    next.set(header.partition, header.nextOffset);
    view.sealedRecords += records.length;
    view.bytesStored += bytes.length;
    for (const record of records) view.bytesBefore += kafkaValue(record)?.length ?? 0;
    view.example ??= await exampleOf(config, key, records);
  }
  const complete = partitions.every(({ partition, high }) => (next.get(partition) ?? 0n) === high);
  view.exactlyOnce &&= complete && view.sealedRecords === view.kafkaRecords;
  return view;
}

async function exampleOf(
  config: Config,
  key: string,
  records: SealedRecord[],
): Promise<ArchiveView['example']> {
  const cache = new SchemaCache(config.registry, { log: silentLog });
  for (const record of records) {
    const value = kafkaValue(record);
    const framed = value === null ? null : unframe(value);
    if (framed === null) continue;
    await cache.warm([framed.schemaId]);
    const decoded = decodeRecord(value, cache.get);
    const event = decoded.ok ? decoded.events[0] : undefined;
    // A short one with a person in it reads best.
    if (event === undefined || event.actor.type !== 'user' || event.raw.length > 700) continue;
    return { key, record, json: event.raw };
  }
  return null;
}

async function allKeys(client: S3Client, bucket: string): Promise<string[]> {
  const keys: string[] = [];
  let token: string | undefined;
  do {
    const page = await client.send(
      new ListObjectsV2Command({ Bucket: bucket, Prefix: 'data/', ContinuationToken: token }),
    );
    for (const { Key } of page.Contents ?? []) keys.push(Key!);
    token = page.NextContinuationToken;
  } while (token !== undefined);
  return keys;
}

export async function getBytes(
  client: S3Client,
  bucket: string,
  key: string,
  versionId?: string,
): Promise<Buffer> {
  const request = { Bucket: bucket, Key: key, ...(versionId && { VersionId: versionId }) };
  const { Body } = await client.send(new GetObjectCommand(request));
  return Buffer.from(await Body!.transformToByteArray());
}

const MIB = 1024 * 1024;

export function describeArchive(story: Story, collected: Collected, archive: ArchiveView): void {
  const count = (value: number): string => value.toLocaleString('en-US');
  const ratio = archive.bytesBefore / archive.bytesStored;
  story.line(`  collected   ${count(collected.events)} events from ${collected.sources} files`);
  story.line(
    `  sealed      ${count(archive.sealedRecords)} records in ${archive.keys.length} segments`,
  );
  story.line(
    `  bytes       ${(archive.bytesBefore / MIB).toFixed(1)} MiB on Kafka, ` +
      `${(archive.bytesStored / MIB).toFixed(1)} MiB sealed (${ratio.toFixed(1)} to 1)`,
  );
  story.line(`  bucket      ${archive.bucket}`);
}

export function firstEvent(story: Story, archive: ArchiveView): void {
  if (archive.example === null) return;
  const { key, record, json } = archive.example;
  story.line(`  object  ${key}`);
  story.line(`  offset  ${record.offset}, schema ${record.schemaId}, ${record.body?.length} bytes`);
  story.line(`  raw     ${json}`);
}
