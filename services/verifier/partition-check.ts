/**
 * A partition: its log of manifests beside its segments. Both come in order of offset, so they are
 * walked together, and neither is kept.
 */
import type { Unwrap } from '../../schemas/envelope.ts';
import { LeafError, type LeafHead } from '../../schemas/evidence/leaf.ts';
import { type ManifestBody, parseManifest } from '../../schemas/evidence/manifest.ts';
import { type PartitionAddress, parseSlotKey, slotKey } from '../../schemas/layout.ts';
import type { EvidenceProtection } from './evidence-protection.ts';
import type { FindingCode } from './findings.ts';
import { dataFolder, type KeptLog, type PartitionCounts } from './kept-state.ts';
import {
  type CheckedLog,
  checkLog,
  type LogCheckOptions,
  onlyVersion,
  planted,
} from './log-check.ts';
import { checkSegment } from './segment-check.ts';
import type { KeyVersions, Peekable, SourceVersion } from './source.ts';

/** `newest`: newest event time, epoch ms as text; null where none is told. */
export interface PartitionSummary extends CheckedLog, PartitionCounts {
  log: string;
}

export interface PartitionCheckOptions
  extends Pick<
    LogCheckOptions,
    'source' | 'prefix' | 'report' | 'verifiers' | 'told' | 'signed' | 'kept'
  > {
  /** As of a log, with what the partition counted. */
  reached: (kept: KeptLog) => void;
  log: string;
  address: PartitionAddress;
  protection: EvidenceProtection;
  deep: boolean;
  /** What opens encrypted segments. */
  unwrap: Unwrap;
  /** Segments read at the same time. */
  concurrency: number;
  breathe: () => Promise<void>;
  /** After each segment: stored bytes. */
  progress: (bytes: number) => void;
}

/** `segments`: versions of the keys below `data/`, at this partition or before it. */
export async function checkPartition(
  keys: Peekable<KeyVersions>,
  segments: Peekable<KeyVersions>,
  options: PartitionCheckOptions,
): Promise<PartitionSummary> {
  const check = new PartitionCheck(segments, options);
  options.protection.partition(options.told);
  const checked = await checkLog(keys, {
    ...options,
    leaf: (bytes, head, version) => check.manifest(bytes, head, version),
    reached: (kept) => options.reached({ ...kept, partition: check.counts() }),
    signed: async (size, note, by, version) => {
      await options.protection.checkpoint(version);
      await options.signed?.(size, note, by, version);
    },
  });
  return check.end(checked);
}

class PartitionCheck {
  readonly #segments: Peekable<KeyVersions>;
  readonly #options: PartitionCheckOptions;
  readonly #running = new Set<Promise<unknown>>();
  #failure: unknown;
  #next: bigint | null;
  readonly #summary: PartitionCounts;

  constructor(segments: Peekable<KeyVersions>, options: PartitionCheckOptions) {
    this.#segments = segments;
    this.#options = options;
    this.#summary = structuredClone(options.kept?.partition) ?? {
      segments: 0,
      records: 0,
      bytes: 0,
      firstOffset: null,
      nextOffset: null,
      gaps: [],
      anomalies: 0,
      unopened: 0,
      newest: null,
    };
    this.#next = BigInt(this.#summary.nextOffset ?? 0);
  }

  /** So far. */
  counts(): PartitionCounts {
    return structuredClone(this.#summary);
  }

  async manifest(bytes: Buffer, head: LeafHead, leaf: SourceVersion): Promise<void> {
    let body: ManifestBody;
    try {
      ({ body } = parseManifest(bytes));
    } catch (error) {
      if (!(error instanceof LeafError)) throw error;
      this.#find('leaf_invalid', leaf.key, 'a manifest', error.message, leaf.versionId);
      // Where the next one starts cannot be told.
      this.#next = null;
      return;
    }
    if (this.#next !== null && BigInt(body.firstOffset) !== this.#next) {
      this.#find('tiling', leaf.key, `offset ${this.#next}`, `offset ${body.firstOffset}`, '');
    }
    this.#next = BigInt(body.nextOffset);
    this.#count(body);
    if (body.kind === 'anomaly') {
      const { reason, key, detail } = body.anomaly ?? { reason: '', key: '', detail: '' };
      this.#find('anomaly', leaf.key, 'none', `${reason}: ${key}: ${detail}`, leaf.versionId);
      return;
    }
    await this.#options.protection.manifest(head.sequence, body.retention, leaf);
    const segment = await this.#segmentOf(body);
    if (segment === null) return;
    const { concurrency, progress } = this.#options;
    const work = checkSegment(segment, head, body, {
      ...this.#options,
      unopened: () => {
        this.#summary.unopened += 1;
      },
    })
      .then(() => progress(segment.size))
      .catch((error: unknown) => {
        this.#failure ??= error;
      });
    this.#running.add(work);
    void work.then(() => this.#running.delete(work));
    if (this.#running.size >= concurrency) await Promise.race(this.#running);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** The segment of a manifest; whatever lies before it was planted. */
  async #segmentOf(body: ManifestBody): Promise<SourceVersion | null> {
    const { prefix, address, report } = this.#options;
    const key = slotKey(prefix, { ...address, firstOffset: BigInt(body.firstOffset) });
    for (
      let next = await this.#segments.peek();
      next !== null;
      next = await this.#segments.peek()
    ) {
      if (next.key > key) break;
      await this.#segments.take();
      if (next.key === key) {
        const version = onlyVersion(next, report);
        if (version !== null) return version;
        break;
      }
      planted(next, report);
    }
    this.#find('segment_missing', key, `${body.bytes} bytes`, 'nothing', '');
    return null;
  }

  #count(body: ManifestBody): void {
    const summary = this.#summary;
    summary.firstOffset ??= body.firstOffset;
    summary.nextOffset = body.nextOffset;
    if (body.kind === 'anomaly') {
      summary.anomalies += 1;
      return;
    }
    summary.segments += 1;
    summary.records += body.records;
    summary.bytes += body.bytes;
    const { eventTimeMax } = body;
    if (
      eventTimeMax !== null &&
      (summary.newest === null || BigInt(eventTimeMax) > BigInt(summary.newest))
    ) {
      summary.newest = eventTimeMax;
    }
    if (body.gap !== null) {
      summary.gaps.push({ from: body.firstOffset, to: body.nextOffset, reason: body.gap.reason });
    }
  }

  async end(checked: CheckedLog): Promise<PartitionSummary> {
    await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure;
    const { prefix, log, report } = this.#options;
    const folder = dataFolder(prefix, log);
    let unsealed = 0;
    let first = '';
    for (
      let next = await this.#segments.peek();
      next !== null;
      next = await this.#segments.peek()
    ) {
      if (next.key > folder && !next.key.startsWith(folder)) break;
      await this.#segments.take();
      const slot = parseSlotKey(prefix, next.key);
      const isBehind = slot !== null && this.#next !== null && slot.firstOffset >= this.#next;
      if (!next.key.startsWith(folder) || !isBehind) {
        planted(next, report);
        continue;
      }
      onlyVersion(next, report);
      if (unsealed === 0) first = next.key;
      unsealed += 1;
    }
    if (unsealed > 0) {
      this.#find(
        'segment_unsealed',
        first,
        'a manifest of each',
        `${unsealed} segments without`,
        '',
      );
    }
    return { log, ...this.#summary, ...checked };
  }

  #find(code: FindingCode, key: string, expected: string, found: string, versionId: string): void {
    this.#options.report({ code, key, versionId, expected, found });
  }
}
