/**
 * Where evidence lies (`schemas/evidence.md`): key ↔ log and number, pure. Numbers have 20 digits,
 * so that the byte order of keys is their order.
 */
import { type PartitionAddress, partitionPrefix } from '../layout.ts';

export const EVIDENCE = 'evidence/';
export const NUMBER_DIGITS = 20;

/** Logs that are not of a partition. */
export const STATEMENT_LOGS = ['access', 'baseline', 'holds', 'keys', 'root', 'wraps'] as const;
export type StatementLog = (typeof STATEMENT_LOGS)[number];

/** `leaf`: by its sequence, from 0. The others: by the size of the tree they are about. */
export type EvidenceKind = 'leaf' | 'note' | 'tsr' | 'witness';

const SUFFIX: Record<EvidenceKind, string> = {
  leaf: '.json',
  note: '.note',
  tsr: '.tsr',
  witness: '.witness',
};

export interface EvidencePlace {
  log: string;
  kind: EvidenceKind;
  number: number;
}

const PARTITION_LOG = /^partition\/([^/]+)\/([^/]+)\/([^/]+)\/(\d{5})$/;
const FILE = /^(.+)\/(\d{20})\.(json|note|tsr|witness)$/;

/** The log of a partition: `partition/CLUSTER/TOPIC/TOPIC_ID/00003`. */
export function partitionLog(address: PartitionAddress): string {
  const path = partitionPrefix('', address).slice('data/'.length, -1);
  return `partition/${path}`;
}

/** Null where the log is not of a partition. */
export function parsePartitionLog(log: string): PartitionAddress | null {
  const match = PARTITION_LOG.exec(log);
  if (match === null) return null;
  const [, clusterId, topic, topicId, partition] = match;
  const address = {
    clusterId: clusterId!,
    topic: topic!,
    topicId: topicId!,
    partition: Number(partition),
  };
  try {
    return partitionLog(address) === log ? address : null;
  } catch {
    return null;
  }
}

export function isLog(log: string): boolean {
  return (STATEMENT_LOGS as readonly string[]).includes(log) || parsePartitionLog(log) !== null;
}

/** Prefix of everything of a log, with the closing slash. */
export function logPrefix(prefix: string, log: string): string {
  return `${prefix}${EVIDENCE}${log}/`;
}

export function evidenceKey(prefix: string, { log, kind, number }: EvidencePlace): string {
  if (!Number.isSafeInteger(number) || number < 0) throw new RangeError(`not a number: ${number}`);
  return `${logPrefix(prefix, log)}${String(number).padStart(NUMBER_DIGITS, '0')}${SUFFIX[kind]}`;
}

/** Null for a key that is none of ours. */
export function parseEvidenceKey(prefix: string, key: string): EvidencePlace | null {
  if (!key.startsWith(`${prefix}${EVIDENCE}`)) return null;
  const match = FILE.exec(key.slice(prefix.length + EVIDENCE.length));
  if (match === null) return null;
  const [, log, digits, suffix] = match;
  const number = Number(digits);
  if (!isLog(log!) || !Number.isSafeInteger(number)) return null;
  const kind = suffix === 'json' ? 'leaf' : (suffix as EvidenceKind);
  return { log: log!, kind, number };
}
