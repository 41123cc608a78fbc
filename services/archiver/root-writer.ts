/**
 * The log `root`: once an hour the size and root of every other log, signed. Any archiver may write
 * it; the conditional PUT decides, and who comes second takes the other's for done. Nothing waits
 * for it, and where it cannot be written now it is tried again.
 *
 * `time` only ascends: a process whose clock is behind writes nothing until it is not.
 */
import { LeafError, leafBytes, timeOf } from '../../schemas/evidence/leaf.ts';
import {
  EVIDENCE,
  evidenceKey,
  logPrefix,
  parseEvidenceKey,
} from '../../schemas/evidence/log-layout.ts';
import {
  HOUR_MS,
  type LogState,
  parseRootLeaf,
  ROOT_LOG,
  type RootBody,
  rootBody,
} from '../../schemas/evidence/root-leaf.ts';
import { BrokenLog, countLeaves, endOf, LogWriter } from '../evidence/log-writer.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { Abandoned } from '../store/patient-store.ts';
import type { ObjectStore } from '../store/store.ts';
import type { Signing } from './signing.ts';

/**
 * What happens after a checkpoint of `root` is in the store: stamping, copying elsewhere. May be
 * called again for a checkpoint that was handed over before, after a restart or by another process.
 * A rejection is logged, and the call repeated a minute later.
 */
export type OnRoot = (key: string, bytes: Buffer) => Promise<void>;

export interface RootOptions {
  prefix: string;
  /** Waits until it is answered, or ends with `Abandoned`. */
  store: ObjectStore;
  signing: Signing;
  clock: Clock;
  log: Log;
  onRoot: OnRoot;
  /** Of the newest root: its time, ms since the epoch, and how many leaves are not signed. */
  report: (timeMs: number, unsigned: number) => void;
  /** Null when it is well again. */
  stopped: (reason: string | null) => void;
}

/** How often it is looked whether an hour has begun, or a key is back. */
const LOOK_MS = 60_000;
const PAGE_KEYS = 1000;
/** Behind every digit, so behind every file of a log. */
const BEHIND = '~';

export class RootWriter {
  readonly #options: RootOptions;
  #writer: LogWriter | null = null;
  /** Of the newest leaf. */
  #newest: RootBody | null = null;
  /** Size and root of each log, as last seen. */
  readonly #known = new Map<string, { size: number; root: string }>();
  /** Key of the checkpoint that was handed over last. */
  #handedOver: string | null = null;
  /** Key of the newest checkpoint at the last look. */
  #seen: string | null = null;
  #stopReason: string | null = null;

  constructor(options: RootOptions) {
    this.#options = options;
  }

  /** Looks at once and then every minute, until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      await this.#options.clock.sleep(LOOK_MS, signal);
    }
  }

  /**
   * Writes the root of this hour, where there is none yet, and signs what is unsigned. Never
   * rejects: what is wrong is told by `stopped`, and the next look reads everything anew.
   */
  async look(): Promise<void> {
    try {
      await this.#look();
      this.#tell(null, null);
    } catch (error) {
      if (error instanceof Abandoned) return;
      this.#writer = null;
      this.#newest = null;
      const where = error instanceof BrokenLog ? `${error.key}: ` : '';
      this.#tell(`${where}${error instanceof Error ? error.message : String(error)}`, error);
    }
  }

  async #look(): Promise<void> {
    const { clock, signing, store, report } = this.#options;
    const writer = await this.#current();
    const hourMs = Math.floor(clock.now() / HOUR_MS) * HOUR_MS;
    if (this.#newestMs() < hourMs) await this.#append(writer, hourMs);
    const isOurs = await signing.sign(writer);
    report(this.#newestMs(), writer.unsigned);
    if (!writer.isSigned || writer.size === 0) return;
    const key = writer.checkpointKey;
    const wasSeen = key === this.#seen;
    this.#seen = key;
    // Another's is handed over a minute later: by then it has done so itself, unless it died.
    if (key === this.#handedOver || !(isOurs || wasSeen)) return;
    const note = await store.get(key);
    if (note !== null) this.#handOver(key, note.bytes);
  }

  /** The log, up to what others have written. */
  async #current(): Promise<LogWriter> {
    const { store, prefix } = this.#options;
    if (this.#writer === null) this.#writer = await LogWriter.open(store, prefix, ROOT_LOG);
    else if (this.#isLookDue()) await this.#writer.catchUp();
    this.#take(this.#writer);
    return this.#writer;
  }

  /** Within an hour that has its root, signed, there is nothing to look for. */
  #isLookDue(): boolean {
    const writer = this.#writer!;
    return !writer.isSigned || this.#newestMs() + HOUR_MS <= this.#options.clock.now();
  }

  #newestMs(): number {
    return this.#newest === null ? Number.NEGATIVE_INFINITY : Date.parse(this.#newest.time);
  }

  #take(writer: LogWriter): void {
    if (writer.last === null) return;
    try {
      this.#newest = parseRootLeaf(writer.last).body;
    } catch (error) {
      if (!(error instanceof LeafError)) throw error;
      const { prefix } = this.#options;
      const place = { log: ROOT_LOG, kind: 'leaf', number: writer.size - 1 } as const;
      throw new BrokenLog(evidenceKey(prefix, place), error.message);
    }
  }

  async #append(writer: LogWriter, hourMs: number): Promise<void> {
    const seen = await this.#states();
    while (this.#newestMs() < hourMs) {
      const body = rootBody(timeOf(hourMs), this.#notBefore(seen));
      const { outcome } = await writer.append((end) => leafBytes(end, body));
      this.#take(writer);
      if (outcome === 'created') {
        this.#options.log.info({ time: body.time, logs: body.logs.length }, 'root written');
      }
    }
  }

  /** No size falls and no log disappears, though a log may have been damaged: that is for verify. */
  #notBefore(seen: readonly LogState[]): LogState[] {
    const states = new Map(seen.map((state) => [state[0], state]));
    for (const before of this.#newest?.logs ?? []) {
      const now = states.get(before[0]);
      if (now !== undefined && now[1] >= before[1]) continue;
      states.set(before[0], before);
      this.#options.log.error(
        { log: before[0], size: now?.[1] ?? 0, before: before[1] },
        'a log is shorter than at the last root',
      );
    }
    return [...states.values()];
  }

  // --- the logs ----------------------------------------------------------------------------------

  /** Size and root of every log but this one. A log that cannot be read stands as last known. */
  async #states(): Promise<LogState[]> {
    const { store, prefix, log: logger } = this.#options;
    const states: LogState[] = [];
    for (const [log, size] of await this.#sizes()) {
      let known = this.#known.get(log);
      if (known?.size !== size) {
        try {
          const { frontier } = await endOf(store, prefix, log, size - 1);
          known = { size, root: frontier.root().toString('base64') };
          this.#known.set(log, known);
        } catch (error) {
          if (!(error instanceof BrokenLog)) throw error;
          logger.error({ log, key: error.key, reason: error.message }, 'a log cannot be read');
        }
      }
      if (known !== undefined) states.push([log, known.size, known.root]);
    }
    return states;
  }

  /**
   * Every log that has a leaf, and how many. One LIST for each thousand keys or for each log,
   * whichever is fewer, and a few more for one that has grown.
   */
  async #sizes(): Promise<Map<string, number>> {
    const { store, prefix } = this.#options;
    const root = `${prefix}${EVIDENCE}`;
    const sizes = new Map<string, number>();
    let after: string | undefined;
    for (;;) {
      const keys = await store.list(root, after, PAGE_KEYS);
      for (const key of keys) {
        const place = parseEvidenceKey(prefix, key);
        if (place?.kind === 'leaf' && place.log !== ROOT_LOG)
          sizes.set(place.log, place.number + 1);
      }
      after = keys.at(-1);
      if (after === undefined || keys.length < PAGE_KEYS) return sizes;
      const last = parseEvidenceKey(prefix, after);
      if (last === null) continue;
      // The page ends within a log: the rest of it is stepped over.
      if (last.log !== ROOT_LOG) {
        const known = this.#known.get(last.log)?.size ?? 0;
        sizes.set(last.log, await countLeaves(store, prefix, last.log, known));
      }
      after = `${logPrefix(prefix, last.log)}${BEHIND}`;
    }
  }

  /** Not waited for: what follows may hang, and the next root must come all the same. */
  #handOver(key: string, bytes: Buffer): void {
    this.#handedOver = key;
    this.#options.onRoot(key, bytes).catch((error: unknown) => {
      if (this.#handedOver === key) this.#handedOver = null;
      this.#options.log.error({ key, err: error }, 'what follows a root failed; trying again');
    });
  }

  #tell(reason: string | null, error: unknown): void {
    if (reason === this.#stopReason) return;
    this.#stopReason = reason;
    const err = error instanceof BrokenLog ? undefined : error;
    if (reason !== null) this.#options.log.error({ reason, err }, 'no roots can be written');
    this.#options.stopped(reason);
  }
}
