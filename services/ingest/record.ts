/**
 * A Kafka record as lakeseal handles it: where it is, and its bytes. Nothing here is decoded.
 */

export interface RecordHeader {
  key: string;
  /** Kafka tells a null header value from an empty one, and so does the archive. */
  value: Buffer | null;
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
  /** In the order of the wire; one key may come more than once. */
  headers: RecordHeader[];
}
