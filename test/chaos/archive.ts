/**
 * An archive seen from outside, with the administrator's credentials: what it holds, how far each
 * partition is sealed, a copy for readers that are not ours, and their verdict.
 */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  GetObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { parseEvidenceKey } from '../../schemas/evidence/log-layout.ts';
import { parseSlotKey, partitionPrefix, type Slot } from '../../schemas/layout.ts';
import { readSegmentHeader } from '../../schemas/segment.ts';
import { pythonWith, READER_PACKAGES, runReader } from '../readers/python.ts';
import { dumpTopic } from './kafka.ts';

export interface ArchivedVersion {
  key: string;
  versionId: string;
  isDeleteMarker: boolean;
  size: number;
}

/** Every version and delete marker of a bucket. */
export async function listVersions(s3: S3Client, bucket: string): Promise<ArchivedVersion[]> {
  const found: ArchivedVersion[] = [];
  let marker: { KeyMarker?: string; VersionIdMarker?: string } = {};
  for (;;) {
    const page = await s3.send(new ListObjectVersionsCommand({ Bucket: bucket, ...marker }));
    for (const { Key, VersionId, Size } of page.Versions ?? []) {
      found.push({ key: Key!, versionId: VersionId!, isDeleteMarker: false, size: Size ?? 0 });
    }
    for (const { Key, VersionId } of page.DeleteMarkers ?? []) {
      found.push({ key: Key!, versionId: VersionId!, isDeleteMarker: true, size: 0 });
    }
    if (page.IsTruncated !== true) return found;
    marker = { KeyMarker: page.NextKeyMarker! };
    if (page.NextVersionIdMarker) marker.VersionIdMarker = page.NextVersionIdMarker;
  }
}

/** Fails unless every key has one version and no key a delete marker; gives the keys. */
export function assertOneVersionEach(versions: ArchivedVersion[]): string[] {
  const markers = versions.filter(({ isDeleteMarker }) => isDeleteMarker);
  assert.deepEqual(markers, [], 'delete markers');
  const counts = new Map<string, number>();
  for (const { key } of versions) counts.set(key, (counts.get(key) ?? 0) + 1);
  const doubled = [...counts].filter(([, count]) => count !== 1);
  assert.deepEqual(doubled, [], 'keys with more than one version');
  return [...counts.keys()];
}

export async function getObject(s3: S3Client, bucket: string, key: string): Promise<Buffer> {
  const object = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  return Buffer.from(await object.Body!.transformToByteArray());
}

async function headerBytes(s3: S3Client, bucket: string, key: string): Promise<Buffer> {
  const Range = 'bytes=0-65535';
  const object = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key, Range }));
  return Buffer.from(await object.Body!.transformToByteArray());
}

/** Follows how far each partition of one topic is sealed, reading only what is new. */
export class SealWatch {
  readonly #s3: S3Client;
  readonly #bucket: string;
  /** Per partition folder: the last key, and its nextOffset. */
  readonly #last = new Map<number, { key: string; next: bigint }>();
  #segments = 0;
  #folder: string | undefined;

  constructor(s3: S3Client, bucket: string) {
    this.#s3 = s3;
    this.#bucket = bucket;
  }

  /** Segments seen so far. */
  get segments(): number {
    return this.#segments;
  }

  /** Where the sealed records of each partition end, now. Rejects while the store is down. */
  async poll(topic: string, partitions: number): Promise<Map<number, bigint>> {
    this.#folder ??= await this.#topicFolder(topic);
    if (this.#folder !== undefined) {
      const folder = this.#folder;
      await Promise.all(
        Array.from({ length: partitions }, (_, partition) => this.#advance(folder, partition)),
      );
    }
    return new Map([...this.#last].map(([partition, { next }]) => [partition, next]));
  }

  async #topicFolder(topic: string): Promise<string | undefined> {
    const page = await this.#s3.send(new ListObjectsV2Command({ Bucket: this.#bucket }));
    for (const { Key } of page.Contents ?? []) {
      const slot = parseSlotKey('', Key!);
      if (slot?.topic === topic) return partitionPrefix('', slot).slice(0, -'00000/'.length);
    }
    return undefined;
  }

  async #advance(folder: string, partition: number): Promise<void> {
    for (;;) {
      const Prefix = `${folder}${String(partition).padStart(5, '0')}/`;
      const StartAfter = this.#last.get(partition)?.key;
      const page = await this.#s3.send(
        new ListObjectsV2Command({
          Bucket: this.#bucket,
          Prefix,
          ...(StartAfter === undefined ? {} : { StartAfter }),
        }),
      );
      const key = page.Contents?.at(-1)?.Key;
      if (key === undefined) return;
      const { header } = readSegmentHeader(await headerBytes(this.#s3, this.#bucket, key));
      this.#segments += page.Contents!.length;
      this.#last.set(partition, { key, next: header.nextOffset });
      if (page.IsTruncated !== true) return;
    }
  }
}

/** Whether everything before these offsets is sealed. */
export function reaches(sealed: Map<number, bigint>, ends: Map<number, bigint>): boolean {
  return [...ends].every(([partition, end]) => end === 0n || (sealed.get(partition) ?? 0n) >= end);
}

const COPIES_AT_ONCE = 16;

/** Copies the segments of one topic to `folder` as PARTITION-FIRSTOFFSET.avro; gives their slots. */
export async function copySegments(
  s3: S3Client,
  bucket: string,
  keys: readonly string[],
  folder: string,
  wanted: (slot: Slot) => boolean,
): Promise<Array<Slot & { file: string }>> {
  await mkdir(folder, { recursive: true });
  const slots = keys.flatMap((key) => {
    const slot = parseSlotKey('', key);
    if (slot !== null) return [{ key, slot }];
    assert.ok(parseEvidenceKey('', key) !== null, `a key that is none of ours: ${key}`);
    return [];
  });
  const chosen = slots.filter(({ slot }) => wanted(slot));
  const copied: Array<Slot & { file: string }> = [];
  const queue = [...chosen];
  const work = async (): Promise<void> => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) {
      const file = join(folder, `${item.slot.partition}-${item.slot.firstOffset}.avro`);
      await writeFile(file, await getObject(s3, bucket, item.key), { flag: 'wx' });
      copied.push({ ...item.slot, file });
    }
  };
  await Promise.all(Array.from({ length: COPIES_AT_ONCE }, work));
  return copied;
}

/** What `compare_segments.py` prints. */
export interface Comparison {
  segments: number;
  records: number;
  typed: number;
  opaque: number;
  gaps: Array<[number, number, number]>;
  kafka: number;
  missing: number;
  missingFirst: Array<[number, number]>;
  differences: number;
  differencesFirst: string[];
  tiling: string[];
}

export interface Evidence extends Comparison {
  keys: string[];
  slots: Array<Slot & { file: string }>;
}

/**
 * Copies the archive of a topic, dumps the topic, and lets fastavro compare the two. Fails on a key
 * with a second version. Says nothing on the rest: the caller judges.
 */
export async function compareWithKafka(options: {
  s3: S3Client;
  bucket: string;
  brokers: string[];
  topic: string;
  /** Of the topic, where others of that name came before. */
  topicId?: string;
  folder: string;
}): Promise<Evidence> {
  const { s3, bucket, brokers, topic, topicId, folder } = options;
  const keys = assertOneVersionEach(await listVersions(s3, bucket));
  const segments = join(folder, 'segments');
  const dump = join(folder, 'kafka.ndjson');
  const isWanted = (slot: Slot): boolean =>
    slot.topic === topic && (topicId === undefined || slot.topicId === topicId);
  const slots = await copySegments(s3, bucket, keys, segments, isWanted);
  await dumpTopic(brokers, topic, dump);
  const python = await pythonWith(READER_PACKAGES);
  const answer = await runReader(python, 'compare_segments.py', [segments, dump]);
  return { ...(answer as unknown as Comparison), keys, slots };
}

/** Promise A1: every record once, byte for byte, in segments that tile from offset 0. */
export function assertWhole(evidence: Evidence, records: number, gaps: number = 0): void {
  const { differencesFirst, missingFirst, tiling } = evidence;
  assert.deepEqual(differencesFirst, [], 'differences from Kafka');
  assert.equal(evidence.differences, 0);
  assert.deepEqual(missingFirst, [], 'records that are in no segment');
  assert.equal(evidence.missing, 0);
  assert.deepEqual(tiling, [], 'holes and overlaps');
  assert.equal(evidence.gaps.length, gaps, 'gap segments');
  assert.equal(evidence.kafka, records, 'records in Kafka');
  assert.equal(evidence.records, records, 'records in segments');
  assert.equal(evidence.segments, evidence.slots.length);
  const starts = new Map<number, bigint>();
  for (const { partition, firstOffset } of evidence.slots) {
    const least = starts.get(partition);
    if (least === undefined || firstOffset < least) starts.set(partition, firstOffset);
  }
  for (const [partition, start] of starts) {
    assert.equal(start, 0n, `partition ${partition} starts with slot 0`);
  }
}
