/** One archiver process of the simulator: the production code over a simulated Kafka and store. */
import assert from 'node:assert/strict';
import { sha256 } from '../../../schemas/evidence/merkle.ts';
import type { Signer } from '../../../schemas/evidence/note.ts';
import { Archive, TICK_MS } from '../../../services/archiver/archive.ts';
import { finishHere } from '../../../services/archiver/block-finisher.ts';
import type { ArchiverMetrics } from '../../../services/archiver/metrics.ts';
import type { OnRoot } from '../../../services/archiver/root-writer.ts';
import type { WriterSchemas } from '../../../services/archiver/schemas.ts';
import { Failure } from '../../../services/runtime/errors.ts';
import { silentLog } from '../../../services/runtime/log.ts';
import type { ObjectStore } from '../../../services/store/store.ts';
import { type Group, Member } from './kafka.ts';
import type { Random } from './random.ts';
import { ProcessClock, type World } from './time.ts';

export interface ProcessOptions {
  world: World;
  random: Random;
  store: ObjectStore;
  schemas: WriterSchemas;
  onDefect: (error: unknown) => void;
  onFenced: () => void;
  signer: () => Promise<Signer | null>;
  onRoot: OnRoot;
  startAt: 'earliest' | 'latest';
}

export const LIMITS = {
  segmentBytesMax: 2_000,
  segmentRecordsMax: 15,
  segmentAgeMsMax: 5_000,
  schemaRollRecordsMin: 4,
};
const MEMORY_BYTES_MAX = 10_000;
const BLOCK_BYTES = 300;
const SILENCE_MS = 60_000;

export class Process {
  readonly clock: ProcessClock;
  readonly member: Member;
  readonly archive: Archive;
  /** True from the moment it was told to stop. */
  stopping = false;
  ended = false;
  readonly #end = new AbortController();

  constructor(name: string, group: Group, options: ProcessOptions) {
    const { world, random, schemas, onDefect } = options;
    this.clock = new ProcessClock(world);
    this.clock.skewMs = random.int(-100_000, 100_000);
    this.member = new Member(name, { world, clock: this.clock, group, random, onDefect });
    this.archive = new Archive({
      clusterId: 'cluster',
      prefix: 'p/',
      startAt: options.startAt,
      limits: LIMITS,
      memoryBytesMax: MEMORY_BYTES_MAX,
      blocks: {
        codec: 'null',
        blockBytes: BLOCK_BYTES,
        finisher: finishHere((bytes) => bytes),
      },
      store: networkStore(options, this.clock),
      sha256,
      signer: () => options.signer(),
      onRoot: options.onRoot,
      schemas,
      consumer: this.member,
      clock: this.clock,
      random: random.next,
      log: silentLog,
      metrics: countingMetrics(options),
      ready: (check, ok, reason) => {
        if (check === 'evidence' && !ok) onDefect(new Error(reason));
      },
      breathe: () => this.clock.sleep(0),
    });
    this.member.handle(this.archive);
    void this.#tick().catch(onDefect);
    void this.archive.roots(this.#end.signal).catch(onDefect);
  }

  get isLive(): boolean {
    return !this.clock.dead && !this.ended && !this.stopping;
  }

  async #tick(): Promise<void> {
    while (!this.stopping) {
      this.archive.tick();
      await this.clock.sleep(TICK_MS);
    }
  }

  /** SIGTERM. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.#end.abort();
    await this.archive.stop();
    await this.member.stop();
    this.ended = true;
  }
}

/**
 * The store behind a network: a request takes time to arrive, whatever becomes of its sender, and
 * the answer reaches the sender when it runs.
 */
function networkStore({ world, random, store }: ProcessOptions, clock: ProcessClock): ObjectStore {
  const call = async <Output>(act: () => Promise<Output>): Promise<Output> => {
    const lag = random.chance(0.05) ? 8_000 : 80;
    await world.sleep(random.int(1, lag));
    const answer = Promise.race([
      act(),
      clock.sleep(SILENCE_MS).then((): never => {
        throw new Failure('silence', { code: 'S3_TIMEOUT', retryable: true });
      }),
    ]);
    // Observed before the pause below, so that a failure in between has a handler.
    answer.catch(() => {});
    await clock.sleep(random.int(1, lag));
    return answer;
  };
  return {
    putIfAbsent: (key, bytes, digest) => {
      if (digest !== undefined) assert.deepEqual(digest, sha256(bytes));
      return call(() => store.putIfAbsent(key, bytes));
    },
    get: (key, range) => call(() => store.get(key, range)),
    list: (prefix, after, max) => call(() => store.list(prefix, after, max)),
    versions: (key) => call(() => store.versions(key)),
    protection: (key) => call(() => store.protection(key)),
  };
}

function countingMetrics({ onFenced }: ProcessOptions): ArchiverMetrics {
  return {
    sealed: ({ outcome }) => {
      if (outcome === 'fenced') onFenced();
    },
    opened: () => {},
    halted: (_, reason) => {
      throw new Error(`a partition halted: ${reason}`);
    },
    revoked: () => {},
    troubled: () => {},
    answered: () => {},
    heldBytes: () => {},
    oldestMs: () => {},
    noted: () => {},
    behind: () => {},
    evidenceStopped: () => {},
    root: () => {},
  };
}
