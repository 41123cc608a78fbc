/**
 * What lakeseal changes inside kafkajs, and the few private parts it relies on.
 *
 * The client has had no release since 2.2.4 (2023), so each change is made here, in place, against
 * exactly that version: the version and a fingerprint of every function that is replaced or relied
 * on are checked when this module loads, and a mismatch throws. An upgrade can therefore not drop a
 * change silently.
 *
 * 1. Fetch responses are read by `record-batch.ts`. kafkajs spreads the records of a batch over the
 *    call stack, which overflows at about 125,000 of them (`RangeError`, and a consumer that stays
 *    dead), does not check the batch CRC, loses the order of headers, and drops the log start offset.
 * 2. `RequestQueue.scheduleCheckPendingRequests` re-arms a timer for ever, even with nothing pending
 *    and with negative delays (idle CPU, `TimeoutNegativeWarning`). It is armed only when needed.
 * 3. On "offset out of range" kafkajs commits -1 or -2 to the broker, even with `autoCommit: false`,
 *    and reads on elsewhere in silence. A group watched by `watchGroup` decides for itself instead.
 * 4. `OffsetManager.resolveOffset` throws a TypeError for a topic that a rebalance took away, which
 *    kills the consumer for good. A partition that is not owned is ignored.
 */
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import type { Logger } from 'kafkajs';
import { decodeRecordSet, type FetchedRecord, MAGIC } from './record-batch.ts';

const load = createRequire(import.meta.url);

export const KAFKAJS_VERSION = '2.2.4';

/** The part of kafkajs' Cluster that is used here and in `topic-ids.ts` and `consume.ts`. */
export interface ClientCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  refreshMetadata(): Promise<void>;
  addMultipleTargetTopics(topics: string[]): Promise<void>;
  findTopicPartitionMetadata(topic: string): Array<{ partitionId: number; leader: number }>;
  findBroker(at: { nodeId: number }): Promise<ClientBroker>;
  fetchTopicsOffset(
    topics: Array<{
      topic: string;
      partitions: Array<{ partition: number }>;
      fromBeginning: boolean;
    }>,
  ): Promise<Array<{ topic: string; partitions: Array<{ partition: number; offset: string }> }>>;
  brokerPool: { findConnectedBroker(): Promise<ClientBroker> };
}

export interface ProtocolCall<T> {
  request: { apiKey: number; apiVersion: number; apiName: string; encode(): Promise<unknown> };
  response: { decode(bytes: Buffer): Promise<object>; parse(decoded: object): Promise<T> };
}

export interface ClientBroker {
  versions: Record<number, { minVersion: number; maxVersion: number }> | null;
  connectionPool: { send<T>(call: ProtocolCall<T>): Promise<T> };
}

interface CommitTopics {
  topics: Array<{ topic: string; partitions: Array<{ partition: number; offset: string }> }>;
}

/** kafkajs makes a new one at each join; it keeps the generation and member id of that join. */
export interface ClientOffsetManager {
  memberAssignment: Record<string, number[]>;
  resolvedOffsets: Record<string, Record<number, string | undefined> | undefined>;
  resolveOffset(at: { topic: string; partition: number; offset: string }): void;
  commitOffsets(offsets: CommitTopics): Promise<void>;
  getCoordinator(): Promise<{
    offsetFetch(request: {
      groupId: string;
      topics: Array<{ topic: string; partitions: Array<{ partition: number }> }>;
    }): Promise<{
      responses: Array<{
        topic: string;
        partitions: Array<{ partition: number; offset: string }>;
      }>;
    }>;
  }>;
}

export interface ClientGroup {
  groupId: string;
  memberId: string | null;
  generationId: number | null;
  cluster: ClientCluster;
  offsetManager: ClientOffsetManager | null;
  seekOffset: { has(topic: string, partition: number): boolean };
  subscriptionState: {
    pause(partitions: Array<{ topic: string; partitions: number[] }>): void;
    resume(partitions: Array<{ topic: string; partitions: number[] }>): void;
  };
  heartbeat(options: { interval: number }): Promise<void>;
}

/** Told about a group of this process; see `watchGroup`. */
export interface GroupWatch {
  /** Before each join. The object changes when kafkajs restarts the consumer after a crash. */
  joining(group: ClientGroup): void;
  /** Instead of the silent reset. What it throws goes the way of a failed fetch. */
  outOfRange(group: ClientGroup, at: { topic: string; partition: number }): Promise<void>;
}

const watches = new WeakMap<object, GroupWatch>();

/** From now on `watch` hears of the consumer group that uses `cluster`. */
export function watchGroup(cluster: ClientCluster, watch: GroupWatch): void {
  watches.set(cluster, watch);
}

/** What a consumer's partition assigner is given; the only public way to its cluster. */
export interface AssignerContext {
  cluster: ClientCluster;
  groupId: string;
  logger: Logger;
}

const LOG_START = Symbol('logStartOffset');

/** What the fetch response said beyond what kafkajs keeps. */
export interface FetchedPartition {
  /** The offset that was asked for. */
  fetchedOffset: bigint;
  /** First offset the log still holds; -1n where the broker did not say. */
  logStartOffset: bigint;
}

/** Reads those from the batch that kafkajs hands to `eachBatch`. */
export function fetchedPartition(batch: object): FetchedPartition {
  const { fetchedOffset, rawMessages } = batch as {
    fetchedOffset: string;
    rawMessages: { [LOG_START]?: string };
  };
  return {
    fetchedOffset: BigInt(fetchedOffset),
    logStartOffset: BigInt(rawMessages[LOG_START] ?? -1),
  };
}

// --- the checks ---------------------------------------------------------------------------------

interface Fetchable {
  decode: (bytes: Buffer) => Promise<object>;
}
interface RequestQueue {
  pending: unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
}

/** First 16 hexadecimal digits of the SHA-256 of the function's source text. */
export function fingerprint(code: unknown): string {
  return createHash('sha256').update(String(code)).digest('hex').slice(0, 16);
}

/** Throws unless `code` is the function of kafkajs 2.2.4 that the change was written against. */
export function assertFingerprint(name: string, code: unknown, expected: string): void {
  if (typeof code !== 'function') throw new Error(`kafkajs: ${name} is not a function`);
  const actual = fingerprint(code);
  if (actual === expected) return;
  throw new Error(`kafkajs: ${name} is not what the change was written for (${actual})`);
}

export function assertVersion(version: unknown): void {
  if (version === KAFKAJS_VERSION) return;
  throw new Error(`kafkajs ${String(version)} is installed; the changes need ${KAFKAJS_VERSION}`);
}

const FETCH_FINGERPRINTS: Record<number, string> = {
  4: '39bd789fac7f83fd',
  5: '39bd789fac7f83fd',
  6: '39bd789fac7f83fd',
  7: 'e67b9928b7fa3b62',
  8: '159b1098f90cb215',
  9: '159b1098f90cb215',
  10: '159b1098f90cb215',
  11: '159b1098f90cb215',
};

// --- 1. fetch responses -------------------------------------------------------------------------

interface Reader {
  offset: number;
  readInt16(): number;
  readInt32(): number;
  readInt64(): bigint;
  readString(): string | null;
  readBytes(): Buffer | null;
  readArray<T>(read: (reader: Reader) => T): T[];
  readArrayAsync<T>(read: (reader: Reader) => Promise<T>): Promise<T[]>;
}

const Decoder = load('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => Reader;
const decodeMessageSet = load('kafkajs/src/protocol/messageSet/decoder') as (
  reader: Reader,
  size: number,
) => Promise<FetchedRecord[]>;
const { lookupCodec } = load('kafkajs/src/protocol/message/compression') as {
  lookupCodec(codec: number): { decompress(bytes: Buffer): Promise<Buffer> } | null;
};
const { KafkaJSNotImplemented } = load('kafkajs/src/errors') as {
  KafkaJSNotImplemented: new (message: string) => Error;
};

async function decompress(codec: number, bytes: Buffer): Promise<Buffer> {
  const found = lookupCodec(codec);
  if (found === null) throw new KafkaJSNotImplemented(`no codec with number ${codec}`);
  return found.decompress(bytes);
}

async function decodeMessages(reader: Reader): Promise<FetchedRecord[]> {
  const set = reader.readBytes();
  if (set === null || set.length <= 16) return [];
  if (set.readInt8(16) === MAGIC) return decodeRecordSet(set, decompress);
  return decodeMessageSet(new Decoder(set), set.length);
}

async function decodePartition(reader: Reader, version: number): Promise<object> {
  const head = {
    partition: reader.readInt32(),
    errorCode: reader.readInt16(),
    highWatermark: String(reader.readInt64()),
    lastStableOffset: String(reader.readInt64()),
    lastStartOffset: version >= 5 ? String(reader.readInt64()) : '-1',
    abortedTransactions: reader.readArray((item) => ({
      producerId: String(item.readInt64()),
      firstOffset: String(item.readInt64()),
    })),
    preferredReadReplica: version >= 11 ? reader.readInt32() : -1,
  };
  const messages = await decodeMessages(reader);
  Object.defineProperty(messages, LOG_START, { value: head.lastStartOffset });
  return { ...head, messages };
}

/** FetchResponse of versions 4 to 11: https://kafka.apache.org/protocol#The_Messages_Fetch */
export async function decodeFetchResponse(bytes: Buffer, version: number): Promise<object> {
  const reader = new Decoder(bytes);
  const throttleMs = reader.readInt32();
  const session =
    version >= 7 ? { errorCode: reader.readInt16(), sessionId: reader.readInt32() } : {};
  const responses = await reader.readArrayAsync(async (topic) => ({
    topicName: topic.readString(),
    partitions: await topic.readArrayAsync((part) => decodePartition(part, version)),
  }));
  // From version 8 on the broker leaves the waiting to the client (KIP-219).
  const throttle =
    version >= 8
      ? { throttleTime: 0, clientSideThrottleTime: throttleMs }
      : { throttleTime: throttleMs };
  return { ...throttle, ...session, responses };
}

function patchFetch(): void {
  const responses = Object.entries(FETCH_FINGERPRINTS).map(([text, expected]) => {
    const version = Number(text);
    const response = load(`kafkajs/src/protocol/requests/fetch/v${version}/response`) as Fetchable;
    assertFingerprint(`fetch v${version} decode`, response.decode, expected);
    return { version, response };
  });
  for (const { version, response } of responses) {
    response.decode = (bytes) => decodeFetchResponse(bytes, version);
  }
}

// --- 2. the idle timer --------------------------------------------------------------------------

const PENDING_CHECK_MS = 10;

function scheduleWhenPending(this: RequestQueue): void {
  if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
  const throttledMs = this.throttledUntil - Date.now();
  const waitMs = throttledMs > 0 ? throttledMs : PENDING_CHECK_MS;
  this.throttleCheckTimeoutId = setTimeout(() => {
    this.throttleCheckTimeoutId = null;
    this.checkPendingRequests();
  }, waitMs);
}

function patchRequestQueue(): void {
  const { prototype } = load('kafkajs/src/network/requestQueue') as {
    prototype: { scheduleCheckPendingRequests(this: RequestQueue): void };
  };
  const name = 'RequestQueue.scheduleCheckPendingRequests';
  assertFingerprint(name, prototype.scheduleCheckPendingRequests, '04347ea969c6f2e3');
  prototype.scheduleCheckPendingRequests = scheduleWhenPending;
}

// --- 3. and 4. consumer groups ------------------------------------------------------------------

interface GroupPrototype {
  fetch: unknown;
  joinAndSync(this: ClientGroup): Promise<void>;
  recoverFromOffsetOutOfRange(
    this: ClientGroup,
    at: { topic: string; partition: number },
  ): Promise<void>;
}

function patchConsumerGroup(): void {
  const { prototype } = load('kafkajs/src/consumer/consumerGroup') as { prototype: GroupPrototype };
  const { joinAndSync, recoverFromOffsetOutOfRange } = prototype;
  assertFingerprint('ConsumerGroup.fetch', prototype.fetch, 'e2e52d81f1e13b90');
  assertFingerprint('ConsumerGroup.joinAndSync', joinAndSync, '86569beffea31029');
  assertFingerprint('ConsumerGroup.recover…', recoverFromOffsetOutOfRange, 'a61c4ed52db5ea75');
  prototype.joinAndSync = function () {
    watches.get(this.cluster)?.joining(this);
    return joinAndSync.call(this);
  };
  prototype.recoverFromOffsetOutOfRange = function (at) {
    const watch = watches.get(this.cluster);
    if (watch === undefined) return recoverFromOffsetOutOfRange.call(this, at);
    return watch.outOfRange(this, { topic: at.topic, partition: at.partition });
  };
}

function patchOffsetManager(): void {
  const { prototype } = load('kafkajs/src/consumer/offsetManager') as {
    prototype: ClientOffsetManager;
  };
  const { resolveOffset, commitOffsets } = prototype;
  assertFingerprint('OffsetManager.resolveOffset', resolveOffset, '6067d26c53b44be5');
  assertFingerprint('OffsetManager.commitOffsets', commitOffsets, '7743228873145150');
  prototype.resolveOffset = function (at) {
    if (this.resolvedOffsets[at.topic] === undefined) return;
    resolveOffset.call(this, at);
  };
}

function patch(): void {
  assertVersion((load('kafkajs/package.json') as { version: unknown }).version);
  const Batch = load('kafkajs/src/consumer/batch') as unknown;
  assertFingerprint('Batch', Batch, '799e97e822b02358');
  const Cluster = load('kafkajs/src/cluster') as { prototype: { fetchTopicsOffset: unknown } };
  assertFingerprint(
    'Cluster.fetchTopicsOffset',
    Cluster.prototype.fetchTopicsOffset,
    '4a04981eb578c9e5',
  );
  patchFetch();
  patchRequestQueue();
  patchConsumerGroup();
  patchOffsetManager();
}

patch();
