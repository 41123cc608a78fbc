/**
 * The evidence of one archiver process: a notary for each partition, the hourly root, and the key
 * that all of them sign with. Nothing here keeps a segment from being sealed.
 */
import type { Signer } from '../../schemas/evidence/note.ts';
import type { PartitionAddress } from '../../schemas/layout.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { ObjectStore } from '../store/store.ts';
import type { ArchiverMetrics } from './metrics.ts';
import { Notary } from './notary.ts';
import { type OnRoot, RootWriter } from './root-writer.ts';
import { Signing } from './signing.ts';

export interface EvidenceOptions {
  prefix: string;
  /** Null where no key is configured. @throws Failure where it cannot be used. */
  signer: () => Promise<Signer | null>;
  onRoot: OnRoot;
  clock: Clock;
  log: Log;
  metrics: ArchiverMetrics;
  ready: (check: string, ok: boolean, reason?: string) => void;
  breathe: () => Promise<void>;
}

export class Evidence {
  readonly #options: EvidenceOptions;
  readonly #signing: Signing;
  /** Logs that stopped, and why. */
  readonly #stopped = new Map<string, string>();
  /** Their partitions are no longer ours: their series have ended. */
  readonly #released = new WeakSet<Notary>();
  #reading: Promise<unknown> = Promise.resolve();

  constructor(options: EvidenceOptions) {
    this.#options = options;
    this.#signing = new Signing(options);
  }

  notary(address: PartitionAddress, store: ObjectStore): Notary {
    const { prefix, log, metrics, breathe } = this.#options;
    const at = { topic: address.topic, partition: address.partition };
    const notary: Notary = new Notary(
      address,
      { prefix, store, signing: this.#signing, log, reading: this.#inTurn, breathe },
      {
        noted: (kind) => metrics.noted(at, kind),
        behind: (offsets, unsigned) => {
          if (!this.#released.has(notary)) metrics.behind(at, offsets, unsigned);
        },
        stopped: (reason) => {
          if (this.#released.has(notary)) return;
          metrics.evidenceStopped(at, true);
          this.#tell(notary.logName, reason);
        },
      },
    );
    return notary;
  }

  /** The partition is no longer ours: it is for its new owner to tell of it. */
  released(notary: Notary): void {
    this.#released.add(notary);
    this.#tell(notary.logName, null);
  }

  roots(store: ObjectStore): RootWriter {
    const { prefix, clock, log, metrics, onRoot } = this.#options;
    return new RootWriter({
      prefix,
      store,
      signing: this.#signing,
      clock,
      log,
      onRoot,
      report: (timeMs, unsigned) => metrics.root(timeMs, unsigned),
      stopped: (reason) => this.#tell('root', reason),
    });
  }

  readonly #inTurn = <Output>(work: () => Promise<Output>): Promise<Output> => {
    const turn = this.#reading.then(work);
    this.#reading = turn.catch(() => {});
    return turn;
  };

  #tell(log: string, reason: string | null): void {
    if (reason === null) this.#stopped.delete(log);
    else this.#stopped.set(log, reason);
    const all = [...this.#stopped].map(([name, why]) => `${name}: ${why}`);
    this.#options.ready('evidence', all.length === 0, `stopped: ${all.join('; ')}`);
  }
}
