/** A signed archive, its clock, and what was logged and counted: for tests of anchors. */
import { parseEvidenceKey } from '../../../schemas/evidence/log-layout.ts';
import { HOUR_MS } from '../../../schemas/evidence/root-leaf.ts';
import { Persistence } from '../../../services/archiver/anchors/persistence.ts';
import { type Anchor, rootKey, type SignedRoot } from '../../../services/archiver/anchors/root.ts';
import type { Log } from '../../../services/runtime/log.ts';
import { silentLog } from '../../../services/runtime/log.ts';
import { PREFIX, type SmallArchive, START_MS, smallArchive } from '../../verifier/proof-archive.ts';
import { ProcessClock, World } from '../sim/time.ts';

export class AnchorScene {
  readonly world = new World();
  readonly clock = new ProcessClock(this.world);
  readonly archive: SmallArchive = smallArchive();
  /** Level and message, with the reason. */
  readonly told: string[] = [];
  readonly failed: string[] = [];
  readonly states: Array<[name: string, failing: boolean, timeMs: number | null]> = [];
  readonly #end = new AbortController();
  #hours = 0;

  readonly log: Log = {
    ...silentLog,
    info: (_, message) => void this.told.push(`info ${message}`),
    warn: (fields, message) =>
      void this.told.push(`warn ${message}: ${(fields as { reason: string }).reason}`),
  };

  get store() {
    return this.archive.store;
  }

  get options() {
    return {
      prefix: PREFIX,
      store: this.store,
      clock: this.clock,
      random: () => 0.5,
      log: this.log,
      metrics: {
        failed: (name: string) => void this.failed.push(name),
        state: (name: string, failing: boolean, timeMs: number | null) =>
          void this.states.push([name, failing, timeMs]),
      },
    };
  }

  /** The root of the next hour, one minute after it struck. */
  async root(): Promise<SignedRoot> {
    const hour = this.#hours;
    this.#hours += 1;
    await this.archive.seal(1);
    await this.archive.root(hour);
    const timeMs = START_MS + hour * HOUR_MS;
    this.world.nowMs = Math.max(this.world.nowMs, timeMs + 60_000);
    if (hour === 0) this.world.nowMs = timeMs + 60_000;
    const size = hour + 1;
    return { size, note: this.file('note', size)!, timeMs };
  }

  file(kind: 'leaf' | 'note' | 'tsr' | 'witness', number: number): Buffer | null {
    return this.archive.bucket.current(rootKey(PREFIX, kind, number))?.bytes ?? null;
  }

  /** Sizes of the roots that have such a file. */
  sizes(kind: 'tsr' | 'witness'): number[] {
    const keys = this.archive.bucket.list(`${PREFIX}evidence/root/`, undefined, 1000);
    const places = keys.map((key) => parseEvidenceKey(PREFIX, key)!);
    return places.filter((place) => place.kind === kind).map(({ number }) => number);
  }

  persist(anchor: Anchor): Persistence {
    const persistence = new Persistence(anchor, this.options);
    void persistence.run(this.#end.signal);
    return persistence;
  }

  close(): void {
    this.#end.abort();
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await this.world.settle();
  }
}
