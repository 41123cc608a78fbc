/**
 * A Kafka record as lakeseal handles it: where it is, and its bytes. Nothing here is decoded.
 */

export interface RecordHeader {
  key: string;
  value: Buffer;
}

export interface KafkaRecord {
  topic: string;
  partition: number;
  /** Offset in the partition. */
  offset: bigint;
  /** Kafka record time, milliseconds since the epoch. */
  timestamp: bigint;
  key: Buffer | null;
  /** null is a tombstone. May be a slice of a fetch response: copy before keeping. */
  value: Buffer | null;
  headers: RecordHeader[];
}
