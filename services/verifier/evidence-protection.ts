/**
 * Whether evidence is protected as long as what it speaks of. Manifests carry, signed, how the store
 * protected their segments; whatever was written after a segment, and covers it, may not be
 * protected less: its manifest, the next checkpoint of its partition, and the first root that
 * tells of it with the checkpoint of that root. Memory grows with the number of roots.
 */
import { secondsOf } from '../../schemas/evidence/leaf.ts';
import type { ManifestBody, Protection } from '../../schemas/evidence/manifest.ts';
import type { Report } from './findings.ts';
import type { ToldSize } from './log-check.ts';
import type { ArchiveSource, SourceVersion } from './source.ts';

type Retention = NonNullable<ManifestBody['retention']>;

export class EvidenceProtection {
  readonly #source: ArchiveSource;
  readonly #report: Report;
  /** Of the partition that is read: its newest manifest, and the first root of each size. */
  #newest: Retention | null = null;
  #rootsBySize = new Map<number, number>();
  /** By sequence of the root: its leaf and its checkpoint. */
  readonly #roots = new Map<number, SourceVersion[]>();
  /** By sequence of the root: the strictest of what it is the first to cover. */
  readonly #wanted = new Map<number, Retention>();

  constructor(source: ArchiveSource, report: Report) {
    this.#source = source;
    this.#report = report;
  }

  /** A partition is read from here on; `told`: what others tell of its log. */
  partition(told: readonly ToldSize[]): void {
    this.#newest = null;
    this.#rootsBySize = new Map();
    for (const { size, rootSequence } of told) {
      if (rootSequence === undefined || this.#rootsBySize.has(size)) continue;
      this.#rootsBySize.set(size, rootSequence);
    }
  }

  async manifest(
    sequence: number,
    retention: Retention | null,
    leaf: SourceVersion,
  ): Promise<void> {
    this.#newest = retention;
    if (retention === null) return;
    await this.#judge(leaf, retention);
    const root = this.#rootsBySize.get(sequence + 1);
    if (root === undefined) return;
    const known = this.#wanted.get(root);
    this.#wanted.set(root, known === undefined ? retention : stricter(known, retention));
  }

  /** One that covers the manifest read last. */
  async checkpoint(note: SourceVersion): Promise<void> {
    if (this.#newest !== null) await this.#judge(note, this.#newest);
  }

  /** A leaf of the log `root` or its checkpoint: judged once all partitions were read. */
  root(sequence: number, version: SourceVersion): void {
    const known = this.#roots.get(sequence);
    if (known === undefined) this.#roots.set(sequence, [version]);
    else known.push(version);
  }

  async roots(): Promise<void> {
    for (const [sequence, wanted] of this.#wanted) {
      for (const version of this.#roots.get(sequence) ?? []) await this.#judge(version, wanted);
    }
  }

  async #judge(version: SourceVersion, wanted: Retention): Promise<void> {
    const now = await this.#source.protection(version);
    if (now === null || isProtectedLike(now, wanted)) return;
    const expected = `${wanted.mode} until ${wanted.until} at least`;
    const { key, versionId } = version;
    const { retention } = now;
    const found =
      retention === null ? 'no retention' : `${retention.mode} until ${retention.until}`;
    this.#report({ code: 'retention_differs', key, versionId, expected, found });
  }
}

function stricter(one: Retention, other: Retention): Retention {
  const mode = one.mode === 'COMPLIANCE' ? one.mode : other.mode;
  const isLater = secondsOf(one.until)! >= secondsOf(other.until)!;
  return { mode, until: isLater ? one.until : other.until };
}

function isProtectedLike({ retention }: Protection, wanted: Retention): boolean {
  if (retention === null) return false;
  if (wanted.mode === 'COMPLIANCE' && retention.mode !== 'COMPLIANCE') return false;
  return secondsOf(retention.until)! >= secondsOf(wanted.until)!;
}
