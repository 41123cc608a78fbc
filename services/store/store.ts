/**
 * What lakeseal asks of an object store to write evidence: six calls, none of which can delete, overwrite or
 * shorten. `s3.ts` implements it; the simulator's double implements it too, and both are held to
 * one contract suite (`test/contract/`).
 */

import type { Protection } from '../../schemas/evidence/manifest.ts';

export interface ObjectVersion {
  key: string;
  versionId: string;
  isLatest: boolean;
  isDeleteMarker: boolean;
  /** Stored bytes; 0 for a delete marker. */
  size: number;
}

export interface StoredObject {
  bytes: Buffer;
  versionId: string;
  /** Total stored size, also when `bytes` is a range. */
  size: number;
}

/** `created`: durable now. `exists`: the slot is taken, by us or by another. */
export type PutOutcome = { outcome: 'created'; versionId: string } | { outcome: 'exists' };

export interface ObjectStore {
  /**
   * One conditional PUT (`If-None-Match: *`, SHA-256 checked by the store).
   * Throws `Failure`: `S3_CONFLICT` (409) and 5xx, timeouts and resets are `retryable` — the write
   * may or may not have happened, so send the same bytes again and let `exists` resolve it;
   * anything else (denied, no bucket, no such key id) is not. `sha256`: of the bytes, where the
   * caller has it, so that it is not computed again.
   */
  putIfAbsent(key: string, bytes: Buffer, sha256?: Buffer): Promise<PutOutcome>;
  /** The current version, or null where there is none. `range` is [from, to) in bytes. */
  get(key: string, range?: { from: number; to: number }): Promise<StoredObject | null>;
  /** Keys under `prefix` after `startAfter` in byte order, at most `max` (≤ 1000). */
  list(prefix: string, startAfter: string | undefined, max: number): Promise<string[]>;
  /**
   * What the store tells of the current version's retention and encryption; null where there is no
   * object. Either is null where the store tells nothing of it, or may not tell this credential.
   */
  protection(key: string): Promise<Protection | null>;
  /** Every version and delete marker of exactly this key. */
  versions(key: string): Promise<ObjectVersion[]>;
}
