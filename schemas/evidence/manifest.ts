/**
 * Manifests: the leaves of a partition's log (`schemas/evidence.md`). Each says of one segment what
 * a verifier needs to know without opening it; or of an anomaly what the archiver saw. Pure.
 */
import { z } from 'zod';
import type { SegmentHeader } from '../segment.ts';
import {
  hashText,
  hexText,
  type Leaf,
  type LogEnd,
  leafBytes,
  leafSchema,
  longText,
  parseLeaf,
  timeText,
} from './leaf.ts';
import { EMPTY_ROOT, sha256 } from './merkle.ts';

export interface Retention {
  mode: 'COMPLIANCE' | 'GOVERNANCE';
  /** RFC 3339, UTC, whole seconds. */
  until: string;
}

export type Encryption =
  | { kind: 'none' }
  | { kind: 'sse-s3' }
  | { kind: 'sse-kms'; key: string }
  | {
      kind: 'envelope';
      /** Who keeps the secret that wrapped the data key, which one it is, and the data key, wrapped; base64. */
      wrap: 'local' | 'kms';
      key: string;
      wrapped: string;
      plainSha256: string;
      plainBytes: number;
    };

export const ANOMALY_REASONS = [
  'mismatch',
  'versions',
  'not_our_segment',
  'tiling',
  'ahead_of_kafka',
  'rewound',
] as const;
export type AnomalyReason = (typeof ANOMALY_REASONS)[number];

const retention = z.strictObject({
  mode: z.enum(['COMPLIANCE', 'GOVERNANCE']),
  until: timeText,
});

const encryption = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('none') }),
  z.strictObject({ kind: z.literal('sse-s3') }),
  z.strictObject({ kind: z.literal('sse-kms'), key: z.string() }),
  z.strictObject({
    kind: z.literal('envelope'),
    wrap: z.enum(['local', 'kms']),
    key: z.string(),
    wrapped: z.base64(),
    plainSha256: hexText,
    plainBytes: z.int().nonnegative(),
  }),
]);

const schema = leafSchema({
  kind: z.enum(['data', 'gap', 'anomaly']),
  firstOffset: longText,
  nextOffset: longText,
  records: z.int().nonnegative(),
  lastOffset: longText.nullable(),
  timestampMin: longText.nullable(),
  timestampMax: longText.nullable(),
  eventTimeMin: longText.nullable(),
  eventTimeMax: longText.nullable(),
  eventTimes: z.int().nonnegative(),
  schemaId: z.int().nonnegative().nullable(),
  bytes: z.int().nonnegative(),
  sha256: hexText,
  recordsRoot: hashText,
  retention: retention.nullable(),
  encryption: encryption.nullable(),
  gap: z.strictObject({ reason: z.string(), logStartOffset: longText }).nullable(),
  anomaly: z
    .strictObject({ reason: z.enum(ANOMALY_REASONS), key: z.string(), detail: z.string() })
    .nullable(),
});

/** A manifest as it is written, without the common keys. */
export type ManifestBody = Omit<
  z.infer<typeof schema>,
  'format' | 'log' | 'sequence' | 'previous' | 'tree'
>;

/** What is read out of a segment's records and bytes, for its manifest. */
export interface SegmentDigest {
  header: SegmentHeader;
  gap: { reason: string; logStartOffset: bigint } | null;
  /** Least and greatest event time, ms, and how many records gave one. */
  eventTimeMin: bigint | null;
  eventTimeMax: bigint | null;
  eventTimes: number;
  /** Stored. */
  bytes: number;
  sha256: Buffer;
  recordsRoot: Buffer;
}

/** What the store tells of an object. */
export interface Protection {
  retention: Retention | null;
  encryption: Encryption | null;
  /** Of a segment that was encrypted before it was stored: what the store holds. */
  stored?: { bytes: number; sha256: Buffer };
}

const text = (value: bigint | null): string | null => (value === null ? null : String(value));

export function manifestOf(digest: SegmentDigest, protection: Protection): ManifestBody {
  const { header, gap } = digest;
  const { bytes, sha256: hash } = protection.stored ?? digest;
  return {
    kind: header.kind,
    firstOffset: String(header.firstOffset),
    nextOffset: String(header.nextOffset),
    records: header.recordCount,
    lastOffset: text(header.lastOffset),
    timestampMin: text(header.timestampMin),
    timestampMax: text(header.timestampMax),
    eventTimeMin: text(digest.eventTimeMin),
    eventTimeMax: text(digest.eventTimeMax),
    eventTimes: digest.eventTimes,
    schemaId: header.schemaId,
    bytes,
    sha256: hash.toString('hex'),
    recordsRoot: digest.recordsRoot.toString('base64'),
    retention: protection.retention,
    encryption: protection.encryption,
    gap: gap === null ? null : { reason: gap.reason, logStartOffset: String(gap.logStartOffset) },
    anomaly: null,
  };
}

/** `offset`: where the partition stood. */
export function anomalyOf(
  offset: bigint,
  reason: AnomalyReason,
  key: string,
  detail: string,
): ManifestBody {
  return {
    kind: 'anomaly',
    firstOffset: String(offset),
    nextOffset: String(offset),
    records: 0,
    lastOffset: null,
    timestampMin: null,
    timestampMax: null,
    eventTimeMin: null,
    eventTimeMax: null,
    eventTimes: 0,
    schemaId: null,
    bytes: 0,
    sha256: sha256(Buffer.alloc(0)).toString('hex'),
    recordsRoot: EMPTY_ROOT.toString('base64'),
    retention: null,
    encryption: null,
    gap: null,
    anomaly: { reason, key, detail },
  };
}

export function manifestBytes(end: LogEnd, body: ManifestBody): Buffer {
  return leafBytes(end, body);
}

/** @throws LeafError where the bytes are no manifest. */
export function parseManifest(bytes: Buffer): Leaf<ManifestBody> {
  return parseLeaf<ManifestBody>(bytes, schema);
}
