/**
 * Object layout: key ↔ slot, pure. A slot is the place of one segment in the archive, named by
 * what cannot change: cluster, topic, topic id, partition and first offset. The offset is written
 * with 20 digits, so that the byte order of keys is the order of offsets.
 *
 * `firstOffset` is the position a segment starts from, which is the `nextOffset` of the segment
 * before it and 0 for the first: not the offset of its first record. So two writers that stand at
 * the same position always contend for the same key, whatever they hold.
 *
 *   PREFIX+data/CLUSTER/TOPIC/TOPIC_ID/PARTITION(5)/FIRST_OFFSET(20).avro
 */

export interface PartitionAddress {
  clusterId: string;
  topic: string;
  /** Kafka's topic id (a topic deleted and created again gets another), base64url, 22 characters. */
  topicId: string;
  partition: number;
}

export interface Slot extends PartitionAddress {
  firstOffset: bigint;
}

/** Stands for `clusterId` where the broker tells none. */
export const NO_CLUSTER_ID = '-';

export const PARTITION_DIGITS = 5;
export const OFFSET_DIGITS = 20;

/** Kafka's offsets are signed 64-bit integers. */
export const OFFSET_MAX = 2n ** 63n - 1n;

/** What may stand between two slashes; `.` and `..` are folders to some stores and tools. */
const SAFE = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/;
const KEY = /^data\/([^/]+)\/([^/]+)\/([^/]+)\/(\d{5})\/(\d{20})\.avro$/;

/** Prefix of every slot of a partition, with the closing slash. */
export function partitionPrefix(prefix: string, address: PartitionAddress): string {
  for (const part of [address.clusterId, address.topic, address.topicId]) {
    if (!SAFE.test(part))
      throw new RangeError(`not usable in an object key: ${JSON.stringify(part)}`);
  }
  if (!Number.isInteger(address.partition) || address.partition < 0 || address.partition > 99_999) {
    throw new RangeError(`partition out of range: ${address.partition}`);
  }
  const partition = String(address.partition).padStart(PARTITION_DIGITS, '0');
  return `${prefix}data/${address.clusterId}/${address.topic}/${address.topicId}/${partition}/`;
}

export function slotKey(prefix: string, slot: Slot): string {
  if (slot.firstOffset < 0n || slot.firstOffset > OFFSET_MAX) {
    throw new RangeError(`offset out of range: ${slot.firstOffset}`);
  }
  const offset = slot.firstOffset.toString().padStart(OFFSET_DIGITS, '0');
  return `${partitionPrefix(prefix, slot)}${offset}.avro`;
}

/** The slot a key names, or null for a key that is none of ours. */
export function parseSlotKey(prefix: string, key: string): Slot | null {
  if (!key.startsWith(prefix)) return null;
  const match = KEY.exec(key.slice(prefix.length));
  if (match === null) return null;
  const [, clusterId, topic, topicId, partition, offset] = match;
  if (![clusterId, topic, topicId].every((part) => SAFE.test(part!))) return null;
  if (BigInt(offset!) > OFFSET_MAX) return null;
  return {
    clusterId: clusterId!,
    topic: topic!,
    topicId: topicId!,
    partition: Number(partition),
    firstOffset: BigInt(offset!),
  };
}
