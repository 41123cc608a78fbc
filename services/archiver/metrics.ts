/** The archiver's own metrics. Labels are topics and partitions, never anything from a record. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { TopicPartition } from '../ingest/consume-types.ts';
import type { StoreCall } from '../store/patient-store.ts';
import type { HaltReason, SealedEvent } from './partition.ts';

export interface ArchiverMetrics {
  sealed(event: SealedEvent): void;
  opened(at: TopicPartition, nextOffset: bigint): void;
  halted(at: TopicPartition, reason: HaltReason): void;
  /** The partition is no longer ours: its series end. */
  revoked(at: TopicPartition, haltReason: HaltReason | null): void;
  troubled(call: StoreCall, code: string): void;
  answered(call: StoreCall, tookMs: number): void;
  heldBytes(bytes: number): void;
  oldestMs(ms: number): void;
  /** A manifest is in the log of the partition. */
  noted(at: TopicPartition, kind: string): void;
  /** Sealed offsets without a manifest, leaves without a checkpoint. */
  behind(at: TopicPartition, offsets: bigint, unsigned: number): void;
  evidenceStopped(at: TopicPartition, stopped: boolean): void;
  /** The newest root: its hour, ms since the epoch, and leaves of its log without a checkpoint. */
  root(timeMs: number, unsigned: number): void;
}

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const AGE_SECONDS = [0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600];

export function archiverMetrics(registry: Registry): ArchiverMetrics {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[]) =>
    new Counter({ name: `lakeseal_archiver_${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: `lakeseal_archiver_${name}`, help, labelNames, registers });

  const segments = counter('segments_total', 'Segments sealed, by why they were closed.', [
    'topic',
    'reason',
  ]);
  const records = counter('records_total', 'Records sealed.', ['topic']);
  const rawBytes = counter('raw_bytes_total', 'Bytes of sealed keys and values.', ['topic']);
  const storedBytes = counter('stored_bytes_total', 'Bytes of sealed objects.', ['topic']);
  const fenced = counter('fenced_total', 'Slots that another writer had taken.', ['topic']);
  const failures = counter('store_failures_total', 'Failed attempts of store calls.', [
    'call',
    'code',
  ]);
  const seconds = new Histogram({
    name: 'lakeseal_archiver_store_seconds',
    help: 'Time of answered store calls.',
    labelNames: ['call'],
    buckets: SECONDS,
    registers,
  });
  const age = new Histogram({
    name: 'lakeseal_archiver_seal_age_seconds',
    help: 'From the arrival of the first record of a segment to its durability.',
    buckets: AGE_SECONDS,
    registers,
  });
  const held = gauge('held_bytes', 'Memory of open segments and of those being sealed.');
  const oldest = gauge('oldest_unsealed_seconds', 'Age of the oldest record not sealed yet.');
  const nextOffset = gauge('next_offset', 'Everything before this offset is sealed.', [
    'topic',
    'partition',
  ]);
  const halted = gauge('halted', 'Partitions that halted, by reason.', [
    'topic',
    'partition',
    'reason',
  ]);
  const manifests = counter('manifests_total', 'Manifests written, by kind.', ['topic', 'kind']);
  const at = ['topic', 'partition'];
  const unnoted = gauge('unnoted_offsets', 'Sealed offsets that have no manifest yet.', at);
  const unsigned = gauge('unsigned_leaves', 'Manifests that no signed checkpoint covers.', at);
  const stopped = gauge('evidence_stopped', 'Partitions whose evidence stopped.', at);
  const rootTime = gauge('root_time_seconds', 'Hour of the newest root, since the epoch.');
  const rootUnsigned = gauge('root_unsigned_leaves', 'Roots that no signed checkpoint covers.');

  return {
    sealed({ reason, outcome, slot, nextOffset: next, records: count, ...bytes }) {
      const { topic, partition } = slot;
      nextOffset.set({ topic, partition }, Number(next));
      if (outcome === 'fenced') {
        fenced.inc({ topic });
        return;
      }
      segments.inc({ topic, reason });
      records.inc({ topic }, count);
      rawBytes.inc({ topic }, bytes.rawBytes);
      storedBytes.inc({ topic }, bytes.storedBytes);
      if (count > 0) age.observe(bytes.ageMs / 1000);
    },
    opened: ({ topic, partition }, next) => nextOffset.set({ topic, partition }, Number(next)),
    halted: ({ topic, partition }, reason) => halted.set({ topic, partition, reason }, 1),
    revoked({ topic, partition }, reason) {
      nextOffset.remove({ topic, partition });
      if (reason !== null) halted.remove({ topic, partition, reason });
      for (const one of [unnoted, unsigned, stopped]) one.remove({ topic, partition });
    },
    troubled: (call, code) => failures.inc({ call, code }),
    answered: (call, tookMs) => seconds.observe({ call }, tookMs / 1000),
    heldBytes: (bytes) => held.set(bytes),
    oldestMs: (ms) => oldest.set(ms / 1000),
    noted: ({ topic }, kind) => manifests.inc({ topic, kind }),
    behind({ topic, partition }, offsets, leaves) {
      unnoted.set({ topic, partition }, Number(offsets));
      unsigned.set({ topic, partition }, leaves);
    },
    evidenceStopped: ({ topic, partition }, is) => stopped.set({ topic, partition }, is ? 1 : 0),
    root(timeMs, leaves) {
      rootTime.set(timeMs / 1000);
      rootUnsigned.set(leaves);
    },
  };
}
