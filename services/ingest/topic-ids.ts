/**
 * Kafka's topic ids (KIP-516) and the cluster id.
 *
 * kafkajs speaks Metadata up to version 6, topic ids came with version 10, so the request is
 * written here in the flexible encoding of version 12 and sent through kafkajs' own connection (its
 * TLS, its login). Request header 2 and response header 1 each end in tagged fields, which kafkajs
 * knows nothing about: they are the first byte of our body.
 *
 * Source: https://github.com/apache/kafka/blob/trunk/clients/src/main/resources/common/message/
 * (MetadataRequest.json, MetadataResponse.json), KIP-482 for the encoding.
 */
import { createRequire } from 'node:module';
import kafkajs, { type Kafka } from 'kafkajs';
import { kafkaFailure } from './kafka.ts';
import type {
  AssignerContext,
  ClientBroker,
  ClientCluster,
  ProtocolCall,
} from './kafkajs-patches.ts';

const load = createRequire(import.meta.url);
const Encoder = load('kafkajs/src/protocol/encoder') as new () => {
  writeBufferInternal(bytes: Buffer): void;
};
const { createErrorFromCode } = load('kafkajs/src/protocol/error') as {
  createErrorFromCode(code: number): Error;
};

const METADATA = 3;
const VERSION = 12;
const UNKNOWN_TOPIC_OR_PARTITION = 3;
const UNKNOWN_TOPIC_ID = 100;
/** What stands for the topic id where the broker has none. */
export const NO_TOPIC_ID = '-';
const ZERO_ID = Buffer.alloc(16).toString('base64url');

export interface ClusterTopics {
  /** As `kafka-cluster.sh cluster-id` prints it; null where the broker has none. */
  clusterId: string | null;
  /** Topic name → id (base64url, 22 characters), `-` where the broker has none, null: no such topic. */
  ids: Map<string, string | null>;
}

/** The body of the request, tagged fields of the header first. Pure. */
export function encodeTopicsRequest(topics: string[]): Buffer {
  const parts: Buffer[] = [Buffer.from([0]), uvarint(topics.length + 1)];
  for (const topic of topics) {
    const name = Buffer.from(topic, 'utf8');
    parts.push(Buffer.alloc(16), uvarint(name.length + 1), name, Buffer.from([0]));
  }
  // allow_auto_topic_creation, include_topic_authorized_operations, tagged fields
  parts.push(Buffer.from([0, 0, 0]));
  return Buffer.concat(parts);
}

function uvarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** Reads the flexible encoding; every read past the end throws a RangeError. */
class FlexibleReader {
  readonly #bytes: Buffer;
  #at = 0;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  int16(): number {
    this.#at += 2;
    return this.#bytes.readInt16BE(this.#at - 2);
  }
  int32(): number {
    this.#at += 4;
    return this.#bytes.readInt32BE(this.#at - 4);
  }
  boolean(): boolean {
    return this.bytes(1)[0] !== 0;
  }
  bytes(length: number): Buffer {
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length) throw new RangeError('the response is cut off');
    const found = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return found;
  }
  uvarint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.bytes(1)[0]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('a length is too long');
  }
  text(): string | null {
    const length = this.uvarint();
    return length === 0 ? null : this.bytes(length - 1).toString('utf8');
  }
  list<T>(read: () => T): T[] {
    const length = this.uvarint();
    const found: T[] = [];
    for (let i = 1; i < length; i++) found.push(read());
    return found;
  }
  tags(): void {
    const count = this.uvarint();
    for (let i = 0; i < count; i++) {
      this.uvarint();
      this.bytes(this.uvarint());
    }
  }
}

export interface TopicsResponse {
  throttleMs: number;
  clusterId: string | null;
  topics: Array<{ errorCode: number; name: string | null; id: string }>;
}

/** Metadata response of version 12, tagged fields of the header first. Pure. */
export function decodeTopicsResponse(bytes: Buffer): TopicsResponse {
  const reader = new FlexibleReader(bytes);
  reader.tags();
  const throttleMs = reader.int32();
  reader.list(() => {
    reader.int32();
    reader.text();
    reader.int32();
    reader.text();
    reader.tags();
  });
  const clusterId = reader.text();
  reader.int32();
  const topics = reader.list(() => readTopic(reader));
  return { throttleMs, clusterId, topics };
}

function readTopic(reader: FlexibleReader): TopicsResponse['topics'][number] {
  const errorCode = reader.int16();
  const name = reader.text();
  const id = reader.bytes(16).toString('base64url');
  reader.boolean();
  reader.list(() => {
    reader.int16();
    for (let i = 0; i < 3; i++) reader.int32();
    for (let i = 0; i < 3; i++) reader.list(() => reader.int32());
    reader.tags();
  });
  reader.int32();
  reader.tags();
  return { errorCode, name, id };
}

function topicsCall(topics: string[]): ProtocolCall<TopicsResponse> {
  return {
    request: {
      apiKey: METADATA,
      apiVersion: VERSION,
      apiName: 'Metadata',
      encode: async () => {
        const encoder = new Encoder();
        encoder.writeBufferInternal(encodeTopicsRequest(topics));
        return encoder;
      },
    },
    response: {
      decode: async (bytes) => {
        const decoded = decodeTopicsResponse(bytes);
        return { ...decoded, clientSideThrottleTime: decoded.throttleMs };
      },
      parse: async (decoded) => decoded as TopicsResponse,
    },
  };
}

function speaks(broker: ClientBroker): boolean {
  return (broker.versions?.[METADATA]?.maxVersion ?? 0) >= VERSION;
}

/** Asks a connected cluster: the broker `nodeId`, or any. Errors are the client's own. */
export async function fetchTopics(
  cluster: ClientCluster,
  names: string[],
  nodeId?: number,
): Promise<ClusterTopics> {
  const broker =
    nodeId === undefined
      ? await cluster.brokerPool.findConnectedBroker()
      : await cluster.findBroker({ nodeId });
  const topics = [...new Set(names)];
  if (!speaks(broker)) {
    return { clusterId: null, ids: new Map(topics.map((name) => [name, NO_TOPIC_ID])) };
  }
  const response = await broker.connectionPool.send(topicsCall(topics));
  const ids = new Map<string, string | null>(topics.map((name) => [name, null]));
  for (const { name, id, errorCode } of response.topics) {
    if (name === null) continue;
    if (errorCode === UNKNOWN_TOPIC_OR_PARTITION || errorCode === UNKNOWN_TOPIC_ID) continue;
    if (errorCode !== 0 && id === ZERO_ID) throw createErrorFromCode(errorCode);
    ids.set(name, id === ZERO_ID ? NO_TOPIC_ID : id);
  }
  return { clusterId: response.clusterId, ids };
}

/** A cluster of `kafka` of its own; an assigner is the only public way to get one. */
export function clusterOf(kafka: Kafka): ClientCluster {
  let found: ClientCluster | undefined;
  kafka.consumer({
    groupId: 'lakeseal-metadata',
    allowAutoTopicCreation: false,
    partitionAssigners: [
      (context) => {
        found = (context as unknown as AssignerContext).cluster;
        return kafkajs.PartitionAssigners.roundRobin(context);
      },
    ],
  });
  return found!;
}

/**
 * Ids of the topics and of the cluster, over a connection of its own.
 * @throws Failure where Kafka cannot be reached or refuses.
 */
export async function clusterTopics(kafka: Kafka, topics: string[]): Promise<ClusterTopics> {
  const cluster = clusterOf(kafka);
  try {
    await cluster.connect();
    return await fetchTopics(cluster, topics);
  } catch (error) {
    throw kafkaFailure(error, 'read the topic ids');
  } finally {
    await cluster.disconnect();
  }
}

/** Topic name → topic id (22 characters), `-` where the broker has none, null where no such topic. */
export async function topicIds(
  kafka: Kafka,
  topics: string[],
): Promise<Map<string, string | null>> {
  return (await clusterTopics(kafka, topics)).ids;
}

/** The cluster id, or null where the broker has none. */
export async function clusterId(kafka: Kafka): Promise<string | null> {
  return (await clusterTopics(kafka, [])).clusterId;
}
