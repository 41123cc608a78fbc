/** Judges what is in the bucket by what Kafka held: A1 (whole), A2 (durable first), A3 (final). */
import assert from 'node:assert/strict';
import { partitionPrefix, slotKey } from '../../../schemas/layout.ts';
import { kafkaValue, readSegment, type Segment } from '../../../schemas/segment.ts';
import type { Bucket } from '../../double/bucket.ts';
import { type Log, TOPIC, TOPIC_ID } from './kafka.ts';
import { openedBytes } from './opened.ts';

const PREFIX = 'p/';

/** Objects never change, so each is parsed once. */
const parsed = new WeakMap<Buffer, Segment>();

function parse(bytes: Buffer): Segment {
  const segment = parsed.get(bytes) ?? readSegment(openedBytes(bytes));
  parsed.set(bytes, segment);
  return segment;
}

/** The chain of a partition from slot 0, as it stands. */
export function chainOf(bucket: Bucket, partition: number): Segment[] {
  const address = { clusterId: 'cluster', topic: TOPIC, topicId: TOPIC_ID, partition };
  const chain: Segment[] = [];
  for (let next = 0n; ; ) {
    const found = bucket.current(slotKey(PREFIX, { ...address, firstOffset: next }));
    if (found === null) return chain;
    const segment = parse(found.bytes!);
    assert.equal(segment.header.firstOffset, next);
    chain.push(segment);
    next = segment.header.nextOffset;
  }
}

/** A3 and the tiling of A1: one version for each slot, and no object outside the chain. */
export function judgeStore(bucket: Bucket, log: Log): void {
  const { partition } = log;
  const address = { clusterId: 'cluster', topic: TOPIC, topicId: TOPIC_ID, partition };
  const versions = bucket.versions(partitionPrefix(PREFIX, address));
  const chain = chainOf(bucket, partition);
  assert.equal(versions.length, chain.length, 'A1: an object outside the chain, or written twice');
  assert.ok(versions.every(({ bytes }) => bytes !== null));
}

/** A1: what the chain covers is there byte for byte, or in a gap that Kafka's retention explains. */
export function judgeContent(bucket: Bucket, log: Log, startedAt: bigint): void {
  for (const { header, records, gap } of chainOf(bucket, log.partition)) {
    const { firstOffset, nextOffset } = header;
    if (gap !== null) {
      const excuse = gap.reason === 'start_latest' ? startedAt : log.startOffset;
      assert.ok(gap.to <= excuse, 'A1: a gap over records that Kafka still had');
      continue;
    }
    const truth = log.records.filter(({ offset }) => offset >= firstOffset && offset < nextOffset);
    assert.equal(records.length, truth.length, 'A1: records missing or added');
    for (const [index, record] of records.entries()) {
      const expected = truth[index]!;
      assert.equal(record.offset, expected.offset);
      assert.equal(record.timestamp, expected.timestamp);
      assert.deepEqual(record.key, expected.key);
      assert.deepEqual(kafkaValue(record), expected.value);
      assert.deepEqual(record.headers, expected.headers);
    }
  }
}

/** A2: at the moment of a commit everything before it is durable. */
export function judgeCommit(bucket: Bucket, partition: number, offset: bigint): void {
  const next = chainOf(bucket, partition).at(-1)?.header.nextOffset ?? 0n;
  assert.ok(offset <= next, `A2: committed ${offset}, sealed up to ${next}`);
}
