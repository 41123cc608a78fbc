/**
 * The evidence of one partition: a manifest for each segment that became durable, in order, and the
 * checkpoint over them. It follows sealing and never keeps it waiting: it holds digests, not bytes,
 * and of those only so many; what it was not told, or was told before it died, it reads back from
 * the store. So a crash between any two writes is healed by the next owner, and an archive from
 * before there was evidence gets its manifests in the same way.
 *
 * Two notaries at once make one log: the store decides each number, and who comes second compares
 * what the first one wrote with what it would have written.
 *
 *   opening ─► open ─► stopped        stopped: the log or a segment is not as it should be; sealing
 *      └────────┴───► closed          goes on, and a person must look
 */

import { LeafError } from '../../schemas/evidence/leaf.ts';
import { evidenceKey, partitionLog } from '../../schemas/evidence/log-layout.ts';
import {
  type AnomalyReason,
  anomalyOf,
  type ManifestBody,
  manifestBytes,
  manifestOf,
  parseManifest,
  type SegmentDigest,
} from '../../schemas/evidence/manifest.ts';
import { type PartitionAddress, slotKey } from '../../schemas/layout.ts';
import { BrokenLog, LogWriter } from '../evidence/log-writer.ts';
import type { Log } from '../runtime/log.ts';
import { Abandoned } from '../store/patient-store.ts';
import type { ObjectStore } from '../store/store.ts';
import { type Anomaly, differingFact, Irregular, readBack } from './read-back.ts';
import type { Signing } from './signing.ts';

export interface NotaryHooks {
  /** A manifest is in the log, written by us or by another. */
  noted(kind: ManifestBody['kind']): void;
  /** How far evidence is behind: offsets without a manifest, leaves without a checkpoint. */
  behind(offsets: bigint, unsigned: number): void;
  stopped(reason: string): void;
}

export interface NotaryOptions {
  prefix: string;
  store: ObjectStore;
  signing: Signing;
  log: Log;
  /** Runs one at a time among all notaries: a segment that is read back is in memory as a whole. */
  reading: <Output>(work: () => Promise<Output>) => Promise<Output>;
  breathe: () => Promise<void>;
}

/** Digests held while the log is behind; further ones are read back. */
const DIGESTS_MAX = 256;
/** Leaves after which is signed though more are due. */
const UNSIGNED_LEAVES_MAX = 64;
/** Anomalies at the end of a log that are looked at, not to repeat one. */
const ANOMALIES_BACK_MAX = 100;

export class Notary {
  readonly #address: PartitionAddress;
  readonly #options: NotaryOptions;
  readonly #hooks: NotaryHooks;
  readonly #log: Log;

  #state: 'opening' | 'open' | 'stopped' | 'closed' = 'opening';
  #stopReason: string | null = null;
  #writer: LogWriter | null = null;
  /** Where the manifests end. */
  #noted = 0n;
  /** Everything before it is known to be durable. */
  #durable = 0n;
  readonly #digests = new Map<bigint, SegmentDigest>();
  readonly #anomalies: Anomaly[] = [];
  /** Segments behind the manifests that nobody told us of may be there. */
  #lookBack = true;
  #working: Promise<void> | null = null;

  constructor(address: PartitionAddress, options: NotaryOptions, hooks: NotaryHooks) {
    this.#address = address;
    this.#options = options;
    this.#hooks = hooks;
    const { topic, partition, topicId } = address;
    this.#log = options.log.child({ topic, partition, topicId });
  }

  /** Why evidence of this partition stopped, or null. */
  get stopReason(): string | null {
    return this.#stopReason;
  }

  get logName(): string {
    return partitionLog(this.#address);
  }

  /** Finds the end of the log, and makes good what is missing behind it. */
  open(): void {
    this.#work();
  }

  /** Everything before this offset is durable. */
  reached(nextOffset: bigint): void {
    if (this.#state === 'closed') return;
    if (nextOffset > this.#durable) this.#durable = nextOffset;
    this.#report();
    this.#work();
  }

  /** A segment became durable; without a digest it is read back. */
  sealed(firstOffset: bigint, nextOffset: bigint, digest: SegmentDigest | null): void {
    const isDue = !this.#isOver() && firstOffset >= this.#noted && this.#digests.size < DIGESTS_MAX;
    if (digest !== null && isDue) this.#digests.set(firstOffset, digest);
    this.reached(nextOffset);
  }

  /** The partition halted over something: it goes into the log, once. */
  halted(reason: AnomalyReason, key: string, detail: string): void {
    this.#anomalies.push({ reason, key, detail });
    this.#work();
  }

  /** To be called often: signs what could not be signed before. */
  tick(): void {
    const writer = this.#writer;
    if (writer !== null && !writer.isSigned && this.#options.signing.isDue) this.#work();
  }

  /** Resolves when all that can be written now is written. */
  async settled(): Promise<void> {
    while (this.#working !== null) await this.#working;
  }

  /** Nothing more is begun; a write under way may still happen. */
  close(): void {
    if (this.#state !== 'stopped') this.#state = 'closed';
    this.#digests.clear();
  }

  // --- work --------------------------------------------------------------------------------------

  #isOver(): boolean {
    return this.#state === 'stopped' || this.#state === 'closed';
  }

  #work(): void {
    if (this.#isOver() || this.#working !== null) return;
    this.#working = this.#run()
      .catch((error: unknown) => this.#endWith(error))
      .finally(() => {
        this.#working = null;
        // What came in after the last look, and before this.
        if (this.#isDue()) this.#work();
      });
  }

  #isDue(): boolean {
    return this.#noted < this.#durable || this.#anomalies.length > 0;
  }

  async #run(): Promise<void> {
    const writer = this.#writer ?? (await this.#open());
    while (!this.#isOver()) {
      if (writer.unsigned >= UNSIGNED_LEAVES_MAX) await this.#sign(writer);
      const digest = await this.#next();
      if (digest === null) break;
      await this.#note(writer, digest);
      this.#report();
    }
    await this.#recordAll(writer);
    if (!this.#isOver()) await this.#sign(writer);
    this.#report();
  }

  async #sign(writer: LogWriter): Promise<void> {
    await this.#options.signing.sign(writer);
  }

  #report(): void {
    const behind = this.#durable > this.#noted ? this.#durable - this.#noted : 0n;
    this.#hooks.behind(behind, this.#writer?.unsigned ?? 0);
  }

  async #open(): Promise<LogWriter> {
    const { store, prefix } = this.#options;
    const writer = await LogWriter.open(store, prefix, this.logName);
    if (writer.last !== null) this.#noted = this.#manifest(writer.size - 1, writer.last).next;
    this.#writer = writer;
    if (this.#state === 'opening') this.#state = 'open';
    return writer;
  }

  /** The segment that is to be noted next, or null where there is none. */
  async #next(): Promise<SegmentDigest | null> {
    for (const offset of this.#digests.keys()) {
      if (offset < this.#noted) this.#digests.delete(offset);
    }
    const known = this.#digests.get(this.#noted);
    if (known !== undefined) return known;
    if (this.#noted >= this.#durable && !this.#lookBack) return null;
    const { store, prefix, reading, breathe } = this.#options;
    const slot = { ...this.#address, firstOffset: this.#noted };
    // Asked first: it may become durable while the store answers.
    const isThere = this.#noted < this.#durable;
    const found = await reading(() =>
      readBack(store, slotKey(prefix, slot), slot, isThere, breathe),
    );
    if (found === null) this.#lookBack = false;
    return found;
  }

  async #note(writer: LogWriter, digest: SegmentDigest): Promise<void> {
    const { store, prefix } = this.#options;
    const { firstOffset, nextOffset } = digest.header;
    const key = slotKey(prefix, { ...this.#address, firstOffset });
    const protection = await store.protection(key);
    if (protection === null) {
      const detail = 'it was sealed and is not there';
      throw new Irregular({ reason: 'versions', key, detail });
    }
    const body = manifestOf(digest, protection);
    for (;;) {
      const { outcome, sequence, bytes } = await writer.append((end) => manifestBytes(end, body));
      if (outcome !== 'overtaken') break;
      const theirs = this.#manifest(sequence, bytes).body;
      if (theirs.kind === 'anomaly') continue;
      const differing = differingFact(theirs, body);
      if (differing === null) break;
      const detail = `the manifest of another writer differs in ${differing}`;
      throw new Irregular({ reason: 'mismatch', key, detail });
    }
    this.#noted = nextOffset;
    this.#digests.delete(firstOffset);
    this.#hooks.noted(body.kind);
  }

  /** A leaf of this log, which starts where the manifests end. @throws BrokenLog */
  #manifest(sequence: number, bytes: Buffer): { body: ManifestBody; next: bigint } {
    const body = this.#parse(sequence, bytes);
    if (this.#writer !== null && body.firstOffset !== String(this.#noted)) {
      const detail = `it starts at ${body.firstOffset} and not at ${this.#noted}`;
      throw new BrokenLog(this.#leafKey(sequence), detail);
    }
    return { body, next: BigInt(body.nextOffset) };
  }

  /** @throws BrokenLog */
  #parse(sequence: number, bytes: Buffer): ManifestBody {
    try {
      return parseManifest(bytes).body;
    } catch (error) {
      if (!(error instanceof LeafError)) throw error;
      throw new BrokenLog(this.#leafKey(sequence), error.message);
    }
  }

  #leafKey(number: number): string {
    return evidenceKey(this.#options.prefix, { log: this.logName, kind: 'leaf', number });
  }

  // --- anomalies and the end -----------------------------------------------------------------------

  async #recordAll(writer: LogWriter): Promise<void> {
    while (this.#anomalies.length > 0 && !this.#isOver()) {
      await this.#record(writer, this.#anomalies[0]!);
      this.#anomalies.shift();
    }
  }

  async #record(writer: LogWriter, { reason, key, detail }: Anomaly): Promise<void> {
    if (await this.#isRecorded(writer, { reason, key, detail })) return;
    const body = anomalyOf(this.#noted, reason, key, detail);
    for (;;) {
      const { outcome, sequence, bytes } = await writer.append((end) => manifestBytes(end, body));
      if (outcome !== 'overtaken') break;
      const { body: theirs } = this.#manifest(sequence, bytes);
      if (theirs.anomaly?.reason === reason && theirs.anomaly.key === key) return;
      if (theirs.kind !== 'anomaly') {
        this.#noted = BigInt(theirs.nextOffset);
        body.firstOffset = theirs.nextOffset;
        body.nextOffset = theirs.nextOffset;
      }
    }
    this.#hooks.noted('anomaly');
  }

  /** The same fact is met again at every start: it is told once. */
  async #isRecorded(writer: LogWriter, { reason, key }: Anomaly): Promise<boolean> {
    const { store } = this.#options;
    let bytes = writer.last;
    const oldest = Math.max(0, writer.size - ANOMALIES_BACK_MAX);
    for (let sequence = writer.size - 1; sequence >= oldest; sequence--) {
      const leaf = this.#leafKey(sequence);
      bytes ??= (await store.get(leaf))?.bytes ?? null;
      if (bytes === null) throw new BrokenLog(leaf, 'it is not there, and later leaves are');
      const { anomaly } = this.#parse(sequence, bytes);
      if (anomaly === null) return false;
      if (anomaly.reason === reason && anomaly.key === key) return true;
      bytes = null;
    }
    return false;
  }

  async #endWith(error: unknown): Promise<void> {
    if (error instanceof Abandoned) {
      this.close();
      return;
    }
    if (error instanceof Irregular && this.#writer !== null) {
      const writer = this.#writer;
      try {
        this.#anomalies.push(error.anomaly);
        await this.#recordAll(writer);
        await this.#sign(writer);
      } catch (later) {
        if (later instanceof Abandoned) this.close();
        else this.#stop(later);
        if (this.#isOver()) return;
      }
    }
    this.#stop(error);
  }

  /** Loud, and final for this owner. Sealing does not depend on it. */
  #stop(error: unknown): void {
    if (this.#isOver()) return;
    this.#state = 'stopped';
    this.#stopReason = error instanceof Error ? error.message : String(error);
    this.#digests.clear();
    const isExpected = error instanceof Irregular || error instanceof BrokenLog;
    const fields = {
      reason: this.#stopReason,
      key: error instanceof BrokenLog ? error.key : undefined,
      err: isExpected ? undefined : error,
    };
    this.#log.error(fields, 'evidence of this partition stops; sealing goes on');
    this.#report();
    this.#hooks.stopped(this.#stopReason);
  }
}
